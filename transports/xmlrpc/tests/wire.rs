//! The wire over real sockets: our client, and raw bytes that no client of ours would send.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use everywire_core::{Budget, Code, Limits, Origin, Result, RpcError, Transport, schemars, wire::CancellationToken};
use everywire_net::{Tcp, WebOrigins};
use everywire_xmlrpc::{Client, Server};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
enum Shade {
    Dark,
    Grey(u8),
    Mix { red: u8, blue: u8 },
    Pair(i64, String),
}

/// What may be nil: what a struct without it can't be read back from, too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
struct Maybe {
    absent: Option<String>,
    several: Vec<Option<u8>>,
    by_name: BTreeMap<String, Option<u8>>,
    wrapped: Wrapped,
    nothing: (),
    inner: Option<Box<Maybe>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct Wrapped(Option<u8>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct Everything {
    least: i64,
    most: u64,
    small: i8,
    ratio: f64,
    text: String,
    letter: char,
    flag: bool,
    absent: Option<String>,
    present: Option<Box<Everything>>,
    list: Vec<Vec<u32>>,
    map: BTreeMap<String, f64>,
    numbers: BTreeMap<i32, Shade>,
    shades: Vec<Shade>,
    nothing: (),
    pair: (u16, bool),
}

/// What the tests call.
#[everywire_core::service(package = "test.v1")]
trait Probe {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Sends back what came.
    async fn echo(&self, text: String) -> Result<String>;
    async fn everything(&self, value: Everything) -> Result<Everything>;
    async fn options(
        &self,
        first: Option<u8>,
        name: String,
        wait_ms: Option<u64>,
        owner: Option<String>,
    ) -> Result<String>;
    async fn maybe(&self, value: Maybe) -> Result<Maybe>;
    async fn fail(&self, code: i32, message: String) -> Result<()>;
    async fn panic(&self) -> Result<()>;
    async fn repeat(&self, text: String, times: u32) -> Result<String>;
    /// Waits until the test lets go.
    async fn wait(&self) -> Result<u64>;
}

#[derive(Debug, Clone, Default)]
struct Plain {
    /// A call of `wait` has begun.
    entered: Arc<Notify>,
    /// It may end.
    release: Arc<Notify>,
    /// It ended, or was dropped.
    left: Arc<Notify>,
}

struct Leaving(Arc<Notify>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Probe for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }

    async fn echo(&self, text: String) -> Result<String> {
        Ok(text)
    }

    async fn everything(&self, value: Everything) -> Result<Everything> {
        Ok(value)
    }

    async fn options(
        &self,
        first: Option<u8>,
        name: String,
        wait_ms: Option<u64>,
        owner: Option<String>,
    ) -> Result<String> {
        Ok(format!("{first:?} {name} {wait_ms:?} {owner:?}"))
    }

    async fn maybe(&self, value: Maybe) -> Result<Maybe> {
        Ok(value)
    }

    async fn fail(&self, code: i32, message: String) -> Result<()> {
        Err(RpcError::new(Code::from_number(code).unwrap_or(Code::Unknown), message))
    }

    async fn panic(&self) -> Result<()> {
        panic!("as asked")
    }

    async fn repeat(&self, text: String, times: u32) -> Result<String> {
        Ok(text.repeat(usize::try_from(times).unwrap()))
    }

    async fn wait(&self) -> Result<u64> {
        let _leaving = Leaving(Arc::clone(&self.left));
        self.entered.notify_one();
        self.release.notified().await;
        Ok(7)
    }
}

/// A server that runs; it stops with the test.
struct Running {
    plain: Plain,
    url: String,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Result<()>>,
}

async fn start(limits: Limits) -> Running {
    start_at("127.0.0.1:0", limits).await
}

async fn start_at(address: &str, limits: Limits) -> Running {
    serve(Tcp::bind(address).await.unwrap(), Server::new(), limits)
}

async fn start_with(set: fn(Server) -> Server) -> Running {
    serve(Tcp::bind("127.0.0.1:0").await.unwrap(), set(Server::new()), Limits::default())
}

fn serve(tcp: Tcp, server: Server, limits: Limits) -> Running {
    let plain = Plain::default();
    let (address, stop) = (tcp.address(), CancellationToken::new());
    let server = (tcp, server);
    assert_eq!(server.endpoint(), format!("xmlrpc http://{address}"));
    let serving =
        tokio::spawn(server.serve(Arc::new(ProbeService::new(plain.clone())), Budget::new(limits), stop.clone()));
    Running { plain, url: format!("http://{address}"), address, stop, serving }
}

impl Running {
    async fn client(&self) -> ProbeClient<Client> {
        ProbeClient::new(Client::connect(&self.url).await.unwrap())
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Posts `body` on a connection of its own; the status and the body of the answer.
    async fn post(&self, body: &str) -> (u16, String) {
        let mut stream = self.raw().await;
        stream.write_all(request(body.as_bytes(), "").as_slice()).await.unwrap();
        let answer = answer(&mut stream).await;
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    async fn call(&self, method: &str, params: &str) -> String {
        let (status, body) = self.post(&call(method, params)).await;
        assert_eq!(status, 200, "{method}: {body}");
        body
    }
}

fn call(method: &str, params: &str) -> String {
    format!("<methodCall><methodName>{method}</methodName>{params}</methodCall>")
}

fn request(body: &[u8], headers: &str) -> Vec<u8> {
    let head = format!("POST /RPC2 HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// Reads one answer with a content length.
async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let read = within(stream.read_buf(&mut bytes)).await.unwrap();
        assert!(read > 0, "closed within a head: {}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut body = bytes.split_off(end);
    let rest = length.map_or(0, |length| length.parse::<usize>().unwrap()) - body.len();
    let already = body.len();
    body.resize(already + rest, 0);
    within(stream.read_exact(&mut body[already..])).await.unwrap();
    Answer { status: head[9..12].parse().unwrap(), head, body }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("took too long")
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(within(stream.read(&mut [0; 64])).await, Ok(0) | Err(_))
}

fn everything() -> Everything {
    let inner = Everything {
        least: i64::MIN,
        most: u64::MAX,
        small: -128,
        ratio: -0.1,
        text: "<&>]]>\"'\r\n\t é ß 漢 🦀 ".to_owned(),
        letter: '🦀',
        flag: true,
        absent: None,
        present: None,
        list: vec![vec![], vec![0, u32::MAX]],
        map: BTreeMap::from([("a<b".to_owned(), f64::INFINITY), (String::new(), f64::MIN_POSITIVE)]),
        numbers: BTreeMap::from([(i32::MIN, Shade::Dark), (7, Shade::Grey(9))]),
        shades: vec![Shade::Mix { red: 1, blue: 255 }, Shade::Pair(-1, "x".to_owned())],
        nothing: (),
        pair: (65_535, false),
    };
    Everything { least: i64::MAX, text: String::new(), present: Some(Box::new(inner.clone())), ..inner }
}

#[tokio::test]
async fn values_return_unchanged() {
    let running = start(Limits::default()).await;
    let client = running.client().await;
    assert_eq!(client.add(3, 4).await, Ok(7));
    assert_eq!(client.add(i64::MIN, 0).await, Ok(i64::MIN));
    assert_eq!(client.everything(everything()).await, Ok(everything()));
    for text in ["", " ", "\r", "\n \r\n", "&amp;", "]]>", "<![CDATA[", "\u{fffd}", &"é🦀<".repeat(1 << 17)] {
        assert_eq!(client.echo(text.to_owned()).await.as_deref(), Ok(text), "{text:.20}");
    }
    assert_eq!(client.options(None, "n".into(), None, None).await.as_deref(), Ok("None n None None"));
    assert_eq!(
        client.options(Some(1), "n".into(), None, Some("o".into())).await.as_deref(),
        Ok("Some(1) n None Some(\"o\")")
    );
}

#[tokio::test]
async fn a_client_that_asks_for_gzip_reads_it() {
    let running = start(Limits::default()).await;
    let client = ProbeClient::new(Client::connect(&running.url).await.unwrap().gzip());
    let long = client.repeat("abcdefgh".into(), 1 << 17).await.unwrap();
    assert_eq!(long.len(), 1 << 20);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused() {
    let running = start(Limits::default()).await;
    let limits = Limits { message_bytes: 1 << 20, ..Limits::default() };
    let client = ProbeClient::new(Client::connect(&running.url).await.unwrap().limits(limits));
    for (direction, outcome) in [
        ("the request", client.echo("x".repeat(1 << 20)).await),
        ("the response", client.repeat("x".repeat(1 << 10), 1 << 10).await),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::ResourceExhausted, Origin::Local), "{direction}: {error}");
        assert!(error.message().starts_with(direction), "{error}");
    }
    assert_eq!(client.add(3, 4).await, Ok(7));
}

#[tokio::test]
async fn characters_that_xml_has_not_are_clear_errors() {
    let running = start(Limits::default()).await;
    let client = running.client().await;
    for text in ["\0", "\u{1}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
        let error = client.echo(text.to_owned()).await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::InvalidArgument, Origin::Local), "{text:?}");
        assert!(error.message().contains("XML has no character U+"), "{error}");
    }
    let error = client.fail(5, "fine".into()).await.unwrap_err();
    assert_eq!(error.message(), "fine", "the connection still works");
}

#[tokio::test]
async fn every_error_arrives_with_its_code_and_message() {
    let running = start(Limits::default()).await;
    let client = running.client().await;
    for &code in Code::ALL {
        let error = client.fail(code.number(), "why <not>".into()).await.unwrap_err();
        assert_eq!((error.code(), error.message(), error.origin()), (code, "why <not>", Origin::Remote));
    }
    let error = client.panic().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote));
    assert!(!error.message().contains("as asked"), "{error}");
    assert_eq!(client.add(1, 1).await, Ok(2), "a panic harms no other call");
}

