//! A `<value>` that is about to be read.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    error::{Error, Kind},
    parser::{Parser, Tag, is_blank},
};

/// The text of a `<value>`, to be read later. It is well-formed; nothing else was checked.
#[derive(Default, Deserialize)]
#[serde(rename = "$everywire::xmlrpc::RawValue")]
pub(crate) struct RawValue<'a>(pub(crate) &'a str);

/// By this name the deserializer knows [`RawValue`].
pub(super) const RAW_VALUE: &str = "$everywire::xmlrpc::RawValue";

/// The `<value>` that comes next.
pub(crate) struct Value<'p, 'de> {
    pub(super) parser: &'p mut Parser<'de>,
    /// What stands in the element, if its start was taken already.
    pub(super) content: Option<Content<'de>>,
}

pub(super) enum Content<'de> {
    /// Text without a type, to the end of the element: a string.
    Untyped(Cow<'de, str>),
    /// The start of the element that names the type.
    Typed(Tag),
}

impl<'p, 'de> Value<'p, 'de> {
    /// The `<value>` at which `parser` stands.
    pub(crate) fn new(parser: &'p mut Parser<'de>) -> Self {
        Self { parser, content: None }
    }

    /// Takes the start of the element, up to what names its type.
    pub(super) fn content(&mut self) -> Result<Content<'de>, Error> {
        if let Some(content) = self.content.take() {
            return Ok(content);
        }
        self.parser.open(Tag::Value)?;
        let text = self.parser.text()?;
        match self.parser.open_or_close()? {
            None => Ok(Content::Untyped(text)),
            Some(tag) if is_blank(&text) => Ok(Content::Typed(tag)),
            Some(_) => Err(Error::new(Kind::Structure, "text next to an element in a value")),
        }
    }

    /// The value, if it is an array.
    pub(super) fn if_array(mut self) -> Result<Option<Self>, Error> {
        let content = self.content()?;
        let is_array = matches!(content, Content::Typed(Tag::Array));
        Ok(is_array.then_some(Self { content: Some(content), ..self }))
    }
}
