//! Responses of HTTP itself, below a wire's own protocol.

use everywire_core::{Code, RpcError};
use http::{HeaderValue, Response, StatusCode, header};

use crate::encoding::ACCEPTED;

/// The methods that are allowed, besides the GET of a WebSocket handshake.
pub(crate) const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

/// A response below the wire's own protocol. It closes the connection, whose request may not have been read to its end.
pub fn rejection<B: From<String>>(status: StatusCode, reason: impl Into<String>) -> Response<B> {
    let mut response = Response::new(B::from(reason.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The [`rejection`] of a request of another method than POST.
pub fn not_post<B: From<String>>(wire: &str) -> Response<B> {
    let mut response = rejection(StatusCode::METHOD_NOT_ALLOWED, format!("{wire} calls are POST requests"));
    response.headers_mut().insert(header::ALLOW, METHODS);
    response
}

/// The [`rejection`] of a body that could not be received. `UNIMPLEMENTED` means a content coding that is not
/// [accepted](ACCEPTED).
pub fn not_received<B: From<String>>(error: &RpcError) -> Response<B> {
    let status = match error.code() {
        Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unimplemented => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = rejection(status, error.message());
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // RFC 9110, section 15.5.16.
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    }
    response
}
