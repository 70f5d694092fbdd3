//! Compressed bodies, as named by the property `content_encoding`.

use std::sync::Arc;

use bytes::Bytes;
use everywire_core::{Budget, Result, RpcError};
use everywire_net::{encoding::Encoding, http1::Received};
use lapin::{BasicProperties, message::Delivery};

/// The decoded body of a message, or `None` if it is not compressed.
pub(crate) fn decoded(delivery: &Delivery, budget: &Arc<Budget>) -> Result<Option<Received>> {
    match coding(&delivery.properties, &delivery.data)? {
        Encoding::Identity => Ok(None),
        encoding => {
            let received = Received { bytes: Bytes::copy_from_slice(&delivery.data), reservation: budget.reserve() };
            encoding.decode(received, budget).map(Some)
        }
    }
}

/// The coding of `body`. Some clients put the name of a character set into the property: what looks like JSON is read as
/// JSON.
fn coding(properties: &BasicProperties, body: &[u8]) -> Result<Encoding> {
    let Some(name) = properties.content_encoding() else { return Ok(Encoding::Identity) };
    let json = body.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(body).trim_ascii_start();
    match Encoding::named(name.as_str()) {
        Some(encoding) => Ok(encoding),
        None if json.starts_with(b"{") || json.starts_with(b"[") => Ok(Encoding::Identity),
        None => {
            Err(RpcError::unimplemented("the body is not JSON, and its content_encoding is none of gzip and deflate"))
        }
    }
}
