//! The text of an answer, within the limits.

use std::{io, sync::Arc};

use bytes::Bytes;
use everywire_core::{
    Budget, Limit, Result, RpcError,
    wire::{FREE_BYTES, Reservation},
};
use serde::Serialize;

use crate::fault;

/// Bytes that are reserved for an answer. Most answers fit.
const ORDINARY_BYTES: usize = 128;

/// The answer to a message: a response, or those of a batch. It counts as buffered until it is dropped.
#[derive(Debug)]
pub struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// `None` for a short one, which is free.
    reservation: Option<Reservation>,
}

impl Answer {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(ORDINARY_BYTES), reservation: None }
    }

    /// Appends the response with this result; or with an error if the result can't be written or is over a limit.
    pub(crate) fn put_result(&mut self, id: &str, result: &impl Serialize, budget: &Arc<Budget>) {
        let start = self.bytes.len();
        let written = self.write_result(id, result, budget).and_then(|()| self.count(budget));
        if let Err(error) = written {
            self.bytes.truncate(start);
            self.put_error(Some(id), &fault::object(&error));
        }
    }

    /// Appends the response with this error object.
    pub(crate) fn put_error(&mut self, id: Option<&str>, object: &impl Serialize) {
        self.separate();
        fault::put(&mut self.bytes, id, object);
    }

    fn write_result(&mut self, id: &str, result: &impl Serialize, budget: &Budget) -> Result<()> {
        self.separate();
        self.bytes.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        self.bytes.extend_from_slice(id.as_bytes());
        self.bytes.extend_from_slice(br#","result":"#);
        let limit = budget.limits().message_bytes;
        let written = serde_json::to_writer(Limited { bytes: &mut self.bytes, limit }, result);
        self.bytes.push(b'}');
        written.map_err(|error| {
            if error.is_io() {
                budget.exceeded(Limit::MessageBytes, "the reply is too long")
            } else {
                RpcError::internal(format_args!("the reply can't be written as JSON: {error}"))
            }
        })
    }

    /// Puts a comma between the responses of a batch.
    fn separate(&mut self) {
        if !matches!(self.bytes.last(), None | Some(b'[')) {
            self.bytes.push(b',');
        }
    }

    fn count(&mut self, budget: &Arc<Budget>) -> Result<()> {
        if self.bytes.len() <= FREE_BYTES {
            return Ok(());
        }
        self.reservation.get_or_insert_with(|| budget.reserve()).try_resize(self.bytes.len())
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes, which count until the last copy of them is dropped.
impl From<Answer> for Bytes {
    fn from(answer: Answer) -> Self {
        match answer.reservation {
            None => answer.bytes.into(),
            Some(reservation) => reservation.into_bytes(answer.bytes),
        }
    }
}

/// Accepts at most `limit` bytes.
struct Limited<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
}

impl io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
