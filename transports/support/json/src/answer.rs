//! The text of an answer, within the limits.

use std::{io, sync::Arc};

use everywire_core::{
    Budget, Code, Limit, Result, RpcError,
    wire::{Encoded, MessageBuffer, NotFinite},
};
use everywire_net::pull::{BATCH_BYTES, Batch};
use serde::Serialize;

use crate::{
    fault,
    write::{check, write},
};

/// The capacity that an answer begins with. Most answers fit.
const ORDINARY_BYTES: usize = 128;

/// The answer to a message while it is written: a response, or those of a batch.
pub(crate) struct Answer<'a> {
    out: MessageBuffer<'a>,
    budget: &'a Arc<Budget>,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(budget: &'a Arc<Budget>) -> Self {
        Self { out: MessageBuffer::new(Vec::with_capacity(ORDINARY_BYTES), budget), budget }
    }

    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Drops what was written after the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.out.rewind(length);
    }

    /// The whole answer; `None` if nothing was written.
    #[inline]
    pub(crate) fn finish(self) -> Option<Encoded> {
        (!self.out.is_empty()).then(|| self.out.finish().expect("what did not fit was taken back"))
    }

    /// Begins a batch.
    pub(crate) fn open_batch(&mut self) {
        self.out.as_mut_vec().push(b'[');
    }

    /// Ends a batch. Nothing is left of one of notifications only (section 6).
    pub(crate) fn close_batch(&mut self) {
        if *self.out == *b"[" {
            self.out.rewind(0);
        } else {
            self.out.as_mut_vec().push(b']');
        }
    }

    /// Appends the response with this result; or with an error if the result can't be written or is over a limit.
    #[inline]
    pub(crate) fn put_result(&mut self, id: &str, result: &impl Serialize) {
        let start = self.out.len();
        let written = self.write_result(id, result);
        let written = self.out.check().and_then(|()| written.map_err(|error| self.unwritten(&error)));
        let outcome = written.and_then(|has_null| check(has_null, result).map_err(|error| lossy(&error)));
        if let Err(error) = outcome {
            self.out.rewind(start);
            self.put_error(Some(id), &fault::object(&error));
        }
    }

    /// Appends the response with a part of a stream; an error if there is no room for it. A part may be longer than `message_bytes`, by
    /// what is sent together with a long item.
    pub(crate) fn put_batch(&mut self, id: &str, token: Option<&str>, batch: &Batch) -> Result<()> {
        let (start, out) = (self.out.len(), &mut self.out);
        out.extend_from_slice(comma(out));
        put_head(id, out);
        out.push(b'{');
        if let Some(token) = token {
            out.extend_from_slice(br#""token":""#);
            out.extend_from_slice(token.as_bytes());
            out.extend_from_slice(br#"","#);
        }
        out.extend_from_slice(br#""values":"#);
        put_items(batch, out);
        out.extend_from_slice(br#","finished":"#);
        out.extend_from_slice(if batch.is_last() { b"true}}" } else { b"false}}" });
        let is_long = out.len() > self.budget.limits().message_bytes + BATCH_BYTES;
        let mut written = out.check();
        if is_long && written.is_ok() {
            written = Err(self.budget.exceeded(Limit::MessageBytes, "the replies are too long"));
        }
        if written.is_err() {
            self.out.rewind(start);
        }
        written
    }

    /// Appends the response with this error object; or with a short one if the budget has no room for it.
    #[cold]
    pub(crate) fn put_error(&mut self, id: Option<&str>, object: &impl Serialize) {
        let start = self.out.len();
        self.out.extend_from_slice(comma(&self.out));
        fault::put(&mut self.out, id, object);
        if let Err(full) = self.out.check() {
            self.out.rewind(start);
            let out = self.out.as_mut_vec();
            out.extend_from_slice(comma(out));
            fault::put(out, id, &fault::object(&full));
        }
    }

    /// Returns whether the result has a `null`.
    #[inline]
    fn write_result(&mut self, id: &str, result: &impl Serialize) -> serde_json::Result<bool> {
        let out = &mut self.out;
        out.extend_from_slice(comma(out));
        put_head(id, out);
        let limit = self.budget.limits().message_bytes;
        let written = write(Limited { out, limit }, result);
        out.push(b'}');
        written
    }

    fn unwritten(&self, error: &serde_json::Error) -> RpcError {
        unwritten(error, self.budget)
    }
}

/// Appends an item of a stream to `out`.
pub(crate) fn put_item(item: &impl Serialize, out: &mut MessageBuffer<'_>, budget: &Budget) -> Result<()> {
    let limit = out.len() + budget.limits().message_bytes;
    let written = write(Limited { out, limit }, item);
    out.check()?;
    let has_null = written.map_err(|error| unwritten(&error, budget))?;
    check(has_null, item).map_err(|error| lossy(&error))
}

/// Appends the beginning of a response to `out`, up to its result.
#[inline]
pub(crate) fn put_head(id: &str, out: &mut MessageBuffer<'_>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(br#","result":"#);
}

/// Appends items as an array to `out`.
pub(crate) fn put_items(batch: &Batch, out: &mut MessageBuffer<'_>) {
    out.push(b'[');
    for (position, item) in batch.iter().enumerate() {
        out.extend_from_slice(if position == 0 { b"" } else { b"," });
        out.extend_from_slice(item);
    }
    out.push(b']');
}

/// The error for a reply that can't be written.
fn unwritten(error: &serde_json::Error, budget: &Budget) -> RpcError {
    if error.is_io() {
        budget.exceeded(Limit::MessageBytes, "the reply is too long")
    } else {
        RpcError::internal(format_args!("the reply can't be written as JSON: {error}"))
    }
}

/// The error for a reply of which something would be lost. It tells the caller what, since no other wire has this limit.
fn lossy(error: &NotFinite) -> RpcError {
    RpcError::new(Code::Internal, format!("the reply can't be written as JSON: {error}"))
}

/// What stands between the next response and the one before it in a batch.
fn comma(written: &[u8]) -> &'static [u8] {
    if matches!(written.last(), None | Some(b'[')) { b"" } else { b"," }
}

/// Accepts at most `limit` bytes, and as many as the buffer has room for. The error ends the encoding.
struct Limited<'a, 'b> {
    out: &'a mut MessageBuffer<'b>,
    limit: usize,
}

impl io::Write for Limited<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.out.len() + bytes.len() <= self.limit && self.out.try_extend_from_slice(bytes) {
            return Ok(());
        }
        Err(io::ErrorKind::FileTooLarge.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
