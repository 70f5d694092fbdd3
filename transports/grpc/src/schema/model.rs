//! The descriptor of a service as a `FileDescriptorProto`, comments included.

use std::{borrow::Cow, collections::BTreeSet};

use everywire_core::descriptor::{
    Method, ServiceDescriptor,
    shape::{Container, Shape, Variant},
};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MessageOptions, MethodDescriptorProto, MethodOptions, OneofDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::{Label as ProtoLabel, Type as Kind},
    method_options::IdempotencyLevel,
};

use super::{
    comments::{Comments, ENUM, MEMBER, MESSAGE, SERVICE},
    names::{camel_case, identifier, json_name, upper_case},
    types::{Content, FieldType, Label, field_type, is_unit},
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

type NamedShape<'a> = (Cow<'a, str>, &'a Shape);

fn tuple_fields(elements: &[Shape]) -> Vec<NamedShape<'_>> {
    (1..).zip(elements).map(|(number, element)| (format!("field_{number}").into(), element)).collect()
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
            options: method.is_idempotent().then_some(options),
            ..Default::default()
        })
    }

    fn add_request(&mut self, method: &'a Method) -> Result<String> {
        let fields = method.arguments().iter().map(|argument| Ok((argument.name().into(), argument.r#type().shape()?)));
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
            _ => self.add_message(&name, vec![("value".into(), shape)]),
        }
    }

    /// The full name of what a field refers to. A tuple gets the name `unnamed`.
    fn add_content(&mut self, content: Content<'a>, unnamed: &str) -> Result<String> {
        match content {
            Content::Nothing => Err(format!("{unnamed} has nothing to refer to")),
            Content::Named(name) => self.add_named(name),
            Content::Tuple(elements) => self.add_message(unnamed, tuple_fields(elements)),
        }
    }

    /// The full name of a struct or an enum. Adds it to the file if it is not there yet.
    fn add_named(&mut self, name: &'a str) -> Result<String> {
        let service = self.service;
        if !self.named.insert(name) {
            return Ok(self.full_name(name));
        }
        match &service.types()[name] {
            Container::Struct(fields) => {
                let fields = fields.iter().map(|field| (field.name.as_str().into(), &field.shape));
                self.add_message(name, fields.collect())
            }
            Container::Tuple(elements) => self.add_message(name, tuple_fields(elements)),
            Container::Enum(variants) => self.add_enum(name, variants.iter().map(|(&index, variant)| (index, variant))),
            _ => Err(format!("`{name}` is neither a struct nor an enum")),
        }
    }

    fn add_message(&mut self, name: &str, fields: Vec<NamedShape<'a>>) -> Result<String> {
        self.take_name(name)?;
        let index = self.file.message_type.len();
        self.file.message_type.push(DescriptorProto { name: Some(name.to_owned()), ..Default::default() });
        let path = [MESSAGE, number(index)];
        self.comments.add_type(&path, name);
        let mut names = BTreeSet::new();
        for (position, (field, shape)) in fields.into_iter().enumerate() {
            identifier(&field)?;
            if !names.insert(json_name(&field)) {
                return Err(format!("`{name}.{field}` and another field have the same name in JSON"));
            }
            self.comments.add_field(&[path[0], path[1], MEMBER, number(position)], name, &field);
            self.add_field(index, &field, shape).map_err(|reason| format!("`{name}.{field}`: {reason}"))?;
        }
        Ok(self.full_name(name))
    }

    fn add_field(&mut self, message: usize, name: &str, shape: &'a Shape) -> Result<()> {
        let r#type = field_type(shape, self.service.types())?;
        let parent = self.file.message_type[message].name().to_owned();
        let unnamed = format!("{parent}{}", camel_case(name));
        let mut field = self.value_field(name, r#type, &unnamed)?;
        if let Label::Map(key) = r#type.label {
            field = self.add_map(message, key, field);
        }
        let message = &mut self.file.message_type[message];
        field.number = Some(number(message.field.len()) + 1);
        if r#type.label == Label::Optional {
            field.proto3_optional = Some(true);
            field.oneof_index = Some(number(message.oneof_decl.len()));
            message.oneof_decl.push(OneofDescriptorProto { name: Some(format!("_{name}")), options: None });
        }
        message.field.push(field);
        Ok(())
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

    fn value_field(&mut self, name: &str, r#type: FieldType<'a>, unnamed: &str) -> Result<FieldDescriptorProto> {
        let label = match r#type.label {
            Label::One | Label::Optional => ProtoLabel::Optional,
            Label::Repeated | Label::Map(_) => ProtoLabel::Repeated,
        };
        let type_name = match r#type.content {
            Content::Nothing => None,
            content => Some(self.add_content(content, unnamed)?),
        };
        Ok(FieldDescriptorProto {
            name: Some(name.to_owned()),
            label: Some(label.into()),
            r#type: Some(r#type.kind.into()),
            type_name,
            json_name: Some(json_name(name)),
            ..Default::default()
        })
    }

    fn add_enum(&mut self, name: &str, variants: impl Iterator<Item = (u32, &'a Variant)>) -> Result<String> {
        self.take_name(name)?;
        let path = [ENUM, number(self.file.enum_type.len())];
        self.comments.add_type(&path, name);
        let mut values: Vec<EnumValueDescriptorProto> = vec![];
        for (index, variant) in variants {
            let value = enum_value(name, index, variant)?;
            if values.iter().any(|other| other.name() == value.name()) {
                return Err(format!("two variants of {name} are called {}", value.name()));
            }
            self.comments.add_variant(&[path[0], path[1], MEMBER, number(values.len())], name, &variant.name);
            values.push(value);
        }
        if values.first().and_then(|value| value.number) != Some(0) {
            return Err(format!("the enum {name} has no variant 0"));
        }
        let added = EnumDescriptorProto { name: Some(name.to_owned()), value: values, ..Default::default() };
        self.file.enum_type.push(added);
        Ok(self.full_name(name))
    }

    fn take_name(&mut self, name: &str) -> Result<()> {
        identifier(name)?;
        if self.names.insert(name.to_owned()) { Ok(()) } else { Err(format!("the name {name} is taken twice")) }
    }

    fn full_name(&self, name: &str) -> String {
        match self.service.package() {
            "" => format!(".{name}"),
            package => format!(".{package}.{name}"),
        }
    }
}

fn enum_value(name: &str, index: u32, variant: &Variant) -> Result<EnumValueDescriptorProto> {
    let value = format!("{}_{}", upper_case(name), upper_case(&variant.name));
    identifier(&value)?;
    let number = i32::try_from(index).map_err(|_| format!("{name} has too many variants"))?;
    Ok(EnumValueDescriptorProto { name: Some(value), number: Some(number), options: None })
}

fn map_entry(name: String, key: Kind, value: FieldDescriptorProto) -> DescriptorProto {
    let key = FieldDescriptorProto { r#type: Some(key.into()), ..Default::default() };
    DescriptorProto {
        name: Some(name),
        field: vec![entry_field("key", 1, key), entry_field("value", 2, value)],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

fn entry_field(name: &str, number: i32, field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(ProtoLabel::Optional.into()),
        json_name: Some(name.to_owned()),
        ..field
    }
}

/// Positions in a descriptor have 32 bits, far more than any trait needs.
fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
