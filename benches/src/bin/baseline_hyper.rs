//! `baseline_hyper ADDRESS [THREADS]`: a bare hyper server, HTTP/1 and HTTP/2. It reads each request and answers 7, as
//! XML-RPC or, over HTTP/2, as gRPC: what the two libraries cost without any RPC.

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use everywire_benches::{baseline_server, stdin_closed};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};

const XML: &[u8] =
    b"<?xml version=\"1.0\"?><methodResponse><params><param><value><int>7</int></value></param></params>\
                     </methodResponse>";
/// A prefix of five bytes, and field 1 with 7.
const PROTO: &[u8] = &[0, 0, 0, 0, 2, 0x08, 7];

fn main() -> Result<(), Box<dyn Error>> {
    baseline_server::serve(|listener| async move {
        tokio::select! {
            ended = accept(listener) => ended,
            () = stdin_closed() => Ok(()),
        }
    })
}

async fn accept(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(connection(socket));
    }
}

async fn connection(socket: TcpStream) {
    // How a client leaves is its own affair.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let version = request.version();
    request.into_body().collect().await?;
    let (kind, body) = if version == Version::HTTP_2 {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
        let body = Full::new(Bytes::from_static(PROTO)).with_trailers(async { Some(Ok(trailers)) });
        ("application/grpc", body.boxed())
    } else {
        ("text/xml", Full::new(Bytes::from_static(XML)).boxed())
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}
