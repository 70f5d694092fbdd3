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

/// How long the caller waits for the reply, if `header` says so. An error if it is not a time.
pub(crate) fn timeout(header: &[u8]) -> Result<Option<Duration>> {
    let Some(value) = timeout_value(header) else { return Ok(None) };
    let malformed = || RpcError::invalid_argument(format!("`{TIMEOUT}`: expected a number of milliseconds"));
    // Python's `seconds * 1000` is a float.
    let ms: Option<f64> = get_value(value, 1).map_err(|_| malformed())?;
    ms.map(|ms| Duration::try_from_secs_f64(ms / 1e3).map_err(|_| malformed())).transpose()
}

fn timeout_value(header: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(header);
    (0..reader.map()?).find_map(|_| {
        let (key, value) = (reader.value()?, reader.value()?);
        (text(key) == Some(TIMEOUT)).then_some(value)
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

#[cfg(test)]
mod tests {
    use everywire_core::Code;

    use super::*;

    #[test]
    fn a_time_is_a_number_of_milliseconds() {
        let header = |value: &[u8]| [b"\x81\xaatimeout_ms", value].concat();
        let time = |value: &[u8]| timeout(&header(value));
        let cases: [(&[u8], Option<Duration>); 5] = [
            (b"\xcd\x01\xf4", Some(Duration::from_millis(500))),
            (b"\x00", Some(Duration::ZERO)),
            (b"\xcb\x40\x8f\x40\0\0\0\0\0", Some(Duration::from_secs(1))),
            (b"\xca\x3f\0\0\0", Some(Duration::from_micros(500))),
            (b"\xc0", None),
        ];
        for (value, expected) in cases {
            assert_eq!(time(value), Ok(expected), "{value:x?}");
        }
        // -1, -1.5, "5", true, an empty list, NaN and an infinity.
        for value in
            [&b"\xff"[..], b"\xca\xbf\xc0\0\0", b"\xa15", b"\xc3", b"\x90", b"\xca\x7f\xc0\0\0", b"\xca\x7f\x80\0\0"]
        {
            assert_eq!(time(value).unwrap_err().code(), Code::InvalidArgument, "{value:x?}");
        }
        assert_eq!(timeout(b"\x81\xa1a\x01"), Ok(None));
    }
}
