//! The `.proto`: text and descriptors agree, what proto3 can't express is rejected, and breaking changes are found.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::collections::{BTreeMap, HashMap};

use everywire_core::{Result, descriptor::ServiceDescriptor};
use everywire_grpc::schema;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One of everything.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Everything {
    /// A colour.
    ///
    /// Any of them.
    colour: Colour,
    maybe_colour: Option<Colour>,
    metres: Metres,
    bytes: Vec<u8>,
    maybe_bytes: Option<Vec<u8>>,
    chunks: Vec<Vec<u8>>,
    inner: Inner,
    maybe_inner: Option<Inner>,
    inners: Vec<Inner>,
    by_name: BTreeMap<String, Inner>,
    by_number: HashMap<u16, f64>,
    pair: (i8, (bool, String)),
    pairs: Vec<(u8, u8)>,
    point: Point,
    next: Option<Box<Everything>>,
}

/// A colour.
#[derive(Serialize, Deserialize, JsonSchema)]
enum Colour {
    /// Like blood.
    Red,
    LightBlue,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Metres(u64);

#[derive(Serialize, Deserialize, JsonSchema)]
struct Point(f32, f64);

#[derive(Serialize, Deserialize, JsonSchema)]
struct Inner {
    name: String,
    size: Option<i32>,
}

/// The service of this test.
#[everywire_core::service(package = "test.v1")]
trait Demo {
    /// Adds two integers.
    #[idempotent]
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Everything there and back.
    async fn echo(&self, value: Everything) -> Result<Everything>;
    /// Nothing.
    async fn nothing(&self) -> Result<()>;
    async fn list(&self, count: Option<u32>) -> Result<Vec<u64>>;
    async fn perhaps(&self) -> Result<Option<Inner>>;
    async fn colour(&self) -> Result<Colour>;
    async fn both(&self) -> Result<(Inner, bool)>;
    async fn table(&self) -> Result<BTreeMap<String, u64>>;
}

const PROTO: &str = include_str!("demo.proto");

#[test]
fn the_text_is_as_committed() {
    let text = schema::proto(DemoService::descriptor());
    if std::env::var_os("UPDATE_PROTO").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo.proto"), &text).unwrap();
    }
    assert_eq!(text, PROTO);
}

fn compile(text: &str) -> FileDescriptorSet {
    let file = protox::file::File::from_source("test/v1/Demo.proto", text).unwrap();
    let mut compiler = protox::Compiler::with_file_resolver(OneFile(file));
    compiler.open_file("test/v1/Demo.proto").unwrap();
    compiler.file_descriptor_set()
}

struct OneFile(protox::file::File);

impl protox::file::FileResolver for OneFile {
    fn open_file(&self, _name: &str) -> std::result::Result<protox::file::File, protox::Error> {
        protox::file::File::from_source(self.0.name(), self.0.source().unwrap())
    }
}

#[test]
fn the_text_compiles_to_the_descriptors() {
    let mut compiled = compile(&schema::proto(DemoService::descriptor()));
    let mut ours = schema::file_descriptor_set(DemoService::descriptor());
    for file in compiled.file.iter_mut().chain(&mut ours.file) {
        // Positions of text are in the text only.
        file.source_code_info = None;
    }
    assert_eq!(ours, compiled);
}

