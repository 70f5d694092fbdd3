//! A broken or hostile server can fail a call of our client and do no other harm.

use std::time::{Duration, Instant};

use everywire_core::{Code, Limits, Origin, Result, RpcError};
use everywire_grpc::Client;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    compression::compressed,
    demo::{Demo, DemoClient, within},
    peer::{
        CONTINUATION, DATA, END, END_HEADERS, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, Peer, RST_STREAM, block, frame,
        message, prefix,
    },
};

/// The error of a call that the server answers with `frames` and nothing else.
async fn answered(frames: Vec<u8>, time: Duration) -> RpcError {
    outcome(frames, time).await.unwrap_err()
}

async fn outcome(frames: Vec<u8>, time: Duration) -> Result<i64> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::connect(&format!("http://{}", listener.local_addr().unwrap())).await.unwrap();
    let limits = Limits { message_bytes: 1_000, decompressed_bytes: 1_000, ..Default::default() };
    let client = DemoClient::new(client.limits(limits).timeout(time));
    let server = tokio::spawn(async move {
        let mut peer = Peer::called(listener.accept().await.unwrap().0).await;
        // The client may close before it has read all of it.
        let _ = peer.stream.write_all(&frames).await;
        peer.rest().await;
    });
    let outcome = within(client.add(1, 2)).await;
    server.abort();
    outcome
}

fn ok(more: &[(&str, &str)]) -> Vec<u8> {
    let headers = [&[(":status", "200"), ("content-type", "application/grpc")], more].concat();
    frame(HEADERS, END_HEADERS, 1, &block(&headers))
}

fn trailers(headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END | END_HEADERS, 1, &block(headers))
}

#[tokio::test]
async fn malformed_responses_fail_their_call() {
    let reply = frame(DATA, 0, 1, &message(&[8, 3]));
    let html = frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "200"), ("content-type", "text/html")]));
    let nothing = frame(HEADERS, END | END_HEADERS, 1, &block(&[(":status", "503")]));
    let done = trailers(&[("grpc-status", "0")]);
    let gzip = [("grpc-encoding", "gzip")];
    let long = "x".repeat(100);
    let large = [("x-large", long.as_str())].repeat(1_000);
    let more = frame(CONTINUATION, 0, 1, &block(&large[..100]));
    let no_end = frame(HEADERS, 0, 1, &block(&[(":status", "200"), ("content-type", "application/grpc")]));
    let no_last = frame(HEADERS, END, 1, &block(&[("grpc-status", "0")]));
    let endless = more.repeat(1_000);
    #[rustfmt::skip]
    let cases: [(&str, Vec<Vec<u8>>, Code); 23] = [
        ("no trailers", vec![ok(&[]), frame(DATA, END, 1, &message(&[8, 3]))], Code::Unknown),
        ("no status in the trailers", vec![ok(&[]), reply.clone(), trailers(&[("x-a", "b")])], Code::Unknown),
        ("a malformed status", vec![ok(&[]), reply.clone(), trailers(&[("grpc-status", "many")])], Code::Unknown),
        ("another content type", vec![html, frame(DATA, END, 1, b"<html>")], Code::Unknown),
        ("a proxy's error", vec![nothing], Code::Unavailable),
        ("no message", vec![ok(&[]), done.clone()], Code::Unimplemented),
        ("two messages", vec![ok(&[]), reply.clone(), reply.clone(), done.clone()], Code::Unimplemented),
        ("half a message", vec![ok(&[]), frame(DATA, 0, 1, &prefix(9)), done.clone()], Code::Unimplemented),
        ("a long message", vec![ok(&[]), frame(DATA, 0, 1, &prefix(1_001))], Code::ResourceExhausted),
        ("the longest message", vec![ok(&[]), frame(DATA, 0, 1, &prefix(u32::MAX))], Code::ResourceExhausted),
        ("a compressed message", vec![ok(&[]), frame(DATA, 0, 1, &[1, 0, 0, 0, 0]), done.clone()], Code::Internal),
        ("no gzip", vec![ok(&gzip), frame(DATA, 0, 1, &[1, 0, 0, 0, 1, 7]), done.clone()], Code::Internal),
        ("a bomb", vec![ok(&gzip), frame(DATA, 0, 1, &compressed(&[0; 2_000])), done.clone()], Code::ResourceExhausted),
        ("an unknown compression", vec![ok(&[("grpc-encoding", "zstd")]), frame(DATA, 0, 1, &compressed(&[8, 3])), done.clone()], Code::Internal),
        ("another type", vec![ok(&[]), frame(DATA, 0, 1, &message(&[10, 1, 65])), done], Code::Internal),
        ("large headers", vec![frame(HEADERS, 0, 1, &block(&[(":status", "200")])), endless.clone()], Code::Unavailable),
        ("large trailers", vec![ok(&[]), reply.clone(), no_last, endless], Code::Unavailable),
        ("trailers over 16 KiB", vec![ok(&[]), reply.clone(), trailers(&large[..140])], Code::Unknown),
        ("empty continuations", vec![no_end, frame(CONTINUATION, 0, 1, b"").repeat(20_000)], Code::Unavailable),
        ("endless data", vec![ok(&[]), frame(DATA, 0, 1, &[0]).repeat(60_000)], Code::Unimplemented),
        ("reset", vec![ok(&[]), frame(RST_STREAM, 0, 1, &ENHANCE_YOUR_CALM.to_be_bytes())], Code::Unavailable),
        ("GOAWAY", vec![frame(GOAWAY, 0, 0, &[0; 8])], Code::Unavailable),
        ("no HTTP/2", vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], Code::Unavailable),
    ];
    for (name, frames, code) in cases {
        let begun = Instant::now();
        let error = answered(frames.concat(), Duration::from_secs(5)).await;
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_compressed_reply_is_read() {
    let done = trailers(&[("grpc-status", "0")]);
    let plain = message(&[8, 7]);
    let zipped = compressed(&[8, 7]);
    for (encoding, reply) in [("gzip", &zipped), ("gzip", &plain), ("identity", &plain), ("zstd", &plain)] {
        let frames = [ok(&[("grpc-encoding", encoding)]), frame(DATA, 0, 1, reply), done.clone()].concat();
        assert_eq!(outcome(frames, Duration::from_secs(5)).await, Ok(7), "{encoding}");
    }
}

#[tokio::test]
async fn an_unfinished_response_is_late() {
    for frames in [vec![], ok(&[]), [ok(&[]), frame(DATA, 0, 1, &message(&[8, 3]))].concat()] {
        let error = answered(frames, Duration::from_millis(200)).await;
        assert_eq!((error.code(), error.origin()), (Code::DeadlineExceeded, Origin::Local), "{error}");
    }
}
