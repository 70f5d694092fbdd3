//! The HTTP of a client: what its requests say, and which responses have a document.

use bytes::Bytes;
use everywire_core::{Result, RpcError, wire::Outgoing};
use everywire_net::{Http1Client, Target, code_of_status, without_user_info};
use http::{Response, StatusCode, header};

use crate::body::{CONTENT_TYPE, EXTENSIONS};

/// A client of the server at `url`.
pub(super) fn open(url: &str) -> Result<Http1Client> {
    let target = Target::parse(url, &["http", "xmlrpc"]).and_then(|target| {
        if target.has_user_info() { Err("user names and passwords are not supported") } else { Ok(target) }
    });
    let target = target.map_err(|reason| {
        RpcError::invalid_argument(format!("xmlrpc: `{}` is not a valid URL: {reason}", without_user_info(url)))
    })?;
    let user_agent = concat!("everywire/", env!("CARGO_PKG_VERSION"));
    Ok(Http1Client::new(target, CONTENT_TYPE).header(EXTENSIONS, "nil").header(header::USER_AGENT, user_agent))
}

/// Posts a document and returns the response with another.
pub(super) async fn post(http: &Http1Client, document: Vec<u8>, outgoing: Outgoing<'_>) -> Result<Response<Bytes>> {
    let response = http.post(document, &outgoing).await?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => {
            let text = format!("the server responds with HTTP {status}");
            Err(RpcError::remote(code_of_status(status.as_u16()), text))
        }
    }
}

#[cfg(test)]
mod tests {
    use everywire_core::Code;

    use super::*;

    #[test]
    fn urls_are_checked() {
        for url in ["http://127.0.0.1:4242", "http://localhost/RPC2?x=1", "xmlrpc://[::1]:1/"] {
            assert!(open(url).is_ok(), "{url}");
        }
        let cases =
            ["https://localhost", "localhost:4242", "http://", "http://user:secret@localhost", "", "http://a b"];
        for url in cases {
            let error = open(url).expect_err(url);
            assert_eq!(error.code(), Code::InvalidArgument, "{url}");
            let shown = url.replace("user:secret@", "");
            assert!(error.message().contains(&format!("`{shown}`")), "{error}");
        }
    }
}
