//! What travels with a call: keys of the request's header beside the protocol's own.

use std::{borrow::Cow, time::Duration};

use everywire_core::{Context, Result, RpcError, wire::Outgoing};

use crate::msgpack::{Reader, get_value, put_text};

/// The key of how long the caller waits for the reply, in milliseconds.
const TIMEOUT: &str = "timeout_ms";

/// A value in the header of a request.
pub(crate) enum Entry<'a> {
    Text(Cow<'a, str>),
    Number(u64),
}

impl Entry<'_> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => put_text(out, text),
            Self::Number(number) => {
                out.push(0xCF);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }
}

/// What is sent of a context. Of several entries with one name, Python reads the last.
pub(crate) fn entries<'a>(outgoing: &'a Outgoing<'_>) -> Vec<(&'a str, Entry<'a>)> {
    let time = outgoing.timeout_ms().map(|time| (TIMEOUT, Entry::Number(time)));
    time.into_iter().chain(outgoing.entries().map(|(name, value)| (name, Entry::Text(value)))).collect()
}

/// The longest header whose metadata is read. That of a call within the limits of metadata is shorter.
pub(crate) const HEADER_BYTES: usize = 32 << 10;

pub(crate) fn too_long() -> RpcError {
    RpcError::resource_exhausted(format!("the header of a request has at most {HEADER_BYTES} bytes"))
}

/// How long the caller waits for the reply, if `header` says so.
pub(crate) fn timeout(header: &[u8]) -> Option<Duration> {
    let mut reader = Reader::new(header);
    (0..reader.map()?).find_map(|_| {
        let (key, value) = (reader.value()?, reader.value()?);
        let ms = (text(key) == Some(TIMEOUT)).then(|| get_value(value, 1).ok());
        ms.flatten().map(Duration::from_millis)
    })
}

/// Reads trace and metadata from `header`, a map as MessagePack or nothing. Values that are not text are left out.
pub(crate) fn read(header: &[u8], cx: &mut Context) -> Result<()> {
    let mut reader = Reader::new(header);
    let entries = (0..reader.map().unwrap_or(0)).map_while(|_| Some((reader.value()?, reader.value()?)));
    cx.receive(entries.filter_map(|(name, value)| Some((text(name)?, text(value)?))))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(Reader::new(value).text()?).ok()
}
