//! The positions that a value can have in a message, and how it is written at each.

use everywire_core::wire::MessageBuffer;

use super::super::{
    enums::Output,
    error::{MIXED, Result},
    wire::{Wire, put_tag, put_varint},
};

/// The serializer of a value at one position in a message.
pub(super) struct At<'a, 'b, P> {
    pub(super) out: &'a mut Output<'b>,
    pub(super) position: P,
}

/// What depends on the position: a whole message, a field of one, or an element of a list.
pub(super) trait Position: Sized {
    /// Writes a number by `put`; `zero` tells whether it may be left out.
    fn number(
        self,
        out: &mut MessageBuffer<'_>,
        wire: Wire,
        zero: bool,
        put: impl FnOnce(&mut MessageBuffer<'_>),
    ) -> Result<()>;
    fn bytes(self, out: &mut MessageBuffer<'_>, bytes: &[u8]) -> Result<()>;
    /// Writes a number or a character as text.
    fn text(self, out: &mut MessageBuffer<'_>, text: &str, zero: bool) -> Result<()>;
    /// Begins a message; the whole message needs no beginning.
    fn message(self, out: &mut MessageBuffer<'_>) -> Result<Option<Open>>;
    /// The number of the field for a list, a map or an `Option`. Where proto3 has none of these, they need a message around
    /// them, of which they are field 1: inside a list or an `Option`, as the value of a map or a variant.
    fn slot(self) -> (u32, bool);

    /// The same, with that message begun.
    fn open_slot(self, out: &mut MessageBuffer<'_>) -> (u32, Option<Open>) {
        match self.slot() {
            (number, false) => (number, None),
            (number, true) => (FIRST.number, Some(Open::new(out, number))),
        }
    }

    /// A `u8` alone is a uint32; in a list it is one of its bytes.
    fn byte(self, out: &mut MessageBuffer<'_>, byte: u8) -> Result<()> {
        self.number(out, Wire::Varint, byte == 0, |out| put_varint(out, byte.into()))
    }
}

/// A whole message. A value that is not a message becomes field 1 of one.
pub(super) struct Message;

pub(super) const FIRST: Field = Field { number: 1, explicit: false, single: false };

impl Position for Message {
    fn number(
        self,
        out: &mut MessageBuffer<'_>,
        wire: Wire,
        zero: bool,
        put: impl FnOnce(&mut MessageBuffer<'_>),
    ) -> Result<()> {
        FIRST.number(out, wire, zero, put)
    }

    fn bytes(self, out: &mut MessageBuffer<'_>, bytes: &[u8]) -> Result<()> {
        FIRST.bytes(out, bytes)
    }

    fn text(self, out: &mut MessageBuffer<'_>, text: &str, zero: bool) -> Result<()> {
        FIRST.text(out, text, zero)
    }

    fn message(self, _out: &mut MessageBuffer<'_>) -> Result<Option<Open>> {
        Ok(None)
    }

    fn slot(self) -> (u32, bool) {
        FIRST.slot()
    }
}

/// A field. With explicit presence, its zero value is written too. Messages always have presence, because clients in
/// languages with null would otherwise find null in place of a struct whose fields are all zero.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) explicit: bool,
    /// Whether the field has one value, neither repeated nor absent.
    pub(super) single: bool,
}

impl Position for Field {
    fn number(
        self,
        out: &mut MessageBuffer<'_>,
        wire: Wire,
        zero: bool,
        put: impl FnOnce(&mut MessageBuffer<'_>),
    ) -> Result<()> {
        if self.explicit || !zero {
            put_tag(out, self.number, wire);
            put(out);
        }
        Ok(())
    }

    fn bytes(self, out: &mut MessageBuffer<'_>, bytes: &[u8]) -> Result<()> {
        if self.explicit || !bytes.is_empty() {
            put_bytes(out, self.number, bytes);
        }
        Ok(())
    }

    fn text(self, out: &mut MessageBuffer<'_>, text: &str, zero: bool) -> Result<()> {
        if self.explicit || !zero {
            put_bytes(out, self.number, text.as_bytes());
        }
        Ok(())
    }

    fn message(self, out: &mut MessageBuffer<'_>) -> Result<Option<Open>> {
        Ok(Some(Open::new(out, self.number)))
    }

    fn slot(self) -> (u32, bool) {
        (self.number, self.single)
    }
}

pub(super) fn put_bytes(out: &mut MessageBuffer<'_>, number: u32, bytes: &[u8]) {
    put_tag(out, number, Wire::Len);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A record whose content is being written and whose length is not known yet.
pub(super) struct Open {
    content: usize,
}

impl Open {
    pub(super) fn new(out: &mut MessageBuffer<'_>, number: u32) -> Self {
        put_tag(out, number, Wire::Len);
        out.push(0);
        Self { content: out.len() }
    }

    pub(super) fn close(self, out: &mut MessageBuffer<'_>) {
        let length = out.len() - self.content;
        match u8::try_from(length) {
            Ok(short @ ..0x80) => out[self.content - 1] = short,
            _ => self.close_long(out, length),
        }
    }

    /// Writes the length behind the content, and then moves it to the front, where its first byte has its place.
    fn close_long(self, out: &mut MessageBuffer<'_>, length: usize) {
        let end = out.len();
        put_varint(out, length as u64);
        if out.is_full() {
            return;
        }
        out[self.content - 1] = out[end];
        let last = out.len() - 1;
        out[self.content..].rotate_right(last - end);
        out.truncate(last);
    }
}

pub(super) struct Element<'a> {
    pub(super) number: u32,
    pub(super) packed: &'a mut Option<Open>,
    /// Whether the list is in a message of its own, which is bytes if the elements are bytes.
    pub(super) wrapped: bool,
}

impl Element<'_> {
    /// Writes a number into the record that the numbers of the list share.
    fn put_packed(self, out: &mut MessageBuffer<'_>, put: impl FnOnce(&mut MessageBuffer<'_>)) {
        self.packed.get_or_insert_with(|| Open::new(out, self.number));
        put(out);
    }

    /// Rejects anything but numbers behind numbers, whose record is still open.
    fn check_not_packed(&self) -> Result<()> {
        if self.packed.is_some() { Err(MIXED) } else { Ok(()) }
    }
}

impl Position for Element<'_> {
    fn number(
        self,
        out: &mut MessageBuffer<'_>,
        _wire: Wire,
        _zero: bool,
        put: impl FnOnce(&mut MessageBuffer<'_>),
    ) -> Result<()> {
        self.put_packed(out, put);
        Ok(())
    }

    fn bytes(self, out: &mut MessageBuffer<'_>, bytes: &[u8]) -> Result<()> {
        self.check_not_packed()?;
        put_bytes(out, self.number, bytes);
        Ok(())
    }

    fn text(self, out: &mut MessageBuffer<'_>, text: &str, _zero: bool) -> Result<()> {
        self.bytes(out, text.as_bytes())
    }

    fn message(self, out: &mut MessageBuffer<'_>) -> Result<Option<Open>> {
        self.check_not_packed()?;
        Ok(Some(Open::new(out, self.number)))
    }

    fn slot(self) -> (u32, bool) {
        (self.number, true)
    }

    fn byte(self, out: &mut MessageBuffer<'_>, byte: u8) -> Result<()> {
        if !self.wrapped {
            self.packed.get_or_insert_with(|| Open::new(out, self.number));
        }
        out.push(byte);
        Ok(())
    }
}
