//! The descriptor of a service as a `FileDescriptorProto`, comments included.

use std::collections::{BTreeMap, BTreeSet};

use everywire_core::descriptor::{
    Method, ServiceDescriptor,
    shape::{Container, Variant},
};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MethodDescriptorProto, MethodOptions, OneofDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::{Label as ProtoLabel, Type as Kind},
    method_options::IdempotencyLevel,
};

use super::{
    comments::{Comments, ENUM, MEMBER, MESSAGE, SERVICE},
    members::{Member, Value, entry, fields, map_entry, tuple},
    names::{camel_case, field_name, identifier, json_name, type_name, upper_case},
    types::{Content, FieldType, Label, field_type, is_unit, single_type},
};

type Result<T> = std::result::Result<T, String>;

pub(super) fn file(service: &ServiceDescriptor) -> Result<FileDescriptorProto> {
    let mut model = Model {
        service,
        file: FileDescriptorProto::default(),
        comments: Comments::new(service),
        named: BTreeSet::new(),
        names: BTreeSet::new(),
    };
    model.add_service()?;
    let Model { file, comments, .. } = model;
    Ok(FileDescriptorProto {
        name: Some(format!("{}.proto", service.full_name().replace('.', "/"))),
        package: Some(service.package().to_owned()).filter(|package| !package.is_empty()),
        syntax: Some("proto3".to_owned()),
        source_code_info: Some(comments.into_source_code_info()),
        ..file
    })
}

struct Model<'a> {
    service: &'a ServiceDescriptor,
    file: FileDescriptorProto,
    comments: Comments<'a>,
    /// The structs and enums in the file.
    named: BTreeSet<&'a str>,
    /// All names in the file.
    names: BTreeSet<String>,
}

impl<'a> Model<'a> {
    fn add_service(&mut self) -> Result<()> {
        let service = self.service;
        service.package().split('.').filter(|part| !part.is_empty()).try_for_each(identifier)?;
        self.take_name(service.name())?;
        self.comments.add(&[SERVICE, 0], service.docs());
        let mut methods: Vec<MethodDescriptorProto> = vec![];
        for (index, method) in (0..).zip(service.methods()) {
            self.comments.add(&[SERVICE, 0, MEMBER, index], method.docs());
            if methods.iter().any(|other| other.name() == method.camel_name()) {
                return Err(format!("two methods are called {}", method.camel_name()));
            }
            methods.push(self.add_method(method)?);
        }
        let name = Some(service.name().to_owned());
        self.file.service.push(ServiceDescriptorProto { name, method: methods, options: None });
        Ok(())
    }

    fn add_method(&mut self, method: &'a Method) -> Result<MethodDescriptorProto> {
        let idempotent = Some(IdempotencyLevel::Idempotent.into());
        let options = MethodOptions { idempotency_level: idempotent, ..Default::default() };
        Ok(MethodDescriptorProto {
            name: Some(method.camel_name().to_owned()),
            input_type: Some(self.add_request(method)?),
            output_type: Some(self.add_reply(method)?),
            server_streaming: method.streams().then_some(true),
            options: method.is_idempotent().then_some(options),
            ..Default::default()
        })
    }

