//! The members of a request that stand beside its arguments: how long it is wanted, its trace, and its metadata.
//!
//! ```text
//! {"jsonrpc":"2.0","id":1,"method":"add","params":[3,4],"timeout_ms":500,"traceparent":"00-4bf9…-01","meta":{"tenant":"7"}}
//! ```

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, Instant},
};

use everywire_core::{
    Context, Metadata, Result, RpcError, Trace,
    wire::{Outgoing, deadline_after},
};
use serde::{
    Serialize,
    de::{Deserializer, Error, MapAccess, Visitor},
    ser::{SerializeMap, Serializer},
};

use crate::envelope::string;

/// The texts of these members.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    /// When the caller no longer wants the reply, counted from the arrival.
    pub(crate) deadline: Option<Instant>,
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
    meta: Option<&'a str>,
}

impl<'a> Members<'a> {
    /// An error if the time is not a number of milliseconds.
    pub(crate) fn new(
        timeout_ms: Option<&str>,
        traceparent: Option<&'a str>,
        tracestate: Option<&'a str>,
        meta: Option<&'a str>,
    ) -> Result<Self, &'static str> {
        let is_there = |text: &&str| *text != "null";
        let meta = meta.filter(is_there);
        let time = timeout_ms.filter(is_there).map(str::parse).transpose();
        let time = time.map_err(|_| "`timeout_ms` is not a whole number of milliseconds")?;
        let deadline = time.map(Duration::from_millis).and_then(deadline_after);
        Ok(Self { deadline, traceparent, tracestate, meta })
    }

    /// Adds the trace to what the carrier says, and the metadata if it `takes_metadata`. A name that the carrier has is left out.
    pub(crate) fn read(&self, cx: &mut Context, takes_metadata: bool) -> Result<()> {
        if let Some(parent) = self.traceparent.and_then(string) {
            cx.trace = Trace::parse(&parent, self.tracestate.and_then(string).as_deref());
        }
        let Some(meta) = self.meta.filter(|_| takes_metadata) else { return Ok(()) };
        let mut entries = Entries { carrier: cx.metadata.clone(), metadata: &mut cx.metadata, full: None };
        let read = serde_json::Deserializer::from_str(meta).deserialize_map(&mut entries);
        entries.full.map_or(Ok(()), Err)?;
        read.map_err(|_| RpcError::invalid_argument("`meta`: expected an object whose values are texts"))
    }
}

/// Puts the members of `meta` among the metadata.
struct Entries<'a> {
    /// What the carrier has.
    carrier: Metadata,
    metadata: &'a mut Metadata,
    /// Why an entry has no place.
    full: Option<RpcError>,
}

impl<'de> Visitor<'de> for &mut Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Cow<'de, str>, Cow<'de, str>>()? {
            let name = name.to_ascii_lowercase();
            if self.carrier.get(&name).is_some() {
                continue;
            }
            self.full = self.metadata.receive(&name, &value).err();
            if self.full.is_some() {
                return Err(A::Error::custom("too much metadata"));
            }
        }
        Ok(())
    }
}

/// Writes what is sent of a context as members of a request.
pub(crate) fn write<S: SerializeMap>(outgoing: &Outgoing<'_>, request: &mut S) -> Result<(), S::Error> {
    if let Some(time) = outgoing.timeout_ms() {
        request.serialize_entry("timeout_ms", &time)?;
    }
    if let Some(trace) = outgoing.trace() {
        request.serialize_entry(Trace::PARENT, &trace.to_string())?;
        if let Some(state) = trace.state() {
            request.serialize_entry(Trace::STATE, state)?;
        }
    }
    if !outgoing.metadata().is_empty() {
        request.serialize_entry("meta", &Meta(outgoing.metadata()))?;
    }
    Ok(())
}

/// What is sent of a context, as the text of members: for a library that writes the rest of the request. Empty if there is none.
pub fn members(outgoing: &Outgoing<'_>) -> String {
    struct All<'a>(&'a Outgoing<'a>);
    impl Serialize for All<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut members = serializer.serialize_map(None)?;
            write(self.0, &mut members)?;
            members.end()
        }
    }
    if outgoing.timeout().is_none() && outgoing.trace().is_none() && outgoing.metadata().is_empty() {
        return String::new();
    }
    let object = serde_json::to_string(&All(outgoing)).expect("texts and a number can be written");
    object[1..object.len() - 1].to_owned()
}

struct Meta<'a>(&'a Metadata);

impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}
