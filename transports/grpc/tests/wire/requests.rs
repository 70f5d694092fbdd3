//! Requests of another client, valid and malformed.

use std::{future::poll_fn, net::SocketAddr, pin::Pin, time::Duration};

use bytes::Bytes;
use everywire_core::{Code, Limits};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::{Body as _, Frame};
use tonic::{body::Body, transport::Endpoint};
use tower::Service;

use crate::{
    demo::{Running, within},
    peer::{CONTINUATION, DATA, END, END_HEADERS, HEADERS, Peer, frame, message, request_block},
};

/// A body in pieces.
struct Pieces(Vec<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        std::task::Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The name and the value of a header.
pub(crate) type Header<'a> = (&'static str, &'a str);

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// The status, which is in the headers if the response has no message.
    pub(crate) fn grpc_status(&self) -> tonic::Status {
        let headers = if self.trailers.is_empty() { &self.headers } else { &self.trailers };
        tonic::Status::from_header_map(headers).expect("a status")
    }
}

/// Sends a request as it is.
pub(crate) async fn send(address: SocketAddr, path: &str, headers: &[Header<'_>], pieces: &[&[u8]]) -> Answer {
    send_by(Method::POST, address, path, headers, pieces).await
}

async fn send_by(method: Method, address: SocketAddr, path: &str, headers: &[Header<'_>], pieces: &[&[u8]]) -> Answer {
    let mut channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let body = Body::new(Pieces(pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect()));
    let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let (head, mut body) = within(channel.call(request)).await.unwrap().into_parts();
    let mut answer = Answer { status: head.status, headers: head.headers, body: vec![], trailers: HeaderMap::new() };
    while let Some(frame) = within(poll_fn(|context| Pin::new(&mut body).poll_frame(context))).await {
        match frame.unwrap().into_data() {
            Ok(data) => answer.body.extend(data),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap(),
        }
    }
    answer
}

pub(crate) const GRPC: Header = ("content-type", "application/grpc");

#[tokio::test]
async fn the_bytes_of_add() {
    let server = Running::start().await;
    let request = [0, 0, 0, 0, 4, 8, 3, 16, 4];
    for pieces in [vec![&request[..]], vec![&request[..1], &request[1..7], &[], &request[7..]]] {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc+proto;a=b",
            "application/grpc; charset=utf-8",
        ] {
            let answer = send(server.address, "/test.v1.Demo/Add", &[("content-type", content_type)], &pieces).await;
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &[0, 0, 0, 0, 2, 8, 7][..]));
            assert_eq!(answer.headers["content-type"], "application/grpc");
            assert_eq!((answer.trailers.len(), &answer.trailers["grpc-status"]), (1, &"0".parse().unwrap()));
        }
    }
    let zero = send(server.address, "/test.v1.Demo/Add", &[GRPC], &[&[0; 5]]).await;
    assert_eq!(zero.body, [0; 5], "zero is left out");
}

/// Path, headers and body; the code, and a part of the message.
type Case<'a> = (&'a str, &'a [Header<'a>], &'a [u8], Code, &'a str);

#[tokio::test]
async fn malformed_requests_are_answered_with_what_is_wrong() {
    let limits = Limits { message_bytes: 64, ..Default::default() };
    let server = Running::at("127.0.0.1:0", limits).await;
    let good: &[u8] = &[0, 0, 0, 0, 2, 8, 3];
    let add = "/test.v1.Demo/Add";
    let timeout = |value| [GRPC, ("grpc-timeout", value)];
    #[rustfmt::skip]
    let cases: &[Case] = &[
        (add, &[GRPC], &[], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[0, 0, 0], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[0, 0, 0, 0, 3, 8, 3], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[1, 0, 0, 0, 0], Code::Internal, "compressed flag"),
        (add, &[("content-type", "application/grpc+json")], good, Code::Unimplemented, "application/grpc+proto"),
        (add, &[GRPC], &[7, 0, 0, 0, 0], Code::Internal, "prefix"),
        (add, &[GRPC], &[0, 0xff, 0xff, 0xff, 0xff], Code::ResourceExhausted, "the limit message_bytes is 64"),
        (add, &[GRPC], &[0, 0, 0, 0, 2, 0x0a, 0], Code::InvalidArgument, "argument `a`: "),
        (add, &[GRPC], &[0, 0, 0, 0, 1, 8], Code::InvalidArgument, "usage: add(a: i64, b: i64) -> i64"),
        ("/test.v1.Demo/Echo", &[GRPC], &[0; 5], Code::InvalidArgument, "argument `value`: the message is missing"),
        ("/test.v1.Demo/Echo", &[GRPC], &[0, 0, 0, 0, 2, 16, 0], Code::InvalidArgument, "argument `value`: the message"),
        (add, &timeout("1"), good, Code::InvalidArgument, "grpc-timeout"),
        (add, &timeout("123456789S"), good, Code::InvalidArgument, "grpc-timeout"),
        ("/test.v1.Demo/Nothing", &[GRPC], good, Code::Unimplemented, "no method `Nothing` in test.v1.Demo; it has add, "),
        ("/test.v2.Demo/Add", &[GRPC], good, Code::Unimplemented, "no service `test.v2.Demo`"),
        ("/", &[GRPC], good, Code::Unimplemented, "no service ``"),
    ];
    for (path, headers, body, code, text) in cases {
        let answer = send(server.address, path, headers, &[body]).await;
        let status = tonic::Status::from_header_map(&answer.headers).expect("the headers are the answer");
        assert_eq!(i32::from(status.code()), code.number(), "{path} {headers:?} {body:?}: {status}");
        assert!(status.message().contains(text), "{path} {headers:?} {body:?}: {status}");
    }
    assert_eq!(send(server.address, add, &timeout("20M"), &[good]).await.body, [0, 0, 0, 0, 2, 8, 3]);
}