#[tokio::test]
async fn requests_of_all_kinds_get_their_answer() {
    let running = start(Limits::default()).await;
    let seven = "<value><int>7</int></value>";
    let param = |value: &str| format!("<param><value>{value}</value></param>");
    let two = |a: &str, b: &str| format!("<params>{}{}</params>", param(a), param(b));
    let deep = format!("{}{}", "<value><array><data>".repeat(100), "</data></array></value>".repeat(100));
    #[rustfmt::skip]
    let cases = [
        ("plain", call("add", &two("<int>3</int>", "<i4>4</i4>")), seven),
        ("whitespace", format!("\n{}\n", call(" add ", &two("\n<i8> 3 </i8>\t", "<ex:i1>+4</ex:i1>"))), seven),
        ("declaration", format!("<?xml version='1.0' encoding='utf-8'?><!-- x -->{}", call("add", &two("<i2>3</i2>", "<biginteger>4</biginteger>"))), seven),
        ("byte order mark", format!("\u{feff}{}", call("add", &two("<int>3</int>", "<int>4</int>"))), seven),
        ("service", call("Probe.add", &two("<int>3</int>", "<int>4</int>")), seven),
        ("package", call("test.v1.Probe.add", &two("<int>3</int>", "<int>4</int>")), seven),
        ("untyped", call("echo", "<params><param><value> a&lt;<![CDATA[<b>]]>&#x41;</value></param></params>"), "<value><string> a&lt;&lt;b&gt;A</string></value>"),
        ("empty value", call("echo", "<params><param><value/></param></params>"), "<value><string></string></value>"),
        ("date", call("echo", "<params><param><value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value></param></params>"), "19980717T14:08:55"),
        ("nil", call("options", "<params><param><value><ex:nil/></value></param><param><value>n</value></param><param><value> <nil></nil> </value></param></params>"), "None n None None"),
        ("missing", call("add", "<params><param><value><int>3</int></value></param></params>"), "argument `b` is missing; usage: add(a: i64, b: i64) -&gt; i64"),
        ("no params", call("add", ""), "argument `a` is missing"),
        ("empty params", call("add", "<params/>"), "argument `a` is missing"),
        ("too many", call("add", &two("<int>3</int>", "<int>4</int>").replace("</params>", "<param><value/></param></params>")), "more than 2 arguments"),
        ("wrong type", call("add", &two("<int>3</int>", "four")), "argument `b`: invalid type: string \"four\", expected i64"),
        ("wrong text", call("add", &two("<int>3</int>", "<int>x</int>")), "argument `b`: `x` is not an integer"),
        ("whole floats", call("add", &two("<double>3.0</double>", "<double>4e0</double>")), seven),
        ("half a number", call("add", &two("<double>3.5</double>", "<int>4</int>")), "argument `a`: invalid type: floating point `3.5`, expected i64"),
        ("too great", call("add", &two("<int>3</int>", "<i8>9223372036854775808</i8>")), "argument `b`: invalid value: integer `9223372036854775808`, expected i64"),
        ("invalid number", call("add", &two("<int>3</int>", "four")), "<int>-32602</int>"),
        ("unknown", call("subtract", ""), "<int>-32601</int>"),
        ("unknown system", call("system.shutdown", ""), "<int>-32601</int>"),
        ("overflow", call("add", &two("<i8>9223372036854775807</i8>", "<int>1</int>")), "<int>11</int></value></member><member><name>faultString</name><value><string>OUT_OF_RANGE: the sum"),
        ("empty", String::new(), "<int>-32600</int>"),
        ("no XML", "add(3, 4)".to_owned(), "<int>-32600</int>"),
        ("other XML", "<html/>".to_owned(), "<int>-32600</int>"),
        ("text between", call("add", "<params>x</params>"), "<int>-32600</int>"),
        ("unknown type", call("add", &two("<complex>3</complex>", "4")), "<int>-32600</int>"),
        ("trailing", format!("{}<x/>", call("panic", "")), "<int>-32600</int>"),
        ("deep", call("echo", &format!("<params><param>{deep}</param></params>")), "<int>-32602</int>"),
        ("cut off", "<methodCall><methodName>add</methodName><params>".to_owned(), "<int>-32700</int>"),
        ("crossed", call("add", "<params></param>"), "<int>-32700</int>"),
        ("broken after a bad argument", call("add", &two("x", "<int>4</int></value></param>")), "<int>-32700</int>"),
        ("entity", call("echo", "<params><param><value>&lol;</value></param></params>"), "<int>-32700</int>"),
        ("ampersand", call("echo", "<params><param><value>a & b</value></param></params>"), "<int>-32700</int>"),
        ("doctype", format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{}", call("panic", "")), "<int>-32700</int>"),
        ("latin-1", format!("<?xml version='1.0' encoding='iso-8859-1'?>{}", call("add", &two("<int>3</int>", "<int>4</int>"))), seven),
        ("windows", format!("<?xml version='1.0' encoding='windows-1252'?>{}", call("add", &two("<int>3</int>", "<int>4</int>"))), seven),
        ("klingon", format!("<?xml version='1.0' encoding='klingon'?>{}", call("add", "")), "<int>-32701</int>"),
        ("ASCII", format!("<?xml version='1.0' encoding='us-ascii'?>{}", call("echo", "<params><param><value>é</value></param></params>")), "<int>-32702</int>"),
        ("text of digits", call("add", &two("<string>3</string>", "4")), seven),

        ("control character", call("echo", "<params><param><value>\u{1}</value></param></params>"), "<int>-32702</int>"),
        ("control reference", call("echo", "<params><param><value>&#1;</value></param></params>"), "<int>-32702</int>"),
        ("no character", call("echo", "<params><param><value>&#xD800;</value></param></params>"), "<int>-32702</int>"),
    ];
    for (name, body, expected) in cases {
        let (status, answer) = running.post(&body).await;
        assert_eq!(status, 200, "{name}");
        assert!(answer.contains(expected), "{name}: {answer}");
        assert_eq!(
            answer.contains("<fault>"),
            expected.contains("<int>-32") || answer.contains("faultCode"),
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn introspection_describes_the_service() {
    let running = start(Limits::default()).await;
    let of = |method: &str| format!("<params><param><value>{method}</value></param></params>");
    let strings = |names: &[&str]| {
        names.iter().map(|name| format!("<value><string>{name}</string></value>")).collect::<Vec<_>>().concat()
    };
    let array = |inner: &str| format!("<value><array><data>{inner}</data></array></value>");

    let listed = running.call("system.listMethods", "").await;
    let names = [
        "add",
        "echo",
        "everything",
        "fail",
        "maybe",
        "options",
        "panic",
        "repeat",
        "system.getCapabilities",
        "system.listMethods",
        "system.methodHelp",
        "system.methodSignature",
        "system.multicall",
        "wait",
    ];
    assert!(listed.contains(&array(&strings(&names))), "{listed}");

    let cases: [(&str, &[&[&str]]); 5] = [
        ("add", &[&["int", "int", "int"]]),
        ("everything", &[&["struct", "struct"]]),
        (
            "options",
            &[
                &["string", "int", "string", "int", "string"],
                &["string", "int", "string", "int"],
                &["string", "int", "string"],
            ],
        ),
        ("panic", &[&["nil"]]),
        ("system.multicall", &[&["array", "array"]]),
    ];
    for (method, forms) in cases {
        let answer = running.call("system.methodSignature", &of(method)).await;
        let expected: String = forms.iter().map(|form| array(&strings(form))).collect();
        assert!(answer.contains(&array(&expected)), "{method}: {answer}");
    }
    let help = running.call("system.methodHelp", &of("add")).await;
    assert!(help.contains("add(a: i64, b: i64) -&gt; i64\n\nAdds two integers."), "{help}");
    assert!(running.call("system.methodHelp", &of("no")).await.contains("<int>-32601</int>"));
    assert!(running.call("system.methodHelp", "").await.contains("<int>-32602</int>"));
    assert!(running.call("system.listMethods", &of("x")).await.contains("<int>-32602</int>"));
    assert!(running.call("system.getCapabilities", "").await.contains("<name>faults_interop</name>"));
}

#[tokio::test]
async fn a_multicall_answers_each_call_in_order() {
    let running = start(Limits { batch_calls: 6, ..Limits::default() }).await;
    let sub = |method: &str, params: &str| {
        format!(
            "<value><struct><member><name>methodName</name><value>{method}</value></member><member><name>params</name>\
             <value><array><data>{params}</data></array></value></member></struct></value>"
        )
    };
    let multicall = |calls: &str| {
        call(
            "system.multicall",
            &format!("<params><param><value><array><data>{calls}</data></array></value></param></params>"),
        )
    };
    let three_and_four = "<value><int>3</int></value><value><i4>4</i4></value>";
    let calls = [
        sub("add", three_and_four),
        sub("subtract", ""),
        sub("add", "<value>x</value>"),
        sub("system.multicall", "<value><array><data/></array></value>"),
        sub("system.methodHelp", "<value>add</value>"),
        sub("add", three_and_four),
    ];
    let (_, answer) = running.post(&multicall(&calls.concat())).await;
    let results: Vec<_> = answer.split("<value><array><data>").skip(2).collect();
    assert_eq!(results.len(), 3, "{answer}");
    let expected = [
        "<value><array><data><value><int>7</int></value></data></array></value>",
        "<int>-32601</int>",
        "argument `a`: invalid type",
        "a multicall inside a multicall",
        "Adds two integers.",
        "<value><array><data><value><int>7</int></value></data></array></value>",
    ];
    let mut rest = answer.as_str();
    for part in expected {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} in {rest}"));
        rest = &rest[at + part.len()..];
    }
    let (_, answer) = running.post(&multicall(&calls[0].repeat(7))).await;
    assert!(answer.contains("RESOURCE_EXHAUSTED: a multicall of 7 calls; the limit batch_calls is 6"), "{answer}");
    let (_, answer) = running.post(&multicall("")).await;
    assert!(answer.contains("<param><value><array><data></data></array></value></param>"), "{answer}");
    for no_array in ["<value/>", "<value><struct/></value>", ""] {
        let body = call("system.multicall", &format!("<params><param>{no_array}</param></params>"));
        let (_, answer) = running.post(&body).await;
        assert!(answer.contains("<fault>") && answer.contains("<int>-32"), "{no_array}: {answer}");
    }
}

#[tokio::test]
async fn a_call_that_is_none_is_a_fault_in_its_place() {
    let running = start(Limits::default()).await;
    let member = |name: &str, value: &str| format!("<member><name>{name}</name>{value}</member>");
    let of = |members: &[String]| format!("<value><struct>{}</struct></value>", members.concat());
    let named = |name: &str, params: &str| {
        of(&[member("methodName", &format!("<value>{name}</value>")), member("params", params)])
    };
    let two = "<value><array><data><value><int>3</int></value><value><int>4</int></value></data></array></value>";
    let fault = |number: i32| format!("<value><int>{number}</int></value></member><member><name>faultString</name>");
    let seven = "<value><array><data><value><int>7</int></value></data></array></value>".to_owned();
    let text =
        |text: &str| format!("<value><array><data><value><string>{text}</string></value></data></array></value>");
    let deep = format!("{}{}", "<value><array><data>".repeat(100), "</data></array></value>".repeat(100));
    #[rustfmt::skip]
    let cases = [
        ("no params", of(&[member("methodName", "<value>panic</value>")]), fault(-32603)),
        ("no params, and none wanted", named("options", "<value><array/></value>"), fault(-32602)),
        ("an empty array", named("panic", "<value><array/></value>"), fault(-32603)),
        ("an array without data", named("add", &two.replace("<data>", "").replace("</data>", "")), seven.clone()),
        ("params first", of(&[member("params", two), member("methodName", "<value><string>add</string></value>")]), seven.clone()),
        ("one more member", of(&[member("methodName", "<value> add </value>"), member("params", two), member("id", "<value><int>x</int></value>")]), fault(-32600)),
        ("no name", of(&[member("params", two)]), fault(-32600)),
        ("nothing", of(&[]), fault(-32600)),
        ("a name that is no text", of(&[member("methodName", two), member("params", two)]), fault(-32600)),
        ("two names", of(&[member("methodName", "<value>add</value>"), member("methodName", "<value>add</value>")]), fault(-32600)),
        ("a string", "<value>add</value>".to_owned(), fault(-32600)),
        ("an empty string", "<value/>".to_owned(), fault(-32600)),
        ("nil", "<value><nil/></value>".to_owned(), fault(-32600)),
        ("an array for a struct", two.to_owned(), fault(-32600)),
        ("params: a string", named("add", "<value>3</value>"), fault(-32602)),
        ("params: a struct", named("add", &of(&[member("a", "<value><int>3</int></value>"), member("b", "<value><int>4</int></value>")])), fault(-32602)),
        ("params: bytes", named("add", "<value><base64>AwQ=</base64></value>"), fault(-32602)),
        ("params: nil", named("add", "<value><nil/></value>"), fault(-32602)),
        ("an unknown type", named("echo", "<value><array><data><value><complex><x/></complex></value></data></array></value>"), fault(-32600)),
        ("no integer", named("add", &two.replace('3', "x")), fault(-32602)),
        ("too deep", named("echo", &format!("<value><array><data>{deep}</data></array></value>")), fault(-32602)),
        ("text between", named("echo", "<value><array><data>x</data></array></value>"), fault(-32600)),
        ("a multicall", named(" system.multicall ", "<value><array/></value>"), fault(-32602)),
        ("unknown", named("subtract", two), fault(-32601)),
        ("text", named("echo", "<value><array><data><value>&lt;a</value></data></array></value>"), text("&lt;a")),
    ];
    for (name, entry, expected) in cases {
        let add = named("add", two);
        let calls =
            format!("<params><param><value><array><data>{add}{entry}{add}</data></array></value></param></params>");
        let answer = running.call("system.multicall", &calls).await;
        let found = answer.split(&seven).collect::<Vec<_>>();
        assert!(!answer.contains("<fault>"), "{name}: {answer}");
        if expected == seven {
            assert_eq!(found.len(), 4, "{name}: {answer}");
        } else {
            assert!(found.len() == 3 && found[1].contains(&expected), "{name}: {answer}");
        }
    }
    let broken = "<params><param><value><array><data><value><struct></value></data></array></value></param></params>";
    let answer = running.call("system.multicall", broken).await;
    assert!(answer.contains("<fault>") && answer.contains("<int>-32700</int>"), "{answer}");
}

#[tokio::test]
async fn requests_in_other_encodings_are_read_and_answered_in_utf_8() {
    let running = start(Limits { decompressed_bytes: 1 << 16, ..Limits::default() }).await;
    let echo = |text: &str| call("echo", &format!("<params><param><value>{text}</value></param></params>"));
    let declared =
        |encoding: &str, text: &str| format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>{}", echo(text));
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<_>>();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let string = |text: &str| format!("<value><string>{text}</string></value>");
    let unsupported = "<int>-32701</int>".to_owned();
    let wrong = "<int>-32702</int>".to_owned();
    #[rustfmt::skip]
    let cases = [
        ("latin-1", latin1(&declared("ISO-8859-1", "é")), "text/xml", string("é")),
        ("latin-1 by its charset", latin1(&echo("é")), "text/xml; charset=iso-8859-1", string("é")),
        ("the charset counts", declared("iso-8859-1", "é").into_bytes(), "text/xml; charset=\"UTF-8\"", string("é")),
        ("windows-1252", [declared("windows-1252", "").replace("</value></param>", "").replace("</params></methodCall>", "").into_bytes(), b"\x80</value></param></params></methodCall>".to_vec()].concat(), "text/xml", string("€")),
        ("UTF-16", utf16(&format!("\u{feff}{}", declared("utf-16", "é€🦀"))), "application/xml", string("é€🦀")),
        ("UTF-16 without a mark", utf16(&declared("utf-16", "é€🦀")), "text/xml; charset=utf-16", string("é€🦀")),
        ("unknown", declared("klingon", "é").into_bytes(), "text/xml", unsupported.clone()),
        ("unknown charset", echo("é").into_bytes(), "text/xml; charset=klingon", unsupported),
        ("not ASCII", declared("us-ascii", "é").into_bytes(), "text/xml", wrong.clone()),
        ("not UTF-8", latin1(&echo("é")), "text/xml", wrong),
        ("too long", latin1(&declared("iso-8859-1", &"é".repeat(40_000))), "text/xml", "RESOURCE_EXHAUSTED: the document is too long".to_owned()),
    ];
    for (name, body, content_type, expected) in cases {
        let mut stream = running.raw().await;
        stream.write_all(&request(&body, &format!("content-type: {content_type}\r\n"))).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.head.contains("\r\ncontent-type: text/xml; charset=utf-8\r\n"), "{name}: {answer:?}");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == 200 && text.contains(&expected), "{name}: {text}");
    }
}

#[tokio::test]
async fn nil_is_written_for_those_who_know_it() {
    let members = "<value><struct><member><name>absent</name><value><nil/></value></member></struct></value>";
    let written = "<member><name>absent</name><value><nil/></value></member>";
    let none = call("maybe", "<params><param><value><struct/></value></param></params>");
    let used = call("maybe", &format!("<params><param>{members}</param></params>"));
    let (plain, knowing) = (start(Limits::default()).await, start_with(Server::nil).await);
    let cases = [
        ("plain", &plain, &none, "", false),
        ("a request with nil", &plain, &used, "", true),
        ("a client that says so", &plain, &none, "xmlrpc-extensions: nil\r\n", true),
        ("a client that says something else", &plain, &none, "xmlrpc-extensions: vanilla\r\n", false),
        ("a server that is told so", &knowing, &none, "", true),
    ];
    for (name, running, body, headers, expected) in cases {
        let mut stream = running.raw().await;
        stream.write_all(&request(body.as_bytes(), headers)).await.unwrap();
        let answer = String::from_utf8(answer(&mut stream).await.body).unwrap();
        assert_eq!(answer.contains(written), expected, "{name}: {answer}");
        assert!(answer.contains("<methodResponse><params><param><value><struct>"), "{name}: {answer}");
    }
    let entry = "<value><struct><member><name>methodName</name><value>maybe</value></member><member><name>params</name><value>\
                 <array><data><value><struct/></value></data></array></value></member></struct></value>";
    let batch = format!("<params><param><value><array><data>{entry}</data></array></value></param></params>");
    assert!(!plain.call("system.multicall", &batch).await.contains("nil"));
    assert!(knowing.call("system.multicall", &batch).await.contains(written));
    for running in [&plain, &knowing] {
        let client = running.client().await;
        for value in [
            Maybe::default(),
            Maybe { several: vec![None, Some(1), None], inner: Some(Box::default()), ..Maybe::default() },
            Maybe { absent: Some(String::new()), wrapped: Wrapped(Some(1)), nothing: (), ..Maybe::default() },
        ] {
            assert_eq!(client.maybe(value.clone()).await, Ok(value));
        }
    }
}

#[tokio::test]
async fn http_is_kept_alive_and_kept_apart() {
    let running = start(Limits { message_bytes: 1 << 16, ..Limits::default() }).await;
    let mut stream = running.raw().await;
    for _ in 0..3 {
        stream.write_all(&request(call("panic", "").as_bytes(), "")).await.unwrap();
        assert_eq!(answer(&mut stream).await.status, 200);
    }
    let long = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 65537\r\nexpect: 100-continue\r\n\r\n";
    let cases = [
        ("path", "POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 404, ""),
        ("method", "GET / HTTP/1.1\r\nhost: x\r\n\r\n", 405, "allow: post, options"),
        ("options", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 204, "allow: post, options"),
        ("no host", "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", 400, ""),
        ("foreign", "POST / HTTP/1.1\r\nhost: x\r\norigin: http://y\r\ncontent-length: 0\r\n\r\n", 403, ""),
        ("length", long, 413, "connection: close"),
        (
            "chunks",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n<a\r\n2\r\n/>\r\n0\r\n\r\n",
            200,
            "text/xml",
        ),
        (
            "coding",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: br\r\ncontent-length: 0\r\n\r\n",
            415,
            "accept-encoding: gzip, deflate\r\n",
        ),
        (
            "two codings",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip, br\r\ncontent-length: 0\r\n\r\n",
            415,
            "accept-encoding: gzip, deflate\r\n",
        ),
        ("no gzip", "POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", 400, ""),
        ("HTTP/1.0", "POST /RPC2 HTTP/1.0\r\ncontent-length: 0\r\n\r\n", 200, ""),
        ("nonsense", "\r\n\r\nHELLO\r\n\r\n", 400, ""),
    ];
    for (name, bytes, status, head) in cases {
        let mut stream = running.raw().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.head.contains(head), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn pages_that_are_allowed_may_call() {
    let origins = WebOrigins::default().allow_origin("https://app.example").unwrap();
    let server = Server::new().origins(origins.allow_host("rpc.example").unwrap());
    let running = serve(Tcp::bind("127.0.0.1:0").await.unwrap(), server, Limits::default());
    let reads = "access-control-allow-origin: https://app.example\r\n";
    let cases = [
        ("POST / HTTP/1.1\r\nhost: x\r\norigin: https://app.example\r\ncontent-length: 0\r\n\r\n", 200, reads),
        ("POST / HTTP/1.1\r\nhost: rpc.example\r\norigin: http://rpc.example\r\ncontent-length: 0\r\n\r\n", 200, ""),
        ("POST / HTTP/1.1\r\nhost: x\r\norigin: http://rpc.example\r\ncontent-length: 0\r\n\r\n", 403, ""),
        (
            "OPTIONS /RPC2 HTTP/1.1\r\nhost: x\r\norigin: https://app.example\r\n\
             access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n\r\n",
            204,
            "access-control-allow-headers: content-type\r\n",
        ),
    ];
    for (bytes, status, head) in cases {
        let mut stream = running.raw().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert_eq!(answer.status, status, "{bytes}: {answer:?}");
        assert!(answer.head.contains(head), "{bytes}: {answer:?}");
    }
}

#[tokio::test]
async fn gzip_goes_both_ways_within_the_limit() {
    let running = start(Limits { decompressed_bytes: 1 << 16, ..Limits::default() }).await;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let ask = async |text: &str, headers: &str| {
        let mut stream = running.raw().await;
        stream.write_all(&request(&gzip(text), &format!("content-encoding: gzip\r\n{headers}"))).await.unwrap();
        answer(&mut stream).await
    };
    let echo = |length| call("echo", &format!("<params><param><value>{}</value></param></params>", "x".repeat(length)));
    let short = ask(&echo(1_000), "accept-encoding: gzip\r\n").await;
    assert!(!short.head.contains("content-encoding"), "{short:?}");
    let long = ask(&echo(5_000), "accept-encoding: deflate, gzip\r\n").await;
    assert!(long.head.contains("content-encoding: gzip") && long.body.len() < 1_000, "{long:?}");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(long.body.as_slice()).read_to_string(&mut plain).unwrap();
    assert!(plain.contains(&"x".repeat(5_000)));
    let unasked = ask(&echo(5_000), "").await;
    assert!(!unasked.head.contains("content-encoding") && unasked.body.len() > 5_000, "{unasked:?}");
    assert_eq!(ask(&echo(1 << 16), "").await.status, 413, "a bomb");
}

#[tokio::test]
async fn deflate_is_read_with_and_without_the_header_of_zlib() {
    let running = start(Limits::default()).await;
    let three_and_four =
        "<params><param><value><int>3</int></value></param><param><value><int>4</int></value></param></params>";
    let body = call("add", three_and_four);
    let level = flate2::Compression::default;
    let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), level());
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level());
    bare.write_all(body.as_bytes()).unwrap();
    zlib.write_all(body.as_bytes()).unwrap();
    for (name, body) in [("bare", bare.finish().unwrap()), ("zlib", zlib.finish().unwrap())] {
        let mut stream = running.raw().await;
        stream.write_all(&request(&body, "content-encoding: deflate\r\n")).await.unwrap();
        let answer = answer(&mut stream).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == 200 && text.contains("<value><int>7</int></value>"), "{name}: {} {text}", answer.head);
    }
}

