//! What stands around a call: requests and batches of them, read without the arguments.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{context, fault::Fault};

/// The requests in one message.
pub(crate) enum Requests<'a> {
    One(Result<Request<'a>, InvalidRequest<'a>>),
    /// The texts of its entries, at least one.
    Batch(Vec<&'a str>),
    /// A batch with too many entries.
    LongBatch,
}

/// A call or a notification.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The text of the id, to be repeated by the response; a notification has none.
    pub(crate) id: Option<&'a str>,
    pub(crate) method: Cow<'a, str>,
    /// The text of the arguments, which may be absent (specification, section 4.2).
    pub(crate) params: Option<&'a str>,
    /// What stands beside them, in few requests.
    pub(crate) members: Option<Box<context::Members<'a>>>,
}

/// A message, or an entry of a batch, that is not a request.
#[derive(Debug)]
pub(crate) struct InvalidRequest<'a> {
    /// The text of its id, if it has one.
    pub(crate) id: Option<&'a str>,
    pub(crate) fault: Fault,
}

impl<'a> Requests<'a> {
    /// Reads a message. A batch with more than `most` entries is read only as far as that becomes known.
    pub(crate) fn read(bytes: &'a [u8], most: usize) -> Self {
        let text = match text_of(bytes) {
            Ok(text) => text,
            Err(fault) => return Self::One(Err(fault.into())),
        };
        if !text.trim_ascii_start().starts_with('[') {
            return Self::One(Request::read(text));
        }
        let mut entries = Entries { texts: Vec::new(), most, has_more: false };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match deserializer.deserialize_seq(&mut entries).and_then(|()| deserializer.end()) {
            _ if entries.has_more => Self::LongBatch,
            Ok(()) if entries.texts.is_empty() => Self::One(Err(Fault::invalid("a batch without requests").into())),
            Ok(()) => Self::Batch(entries.texts),
            Err(error) => Self::One(Err(Fault::parse(&error).into())),
        }
    }
}

/// The text of a message, without the byte order mark that .NET and PowerShell put before it (RFC 8259, section 8.1).
fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    // No JSON in UTF-8 begins so: it has no NUL, and UTF-8 has no 0xFE and 0xFF.
    if let [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, ..] | [_, 0, ..] = bytes {
        return Err(Fault::parse(&"the message is UTF-16 or UTF-32; expected UTF-8"));
    }
    str::from_utf8(without_mark(bytes)).map_err(|error| Fault::parse(&error))
}

/// Skips the byte order mark, if there is one.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes)
}

impl<'a> Request<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, InvalidRequest<'a>> {
        if !text.trim_ascii_start().starts_with('{') {
            return Err(json_or(text, "a request is an object").into());
        }
        let members = serde_json::from_str::<Members<'_>>(text);
        let members = members.map_err(|error| json_or(text, &error.to_string()))?;
        let Members { jsonrpc, id, method, params, timeout_ms, traceparent, tracestate, meta } = members;
        if id.is_some_and(|id| id.starts_with(['{', '[', 't', 'f'])) {
            return Err(Fault::invalid("an id is a string, a number or null").into());
        }
        let invalid = |reason| InvalidRequest { id, fault: Fault::invalid(reason) };
        if jsonrpc.and_then(string).as_deref() != Some("2.0") {
            return Err(invalid("`jsonrpc` is not \"2.0\""));
        }
        let method = method.and_then(string).ok_or_else(|| invalid("`method` is not a string"))?;
        let has_others = timeout_ms.is_some() || traceparent.is_some() || tracestate.is_some() || meta.is_some();
        let others = has_others.then(|| context::Members::new(timeout_ms, traceparent, tracestate, meta));
        let members = others.transpose().map_err(invalid)?.map(Box::new);
        Ok(Self { id, method, params: params.filter(|params| *params != "null"), members })
    }
}

impl From<Fault> for InvalidRequest<'_> {
    fn from(fault: Fault) -> Self {
        Self { id: None, fault }
    }
}

/// The texts of a request's members.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    jsonrpc: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "text")]
    id: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "text")]
    method: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "text")]
    params: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "text")]
    timeout_ms: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "text")]
    traceparent: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "text")]
    tracestate: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "text")]
    meta: Option<&'a str>,
}

/// The text of a value that is present, even if it is `null`.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(|value| Some(value.get()))
}

/// The value of a string, if `text` is one.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// Invalid for this `reason`, unless `text` is not even JSON.
fn json_or(text: &str, reason: &str) -> Fault {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Fault::invalid(reason),
        Err(error) => Fault::parse(&error),
    }
}

/// The texts of the entries of a batch.
struct Entries<'a> {
    texts: Vec<&'a str>,
    /// The number of entries that are allowed.
    most: usize,
    has_more: bool,
}

impl<'de> Visitor<'de> for &mut Entries<'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(entry) = array.next_element::<&RawValue>()? {
            self.has_more = self.texts.len() == self.most;
            if self.has_more {
                break;
            }
            self.texts.push(entry.get());
        }
        Ok(())
    }
}

/// Whether arguments with the text `params`, which is well formed, nest deeper than `limit`.
pub(crate) fn is_deeper(params: &str, limit: usize) -> bool {
    // The arguments themselves stand in an array or an object.
    let most = limit.saturating_add(1);
    let is_opening = |byte: u8| matches!(byte, b'[' | b'{');
    // Nearly all have too few brackets, in strings or not, and are not looked at byte by byte.
    if params.bytes().filter(|byte| is_opening(*byte)).count() <= most {
        return false;
    }
    let mut open = 0;
    let mut bytes = params.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' if open == most => return true,
            b'[' | b'{' => open += 1,
            b']' | b'}' => open -= 1,
            _ => {}
        }
    }
    false
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}
