//! A `FileDescriptorProto` as the text of a `.proto` file.

use std::fmt::Write;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodOptions,
    OneofDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use super::comments::{ENUM, MEMBER, MESSAGE, SERVICE};

pub(super) fn print(file: &FileDescriptorProto) -> String {
    let mut text = String::from(HEADER);
    if file.package.is_some() {
        let _ = writeln!(text, "\npackage {};", file.package());
    }
    let mut printer = Printer { file, text };
    for (index, service) in (0..).zip(&file.service) {
        printer.service(&[SERVICE, index], service);
    }
    for (index, message) in (0..).zip(&file.message_type) {
        printer.message(&[MESSAGE, index], message);
    }
    for (index, r#enum) in (0..).zip(&file.enum_type) {
        printer.r#enum(&[ENUM, index], r#enum);
    }
    printer.text
}

const HEADER: &str = "\
// Written by everywire from the service's trait; do not edit.
// Numbers are the order of declaration there: append, and never insert, reorder or remove.

syntax = \"proto3\";
";

struct Printer<'a> {
    file: &'a FileDescriptorProto,
    text: String,
}

impl Printer<'_> {
    fn service(&mut self, path: &[i32], service: &ServiceDescriptorProto) {
        self.block(path, "service", service.name(), None, service.method.iter(), |file, method| {
            let input = visible(file, service, method.input_type());
            let output = visible(file, service, method.output_type());
            let stream = if method.server_streaming() { "stream " } else { "" };
            let rpc = format!("rpc {}({input}) returns ({stream}{output})", method.name());
            match method.options.as_ref().map(MethodOptions::idempotency_level) {
                Some(level) => format!("{rpc} {{ option idempotency_level = {}; }}", level.as_str_name()),
                None => format!("{rpc};"),
            }
        });
    }

    fn message(&mut self, path: &[i32], message: &DescriptorProto) {
        let oneof = oneof(message);
        self.block(path, "message", message.name(), oneof, message.field.iter(), |file, field| {
            format!("{} {} = {};", field_type(file, message, field), field.name(), field.number())
        });
    }

    fn r#enum(&mut self, path: &[i32], r#enum: &EnumDescriptorProto) {
        self.block(path, "enum", r#enum.name(), None, r#enum.value.iter(), |_, value| {
            format!("{} = {};", value.name(), value.number())
        });
    }

    fn block<T>(
        &mut self,
        path: &[i32],
        keyword: &str,
        name: &str,
        oneof: Option<&str>,
        members: impl ExactSizeIterator<Item = T>,
        line: impl Fn(&FileDescriptorProto, T) -> String,
    ) {
        self.text.push('\n');
        self.comment("", path);
        if members.len() == 0 {
            let _ = writeln!(self.text, "{keyword} {name} {{}}");
            return;
        }
        let _ = writeln!(self.text, "{keyword} {name} {{");
        let (indent, end) = match oneof {
            Some(oneof) => {
                let _ = writeln!(self.text, "  oneof {oneof} {{");
                ("    ", "  }\n}\n")
            }
            None => ("  ", "}\n"),
        };
        for (index, member) in (0..).zip(members) {
            self.comment(indent, &[path, &[MEMBER, index]].concat());
            let _ = writeln!(self.text, "{indent}{}", line(self.file, member));
        }
        self.text.push_str(end);
    }

    fn comment(&mut self, indent: &str, path: &[i32]) {
        let locations = self.file.source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations.filter(|location| location.path == path).flat_map(|it| it.leading_comments().lines());
        for line in comments {
            let _ = writeln!(self.text, "{}", format!("{indent}//{line}").trim_end());
        }
    }
}

/// The name of the `oneof` that has all fields of `message`.
fn oneof(message: &DescriptorProto) -> Option<&str> {
    let in_oneof = message.field.iter().any(|field| field.oneof_index.is_some() && !field.proto3_optional());
    message.oneof_decl.first().filter(|_| in_oneof).map(OneofDescriptorProto::name)
}

/// The type of a field and its label, as in `repeated uint32`.
pub(super) fn field_type(
    file: &FileDescriptorProto,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
) -> String {
    let entry = field.type_name().rsplit('.').next();
    let map = message.nested_type.iter().find(|nested| field.r#type() == Type::Message && Some(nested.name()) == entry);
    if let Some([key, value]) = map.map(|entry| &entry.field[..]) {
        return format!("map<{}, {}>", value_type(file, key), value_type(file, value));
    }
    let label = match field.label() {
        Label::Repeated => "repeated ",
        _ if field.proto3_optional() => "optional ",
        _ => "",
    };
    format!("{label}{}", value_type(file, field))
}

fn value_type(file: &FileDescriptorProto, field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => short(file, field.type_name()).to_owned(),
        kind => kind.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

/// The name by which `service` refers to a message: the full name where a method hides a message of the same name.
fn visible<'a>(file: &FileDescriptorProto, service: &ServiceDescriptorProto, full: &'a str) -> &'a str {
    let short = short(file, full);
    if service.method.iter().any(|method| method.name() == short) { full } else { short }
}

/// The name within the file of a full name such as `.everywire.v1.Permit`.
pub(super) fn short<'a>(file: &FileDescriptorProto, name: &'a str) -> &'a str {
    let name = name.trim_start_matches('.');
    name.strip_prefix(file.package()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name)
}
