//! Finds out which wire serves at an `http://` URL: servers print such URLs for XML-RPC, JSON-RPC and gRPC.

use everywire::{Metadata, Result, RpcError};
use everywire_net::{Address, without_user_info};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Not a message of any wire, so no server runs a method, and each reports the error in its own format.
const NO_MESSAGE: &str = "?";
/// The most bytes that are read of a response's head.
const MOST_BYTES: u64 = 16 * 1024;

/// The scheme of the wire at `location`, which is `HOST:PORT` and perhaps a path: `xmlrpc`, `jsonrpc` or `grpc`. A server may answer
/// only who sends the `metadata`.
pub(crate) async fn scheme_at(location: &str, metadata: &Metadata) -> Result<&'static str> {
    let (authority, path) = location.split_once('/').unwrap_or((location, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let address: Address = host.parse().map_err(|_| {
        let url = without_user_info(&format!("http://{location}"));
        RpcError::invalid_argument(format!("`{url}` is not a valid URL; expected http://HOST:PORT"))
    })?;
    let unreachable = |error| RpcError::unavailable(format!("can't connect to {address}: {error}"));
    let mut stream = TcpStream::connect(address.host_and_port()).await.map_err(unreachable)?;
    let metadata: String = metadata.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n{metadata}\r\n{NO_MESSAGE}",
        NO_MESSAGE.len()
    );
    stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
    scheme_of(&head(stream).await).ok_or_else(|| {
        let location = if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") };
        let expected = format!("expected xmlrpc://{location}, jsonrpc://{location} or grpc://{location}");
        RpcError::invalid_argument(format!("http://{location} does not say which wire it serves; {expected}"))
    })
}

/// Reads a response up to its body, or to the end of the connection.
async fn head(stream: TcpStream) -> Vec<u8> {
    let (mut stream, mut head) = (stream.take(MOST_BYTES), Vec::new());
    // A server that speaks only HTTP/2 may reset the connection after its first frames.
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
    {
    }
    head
}

fn scheme_of(head: &[u8]) -> Option<&'static str> {
    if !head.starts_with(b"HTTP/1.") {
        // An HTTP/2 server begins with a SETTINGS frame before it reads anything.
        return head.get(3).filter(|kind| **kind == 4).map(|_| "grpc");
    }
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let content_type = head.lines().find_map(|line| line.strip_prefix("content-type:"))?;
    match content_type {
        xml if xml.contains("xml") => Some("xmlrpc"),
        json if json.contains("json") => Some("jsonrpc"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_is_known_by_its_answer() {
        for (head, expected) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n"[..], Some("xmlrpc")),
            (b"HTTP/1.0 200 OK\r\ncontent-type: application/xml; charset=utf-8\r\n\r\n", Some("xmlrpc")),
            (b"HTTP/1.1 400 Bad Request\r\ncontent-type:application/json\r\n\r\n", Some("jsonrpc")),
            (b"HTTP/1.1 200 OK\r\nx: json\r\ncontent-type: text/html\r\n\r\n", None),
            (b"HTTP/1.1 204 No Content\r\n\r\n", None),
            (b"\0\0\x12\x04\0\0\0\0\0", Some("grpc")),
            (b"SSH-2.0", None),
            (b"", None),
        ] {
            assert_eq!(scheme_of(head), expected, "{}", head.escape_ascii());
        }
    }

    #[tokio::test]
    async fn the_question_carries_metadata() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let location = listener.local_addr().unwrap().to_string();
        let answered = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(NO_MESSAGE.as_bytes()) {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n").await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let mut metadata = Metadata::default();
        metadata.insert("authorization", "Bearer secret").unwrap();
        let (scheme, request) = tokio::join!(scheme_at(&location, &metadata), answered);
        assert_eq!(scheme, Ok("xmlrpc"));
        assert!(request.contains("\r\nauthorization: Bearer secret\r\n\r\n?"), "{request}");
    }
}
