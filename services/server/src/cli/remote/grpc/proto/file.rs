//! One file as text.

use std::fmt::Write;

use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, FieldDescriptorProto, FileDescriptorProto, MessageOptions,
    MethodDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// The numbers of the lists in a `FileDescriptorProto` and in what it holds. They make up the paths of comments.
mod list {
    pub(super) const MESSAGES: i32 = 4;
    pub(super) const ENUMS: i32 = 5;
    pub(super) const SERVICES: i32 = 6;
    /// Of a message.
    pub(super) const NESTED_MESSAGES: i32 = 3;
    pub(super) const NESTED_ENUMS: i32 = 4;
    /// The fields of a message, the values of an enum, the methods of a service.
    pub(super) const MEMBERS: i32 = 2;
    pub(super) const ONEOFS: i32 = 8;
}

/// The text of `file`.
pub(super) fn print(file: &FileDescriptorProto) -> String {
    let mut printer = Printer { file, text: String::new(), depth: 0 };
    printer.head();
    for (index, service) in (0..).zip(&file.service) {
        printer.service(&[list::SERVICES, index], service);
    }
    for (index, message) in (0..).zip(&file.message_type) {
        printer.message(&[list::MESSAGES, index], message);
    }
    for (index, r#enum) in (0..).zip(&file.enum_type) {
        printer.r#enum(&[list::ENUMS, index], r#enum);
    }
    printer.text
}

struct Printer<'a> {
    file: &'a FileDescriptorProto,
    text: String,
    depth: usize,
}

impl Printer<'_> {
    fn head(&mut self) {
        let syntax = self.file.syntax.as_deref().unwrap_or("proto2");
        self.line(&format!("syntax = \"{syntax}\";"));
        if self.file.package.is_some() {
            self.line(&format!("\npackage {};", self.file.package()));
        }
        let mut gap = "\n";
        for import in &self.file.dependency {
            self.line(&format!("{gap}import \"{}\";", import.escape_default()));
            gap = "";
        }
    }

    fn service(&mut self, path: &[i32], service: &ServiceDescriptorProto) {
        self.block(path, &format!("service {}", service.name()), |printer| {
            for (index, method) in (0..).zip(&service.method) {
                printer.comment(&joined(path, list::MEMBERS, index));
                printer.line(&rpc(method));
            }
        });
    }

    fn message(&mut self, path: &[i32], message: &DescriptorProto) {
        self.block(path, &format!("message {}", message.name()), |printer| {
            for (index, nested) in (0..).zip(&message.nested_type).filter(|(_, nested)| !is_map_entry(nested)) {
                printer.message(&joined(path, list::NESTED_MESSAGES, index), nested);
            }
            for (index, r#enum) in (0..).zip(&message.enum_type) {
                printer.r#enum(&joined(path, list::NESTED_ENUMS, index), r#enum);
            }
            printer.fields(path, message, None);
            for (index, oneof) in (0..).zip(&message.oneof_decl) {
                if message.field.iter().any(|field| oneof_of(field) == Some(index)) {
                    printer.block(&joined(path, list::ONEOFS, index), &format!("oneof {}", oneof.name()), |printer| {
                        printer.fields(path, message, Some(index));
                    });
                }
            }
        });
    }

    /// The fields in a oneof, or those in none.
    fn fields(&mut self, path: &[i32], message: &DescriptorProto, oneof: Option<i32>) {
        for (index, field) in (0..).zip(&message.field).filter(|(_, field)| oneof_of(field) == oneof) {
            self.comment(&joined(path, list::MEMBERS, index));
            let r#type = map_type(message, field).unwrap_or_else(|| self.label(field).to_owned() + &value_type(field));
            self.line(&format!("{type} {} = {};", field.name(), field.number()));
        }
    }

    fn label(&self, field: &FieldDescriptorProto) -> &'static str {
        match field.label() {
            _ if oneof_of(field).is_some() => "",
            Label::Repeated => "repeated ",
            Label::Required => "required ",
            Label::Optional if field.proto3_optional() || self.file.syntax() != "proto3" => "optional ",
            Label::Optional => "",
        }
    }

    fn r#enum(&mut self, path: &[i32], r#enum: &EnumDescriptorProto) {
        let allows_alias = r#enum.options.as_ref().is_some_and(EnumOptions::allow_alias);
        self.block(path, &format!("enum {}", r#enum.name()), |printer| {
            if allows_alias {
                printer.line("option allow_alias = true;");
            }
            for (index, value) in (0..).zip(&r#enum.value) {
                printer.comment(&joined(path, list::MEMBERS, index));
                printer.line(&format!("{} = {};", value.name(), value.number()));
            }
        });
    }

    fn block(&mut self, path: &[i32], head: &str, content: impl FnOnce(&mut Self)) {
        if !self.text.ends_with("{\n") {
            self.text.push('\n');
        }
        self.comment(path);
        self.line(&format!("{head} {{"));
        self.depth += 1;
        content(self);
        self.depth -= 1;
        self.line("}");
    }

    fn comment(&mut self, path: &[i32]) {
        let locations = self.file.source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations.filter(|location| location.path == path).flat_map(|it| it.leading_comments().lines());
        for line in comments {
            self.line(format!("//{line}").trim_end());
        }
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{}{line}", "  ".repeat(self.depth));
    }
}

fn joined(path: &[i32], list: i32, index: i32) -> Vec<i32> {
    [path, &[list, index]].concat()
}

/// The oneof that the source has around a field. An optional field of proto3 has one of its own that is not in the source.
fn oneof_of(field: &FieldDescriptorProto) -> Option<i32> {
    field.oneof_index.filter(|_| !field.proto3_optional())
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(MessageOptions::map_entry)
}

fn rpc(method: &MethodDescriptorProto) -> String {
    let stream = |streams: bool| if streams { "stream " } else { "" };
    let (from, to) = (stream(method.client_streaming()), stream(method.server_streaming()));
    format!("rpc {}({from}{}) returns ({to}{});", method.name(), method.input_type(), method.output_type())
}

/// The type of a field that is a map: in the descriptor it is a list of entries.
fn map_type(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<String> {
    let name = field.type_name().rsplit('.').next();
    let entry = message.nested_type.iter().find(|nested| is_map_entry(nested) && Some(nested.name()) == name)?;
    let [key, value] = &entry.field[..] else { return None };
    Some(format!("map<{}, {}>", value_type(key), value_type(value)))
}

fn value_type(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}