    fn add_request(&mut self, method: &'a Method) -> Result<String> {
        let arguments = method.arguments().iter();
        let fields = arguments.map(|argument| Ok(Member::field(argument.name(), argument.r#type().shape()?)));
        let fields = fields.collect::<Result<_>>()?;
        self.add_message(&format!("{}Request", method.camel_name()), fields)
            .map_err(|reason| format!("{}: {reason}", method.name()))
    }

    /// A reply that is a struct is the message; anything else is wrapped.
    fn add_reply(&mut self, method: &'a Method) -> Result<String> {
        let types = self.service.types();
        let shape = method.reply().shape()?;
        let name = format!("{}Reply", method.camel_name());
        if is_unit(shape, types) {
            return self.add_message(&name, vec![]);
        }
        match field_type(shape, types)? {
            FieldType { label: Label::One, kind: Kind::Message, content } => self.add_content(content, &name),
            _ => self.add_message(&name, vec![Member::field("value", shape)]),
        }
    }

    /// The full name of what a field refers to. A tuple gets the name `unnamed`.
    fn add_content(&mut self, content: Content<'a>, unnamed: &str) -> Result<String> {
        match content {
            Content::Nothing => Err(format!("{unnamed} has nothing to refer to")),
            Content::Named(name) | Content::Wrapper(Some(name), _) => self.add_named(name),
            Content::Tuple(elements) => self.add_message(unnamed, tuple(elements)),
            Content::Wrapper(None, shape) => self.add_message(unnamed, vec![Member::field("value", shape)]),
            Content::Entry(key, value) => self.add_message(&format!("{unnamed}Entry"), entry(key, value)),
        }
    }

    /// The full name of a struct or an enum. Adds it to the file if it is not there yet.
    fn add_named(&mut self, name: &'a str) -> Result<String> {
        let service = self.service;
        if !self.named.insert(name) {
            return Ok(self.full_name(name));
        }
        match &service.types()[name] {
            Container::Unit => self.add_message(name, vec![]),
            Container::Newtype(inner) => self.add_message(name, vec![Member::field("value", inner)]),
            Container::Struct(members) => self.add_message(name, fields(members)),
            Container::Tuple(elements) => self.add_message(name, tuple(elements)),
            container @ Container::Enum(variants) if container.is_plain_enum() => self.add_enum(name, variants),
            Container::Enum(variants) => self.add_oneof(name, variants),
        }
    }

    fn add_message(&mut self, name: &str, members: Vec<Member<'a>>) -> Result<String> {
        let index = self.begin_message(name)?;
        for member in members {
            self.comments.add_field(&self.next_field(index), name, &member.name);
            self.add_member(index, member)?;
        }
        Ok(self.full_name(name))
    }

    /// Adds an enum with data: a message of which one field is set.
    fn add_oneof(&mut self, name: &str, variants: &'a BTreeMap<u32, Variant>) -> Result<String> {
        let index = self.begin_message(name)?;
        for ((&at, variant), expected) in variants.iter().zip(0..) {
            if at != expected {
                return Err(format!("the enum {name} has no variant {expected}"));
            }
            self.comments.add_variant(&self.next_field(index), name, &variant.name);
            self.add_member(index, Member::variant(variant))?;
        }
        join_in_oneof(&mut self.file.message_type[index]);
        Ok(self.full_name(name))
    }

    fn begin_message(&mut self, name: &str) -> Result<usize> {
        let type_name = type_name(name);
        self.take_name(&type_name)?;
        let index = self.file.message_type.len();
        self.file.message_type.push(DescriptorProto { name: Some(type_name), ..Default::default() });
        self.comments.add_type(&[MESSAGE, number(index)], name);
        Ok(index)
    }

    /// The path of the next field of a message.
    fn next_field(&self, message: usize) -> [i32; 4] {
        [MESSAGE, number(message), MEMBER, number(self.file.message_type[message].field.len())]
    }

    /// Adds the next field to a message.
    fn add_member(&mut self, message: usize, member: Member<'a>) -> Result<()> {
        let Member { name, value } = member;
        let name = field_name(&name);
        let parent = self.file.message_type[message].name().to_owned();
        identifier(&name).map_err(|reason| format!("`{parent}`: {reason}"))?;
        let json = Some(json_name(&name));
        if self.file.message_type[message].field.iter().any(|field| field.json_name == json) {
            return Err(format!(
                "`{parent}.{name}` and another field have the same name in JSON; rename one with serde(rename)"
            ));
        }
        let field = self.add_value(message, &name, value).map_err(|reason| format!("`{parent}.{name}`: {reason}"))?;
        let fields = &mut self.file.message_type[message].field;
        fields.push(FieldDescriptorProto { number: Some(number(fields.len()) + 1), ..field });
        Ok(())
    }

    fn add_value(&mut self, message: usize, name: &str, value: Value<'a>) -> Result<FieldDescriptorProto> {
        let unnamed = format!("{}{}", self.file.message_type[message].name(), camel_case(name));
        let types = self.service.types();
        let r#type = match value {
            Value::Field(shape) => field_type(shape, types)?,
            Value::Single(shape) => single_type(shape, types)?,
            Value::Message(members) => {
                let full_name = self.add_message(&unnamed, members)?;
                return Ok(field(name, ProtoLabel::Optional, Kind::Message, Some(full_name)));
            }
        };
        self.add_typed(message, name, r#type, &unnamed)
    }

    fn add_typed(
        &mut self,
        message: usize,
        name: &str,
        r#type: FieldType<'a>,
        unnamed: &str,
    ) -> Result<FieldDescriptorProto> {
        let type_name = match r#type.content {
            Content::Nothing => None,
            content => Some(self.add_content(content, unnamed)?),
        };
        let of = |label| field(name, label, r#type.kind, type_name);
        Ok(match r#type.label {
            Label::One => of(ProtoLabel::Optional),
            Label::Optional => self.make_optional(message, of(ProtoLabel::Optional)),
            Label::Repeated => of(ProtoLabel::Repeated),
            Label::Map(key) => self.add_map(message, key, of(ProtoLabel::Repeated)),
        })
    }

    /// Gives `field` explicit presence, which takes a `oneof` of its own.
    fn make_optional(&mut self, message: usize, field: FieldDescriptorProto) -> FieldDescriptorProto {
        let oneofs = &mut self.file.message_type[message].oneof_decl;
        let oneof_index = Some(number(oneofs.len()));
        oneofs.push(OneofDescriptorProto { name: Some(format!("_{}", field.name())), options: None });
        FieldDescriptorProto { proto3_optional: Some(true), oneof_index, ..field }
    }

    /// Adds the entry of a map to `message`, and returns the field of the map. `value` is the field without its key.
    fn add_map(&mut self, message: usize, key: Kind, value: FieldDescriptorProto) -> FieldDescriptorProto {
        let parent = self.file.message_type[message].name();
        let entry = camel_case(value.name()) + "Entry";
        let type_name = Some(self.full_name(&format!("{parent}.{entry}")));
        let field = FieldDescriptorProto { r#type: Some(Kind::Message.into()), type_name, ..value.clone() };
        self.file.message_type[message].nested_type.push(map_entry(entry, key, value));
        field
    }

    fn add_enum(&mut self, name: &str, variants: &'a BTreeMap<u32, Variant>) -> Result<String> {
        let type_name = type_name(name);
        self.take_name(&type_name)?;
        let path = [ENUM, number(self.file.enum_type.len())];
        self.comments.add_type(&path, name);
        let mut values: Vec<EnumValueDescriptorProto> = vec![];
        for (&index, variant) in variants {
            let value = enum_value(&type_name, index, variant)?;
            if values.iter().any(|other| other.name() == value.name()) {
                return Err(format!(
                    "two variants of {name} are called {}; rename one with serde(rename)",
                    value.name()
                ));
            }
            self.comments.add_variant(&[path[0], path[1], MEMBER, number(values.len())], name, &variant.name);
            values.push(value);
        }
        if values.first().and_then(|value| value.number) != Some(0) {
            return Err(format!("the enum {name} has no variant 0"));
        }
        let added = EnumDescriptorProto { name: Some(type_name), value: values, ..Default::default() };
        self.file.enum_type.push(added);
        Ok(self.full_name(name))
    }

    fn take_name(&mut self, name: &str) -> Result<()> {
        identifier(name)?;
        if self.names.insert(name.to_owned()) { Ok(()) } else { Err(format!("the name {name} is taken twice")) }
    }

    fn full_name(&self, name: &str) -> String {
        let name = type_name(name);
        match self.service.package() {
            "" => format!(".{name}"),
            package => format!(".{package}.{name}"),
        }
    }
}

/// Makes all fields of `message` members of one `oneof`.
fn join_in_oneof(message: &mut DescriptorProto) {
    let mut name = "variant".to_owned();
    while message.field.iter().any(|field| field.name() == name) {
        name.push('_');
    }
    message.oneof_decl.push(OneofDescriptorProto { name: Some(name), options: None });
    message.field.iter_mut().for_each(|field| field.oneof_index = Some(0));
}

fn field(name: &str, label: ProtoLabel, kind: Kind, type_name: Option<String>) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name,
        json_name: Some(json_name(name)),
        ..Default::default()
    }
}

fn enum_value(name: &str, index: u32, variant: &Variant) -> Result<EnumValueDescriptorProto> {
    let value = format!("{}_{}", upper_case(name), upper_case(&variant.name));
    identifier(&value)?;
    let number = i32::try_from(index).map_err(|_| format!("{name} has too many variants"))?;
    Ok(EnumValueDescriptorProto { name: Some(value), number: Some(number), options: None })
}

/// Positions in a descriptor have 32 bits, far more than any trait needs.
fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
