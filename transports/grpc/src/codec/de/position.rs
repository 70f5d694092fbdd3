//! The positions that a value can have in a message, and how it is read from each.

use std::{borrow::Cow, marker::PhantomData};

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::{
    super::{
        enums::Scope,
        error::{ABSENT, Error, Result},
        wire::{Records, Wire, is_ordered, ordered},
    },
    list::{Elements, wrapped},
};

/// The deserializer of a whole message. A value that is not a message is in its field 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) scope: Scope<'a>,
    /// The role of its fields.
    role: Role,
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8], scope: Scope<'a>) -> Self {
        Self { bytes, scope, role: Role::Plain }
    }

    /// The message whose fields are the arguments of a call.
    pub(crate) fn arguments(bytes: &'a [u8], scope: Scope<'a>) -> Self {
        Self { role: Role::Argument, ..Self::new(bytes, scope) }
    }

    /// The bytes in the order of their fields.
    fn in_order(self, scope: Scope<'a>) -> Result<Cow<'a, [u8]>> {
        let bytes = self.bytes;
        Ok(if is_ordered(bytes, scope)? { Cow::Borrowed(bytes) } else { Cow::Owned(ordered(bytes, scope)?) })
    }

    pub(super) fn fields<'de, V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value> {
        let scope = self.scope.deeper()?;
        let bytes = self.in_order(scope)?;
        let records = Records::new(&bytes, scope)?;
        visitor.visit_seq(Fields { records, number: 0, count, role: self.role })
    }

    /// Hands field `number` to `read`.
    pub(super) fn field<T>(
        self,
        number: u32,
        role: Role,
        read: impl for<'r, 'm> FnOnce(Field<'r, 'm>) -> Result<T>,
    ) -> Result<T> {
        let mut records = Records::of_one_field(self.bytes, self.scope);
        read(Field { records: &mut records, number, role })
    }
}

/// The deserializer of a value at one position in a message.
pub(super) struct At<'a, P>(pub(super) P, PhantomData<&'a ()>);

impl<'a, P: Position<'a>> At<'a, P> {
    pub(super) fn new(position: P) -> Self {
        Self(position, PhantomData)
    }

    pub(super) fn fields<'de, V: Visitor<'de>>(mut self, count: usize, visitor: V) -> Result<V::Value> {
        let scope = self.0.scope();
        let bytes = self.0.message()?;
        Message::new(&bytes, scope).fields(count, visitor)
    }

    /// Reads a message without looking at what is in it.
    pub(super) fn empty(mut self) -> Result<()> {
        let scope = self.0.scope();
        is_ordered(self.0.payload(Ok)?, scope).map(|_ordered| ())
    }

    /// Hands the field of an `Option` or a map to `read`: the position itself, or, where proto3 has neither, field 1 of the
    /// message there.
    pub(super) fn slot<T>(mut self, read: impl for<'r, 'm> FnOnce(Field<'r, 'm>) -> Result<T>) -> Result<T> {
        if let Some(field) = self.0.field() {
            return read(field);
        }
        let scope = self.0.scope().deeper()?;
        let bytes = self.0.message()?;
        Message::new(&bytes, scope).field(1, Role::Plain, read)
    }
}

/// How many values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Any number of values: lists, maps and `Option`s are the field itself.
    Plain,
    /// The same, of an argument: it must be there if it is a message, whose zero value would be one that nobody sent.
    Argument,
    /// One value, such as the content of an `Option`: lists, maps and `Option`s are in a message of their own.
    Single,
}

