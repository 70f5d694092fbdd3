//! Enums with data: messages that have one of their fields.

use serde::ser::{self, Serialize};

use super::{
    super::{
        enums::Output,
        error::{Error, Result},
    },
    compound::Fields,
    position::{At, Field, Open, Position},
};

/// The field of the variant `index`.
fn member(index: u32) -> Field {
    Field { number: index + 1, explicit: true, single: true }
}

/// Writes an enum whose variant `index` carries nothing: its field is an empty message.
pub(super) fn put_unit(out: &mut Output<'_>, position: impl Position, index: u32) -> Result<()> {
    let open = position.message(out)?;
    put_empty(out, index + 1);
    close(open, out);
    Ok(())
}

pub(super) fn put_empty(out: &mut Output<'_>, number: u32) {
    Open::new(out, number).close(out);
}

/// Writes an enum whose variant `index` carries `value`.
pub(super) fn put_newtype<T: Serialize + ?Sized>(
    out: &mut Output<'_>,
    position: impl Position,
    index: u32,
    value: &T,
) -> Result<()> {
    let open = position.message(out)?;
    value.serialize(At { out, position: member(index) })?;
    close(open, out);
    Ok(())
}

/// Writes a message without fields.
pub(super) fn put_unit_message(out: &mut Output<'_>, position: impl Position) -> Result<()> {
    let open = position.message(out)?;
    close(open, out);
    Ok(())
}

fn close(open: Option<Open>, out: &mut Output<'_>) {
    if let Some(open) = open {
        open.close(out);
    }
}

/// The fields of a variant.
pub(super) struct Variant<'a, 'b> {
    fields: Fields<'a, 'b>,
    /// The enum itself.
    open: Option<Open>,
}

impl<'a, 'b> Variant<'a, 'b> {
    pub(super) fn begin(out: &'a mut Output<'b>, position: impl Position, index: u32) -> Result<Self> {
        let open = position.message(out)?;
        Ok(Self { fields: Fields::begin(out, member(index))?, open })
    }

    fn close(self) {
        close(self.open, self.fields.close());
    }
}

impl ser::SerializeStructVariant for Variant<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _name: &'static str, value: &T) -> Result<()> {
        self.fields.put(value)
    }

    fn skip_field(&mut self, _name: &'static str) -> Result<()> {
        self.fields.skip();
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleVariant for Variant<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.fields.put(value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}
