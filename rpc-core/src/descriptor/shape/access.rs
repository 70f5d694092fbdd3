//! What is inside a value without input: its elements, entries and variants.

use serde::de::{
    self, DeserializeSeed, IntoDeserializer, Visitor,
    value::{StrDeserializer, U32Deserializer},
};

use super::{
    tracer::{Reader, Tracer, Untraceable},
    types::{Container, Field, Shape},
};

impl Tracer {
    /// Reads the fields `names` in order, or in a survey by their names.
    pub(super) fn fields<'de, V: Visitor<'de>>(
        &mut self,
        names: &[&str],
        visitor: V,
    ) -> Result<(V::Value, Vec<Field>), Untraceable> {
        if self.survey.is_some() { self.fields_by_name(names, visitor) } else { self.fields_in_order(names, visitor) }
    }

    fn fields_in_order<'de, V: Visitor<'de>>(
        &mut self,
        names: &[&str],
        visitor: V,
    ) -> Result<(V::Value, Vec<Field>), Untraceable> {
        let mut fields = Vec::new();
        let value = visitor.visit_seq(Elements { tracer: self, names: names.iter(), fields: &mut fields })?;
        Ok((value, fields))
    }

    /// Reads the fields `names` without those that can't be read.
    pub(super) fn fields_by_name<'de, V: Visitor<'de>>(
        &mut self,
        names: &[&str],
        visitor: V,
    ) -> Result<(V::Value, Vec<Field>), Untraceable> {
        let mut fields = Vec::new();
        let elements = Elements { tracer: self, names: names.iter(), fields: &mut fields };
        let value = visitor.visit_map(ByName { elements, name: "" })?;
        Ok((value, fields))
    }

    pub(super) fn elements<'de, V: Visitor<'de>>(
        &mut self,
        count: usize,
        visitor: V,
    ) -> Result<(V::Value, Vec<Shape>), Untraceable> {
        let names: Vec<String> = (0..count).map(|at| at.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (value, fields) = self.fields_in_order(&names, visitor)?;
        Ok((value, fields.into_iter().map(|field| field.shape).collect()))
    }
}

/// A fixed number of values, one per name.
struct Elements<'a, 'n> {
    tracer: &'a mut Tracer,
    names: std::slice::Iter<'n, &'n str>,
    fields: &'a mut Vec<Field>,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, '_> {
    type Error = Untraceable;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Untraceable> {
        let Some(name) = self.names.next() else { return Ok(None) };
        self.read(name, seed).map(Some)
    }
}

impl Elements<'_, '_> {
    fn read<'de, T: DeserializeSeed<'de>>(&mut self, name: &str, seed: T) -> Result<T::Value, Untraceable> {
        self.tracer.path.push(format!(".{name}"));
        let mut shape = None;
        let value = seed.deserialize(Reader { tracer: self.tracer, shape: &mut shape })?;
        self.tracer.path.pop();
        self.fields.push(Field { name: name.to_owned(), shape: self.tracer.known(shape) });
        Ok(value)
    }
}

/// The same values by name, without those that can't be read.
struct ByName<'a, 'n> {
    elements: Elements<'a, 'n>,
    name: &'n str,
}

impl<'de> de::MapAccess<'de> for ByName<'_, '_> {
    type Error = Untraceable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Untraceable> {
        let Elements { tracer, names, .. } = &mut self.elements;
        let name = names.find(|name| !tracer.is_closed(&format!(".{name}")));
        tracer.note_name(name.map(|name| format!(".{name}")).as_deref());
        let Some(name) = name else { return Ok(None) };
        self.name = name;
        let key: StrDeserializer<'_, Untraceable> = self.name.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Untraceable> {
        self.elements.tracer.note_name(None);
        self.elements.read(self.name, seed)
    }
}

/// One element of a list, or none.
pub(super) struct Once<'a> {
    pub(super) reader: Option<Reader<'a>>,
}

impl<'de> de::SeqAccess<'de> for Once<'_> {
    type Error = Untraceable;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Untraceable> {
        self.reader.take().map(|reader| seed.deserialize(reader)).transpose()
    }
}

/// One entry of a map, or none.
pub(super) struct Entry<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) given: bool,
    pub(super) key: &'a mut Option<Shape>,
    pub(super) value: &'a mut Option<Shape>,
}

impl<'de> de::MapAccess<'de> for Entry<'_> {
    type Error = Untraceable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Untraceable> {
        if std::mem::replace(&mut self.given, true) {
            return Ok(None);
        }
        seed.deserialize(Reader { tracer: self.tracer, shape: self.key }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Untraceable> {
        if let Some(key) = &*self.key {
            self.tracer.note_key(key);
        }
        seed.deserialize(Reader { tracer: self.tracer, shape: self.value })
    }
}

/// One variant of an enum.
pub(super) struct OneVariant<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) index: u32,
    pub(super) content: &'a mut Container,
}

impl<'de> de::EnumAccess<'de> for OneVariant<'_> {
    type Error = Untraceable;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Untraceable> {
        let index: U32Deserializer<Untraceable> = self.index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for OneVariant<'_> {
    type Error = Untraceable;

    fn unit_variant(self) -> Result<(), Untraceable> {
        *self.content = Container::Unit;
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Untraceable> {
        let mut shape = None;
        let value = seed.deserialize(Reader { tracer: self.tracer, shape: &mut shape })?;
        *self.content = Container::Newtype(self.tracer.known(shape));
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Untraceable> {
        let (value, elements) = self.tracer.elements(len, visitor)?;
        *self.content = Container::Tuple(elements);
        Ok(value)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        let (value, fields) = self.tracer.fields(names, visitor)?;
        *self.content = Container::Struct(fields);
        Ok(value)
    }
}
