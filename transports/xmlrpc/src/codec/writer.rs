//! The output of a value, and the form in which it is written.

use everywire_core::wire::MessageBuffer;

use super::nil::Nil;

/// Appends one value to `out`.
pub(crate) struct Writer<'a, 'b> {
    pub(super) out: &'a mut MessageBuffer<'b>,
    pub(super) form: Form,
    pub(super) nil: Nil,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A `<value>` element.
    Value,
    /// Text alone, for the name of a member.
    Name,
    /// A `<param>` element for each field or element: the arguments of a call.
    Params,
}

impl<'a, 'b> Writer<'a, 'b> {
    /// Writes a `<value>` element.
    pub(crate) fn value(out: &'a mut MessageBuffer<'b>, nil: Nil) -> Self {
        Self { out, form: Form::Value, nil }
    }

    /// Writes the name of a member.
    pub(super) fn name(out: &'a mut MessageBuffer<'b>) -> Self {
        Self { out, form: Form::Name, nil: Nil::Written }
    }

    /// Writes each field of a struct as a `<param>`. Trailing `None`s are left out: the spec itself has no nil, and a
    /// method may be written with default values.
    pub(crate) fn params(out: &'a mut MessageBuffer<'b>) -> Self {
        Self { out, form: Form::Params, nil: Nil::Written }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}
