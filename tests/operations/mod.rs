//! The program as its operator meets it: signals, warnings, and what it does without files, without disk and at its end.

mod disk;
mod open_files;
mod signals;
mod stop;

use std::{fs, time::Duration};

use everywire::{Caller, grpc, jsonrpc, xmlrpc, zerorpc};
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend};

use crate::{harness::soon, program::Serving};

/// What the program writes to standard error.
struct Log(Lines<BufReader<ChildStderr>>);

impl Log {
    fn of(child: &mut Child) -> Self {
        Self(BufReader::new(child.stderr.take().unwrap()).lines())
    }

    async fn next(&mut self) -> String {
        soon("a line", self.0.next_line()).await.unwrap().expect("the program has not ended")
    }

    /// The next line with `text` in it.
    async fn line(&mut self, text: &str) -> String {
        let found = async {
            loop {
                let line = self.next().await;
                if line.contains(text) {
                    return line;
                }
            }
        };
        soon(text, found).await
    }

    /// All that is left when the program has ended.
    async fn rest(self) -> String {
        let mut rest = String::new();
        soon("the end of the log", self.0.into_inner().read_to_string(&mut rest)).await.unwrap();
        rest
    }
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
}

/// A client of each wire, connected.
struct Clients {
    xmlrpc: ToolkitClient<xmlrpc::Client>,
    jsonrpc: ToolkitClient<jsonrpc::Client>,
    websocket: ToolkitClient<jsonrpc::Client>,
    grpc: ToolkitClient<grpc::Client>,
    zerorpc: ToolkitClient<zerorpc::Client>,
    locker: ReqSocket,
}

impl Clients {
    /// Connects and calls on every wire.
    async fn of(serving: &Serving) -> Self {
        let [xml, json, proto] =
            ["XML-RPC", "JSON-RPC", "gRPC"].map(|wire| format!("http://{}", serving.address(wire)));
        let websocket = format!("ws://{}", serving.address("JSON-RPC"));
        let [zero, locks] = ["zerorpc", "locker"].map(|wire| format!("tcp://{}", serving.address(wire)));
        let mut locker = ReqSocket::new();
        soon("the locker", locker.connect(&locks)).await.unwrap();
        let mut clients = Self {
            xmlrpc: ToolkitClient::new(soon("xmlrpc", xmlrpc::Client::connect(&xml)).await.unwrap()),
            jsonrpc: ToolkitClient::new(soon("jsonrpc", jsonrpc::Client::connect(&json)).await.unwrap()),
            websocket: ToolkitClient::new(soon("websocket", jsonrpc::Client::connect(&websocket)).await.unwrap()),
            grpc: ToolkitClient::new(soon("grpc", grpc::Client::connect(&proto)).await.unwrap()),
            zerorpc: ToolkitClient::new(soon("zerorpc", zerorpc::Client::connect(&zero)).await.unwrap()),
            locker,
        };
        clients.are_answered().await;
        clients
    }

    async fn are_answered(&mut self) {
        async fn is_answered<C: Caller>(wire: &str, client: &ToolkitClient<C>) {
            assert_eq!(soon(wire, client.add(3, 4)).await, Ok(7), "{wire}");
        }
        is_answered("xmlrpc", &self.xmlrpc).await;
        is_answered("jsonrpc", &self.jsonrpc).await;
        is_answered("jsonrpc over WebSocket", &self.websocket).await;
        is_answered("grpc", &self.grpc).await;
        is_answered("zerorpc", &self.zerorpc).await;
        soon("the locker", self.locker.send("let me go".into())).await.unwrap();
        let answer = String::try_from(soon("the locker", self.locker.recv()).await.unwrap()).unwrap();
        assert!(["go", "sorry"].contains(&&*answer), "locker: {answer}");
    }
}

/// What the program has used of the processor, in user and kernel mode.
fn cpu_time(serving: &Serving) -> Duration {
    /// The kernel tells times to user space in hundredths of a second.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{}/stat", serving.child.id().unwrap())).unwrap();
    // The name in brackets may have spaces; utime and stime are the 12th and 13th field after it.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks = fields.skip(11).take(2).map(|field| field.parse::<u32>().unwrap()).sum::<u32>();
    TICK * ticks
}
