//! The reading half of a trace: a deserializer that has no input, gives every type what it asks for, and notes what that
//! was.

use std::collections::BTreeMap;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, Visitor, value::U32Deserializer},
    forward_to_deserialize_any,
};

use super::{
    Container, Field, Shape,
    trace::{Tracer, Untraceable},
};

/// Deeper than any sensible type.
const MAX_DEPTH: usize = 64;

/// Reads one value and leaves its shape in `shape`.
pub(super) struct Reader<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) shape: &'a mut Option<Shape>,
}

impl Reader<'_> {
    fn inner<'b>(&'b mut self, shape: &'b mut Option<Shape>) -> Reader<'b> {
        Reader { tracer: self.tracer, shape }
    }

    /// Reads the inside of the named type `name` with `read`.
    fn named<V>(
        self,
        name: &'static str,
        read: impl FnOnce(&mut Tracer) -> Result<(V, Container), Untraceable>,
    ) -> Result<V, Untraceable> {
        if self.tracer.open.len() == MAX_DEPTH {
            return Err(Untraceable(format!("its types nest more than {MAX_DEPTH} deep")));
        }
        if self.tracer.path.is_empty() {
            self.tracer.path.push(name.to_owned());
        }
        self.tracer.open.push(name);
        let (value, container) = read(self.tracer)?;
        if !self.tracer.is_recursive() {
            self.tracer.keep(name, container)?;
        }
        self.tracer.open.pop();
        if self.tracer.open.is_empty() {
            self.tracer.path.clear();
        }
        *self.shape = Some(Shape::Named(name.to_owned()));
        Ok(value)
    }
}

impl Tracer {
    /// Reads `fields` in order through `visit`.
    fn fields<'de, V: Visitor<'de>>(
        &mut self,
        names: &[&str],
        visitor: V,
    ) -> Result<(V::Value, Vec<Field>), Untraceable> {
        let mut fields = Vec::new();
        let value = visitor.visit_seq(Elements { tracer: self, names: names.iter(), fields: &mut fields })?;
        Ok((value, fields))
    }

    fn elements<'de, V: Visitor<'de>>(
        &mut self,
        count: usize,
        visitor: V,
    ) -> Result<(V::Value, Vec<Shape>), Untraceable> {
        let names: Vec<String> = (0..count).map(|at| at.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (value, fields) = self.fields(&names, visitor)?;
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
        self.tracer.path.push(format!(".{name}"));
        let mut shape = None;
        let value = seed.deserialize(Reader { tracer: self.tracer, shape: &mut shape })?;
        self.tracer.path.pop();
        self.fields.push(Field { name: (*name).to_owned(), shape: shape.unwrap_or(Shape::Unit) });
        Ok(Some(value))
    }
}

/// One element of a list, or none.
struct Once<'a> {
    reader: Option<Reader<'a>>,
}

impl<'de> de::SeqAccess<'de> for Once<'_> {
    type Error = Untraceable;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Untraceable> {
        self.reader.take().map(|reader| seed.deserialize(reader)).transpose()
    }
}

/// One entry of a map, or none.
struct Entry<'a> {
    tracer: &'a mut Tracer,
    given: bool,
    key: &'a mut Option<Shape>,
    value: &'a mut Option<Shape>,
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
        seed.deserialize(Reader { tracer: self.tracer, shape: self.value })
    }
}

/// One variant of an enum.
struct OneVariant<'a> {
    tracer: &'a mut Tracer,
    index: u32,
    content: &'a mut Container,
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
        *self.content = Container::Newtype(shape.unwrap_or(Shape::Unit));
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

