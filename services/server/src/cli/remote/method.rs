//! What a server says of a method: the same for every wire.

use std::fmt;

use everywire::descriptor::{self, shape::Shape};
use serde_json::Value;

use crate::cli::printable;

/// A method of a server.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Method {
    pub(in crate::cli) name: String,
    pub(in crate::cli) parameters: Vec<Parameter>,
    /// Whether the server says what the parameters are. Without, the list is empty and means nothing.
    pub(in crate::cli) is_described: bool,
    /// Whether a request must name its arguments.
    pub(in crate::cli) only_by_name: bool,
    /// The type of the reply, or of its items.
    pub(in crate::cli) reply: Option<String>,
    /// Whether it is known to reply with a stream.
    pub(in crate::cli) streams: bool,
    pub(in crate::cli) docs: String,
}

/// One parameter of a method.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::cli) struct Parameter {
    /// Its name, on wires that have names.
    pub(in crate::cli) name: Option<String>,
    /// Its type in the wire's own words.
    pub(in crate::cli) r#type: Option<String>,
    /// Whether it is text, so that a word of the command line is its value as it stands.
    pub(in crate::cli) is_text: bool,
    /// Whether a call may leave it out.
    pub(in crate::cli) is_optional: bool,
    /// Its value in a call that leaves it out.
    pub(in crate::cli) default: Option<Value>,
}

impl Method {
    /// A method of which only the name is known.
    pub(in crate::cli) fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parameters: Vec::new(),
            is_described: false,
            only_by_name: false,
            reply: None,
            streams: false,
            docs: String::new(),
        }
    }

    /// A method of a service that this program knows.
    pub(in crate::cli) fn of(method: &descriptor::Method) -> Self {
        Self {
            parameters: method.arguments().iter().map(Parameter::of).collect(),
            is_described: true,
            reply: Some(method.reply().rust().to_owned()),
            streams: method.streams(),
            docs: method.docs().to_owned(),
            ..Self::named(method.name())
        }
    }

    /// Whether the parameters have the names of the arguments of `method`.
    pub(in crate::cli) fn has_names_of(&self, method: &descriptor::Method) -> bool {
        let names = self.parameters.iter().map(|parameter| parameter.name.as_deref());
        names.eq(method.arguments().iter().map(|argument| Some(argument.name())))
    }

    /// Whether the parameters and their names are known.
    pub(in crate::cli) fn has_names(&self) -> bool {
        !self.parameters.is_empty() && self.parameters.iter().all(|parameter| parameter.name.is_some())
    }

    /// The parameter with this name.
    pub(in crate::cli) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name.as_deref() == Some(name))
    }

    /// The method in one line, such as `add(a: int, b?: int) -> int`.
    pub(in crate::cli) fn signature(&self) -> String {
        let reply = self.reply.as_ref().map(|reply| format!(" -> {reply}")).unwrap_or_default();
        if !self.is_described {
            return format!("{}(…){reply}", self.name);
        }
        let parameters: Vec<_> = self.parameters.iter().map(ToString::to_string).collect();
        format!("{}({}){reply}", self.name, parameters.join(", "))
    }
}

impl Parameter {
    fn of(argument: &descriptor::Argument) -> Self {
        let is_text = argument.r#type().shape().is_ok_and(|shape| match shape {
            Shape::Option(inner) => is_text(inner),
            shape => is_text(shape),
        });
        Self {
            name: Some(argument.name().to_owned()),
            r#type: Some(argument.r#type().rust().to_owned()),
            is_text,
            is_optional: argument.is_optional(),
            default: None,
        }
    }
}

fn is_text(shape: &Shape) -> bool {
    matches!(shape, Shape::String | Shape::Char)
}

/// One method after the other, with a line between those that have documentation.
pub(in crate::cli) fn list(methods: &[Method]) -> String {
    let has_docs = methods.iter().any(|method| !method.docs.trim().is_empty());
    let methods: Vec<_> = methods.iter().map(Method::to_string).collect();
    printable(&methods.join(if has_docs { "\n" } else { "" }))
}

/// The signature, and the documentation below it.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.signature())?;
        let lines = self.docs.trim().lines();
        lines.into_iter().try_for_each(|line| writeln!(f, "{}", format!("    {}", line.trim_end()).trim_end()))
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_optional && self.default.is_none() { "?" } else { "" };
        match (&self.name, &self.r#type) {
            (Some(name), Some(r#type)) => write!(f, "{name}{mark}: {type}"),
            (Some(name), None) => write!(f, "{name}{mark}"),
            (None, Some(r#type)) => write!(f, "{type}{mark}"),
            (None, None) => f.write_str("?"),
        }?;
        self.default.iter().try_for_each(|default| write!(f, " = {default}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_shown_in_one_line_with_its_documentation_below() {
        let parameter = |name: &str| Parameter { name: Some(name.to_owned()), ..Parameter::default() };
        let method = Method {
            parameters: vec![
                Parameter { r#type: Some("int".to_owned()), ..parameter("a") },
                Parameter { is_optional: true, ..parameter("b") },
                Parameter { is_optional: true, default: Some(3.into()), ..parameter("c") },
                Parameter { r#type: Some("string".to_owned()), ..Parameter::default() },
            ],
            is_described: true,
            reply: Some("int".to_owned()),
            docs: "\nAdds.\n\n  Twice.\n".to_owned(),
            ..Method::named("add")
        };
        assert_eq!(method.to_string(), "add(a: int, b?, c = 3, string) -> int\n    Adds.\n\n      Twice.\n");
        let bare = Method::named("a\x1B[2Jdd");
        assert_eq!(list(&[bare.clone(), bare]), "a\u{FFFD}[2Jdd(…)\na\u{FFFD}[2Jdd(…)\n", "no control characters");
    }
}