#[tokio::test]
async fn slow_peers_are_let_go() {
    let short = Duration::from_millis(100);
    let running =
        start(Limits { handshake_time: short, message_time: short, connections: 2, ..Limits::default() }).await;
    let mut silent = running.raw().await;
    let mut slow_head = running.raw().await;
    slow_head.write_all(b"POST / HTTP/1.1\r\nho").await.unwrap();
    assert!(is_closed(&mut silent).await && is_closed(&mut slow_head).await);
    let mut slow_body = running.raw().await;
    slow_body.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n<").await.unwrap();
    assert_eq!(answer(&mut slow_body).await.status, 408);
}

#[tokio::test]
async fn a_peer_that_never_reads_is_let_go() {
    let limits = Limits { message_time: Duration::from_millis(100), connections: 1, ..Limits::default() };
    let running = start(limits).await;
    let mut deaf = running.raw().await;
    let params = format!(
        "<params><param><value>{}</value></param><param><value><int>16</int></value></param></params>",
        "x".repeat(1 << 20)
    );
    deaf.write_all(&request(call("repeat", &params).as_bytes(), "")).await.unwrap();
    // The one place is taken until the server gives up on a message that no socket's buffer can hold.
    within(async {
        loop {
            let mut next = running.raw().await;
            let sent = next.write_all(&request(call("panic", "").as_bytes(), "")).await;
            if sent.is_ok() && matches!(next.read(&mut [0; 8]).await, Ok(8)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut received = Vec::new();
    let _ = within(deaf.read_to_end(&mut received)).await;
    assert!(received.len() < 16 << 20, "all {} bytes arrived", received.len());
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed() {
    let running = start(Limits { connections: 1, ..Limits::default() }).await;
    let client = running.client().await;
    // The connection that only looked for the server has to be gone first.
    within(async {
        while client.add(1, 1).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(is_closed(&mut running.raw().await).await);
    assert_eq!(client.add(1, 1).await, Ok(2));
}

#[tokio::test]
async fn the_stop_lets_a_call_finish_and_takes_no_new_one() {
    let running = start(Limits::default()).await;
    let client = running.client().await;
    let waiting = tokio::spawn(async move { client.wait().await });
    within(running.plain.entered.notified()).await;
    let mut half = running.raw().await;
    let late = request(call("panic", "").as_bytes(), "");
    half.write_all(&late[..late.len() - 1]).await.unwrap();
    // Another request on another connection, answered, shows that the server has seen the half one's head.
    running.call("panic", "").await;
    running.stop.cancel();
    half.write_all(&late[late.len() - 1..]).await.unwrap();
    let refused = answer(&mut half).await;
    assert_eq!((refused.status, &*refused.body), (503, &b"the server is shutting down"[..]));
    running.plain.release.notify_one();
    assert_eq!(within(waiting).await.unwrap(), Ok(7));
    assert_eq!(within(running.serving).await.unwrap(), Ok(()));
    let error = Client::connect(&running.url).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains(&running.address.to_string()), "{error}");
}

#[tokio::test]
async fn a_client_finds_a_server_that_came_back() {
    let first = start(Limits::default()).await;
    let (client, address) = (first.client().await, first.address.to_string());
    assert_eq!(client.add(3, 4).await, Ok(7));
    first.stop.cancel();
    within(first.serving).await.unwrap().unwrap();
    assert_eq!(client.add(3, 4).await.unwrap_err().code(), Code::Unavailable);
    let second = start_at(&address, Limits::default()).await;
    assert_eq!(client.add(3, 4).await, Ok(7));
    drop(second);
}

#[tokio::test]
async fn a_late_answer_is_a_deadline_and_cancels_the_call() {
    let running = start(Limits::default()).await;
    let client = Client::connect(&running.url).await.unwrap().timeout(Duration::from_millis(50));
    let client = ProbeClient::new(client);
    let error = client.wait().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::DeadlineExceeded, Origin::Local));
    assert_eq!(error.message(), format!("wait: no response from {} within 50ms", &running.url["http://".len()..]));
    within(running.plain.left.notified()).await;
    assert_eq!(client.add(3, 4).await, Ok(7));
}

/// Makes so many calls at the same time, each of which has to be answered.
async fn add_at_once(client: ProbeClient<Client>, count: i64) {
    let client = Arc::new(client);
    let calls: Vec<_> = (0..count)
        .map(|n| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.add(n, 1).await })
        })
        .collect();
    for (n, call) in (0..).zip(calls) {
        assert_eq!(within(call).await.unwrap(), Ok(n + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_in_flight() {
    let running = start(Limits::default()).await;
    add_at_once(running.client().await, 100).await;
}

#[tokio::test]
async fn calls_beyond_the_connections_of_a_client_wait() {
    // One for the client, and one that only looked for the server.
    let running = start(Limits { connections: 2, ..Limits::default() }).await;
    let client = Client::connect(&running.url).await.unwrap().connections(1);
    add_at_once(ProbeClient::new(client), 20).await;
}

/// A server that answers each request on a connection of its own with these bytes, and closes. The first connection is
/// the one that only looks whether it is there.
async fn canned(answers: Vec<Vec<u8>>) -> (String, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut requests = 0;
        assert!(is_closed(&mut listener.accept().await.unwrap().0).await);
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"</methodCall>") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    return requests;
                }
            }
            requests += 1;
            stream.write_all(&answer).await.unwrap();
        }
        requests
    });
    (url, serving)
}

