//! Server and client over real sockets, and each of them against bytes written by hand.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are outside of test functions")]

mod demo;
mod limits;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use demo::{Colour, Demo, DemoClient, DemoService, Everything, Inner, Real};
use everywire_core::{Budget, Code, Limits, Origin, Result, Transport, wire::CancellationToken};
use everywire_net::Tcp;
use everywire_zerorpc::{Client, Server};
use everywire_zmtp::{
    SocketType,
    frames::{GREETING, put_ready},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use zeromq::{RouterSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// A server on a port of its own.
struct Running {
    address: SocketAddr,
    budget: Arc<Budget>,
    stop: CancellationToken,
    served: JoinHandle<Result<()>>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        Self::bind("tcp://127.0.0.1:0", limits).await
    }

    async fn bind(address: &str, limits: Limits) -> Self {
        let tcp = Tcp::bind(address).await.unwrap();
        let (address, stop, budget) = (tcp.address(), CancellationToken::new(), Budget::new(limits));
        let service = Arc::new(DemoService::new(Real::default()));
        let served = tokio::spawn((tcp, Server::new()).serve(service, Arc::clone(&budget), stop.clone()));
        Self { address, budget, stop, served }
    }

    fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    async fn client(&self) -> DemoClient<Client> {
        DemoClient::new(Client::connect(&self.url()).await.unwrap())
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.served).await.expect("the server's end").unwrap().unwrap();
    }
}

/// A client of bytes.
struct Raw(TcpStream);

impl Raw {
    async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut hello = GREETING.to_vec();
        put_ready(&mut hello, SocketType::Dealer);
        stream.write_all(&hello).await.unwrap();
        let mut raw = Self(stream);
        raw.read(GREETING.len() + 30).await;
        raw
    }

    async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        timeout(DEADLINE, self.0.read_exact(&mut bytes)).await.expect("an answer").expect("a whole answer");
        bytes
    }

    async fn expect_end(mut self, case: &str) {
        let mut rest = Vec::new();
        let ended = timeout(DEADLINE, self.0.read_to_end(&mut rest)).await.expect("the end of the connection");
        assert!(ended.is_err() || rest.is_empty(), "{case}: {rest:?}");
    }
}

#[tokio::test]
async fn add_as_bytes() {
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::connect(server.address).await;
    let request =
        b"\x01\x00\x00\x39\x93\x82\xaamessage_id\xc4\x200123456789abcdef0123456789abcdef\xa1v\x03\xa3add\x92\x03\x04";
    raw.0.write_all(request).await.unwrap();
    let answer = raw.read(2 + 2 + 101).await;
    assert!(answer.starts_with(b"\x01\x00\x00\x65\x93\x83\xaamessage_id\xc4\x20"), "{answer:?}");
    let tail = b"\xa1v\x03\xabresponse_to\xc4\x200123456789abcdef0123456789abcdef\xa2OK\x91\x07";
    assert!(answer.ends_with(tail), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn everything_there_and_back() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    assert_eq!(client.add(3, 4).await, Ok(7));
    let plain = Everything {
        least: i64::MIN,
        most: u64::MAX,
        float: -0.5,
        text: "special <&>\"'\\ \r\n\t\0\u{1}\u{7f} é ∀ 🔒".to_owned(),
        absent: None,
        middle: Some(0),
        colour: Colour::Green,
        inner: Inner { name: String::new(), colours: vec![] },
        list: vec![Inner { name: "x".to_owned(), colours: vec![Colour::Red, Colour::Green] }],
        map: BTreeMap::from([(String::new(), i64::MAX), ("é".to_owned(), -1)]),
        bytes: (0..=255).collect(),
        unit: (),
        pair: (true, '🔒'),
    };
    let cases = [
        plain.clone(),
        Everything { float: f64::INFINITY, absent: Some(String::new()), middle: None, ..plain.clone() },
        Everything { float: f64::MIN_POSITIVE, text: "ü".repeat(1 << 19), list: vec![], ..plain.clone() },
    ];
    for case in cases {
        assert_eq!(client.echo(case.clone()).await, Ok(case));
    }
    let nan = client.echo(Everything { float: f64::NAN, ..plain }).await.unwrap();
    assert!(nan.float.is_nan());
    for length in [0, 31, 32, 255, 256, 65_535, 65_536, 1 << 20] {
        let text = "x".repeat(length);
        assert_eq!(client.text(text.clone()).await, Ok(text), "{length} bytes");
    }
    assert_eq!(client.options(None, 5, None).await.unwrap(), ["None", "5", "None"]);
    assert_eq!(client.options(Some(1), 2, Some(String::new())).await.unwrap(), ["Some(1)", "2", "Some(\"\")"]);
    server.stop().await;
}

#[tokio::test]
async fn every_error_there_and_back() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    for &code in Code::ALL {
        for message in ["", "no `ß` here 🔒"] {
            let error = client.fail(code.number(), message.to_owned()).await.unwrap_err();
            assert_eq!((error.code(), error.message(), error.origin()), (code, message, Origin::Remote));
        }
    }
    assert_eq!(client.add(i64::MAX, 1).await.unwrap_err().code(), Code::OutOfRange);
    let error = client.panic().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote));
    assert_eq!(client.add(3, 4).await, Ok(7), "after a panic");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_on_one_client() {
    let server = Running::start(Limits { calls_in_flight: 64, ..Limits::default() }).await;
    let client = Arc::new(server.client().await);
    let mut calls = JoinSet::new();
    for index in 0..2_000_i64 {
        let client = Arc::clone(&client);
        calls.spawn(async move {
            match index % 4 {
                0 => assert_eq!(client.wait(1).await, Ok(1)),
                1 => assert_eq!(client.big(100_000).await.map(|text| text.len()), Ok(100_000)),
                _ => assert_eq!(client.add(index, 1).await, Ok(index + 1)),
            }
        });
    }
    let all = async { while calls.join_next().await.transpose().unwrap().is_some() {} };
    timeout(DEADLINE, all).await.expect("all answers");
    server.stop().await;
}