#[tokio::test]
async fn clients_of_other_protocols_get_an_http_status() {
    let server = Running::start().await;
    let json: &[_] = &[("content-type", "application/json")];
    let web: &[_] = &[("content-type", "application/grpc-web+proto")];
    #[rustfmt::skip]
    let cases: [(Method, &[Header], StatusCode, Code); 6] = [
        (Method::POST, json, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
        (Method::POST, web, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
        (Method::POST, &[], StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
        (Method::GET, &[], StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
        (Method::GET, &[GRPC], StatusCode::METHOD_NOT_ALLOWED, Code::Internal),
        (Method::PUT, &[GRPC], StatusCode::METHOD_NOT_ALLOWED, Code::Internal),
    ];
    for path in ["/test.v1.Demo/Add", "/grpc.health.v1.Health/Check"] {
        for (method, headers, status, code) in &cases {
            let answer = send_by(method.clone(), server.address, path, headers, &[&[0; 5]]).await;
            assert_eq!(answer.status, *status, "{method} {path} {headers:?}");
            assert_eq!(i32::from(answer.grpc_status().code()), code.number(), "{method} {path} {headers:?}");
            let allow = answer.headers.get("allow").map(|allow| allow.to_str().unwrap());
            assert_eq!(allow, (*status == StatusCode::METHOD_NOT_ALLOWED).then_some("POST"));
        }
    }
}

#[tokio::test]
async fn too_much_metadata_is_an_error_of_grpc() {
    let server = Running::start().await;
    let long = "x".repeat(40 << 10);
    let short = "x".repeat(168);
    let many = |count| vec![("x-short", short.as_str()); count];
    #[rustfmt::skip]
    let cases: [(&str, Vec<Header>, bool); 6] = [
        ("15 KiB in one", vec![("x-long", &long[..15 << 10])], true),
        ("17 KiB in one", vec![("x-long", &long[..17 << 10])], false),
        ("40 KiB in one", vec![("x-long", &long)], false),
        ("15 KiB in many", many(15 * 1_024 / 207), true),
        ("17 KiB in many", many(17 * 1_024 / 207), false),
        ("60 KiB in many", many(60 * 1_024 / 207), false),
    ];
    for (name, metadata, is_taken) in cases {
        for (path, body) in
            [("/test.v1.Demo/Add", &[0, 0, 0, 0, 2, 8, 3][..]), ("/grpc.health.v1.Health/Check", &[0; 5])]
        {
            let answer = send(server.address, path, &[&[GRPC], &metadata[..]].concat(), &[body]).await;
            let status = answer.grpc_status();
            assert_eq!(answer.status, StatusCode::OK, "{name}");
            if is_taken {
                assert_eq!(status.code(), tonic::Code::Ok, "{name} {path}: {status}");
            } else {
                assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{name} {path}: {status}");
                assert!(status.message().contains("expected at most 16384"), "{name}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn any_authority_is_accepted() {
    let server = Running::start().await;
    for authority in ["%2Ftmp%2Fsock", "%", "localhost", "[fe80::1%25eth0]:50051"] {
        let headers = request_block("/test.v1.Demo/Add", authority);
        let (first, second) = headers.split_at(headers.len() - 70);
        let whole = frame(HEADERS, END_HEADERS, 1, &headers);
        let split = [frame(HEADERS, 0, 3, first), frame(CONTINUATION, END_HEADERS, 3, second)].concat();
        let mut peer = Peer::connect(server.address).await;
        for (stream, head) in [(1, whole), (3, split)] {
            peer.send(&[head, frame(DATA, END, stream, &message(&[8, 3, 16, 4]))].concat()).await;
            let answer = peer.until(|frame| frame.stream == stream && frame.kind != HEADERS).await;
            assert_eq!((answer.kind, answer.payload), (DATA, message(&[8, 7])), "{authority}");
        }
    }
}

#[tokio::test]
async fn a_message_that_never_ends_is_rejected() {
    struct Endless(bool);
    impl hyper::body::Body for Endless {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
            if std::mem::replace(&mut self.0, true) {
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 4, 8])))))
        }
    }
    let limits = Limits { message_time: Duration::from_millis(50), ..Default::default() };
    let server = Running::at("127.0.0.1:0", limits).await;
    let mut channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut request = Request::post("/test.v1.Demo/Add").body(Body::new(Endless(false))).unwrap();
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answer = within(channel.call(request)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
}