#[tokio::test]
async fn answers_of_all_kinds_become_outcomes() {
    let http =
        |version: &str, body: &str| format!("HTTP/{version} 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let seven = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><int>7</int></value>\n</param>\n</params>\n</methodResponse>\n";
    let cpython = "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n\
        <value><int>1</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>&lt;class 'ValueError'&gt;:no\
        </string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n";
    #[rustfmt::skip]
    let cases = [
        ("HTTP/1.0", http("1.0", seven), Ok(7)),
        ("to the end", format!("HTTP/1.0 200 OK\r\n\r\n{seven}"), Ok(7)),
        ("closed", "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n<".to_owned(), Err((Code::Unavailable, "broke off"))),
        ("nothing", String::new(), Err((Code::Unavailable, "broke off"))),
        ("a fault", http("1.1", cpython), Err((Code::Unknown, "fault 1: <class 'ValueError'>:no"))),
        ("a status", "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned(), Err((Code::Unavailable, "HTTP 503"))),
        ("a page", http("1.1", "<html></html>"), Err((Code::Internal, "not an XML-RPC response"))),
        ("a string", http("1.1", &seven.replace("<int>7</int>", "seven")), Err((Code::Internal, "another type"))),
        ("too long", "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_owned(), Err((Code::ResourceExhausted, "8388608"))),
    ];
    for (name, answer, expected) in cases {
        let (url, serving) = canned(vec![answer.into_bytes()]).await;
        let client = ProbeClient::new(Client::connect(&url).await.unwrap());
        let outcome = within(client.add(3, 4)).await;
        match (&outcome, expected) {
            (Ok(sum), Ok(expected)) => assert_eq!(*sum, expected, "{name}"),
            (Err(error), Err((code, text))) => {
                assert_eq!(error.code(), code, "{name}: {error}");
                assert!(error.message().contains(text), "{name}: {error}");
            }
            _ => panic!("{name}: {outcome:?}"),
        }
        assert_eq!(within(serving).await.unwrap(), 1, "{name}: the call was sent once");
    }
}

#[tokio::test]
async fn answers_in_other_encodings_and_codings_are_read() {
    let document = |encoding: &str| {
        format!(
            "<?xml version='1.0'{encoding}?><methodResponse><params><param><value>é</value></param></params></methodResponse>"
        )
    };
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<_>>();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let zlib = |bytes: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let plain = document("");
    #[rustfmt::skip]
    let cases = [
        ("declared", latin1(&document(" encoding='iso-8859-1'")), "text/xml", Ok("é")),
        ("by its charset", latin1(&plain), "text/xml; charset=ISO-8859-1", Ok("é")),
        ("UTF-16", utf16(&format!("\u{feff}{plain}")), "text/xml", Ok("é")),
        ("deflate", zlib(plain.as_bytes()), "text/xml\r\ncontent-encoding: deflate", Ok("é")),
        ("unknown", plain.clone().into_bytes(), "text/xml; charset=klingon", Err("`klingon`")),
        ("wrong", latin1(&plain), "text/xml", Err("not UTF-8")),
        ("unknown coding", plain.into_bytes(), "text/xml\r\ncontent-encoding: br", Err("gzip, deflate")),
    ];
    for (name, body, content_type, expected) in cases {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
        let (url, serving) = canned(vec![[head.into_bytes(), body].concat()]).await;
        let client = ProbeClient::new(Client::connect(&url).await.unwrap());
        let outcome = within(client.echo("x".to_owned())).await;
        match expected {
            Ok(text) => assert_eq!(outcome.as_deref(), Ok(text), "{name}"),
            Err(text) => {
                assert!(outcome.as_ref().is_err_and(|error| error.message().contains(text)), "{name}: {outcome:?}");
            }
        }
        assert_eq!(within(serving).await.unwrap(), 1, "{name}");
    }
}

#[tokio::test]
async fn an_answer_without_a_value_is_nothing() {
    for body in ["<params/>", "<params></params>", "<params><param><value><nil/></value></param></params>"] {
        let body = format!("<methodResponse>{body}</methodResponse>");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        let (url, _serving) = canned(vec![answer.clone(), answer]).await;
        let client = ProbeClient::new(Client::connect(&url).await.unwrap());
        assert_eq!(within(client.panic()).await, Ok(()), "{body}");
        assert_eq!(within(client.add(3, 4)).await.unwrap_err().code(), Code::Internal, "{body}");
    }
}
