//! Writing values that hold others.

use everywire_core::wire::MessageBuffer;
use serde::{
    Serialize,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{
    error::Error,
    nil::{NIL, Nil},
    writer::Writer,
};

/// An array, a struct or a call's arguments, as far as it is written.
pub(crate) struct Compound<'a, 'b> {
    out: &'a mut MessageBuffer<'b>,
    nil: Nil,
    end: &'static str,
    /// For arguments: how much of `out` stays if all that follow are nil.
    kept: Option<usize>,
}

impl<'a, 'b> Compound<'a, 'b> {
    /// What follows a start that is written already; `end` closes it.
    pub(super) fn new(out: &'a mut MessageBuffer<'b>, nil: Nil, end: &'static str) -> Self {
        Self { out, nil, end, kept: None }
    }

    /// A call's arguments.
    pub(super) fn params(out: &'a mut MessageBuffer<'b>) -> Self {
        let kept = Some(out.len());
        Self { out, nil: Nil::Written, end: "", kept }
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if self.kept.is_none() {
            return value.serialize(Writer::value(self.out, self.nil));
        }
        self.push("<param>");
        let is_nil = self.value(value)?;
        self.push("</param>");
        if !is_nil {
            self.kept = Some(self.out.len());
        }
        Ok(())
    }

    fn name<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Error> {
        self.push("<member><name>");
        name.serialize(Writer::name(self.out))?;
        self.push("</name>");
        Ok(())
    }

    /// Writes the value of a member, whose name is written, and ends it.
    pub(super) fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.value(value)?;
        self.push("</member>");
        Ok(())
    }

    /// Writes a value, and returns whether it is nil.
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<bool, Error> {
        let start = self.out.len();
        value.serialize(Writer::value(self.out, self.nil))?;
        Ok(&self.out[start..] == NIL.as_bytes())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        if self.kept.is_some() {
            return self.element(value);
        }
        let start = self.out.len();
        self.name(name)?;
        if self.value(value)? && self.nil == Nil::LeftOut {
            self.out.truncate(start);
        } else {
            self.push("</member>");
        }
        Ok(())
    }

    pub(super) fn finish(self) {
        self.out.truncate(self.kept.unwrap_or(usize::MAX));
        self.out.extend_from_slice(self.end.as_bytes());
    }
}

/// Arrays of all kinds.
macro_rules! compound_of_elements {
    ($($trait:ident $method:ident)+) => {
        $(impl $trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish();
                Ok(())
            }
        })+
    };
}

/// Structs of both kinds.
macro_rules! compound_of_fields {
    ($($trait:ident)+) => {
        $(impl $trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish();
                Ok(())
            }
        })+
    };
}

compound_of_elements! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}
compound_of_fields! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if self.kept.is_some() { Err(Error::custom("arguments have positions, not keys")) } else { self.name(key) }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.member(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}