/// What depends on the position: a field, which may be absent or occur several times, or an element of a list.
pub(super) trait Position<'a>: Sized {
    /// A number as its bits.
    fn number(&mut self, wire: Wire) -> Result<u64>;
    /// A `u8` alone is a uint32; in a list it is one of its bytes.
    fn byte(&mut self) -> Result<u64>;
    /// A string or bytes. Calls `read` for each occurrence.
    fn payload<T: Default>(&mut self, read: fn(&'a [u8]) -> Result<T>) -> Result<T>;
    fn message(&mut self) -> Result<Cow<'a, [u8]>>;
    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value>;
    /// The field that a map or the content of an `Option` is in, unless it is in a message of its own.
    fn field(&mut self) -> Option<Field<'_, 'a>>;
    fn scope(&self) -> Scope<'a>;
}

/// All occurrences of one field, which may be none.
pub(super) struct Field<'r, 'a> {
    pub(super) records: &'r mut Records<'a>,
    pub(super) number: u32,
    pub(super) role: Role,
}

impl<'a> Field<'_, 'a> {
    pub(super) fn find(&mut self) -> Result<Option<Wire>> {
        self.records.find(self.number)
    }

    /// The last occurrence, and all of them as one message: whether the field is bytes or a message is not known yet.
    fn undecided(&mut self) -> Result<(&'a [u8], Cow<'a, [u8]>)> {
        let (mut last, mut merged) = (&[][..], Cow::Borrowed(&[][..]));
        while self.find()?.is_some() {
            last = self.records.payload()?;
            merged = self.merge(merged, last).unwrap_or(Cow::Borrowed(NO_MESSAGE));
        }
        Ok((last, merged))
    }

    fn merge(&self, merged: Cow<'a, [u8]>, next: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        if merged.is_empty() {
            return Ok(Cow::Borrowed(next));
        }
        // Each occurrence must be a message by itself.
        if let Cow::Borrowed(first) = merged {
            is_ordered(first, self.records.scope)?;
        }
        is_ordered(next, self.records.scope)?;
        let mut merged = merged.into_owned();
        merged.extend_from_slice(next);
        Ok(Cow::Owned(merged))
    }
}

/// Bytes that are an error for whoever reads them as a message.
const NO_MESSAGE: &[u8] = &[0];

impl<'a> Position<'a> for Field<'_, 'a> {
    fn number(&mut self, wire: Wire) -> Result<u64> {
        let mut last = 0;
        while self.find()?.is_some() {
            last = self.records.number(wire)?;
        }
        Ok(last)
    }

    fn byte(&mut self) -> Result<u64> {
        self.number(Wire::Varint)
    }

    fn payload<T: Default>(&mut self, read: fn(&'a [u8]) -> Result<T>) -> Result<T> {
        let mut last = T::default();
        while self.find()?.is_some() {
            last = read(self.records.payload()?)?;
        }
        Ok(last)
    }

    fn message(&mut self) -> Result<Cow<'a, [u8]>> {
        if self.find()?.is_none() && self.role == Role::Argument {
            return Err(ABSENT);
        }
        let mut merged = Cow::Borrowed(&[][..]);
        while self.find()?.is_some() {
            let next = self.records.payload()?;
            merged = self.merge(merged, next)?;
        }
        Ok(merged)
    }

    fn list<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        if self.role != Role::Single {
            return visitor.visit_seq(Elements::of_field(self));
        }
        let (bytes, message) = self.undecided()?;
        wrapped(bytes, &message, self.records.scope, visitor)
    }

    fn field(&mut self) -> Option<Field<'_, 'a>> {
        (self.role != Role::Single).then_some(Field { records: self.records, ..*self })
    }

    fn scope(&self) -> Scope<'a> {
        self.records.scope
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(Error::custom)
}

/// The entries of a map: each is a message of key and value.
pub(super) struct Entries<'r, 'a> {
    pub(super) field: Field<'r, 'a>,
    pub(super) entry: &'a [u8],
}

impl Entries<'_, '_> {
    fn part<'de, T: DeserializeSeed<'de>>(&self, number: u32, role: Role, seed: T) -> Result<T::Value> {
        let entry = Message::new(self.entry, self.field.records.scope);
        entry.field(number, role, |field| seed.deserialize(At::new(field)))
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.field.find()?.is_none() {
            return Ok(None);
        }
        self.entry = self.field.records.payload()?;
        self.part(1, Role::Plain, seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.part(2, Role::Single, seed)
    }
}

/// The fields of a message, in order. An absent one reads as its zero value.
pub(super) struct Fields<'a> {
    pub(super) records: Records<'a>,
    pub(super) number: u32,
    pub(super) count: usize,
    pub(super) role: Role,
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.count == 0 {
            return Ok(None);
        }
        self.count -= 1;
        self.number += 1;
        let field = Field { records: &mut self.records, number: self.number, role: self.role };
        seed.deserialize(At::new(field)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count)
    }
}
