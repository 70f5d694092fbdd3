//! What is answered by the head of a request, on every wire over HTTP/1: requests that break HTTP, pages of other origins,
//! and OPTIONS.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Body;

use crate::{WebOrigins, http1::refusal};

/// The methods that a wire has. A WebSocket handshake, which is a GET, stands outside of them.
pub(crate) const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

/// How long a browser may remember a preflight, in seconds: the longest that Chromium does.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// Of the specification of private network access: a page on the internet calls a server that is not.
const ASKS_FOR_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The answer to a request that no wire needs to see.
pub(crate) fn answer<B: From<String>>(request: &Request<impl Body>, origins: &WebOrigins) -> Option<Response<B>> {
    let headers = request.headers();
    let Ok(host) = host(request) else {
        return Some(refusal(StatusCode::BAD_REQUEST, "expected one Host header with a host and perhaps a port"));
    };
    if let Some(origin) = headers.get(header::ORIGIN) {
        // RFC 9112, section 3.2.2: the host of the target counts, if it has one.
        let host = request.uri().authority().cloned().or_else(|| host?.parse().ok());
        if !origins.allow(origin, host.as_ref()) {
            return Some(refusal(StatusCode::FORBIDDEN, "pages of other origins may not call this server"));
        }
    }
    if request.method() == Method::OPTIONS {
        return Some(options(headers));
    }
    // Only a body of unknown length has a transfer coding. hyper undoes `chunked` and leaves the others.
    let is_coded = request.body().size_hint().exact().is_none() && !is_chunked(headers);
    is_coded.then(|| refusal(StatusCode::NOT_IMPLEMENTED, "the one transfer coding known here is chunked"))
}

/// Tells the browser that the page of `origin` may read the response.
pub(crate) fn label(headers: &mut HeaderMap, origin: HeaderValue, origins: &WebOrigins) {
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if origins.list(&origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

/// The host that is called, which only HTTP/1.0 may leave out (RFC 9112, section 3.2).
fn host<T>(request: &Request<T>) -> Result<Option<&str>, ()> {
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(None),
        (Some(host), None) => host.to_str().ok().filter(|host| is_authority(host)).map(Some).ok_or(()),
        _ => Err(()),
    }
}

/// Whether `host` has none of the characters that end an authority or can't be in one. It may be empty.
fn is_authority(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\?#@,\"<>".contains(&byte))
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Health checks ask for the options, and browsers for what a page may do: a preflight (of the Fetch standard).
fn options<B: From<String>>(asked: &HeaderMap) -> Response<B> {
    let mut response = Response::new(B::from(String::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, METHODS);
    if asked.contains_key(header::ORIGIN) && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        // A page that is allowed may send any header: none means anything here.
        let asked_for = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        headers.extend(asked_for.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
        if asked.contains_key(ASKS_FOR_PRIVATE_NETWORK) {
            headers.insert(ALLOWS_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
    }
    response
}