#[tokio::test]
async fn a_late_answer_is_an_error_and_nothing_more() {
    let server = Running::start(Limits::default()).await;
    let client = Client::connect(&server.url()).await.unwrap().timeout(Duration::from_millis(50));
    let client = DemoClient::new(client);
    // The late answer shows nowhere, so it can only be given the time to come.
    const LATE: Duration = Duration::from_millis(300);
    let error = client.wait(300).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::DeadlineExceeded, Origin::Local));
    assert!(error.message().contains("wait") && error.message().contains("50ms"), "{error}");
    sleep(LATE).await;
    assert_eq!(client.add(3, 4).await, Ok(7), "the late answer is forgotten");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn connecting_fails_with_reasons() {
    let server = Running::start(Limits::default()).await;
    let (url, address) = (server.url(), server.address.to_string());
    server.stop().await;

    let refused = timeout(Duration::from_secs(2), Client::connect(&url)).await.expect("a quick answer");
    let error = refused.expect_err("nobody listens");
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local));
    assert!(error.message().contains(&address), "{error}");
    assert_eq!(Client::connect("nonsense").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_client_comes_back_after_its_server() {
    let server = Running::start(Limits::default()).await;
    let (client, address) = (Arc::new(server.client().await), server.url());
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.wait(60_000).await }
    });
    while client.waiting().await != Ok(1) {}
    server.served.abort();
    let _ = server.served.await;
    let error = timeout(DEADLINE, waiting).await.expect("no answer is awaited").unwrap().unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local));
    for _ in 0..3 {
        assert_eq!(client.add(3, 4).await.unwrap_err().code(), Code::Unavailable);
    }
    let server = Running::bind(&address, Limits::default()).await;
    assert_eq!(client.add(3, 4).await, Ok(7));
    server.stop().await;
}

#[tokio::test]
async fn a_stop_finishes_calls_and_refuses_new_ones() {
    let server = Running::start(Limits::default()).await;
    let client = Arc::new(server.client().await);
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.wait(500).await }
    });
    while client.waiting().await != Ok(1) {}
    server.stop.cancel();
    let refused = async {
        loop {
            // A call that the server had read before the stop is still answered.
            match client.add(3, 4).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let error = timeout(DEADLINE, refused).await.expect("a refusal");
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Remote), "{error}");
    assert_eq!(waiting.await.unwrap(), Ok(500));
    server.stop().await;
}

/// A ROUTER of the `zeromq` crate that answers every request with `answer(its id)`.
async fn router(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> (String, JoinHandle<()>) {
    let mut socket = RouterSocket::new();
    let url = socket.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let serving = tokio::spawn(async move {
        while let Ok(message) = socket.recv().await {
            let frames = message.into_vec();
            let id = &frames[2][13..47];
            for payload in answer(id) {
                let parts = vec![frames[0].clone(), frames[1].clone(), payload.into()];
                socket.send(ZmqMessage::try_from(parts).unwrap()).await.unwrap();
            }
        }
    });
    (url, serving)
}

#[tokio::test]
async fn answers_that_are_none() {
    let event = |id: &[u8], tail: &[u8]| [b"\x93\x81\xabresponse_to", id, tail].concat();
    let cases: [(&str, &'static [u8], Code, Origin, &str); 4] = [
        ("a stream", b"\xa6STREAM\x07", Code::Unimplemented, Origin::Local, "stream"),
        ("a string", b"\xa2OK\x91\xa1x", Code::Internal, Origin::Local, "add"),
        ("no value", b"\xa2OK\x90", Code::Internal, Origin::Local, "add"),
        (
            "Python's error",
            b"\xa3ERR\x93\xaaValueError\xa2no\xa5trace",
            Code::Unknown,
            Origin::Remote,
            "ValueError: no",
        ),
    ];
    for (case, tail, code, origin, text) in cases {
        let (url, router) = router(move |id| vec![b"junk".to_vec(), event(b"\xc4\x01?", tail), event(id, tail)]).await;
        let client = DemoClient::new(Client::connect(&url).await.unwrap());
        let error = timeout(DEADLINE, client.add(3, 4)).await.expect(case).unwrap_err();
        assert_eq!((error.code(), error.origin()), (code, origin), "{case}: {error}");
        assert!(error.message().contains(text), "{case}: {error}");
        router.abort();
    }
}

#[tokio::test]
async fn a_silent_server_is_lost() {
    let (url, router) = router(|_| vec![]).await;
    let client = DemoClient::new(Client::connect(&url).await.unwrap());
    // From here on time jumps to the next timer whenever nothing else happens.
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let error = client.add(3, 4).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local));
    assert!(error.message().contains("silent"), "{error}");
    assert!((10..=16).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    router.abort();
}
