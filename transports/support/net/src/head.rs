//! The responses that all wires over HTTP/1 share, given before a body is read: to requests that break HTTP, to requests of
//! other origins' pages, and to OPTIONS.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::{Body, Incoming};

use crate::{
    origin::WebOrigins,
    rejection::{METHODS, rejection},
};

/// How long a browser may cache a preflight, in seconds: the most that Chromium allows.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// A page on the internet calls a server on a private network (the specification Private Network Access).
const ASKS_FOR_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Responds to a request here, or with the wire's `answer`, and lets pages of allowed origins read the response.
pub(crate) async fn respond<F, B>(
    request: Request<Incoming>,
    origins: &WebOrigins,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Response<B>
where
    F: Future<Output = Response<B>>,
    B: From<String>,
{
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match early(&request, origin.as_ref(), origins) {
        Some(response) => response,
        None => answer(request).await,
    };
    if let Some(origin) = origin {
        add_cors(response.headers_mut(), origin, origins);
    }
    response
}

/// The response to a request that is not passed on to the wire.
fn early<B: From<String>>(
    request: &Request<impl Body>,
    origin: Option<&HeaderValue>,
    origins: &WebOrigins,
) -> Option<Response<B>> {
    let headers = request.headers();
    let Ok(host) = host(request) else {
        return Some(rejection(StatusCode::BAD_REQUEST, "expected one Host header with a host and perhaps a port"));
    };
    if let Some(origin) = origin {
        let is_only = headers.get_all(header::ORIGIN).iter().nth(1).is_none();
        // RFC 9112, section 3.2.2: a host in the request target overrides the Host header.
        let host = request.uri().authority().cloned().or_else(|| host?.parse().ok());
        if !is_only || !origins.allows(origin, host.as_ref()) {
            return Some(rejection(StatusCode::FORBIDDEN, "pages of other origins may not call this server"));
        }
    }
    if request.method() == Method::OPTIONS {
        return Some(options(headers));
    }
    // Only a body of unknown length has a transfer coding. hyper decodes `chunked` and leaves the others.
    let is_coded = request.body().size_hint().exact().is_none() && !is_chunked(headers);
    is_coded.then(|| rejection(StatusCode::NOT_IMPLEMENTED, "unsupported transfer coding; expected chunked"))
}

/// Adds the headers that let a page of `origin`, if it is allowed, read the response.
fn add_cors(headers: &mut HeaderMap, origin: HeaderValue, origins: &WebOrigins) {
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if origins.lists(&origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

/// The Host header, which only HTTP/1.0 may leave out (RFC 9112, section 3.2).
fn host<T>(request: &Request<T>) -> Result<Option<&str>, ()> {
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(None),
        (Some(host), None) => host.to_str().ok().filter(|host| is_authority(host)).map(Some).ok_or(()),
        _ => Err(()),
    }
}

/// Whether `host` is free of characters that end an authority or can't be in one. It may be empty.
fn is_authority(host: &str) -> bool {
    let ends = |byte| matches!(byte, b'/' | b'\\' | b'?' | b'#' | b'@' | b',' | b'"' | b'<' | b'>');
    host.bytes().all(|byte| byte.is_ascii_graphic() && !ends(byte))
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Responds to OPTIONS, which health checks send, and browsers as a preflight (Fetch standard) before a page's call.
fn options<B: From<String>>(asked: &HeaderMap) -> Response<B> {
    let mut response = Response::new(B::from(String::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, METHODS);
    if asked.contains_key(header::ORIGIN) && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        // An allowed page may send any header: it is metadata of the call.
        let asked_for = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        headers.extend(asked_for.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
        if asked.contains_key(ASKS_FOR_PRIVATE_NETWORK) {
            headers.insert(ALLOWS_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
    }
    response
}
