//! Checks a request's headers before its call begins.

use everywire_core::{Code, Result, RpcError};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};

use crate::{body::Body, status};

/// The most bytes of metadata in one request, as HTTP/2 counts them. A connection reads four times as many, so that a client
/// with too much metadata gets a gRPC status.
const METADATA_BYTES: usize = 16 << 10;

/// What HTTP/2 adds for each field to the bytes of its name and value (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// The response to a request that can't be a call.
///
/// Clients that don't speak gRPC look at the HTTP status, so 405 and 415 are set as grpc-go sets them.
pub(crate) fn rejection<B>(request: &Request<B>) -> Option<Response<Body>> {
    let headers = request.headers();
    let Some(format) = format(headers) else { return Some(unsupported_media_type()) };
    if request.method() != Method::POST {
        return Some(method_not_allowed());
    }
    let checked = check_format(format).and_then(|()| check_metadata(headers));
    checked.err().map(|error| status::response(&error))
}

/// Whether the content type is that of gRPC, with any message format.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    format(headers).is_some()
}

/// The message format: what follows `application/grpc` in the content type, such as `+proto`, without parameters.
fn format(headers: &HeaderMap) -> Option<&[u8]> {
    let format = headers.get(CONTENT_TYPE)?.as_bytes().strip_prefix(b"application/grpc")?;
    let format = format.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    // `application/grpc-web` is another protocol.
    (format.is_empty() || format[0] == b'+').then_some(format)
}

fn check_format(format: &[u8]) -> Result<()> {
    match format {
        b"" | b"+proto" => Ok(()),
        _ => {
            Err(RpcError::unimplemented("unknown message format; expected application/grpc or application/grpc+proto"))
        }
    }
}

fn check_metadata(headers: &HeaderMap) -> Result<()> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES).sum();
    if bytes <= METADATA_BYTES {
        return Ok(());
    }
    Err(RpcError::resource_exhausted(format!(
        "the metadata has {bytes} bytes; expected at most {METADATA_BYTES}, with {FIELD_BYTES} added for each field"
    )))
}

fn unsupported_media_type() -> Response<Body> {
    let error = RpcError::invalid_argument("expected the content type application/grpc");
    with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error)
}

fn method_not_allowed() -> Response<Body> {
    let error = RpcError::new(Code::Internal, "expected the HTTP method POST");
    let mut response = with_http(StatusCode::METHOD_NOT_ALLOWED, &error);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

fn with_http(code: StatusCode, error: &RpcError) -> Response<Body> {
    let mut response = status::response(error);
    *response.status_mut() = code;
    response
}
