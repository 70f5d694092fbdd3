//! Values of several parts: the fields of a message, the elements of a list, the entries of a map.

use serde::ser::{self, Serialize};

use super::{
    super::{
        enums::Output,
        error::{Error, Result},
    },
    position::{At, Element, FIRST, Field, Open, Position},
};

/// The fields of a message, in order.
pub(super) struct Fields<'a, 'b> {
    pub(super) out: &'a mut Output<'b>,
    pub(super) number: u32,
    pub(super) open: Option<Open>,
}

impl<'a, 'b> Fields<'a, 'b> {
    pub(super) fn begin(out: &'a mut Output<'b>, position: impl Position) -> Result<Self> {
        let open = position.message(out)?;
        Ok(Self { out, number: 0, open })
    }

    pub(super) fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.number += 1;
        value.serialize(At { out: self.out, position: Field { number: self.number, ..FIRST } })
    }

    pub(super) fn skip(&mut self) {
        self.number += 1;
    }

    pub(super) fn close(self) -> &'a mut Output<'b> {
        if let Some(open) = self.open {
            open.close(self.out);
        }
        self.out
    }
}

impl ser::SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _name: &'static str, value: &T) -> Result<()> {
        self.put(value)
    }

    fn skip_field(&mut self, _name: &'static str) -> Result<()> {
        self.skip();
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.put(value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.put(value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

/// The elements of a list. Numbers are packed into one record; each other value has a record of its own.
pub(super) struct Elements<'a, 'b> {
    pub(super) out: &'a mut Output<'b>,
    pub(super) number: u32,
    /// The record of the numbers.
    pub(super) packed: Option<Open>,
    /// The message around the list, where proto3 has no list by itself. It is bytes if the elements are bytes.
    pub(super) wrapper: Option<Open>,
}

impl<'a, 'b> Elements<'a, 'b> {
    pub(super) fn begin(out: &'a mut Output<'b>, position: impl Position) -> Self {
        let (number, wrapper) = position.open_slot(out);
        Self { out, number, packed: None, wrapper }
    }
}

impl ser::SerializeSeq for Elements<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let position = Element { number: self.number, packed: &mut self.packed, wrapped: self.wrapper.is_some() };
        value.serialize(At { out: self.out, position })
    }

    fn end(self) -> Result<()> {
        for open in [self.packed, self.wrapper].into_iter().flatten() {
            open.close(self.out);
        }
        Ok(())
    }
}

/// The entries of a map: each is a message of key and value.
pub(super) struct Entries<'a, 'b> {
    pub(super) out: &'a mut Output<'b>,
    pub(super) number: u32,
    pub(super) entry: Option<Open>,
    /// The message around the map, where proto3 has no map by itself.
    pub(super) wrapper: Option<Open>,
}

impl<'a, 'b> Entries<'a, 'b> {
    pub(super) fn begin(out: &'a mut Output<'b>, position: impl Position) -> Self {
        let (number, wrapper) = position.open_slot(out);
        Self { out, number, entry: None, wrapper }
    }
}

impl ser::SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.entry = Some(Open::new(self.out, self.number));
        key.serialize(At { out: self.out, position: FIRST })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(At { out: self.out, position: Field { number: 2, explicit: false, single: true } })?;
        if let Some(entry) = self.entry.take() {
            entry.close(self.out);
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        if let Some(open) = self.wrapper {
            open.close(self.out);
        }
        Ok(())
    }
}
