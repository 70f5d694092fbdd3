//! Batches, which everywire's clients don't send: bodies of JSON-RPC and XML-RPC over one connection of plain HTTP.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everywire::{Result, RpcError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::load::Sample;

/// Posts `body` again and again for `time`. A call of the sample is a whole batch.
pub async fn closed(address: &str, body: &str, time: Duration) -> Result<Sample> {
    let failed = |error: std::io::Error| RpcError::unavailable(format!("http {address}: {error}"));
    let mut socket = TcpStream::connect(address).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let request: Arc<[u8]> = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into();
    let mut sample = Sample::new();
    let began = Instant::now();
    while began.elapsed() < time {
        let sent = Instant::now();
        exchange(&mut socket, &request).await.map_err(failed)?;
        sample.note(Ok(()), sent.elapsed());
    }
    sample.elapsed = began.elapsed();
    Ok(sample)
}

/// Sends a request and reads its response, which has a length and no fault.
async fn exchange(socket: &mut TcpStream, request: &[u8]) -> std::io::Result<()> {
    let malformed = |text: &str| std::io::Error::other(text.to_owned());
    socket.write_all(request).await?;
    let mut answer = Vec::new();
    let head = loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(malformed("the server closed the connection"));
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let length =
        length.filter(|_| text.starts_with("http/1.1 200")).ok_or_else(|| malformed("no answer with a length"))?;
    while answer.len() < head + length {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(malformed("the server closed the connection"));
        }
    }
    let body = &answer[head..];
    let failed =
        [&b"fault"[..], b"\"error\""].iter().any(|word| body.windows(word.len()).any(|window| window == *word));
    if failed { Err(malformed("a call of the batch failed")) } else { Ok(()) }
}

/// A batch of so many `add(3, 4)` in JSON-RPC.
pub fn jsonrpc(calls: usize) -> String {
    let call = |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"add","params":[3,4]}}"#);
    format!("[{}]", (0..calls).map(call).collect::<Vec<_>>().join(","))
}

/// The same as `system.multicall` in XML-RPC.
pub fn xmlrpc(calls: usize) -> String {
    const CALL: &str = "<value><struct>\
        <member><name>methodName</name><value>add</value></member>\
        <member><name>params</name><value><array><data>\
        <value><int>3</int></value><value><int>4</int></value>\
        </data></array></value></member>\
        </struct></value>";
    format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>system.multicall</methodName>\
         <params><param><value><array><data>{}</data></array></value></param></params></methodCall>",
        CALL.repeat(calls)
    )
}