/// Scalars: note the shape, give the sample.
macro_rules! scalars {
    ($($deserialize:ident $shape:ident $visit:ident $sample:expr;)+) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
            *self.shape = Some(Shape::$shape);
            let sample: fn(&Tracer) -> _ = $sample;
            visitor.$visit(sample(self.tracer))
        })+
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Untraceable;

    scalars! {
        deserialize_bool Bool visit_bool |_| false;
        deserialize_i8 I8 visit_i8 |tracer| i8::from(tracer.number != 0);
        deserialize_i16 I16 visit_i16 |tracer| tracer.number.into();
        deserialize_i32 I32 visit_i32 |tracer| tracer.number.into();
        deserialize_i64 I64 visit_i64 |tracer| tracer.number.into();
        deserialize_i128 I128 visit_i128 |tracer| tracer.number.into();
        deserialize_u8 U8 visit_u8 |tracer| tracer.number;
        deserialize_u16 U16 visit_u16 |tracer| tracer.number.into();
        deserialize_u32 U32 visit_u32 |tracer| tracer.number.into();
        deserialize_u64 U64 visit_u64 |tracer| tracer.number.into();
        deserialize_u128 U128 visit_u128 |tracer| tracer.number.into();
        deserialize_f32 F32 visit_f32 |tracer| tracer.number.into();
        deserialize_f64 F64 visit_f64 |tracer| tracer.number.into();
        deserialize_char Char visit_char |_| 'a';
        deserialize_str String visit_str |tracer| tracer.text;
        deserialize_string String visit_str |tracer| tracer.text;
        deserialize_bytes Bytes visit_bytes |_| &[];
        deserialize_byte_buf Bytes visit_bytes |_| &[];
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        *self.shape = Some(Shape::Unit);
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Untraceable> {
        let mut inner = None;
        let value = if self.tracer.is_recursive() {
            visitor.visit_none()?
        } else {
            visitor.visit_some(self.inner(&mut inner))?
        };
        *self.shape = Some(Shape::Option(Box::new(inner.unwrap_or(Shape::Unit))));
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Untraceable> {
        let mut element = None;
        let recursive = self.tracer.is_recursive();
        self.tracer.path.push("[]".to_owned());
        let reader = self.inner(&mut element);
        let value = visitor.visit_seq(Once { reader: (!recursive).then_some(reader) })?;
        self.tracer.path.pop();
        *self.shape = Some(Shape::Seq(Box::new(element.unwrap_or(Shape::Unit))));
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        let (mut key, mut value) = (None, None);
        let given = self.tracer.is_recursive();
        self.tracer.path.push("{}".to_owned());
        let map = visitor.visit_map(Entry { tracer: self.tracer, given, key: &mut key, value: &mut value })?;
        self.tracer.path.pop();
        let unknown = |shape: Option<Shape>| Box::new(shape.unwrap_or(Shape::Unit));
        *self.shape = Some(Shape::Map(unknown(key), unknown(value)));
        Ok(map)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Untraceable> {
        let (value, elements) = self.tracer.elements(len, visitor)?;
        *self.shape = Some(Shape::Tuple(elements));
        Ok(value)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Untraceable> {
        self.named(name, |_| Ok((visitor.visit_unit()?, Container::Unit)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.named(name, |tracer| {
            let mut shape = None;
            let value = visitor.visit_newtype_struct(Reader { tracer, shape: &mut shape })?;
            Ok((value, Container::Newtype(shape.unwrap_or(Shape::Unit))))
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.named(name, |tracer| tracer.elements(len, visitor).map(|(value, all)| (value, Container::Tuple(all))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.named(name, |tracer| tracer.fields(names, visitor).map(|(value, all)| (value, Container::Struct(all))))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.named(name, |tracer| {
            let index = tracer.choose(name, names);
            let mut content = Container::Unit;
            let value = visitor.visit_enum(OneVariant { tracer, index, content: &mut content })?;
            tracer.finish_variant(name, index, content);
            Ok((value, Container::Enum(BTreeMap::new())))
        })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Untraceable> {
        Err(Untraceable("it decodes from self-describing formats only (flatten, untagged, tag, any value)".to_owned()))
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    forward_to_deserialize_any! { identifier ignored_any }
}
