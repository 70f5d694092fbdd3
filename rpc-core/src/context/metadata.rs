//! Names and values that a caller adds to a call.

use std::fmt;

use crate::error::{Result, RpcError};

/// The names and values that a caller adds to a call, in order; a name may occur several times.
///
/// What can travel is the same on every wire, that of gRPC's metadata and HTTP's headers: names of lowercase letters, digits,
/// `-`, `_` and `.`; values of printable ASCII. A name that ends in `-bin` has bytes as its value, in base64.
///
/// A call has at most [`MAX_ENTRIES`](Self::MAX_ENTRIES), of at most [`MAX_BYTES`](Self::MAX_BYTES) in total.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    entries: Vec<(Box<str>, Box<str>)>,
    bytes: usize,
}

/// What each entry counts besides its name and its value.
const ENTRY_BYTES: usize = 32;

/// The longest name that every wire carries: AMQP has a byte for the length.
const NAME_BYTES: usize = 255;

/// The names that wires use themselves. One that ends in `-` stands for all that begin so.
const RESERVED: &[&str] = &[
    "accept",
    "accept-",
    "access-control-",
    "connect-",
    "connection",
    "content-",
    "correlation_id",
    "expect",
    "grpc-",
    "host",
    "keep-alive",
    "message_id",
    "origin",
    "proxy-",
    "response_to",
    "sec-",
    "te",
    "timeout_ms",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "v",
    "xmlrpc-",
];

impl Metadata {
    /// The most bytes that the metadata of a call may have: the names, the values, and 32 for each entry, as HTTP/2 counts them (RFC
    /// 9113, section 6.5.2).
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The most entries that a call may have. Libraries of HTTP/1 read a hundred headers.
    pub const MAX_ENTRIES: usize = 64;

    pub(crate) const EMPTY: &'static Self = &Self { entries: Vec::new(), bytes: 0 };

    /// Adds an entry.
    ///
    /// A name or a value that can't travel, or a name that wires use themselves (`content-type`, `grpc-timeout`, `traceparent`
    /// and their like), is `INVALID_ARGUMENT`, and an entry beyond [`MAX_BYTES`](Self::MAX_BYTES) `RESOURCE_EXHAUSTED`.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<()> {
        let invalid = |reason: &str| {
            RpcError::invalid_argument(format!("metadata `{}`: {reason}", shortened(name).escape_debug()))
        };
        if !is_name(name) {
            return Err(invalid("expected a name of at most 255 lowercase letters, digits, `-`, `_` and `.`"));
        }
        if is_reserved(name) {
            return Err(invalid("the name is used by the wires themselves"));
        }
        if !is_value(value) {
            return Err(invalid(
                "expected a value of printable ASCII; bytes travel in base64, under a name that ends in -bin",
            ));
        }
        self.push(name, value)
    }

    /// Adds an entry that came with a call. One that could not be sent is left out, and so is one that wires use themselves;
    /// uppercase letters in the name are lowercased. An entry beyond [`MAX_BYTES`](Self::MAX_BYTES) is `RESOURCE_EXHAUSTED`.
    /// For authors of wires.
    pub fn receive(&mut self, name: &str, value: &str) -> Result<()> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.receive(&name.to_ascii_lowercase(), value);
        }
        if is_name(name) && !is_reserved(name) && is_value(value) { self.push(name, value) } else { Ok(()) }
    }

    fn push(&mut self, name: &str, value: &str) -> Result<()> {
        let bytes = self.bytes + name.len() + value.len() + ENTRY_BYTES;
        if bytes > Self::MAX_BYTES || self.entries.len() == Self::MAX_ENTRIES {
            let (most, entries) = (Self::MAX_BYTES, Self::MAX_ENTRIES);
            let text = format!("the metadata of a call has at most {entries} entries and {most} bytes");
            return Err(RpcError::resource_exhausted(text));
        }
        self.bytes = bytes;
        self.entries.push((name.into(), value.into()));
        Ok(())
    }

    /// The first value with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(of, _)| *of == name).map(|(_, value)| value)
    }

    /// All values with this name.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(of, _)| *of == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Shows the names only, because values may be credentials.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_value(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn is_reserved(name: &str) -> bool {
    let matches =
        |reserved: &&str| if reserved.ends_with('-') { name.starts_with(*reserved) } else { name == *reserved };
    RESERVED.iter().any(matches)
}

/// What an error repeats of a name.
fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(64)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn what_can_not_travel_is_rejected() {
        let mut metadata = Metadata::default();
        for (name, value) in [("tenant", "7"), ("tenant", "8"), ("a.b-c_d", ""), ("key-bin", "AAE="), ("x-te", "~ ~")] {
            metadata.insert(name, value).unwrap();
        }
        assert_eq!(metadata.get_all("tenant").collect::<Vec<_>>(), ["7", "8"]);
        assert_eq!((metadata.get("absent"), metadata.get("a.b-c_d")), (None, Some("")));
        let before = metadata.clone();
        for (name, value) in
            [("", "7"), ("Tenant", "7"), ("a b", "7"), ("a", "ä"), ("a", "1\n2"), ("grpc-x", ""), ("te", "")]
        {
            let error = metadata.insert(name, value).expect_err(name);
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
            metadata.receive(name, value).unwrap();
        }
        assert_eq!(metadata.get("tenant"), before.get("tenant"), "uppercase letters are lowercased");
        assert_eq!(metadata.iter().count(), before.iter().count() + 1);
    }

    #[test]
    fn there_is_an_end() {
        let mut metadata = Metadata::default();
        let value = "x".repeat(Metadata::MAX_BYTES - 33);
        metadata.insert("a", &value).unwrap();
        let error = metadata.insert("b", "").unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert_eq!(metadata.receive("b", "").unwrap_err(), error);
        let mut many = Metadata::default();
        for _ in 0..Metadata::MAX_ENTRIES {
            many.insert("a", "").unwrap();
        }
        assert_eq!(many.insert("a", "").unwrap_err(), error);
        assert!(Metadata::default().insert(&"a".repeat(256), "").is_err());
    }

    #[test]
    fn values_are_not_shown() {
        let mut metadata = Metadata::default();
        metadata.insert("authorization", "secret").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"{"authorization"}"#);
    }
}
