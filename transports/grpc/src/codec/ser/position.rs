//! The positions that a value can have in a message, and how it is written at each.

use everywire_core::wire::MessageBuffer;

use super::super::{
    error::{Error, NESTED, Result, UNIT},
    wire::{Wire, put_tag, put_varint},
};

/// The serializer of a value at one position in a message.
pub(super) struct At<'a, 'b, P> {
    pub(super) out: &'a mut MessageBuffer<'b>,
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
    /// Begins a message; the whole message needs no beginning.
    fn message(self, out: &mut MessageBuffer<'_>) -> Result<Option<Open>>;
    fn unit(self) -> Result<()>;
    /// The number of the field that a list goes to, and whether only bytes may be in it.
    fn list(self) -> Result<(u32, bool)>;
    /// The field that a map or the content of an `Option` goes to.
    fn field(self, otherwise: Error) -> Result<Field>;

    /// A `u8` alone is a uint32; in a list it is one of its bytes.
    fn byte(self, out: &mut MessageBuffer<'_>, byte: u8) -> Result<()> {
        self.number(out, Wire::Varint, byte == 0, |out| put_varint(out, byte.into()))
    }
}

/// A whole message. A value that is not a message becomes field 1 of one.
pub(super) struct Message;

pub(super) const FIRST: Field = Field { number: 1, explicit: false };

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

    fn message(self, _out: &mut MessageBuffer<'_>) -> Result<Option<Open>> {
        Ok(None)
    }

    fn unit(self) -> Result<()> {
        Ok(())
    }

    fn list(self) -> Result<(u32, bool)> {
        FIRST.list()
    }

    fn field(self, _otherwise: Error) -> Result<Field> {
        Ok(FIRST)
    }
}

/// A field. With explicit presence, its zero value is written too. Messages always have presence, because clients in
/// languages with null would otherwise find null in place of a struct whose fields are all zero.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) explicit: bool,
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

    fn message(self, out: &mut MessageBuffer<'_>) -> Result<Option<Open>> {
        Ok(Some(Open::new(out, self.number)))
    }

    fn unit(self) -> Result<()> {
        Err(UNIT)
    }

    fn list(self) -> Result<(u32, bool)> {
        Ok((self.number, self.explicit))
    }

    fn field(self, _otherwise: Error) -> Result<Field> {
        Ok(self)
    }
}

impl Field {
    /// Rejects what can't be inside an `Option`.
    pub(super) fn implicit(self) -> Result<Self> {
        if self.explicit { Err(NESTED) } else { Ok(self) }
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
    pub(super) only_bytes: bool,
}

impl Element<'_> {
    /// Writes a number into the record that the numbers of the list share.
    fn put_packed(self, out: &mut MessageBuffer<'_>, put: impl FnOnce(&mut MessageBuffer<'_>)) {
        self.packed.get_or_insert_with(|| Open::new(out, self.number));
        put(out);
    }

    /// Rejects anything but bytes where only bytes are allowed.
    fn check_allowed(&self) -> Result<()> {
        if self.only_bytes { Err(NESTED) } else { Ok(()) }
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
        self.check_allowed()?;
        self.put_packed(out, put);
        Ok(())
    }

    fn bytes(self, out: &mut MessageBuffer<'_>, bytes: &[u8]) -> Result<()> {
        self.check_allowed()?;
        put_bytes(out, self.number, bytes);
        Ok(())
    }

    fn message(self, out: &mut MessageBuffer<'_>) -> Result<Option<Open>> {
        self.check_allowed()?;
        Ok(Some(Open::new(out, self.number)))
    }

    fn unit(self) -> Result<()> {
        Err(UNIT)
    }

    fn list(self) -> Result<(u32, bool)> {
        self.check_allowed()?;
        Ok((self.number, true))
    }

    fn field(self, otherwise: Error) -> Result<Field> {
        Err(otherwise)
    }

    fn byte(self, out: &mut MessageBuffer<'_>, byte: u8) -> Result<()> {
        self.put_packed(out, |out| out.push(byte));
        Ok(())
    }
}