/// A service with one method that takes `T`.
fn taking<T: Serialize + DeserializeOwned + JsonSchema>() -> ServiceDescriptor {
    let mut service = ServiceDescriptor::builder("test.v1", "Demo", "");
    service.method("put", "Put", "").argument::<T>("value", "T").reply::<()>("()");
    service.build()
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Holder<T> {
    owner: T,
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum Data {
    Plain,
    Full(u32),
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Outer {
    holder: Holder<Vec<Option<u8>>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Hyphen {
    #[serde(rename = "a-b")]
    a: u8,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct PutRequest {
    a: u8,
}

#[test]
fn what_proto3_can_not_express_is_rejected_with_its_position() {
    #[rustfmt::skip]
    let cases = [
        (taking::<Option<Option<u8>>>(), "Option here"),
        (taking::<Option<Vec<u32>>>(), "list here"),
        (taking::<Option<BTreeMap<u8, u8>>>(), "map here"),
        (taking::<Vec<Option<u8>>>(), "(inside a list)"),
        (taking::<Vec<Vec<u32>>>(), "(inside a list)"),
        (taking::<Vec<()>>(), "without a value"),
        (taking::<BTreeMap<String, Option<u8>>>(), "(as the value of a map)"),
        (taking::<BTreeMap<String, Vec<u32>>>(), "(as the value of a map)"),
        (taking::<BTreeMap<char, u8>>(), "key of a map"),
        (taking::<i128>(), "64 bits"),
        (taking::<char>(), "characters"),
        (taking::<()>(), "`PutRequest.value`: proto3 has no field without a value"),
        (taking::<Data>(), "`Data::Full`"),
        (taking::<Holder<Data>>(), "`Holder.owner`: proto3 has no enums with data"),
        (taking::<Outer>(), "`Holder.owner`: "),
        (taking::<Hyphen>(), "`a-b` is not a valid name in proto3"),
        (taking::<PutRequest>(), "the name PutRequest is taken twice"),
        (taking::<serde_json::Value>(), "grpc can't carry test.v1.Demo.put, value: T: "),
    ];
    for (service, reason) in cases {
        let Err(error) = schema::check(&service) else { panic!("not rejected; expected `{reason}`") };
        assert!(error.message().starts_with("grpc can't carry test.v1.Demo"), "{error}");
        assert!(error.message().contains(reason), "expected `{reason}`: {error}");
    }
    schema::check(&taking::<Everything>()).unwrap();
}

/// A field by its position, to change it.
fn field<'a>(set: &'a mut FileDescriptorSet, message: &str, number: usize) -> &'a mut FieldDescriptorProto {
    &mut message_of(set, message).field[number - 1]
}

fn message_of<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    set.file[0].message_type.iter_mut().find(|message| message.name() == name).unwrap()
}

#[test]
fn appending_breaks_nothing_and_any_other_change_does() {
    let before = compile(PROTO);
    let changed = |change: &dyn Fn(&mut FileDescriptorSet)| {
        let mut after = schema::file_descriptor_set(DemoService::descriptor());
        change(&mut after);
        schema::breaking_changes(&before, &after)
    };
    assert_eq!(changed(&|_| {}), [""; 0]);
    let appended = changed(&|set| {
        let mut new = field(set, "AddRequest", 2).clone();
        (new.name, new.number) = (Some("c".into()), Some(3));
        message_of(set, "AddRequest").field.push(new);
        let mut method = set.file[0].service[0].method[0].clone();
        method.name = Some("Subtract".into());
        set.file[0].service[0].method.push(method);
    });
    assert_eq!(appended, [""; 0]);
    let renamed = changed(&|set| field(set, "AddRequest", 2).name = Some("c".into()));
    assert_eq!(renamed, ["field 2 of test.v1.AddRequest was `int64 b` and is now `int64 c`"]);
    let typed = changed(&|set| field(set, "AddRequest", 2).set_type(prost_types::field_descriptor_proto::Type::Sint64));
    assert_eq!(typed, ["field 2 of test.v1.AddRequest was `int64 b` and is now `sint64 b`"]);
    let required = changed(&|set| field(set, "ListRequest", 1).proto3_optional = None);
    assert_eq!(required, ["field 1 of test.v1.ListRequest was `optional uint32 count` and is now `uint32 count`"]);
    let removed = changed(&|set| drop(message_of(set, "AddRequest").field.pop()));
    assert_eq!(removed, ["field 2 of test.v1.AddRequest was `int64 b` and is gone"]);
    let gone = changed(&|set| drop(set.file[0].service[0].method.remove(2)));
    assert_eq!(gone, ["/test.v1.Demo/Nothing was `.test.v1.NothingRequest -> .test.v1.NothingReply` and is gone"]);
    let recoloured = changed(&|set| set.file[0].enum_type[0].value.reverse());
    assert_eq!(recoloured, [""; 0], "only numbers count, not their order");
}
