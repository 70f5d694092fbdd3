//! The `.proto`: text and descriptors agree, what proto3 can't express is rejected, and breaking changes are found.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::collections::{BTreeMap, HashMap};

use everywire_core::{Result, descriptor::ServiceDescriptor};
use everywire_grpc::{Codec, schema};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

/// What is inside something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Nested {
    rows: Vec<Vec<f64>>,
    cube: Vec<Vec<Vec<i64>>>,
    names: Option<Vec<String>>,
    gaps: Vec<Option<u32>>,
    twice: Option<Twice>,
    tables: Vec<BTreeMap<String, u64>>,
    lists: BTreeMap<String, Vec<u64>>,
    maps: BTreeMap<u8, BTreeMap<String, Vec<u8>>>,
    holes: BTreeMap<String, Option<i32>>,
    colours: BTreeMap<Colour, Vec<u32>>,
    grid: Vec<Row>,
    row: Row,
    pairs: Vec<Vec<(u8, Option<String>)>>,
    numbers: Page<u32>,
    rests: Page<Row>,
    wide: (i128, Vec<u128>, Option<u128>),
    letters: Letters<Nothing>,
    nothing: Nothing,
    tree: Tree,
}

type Twice = Option<bool>;

/// A map to empty messages, as `Letters<Nothing>`. Generic, since clippy would have a set in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Letters<T>(BTreeMap<char, T>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Nothing;

/// A page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Page<T> {
    /// What is on it.
    items: Vec<T>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Row(Vec<f32>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Tree(Vec<Tree>);

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Event {
    /// Nothing did.
    Idle,
    /// A key, by its code.
    KeyPressed(u32),
    Typed(String),
    Moved(i32, i32),
    /// A button.
    Clicked {
        button: u8,
        at: Option<Vec<f64>>,
    },
    Several(Vec<Event>),
    Bytes(Vec<u8>),
    Perhaps(Option<Colour>),
    Counted(BTreeMap<String, u32>),
    Variant(Box<Event>),
}

/// The service of types in each other.
#[everywire_core::service(package = "test.v1")]
trait Deep {
    async fn nested(&self, nested: Nested, event: Event, rows: Option<Vec<u32>>) -> Result<Nested>;
    async fn event(&self, events: Vec<Event>, last: Option<Event>) -> Result<Event>;
    async fn rows(&self) -> Result<Vec<Vec<u8>>>;
    async fn grid(&self) -> Result<Vec<Row>>;
}

const PROTO: &str = include_str!("demo.proto");

#[test]
fn the_text_is_as_committed() {
    let committed = [
        ("demo.proto", PROTO, DemoService::descriptor()),
        ("deep.proto", include_str!("deep.proto"), DeepService::descriptor()),
    ];
    for (name, committed, service) in committed {
        let text = schema::proto(service);
        if std::env::var_os("UPDATE_PROTO").is_some() {
            std::fs::write(format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR")), &text).unwrap();
        }
        assert_eq!(text, committed, "{name}");
    }
}

fn compile(name: &str, text: &str) -> FileDescriptorSet {
    let file = protox::file::File::from_source(name, text).unwrap();
    let mut compiler = protox::Compiler::with_file_resolver(OneFile(file));
    compiler.open_file(name).unwrap();
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
    let services =
        [("test/v1/Demo.proto", DemoService::descriptor()), ("test/v1/Deep.proto", DeepService::descriptor())];
    for (name, service) in services {
        let mut compiled = compile(name, &schema::proto(service));
        let mut ours = schema::file_descriptor_set(service);
        for file in compiled.file.iter_mut().chain(&mut ours.file) {
            // Positions of text are in the text only.
            file.source_code_info = None;
        }
        assert_eq!(ours, compiled);
    }
}

/// What another implementation reads by the schema, and writes again.
fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: &str, value: &T) {
    let pool =
        DescriptorPool::from_file_descriptor_set(schema::file_descriptor_set(DeepService::descriptor())).unwrap();
    let codec = Codec::of::<T>().unwrap();
    let descriptor = pool.get_message_by_name(message).unwrap();
    let theirs = DynamicMessage::decode(descriptor.clone(), &*codec.to_vec(value).unwrap()).unwrap();
    // JSON has no unknown fields, so that a value that comes back from it was known in whole.
    let json = serde_json::to_string(&theirs).unwrap();
    let again = DynamicMessage::deserialize(descriptor, &mut serde_json::Deserializer::from_str(&json)).unwrap();
    assert_eq!(codec.from_slice::<T>(&again.encode_to_vec()).as_ref(), Ok(value), "{json}");
}

#[test]
fn another_implementation_reads_types_in_each_other() {
    let events = [
        Event::Idle,
        Event::KeyPressed(0),
        Event::KeyPressed(7),
        Event::Typed(String::new()),
        Event::Moved(0, -1),
        Event::Clicked { button: 1, at: Some(vec![0.5, 0.0]) },
        Event::Clicked { button: 0, at: None },
        Event::Several(vec![Event::Idle, Event::Several(vec![]), Event::Typed("x".into()), Event::Idle]),
        Event::Bytes(vec![1, 0]),
        Event::Perhaps(None),
        Event::Perhaps(Some(Colour::Red)),
        Event::Counted([("a".into(), 0)].into()),
        Event::Variant(Box::new(Event::Variant(Box::new(Event::Idle)))),
    ];
    for event in &events {
        there_and_back("test.v1.Event", event);
    }
    let empty = Nested {
        rows: vec![],
        cube: vec![],
        names: None,
        gaps: vec![],
        twice: None,
        tables: vec![],
        lists: [].into(),
        maps: [].into(),
        holes: [].into(),
        colours: [].into(),
        grid: vec![],
        row: Row(vec![]),
        pairs: vec![],
        numbers: Page { items: vec![] },
        rests: Page { items: vec![] },
        wide: (0, vec![], None),
        letters: Letters([].into()),
        nothing: Nothing,
        tree: Tree(vec![]),
    };
    there_and_back("test.v1.Nested", &empty);
    there_and_back("test.v1.Nested", &Nested { names: Some(vec![]), twice: Some(None), ..empty.clone() });
    let full = Nested {
        rows: vec![vec![1.0, 0.0], vec![]],
        cube: vec![vec![], vec![vec![], vec![1, 0]]],
        names: Some(vec![String::new(), "a".into()]),
        gaps: vec![None, Some(0), Some(1)],
        twice: Some(Some(false)),
        tables: vec![[("a".into(), 0)].into(), [].into()],
        lists: [("a".into(), vec![]), (String::new(), vec![1, 0])].into(),
        maps: [(0, [("a".into(), vec![0])].into()), (1, [].into())].into(),
        holes: [("a".into(), None), ("b".into(), Some(0))].into(),
        colours: [(Colour::Red, vec![]), (Colour::LightBlue, vec![1])].into(),
        grid: vec![Row(vec![]), Row(vec![0.5])],
        row: Row(vec![1.5]),
        pairs: vec![vec![(0, None), (1, Some(String::new()))], vec![]],
        numbers: Page { items: vec![0, 1] },
        rests: Page { items: vec![Row(vec![]), Row(vec![0.5])] },
        wide: (i128::MIN, vec![0, u128::MAX], Some(0)),
        letters: Letters([('a', Nothing), ('ß', Nothing)].into()),
        nothing: Nothing,
        tree: Tree(vec![Tree(vec![Tree(vec![])]), Tree(vec![])]),
    };
    there_and_back("test.v1.Nested", &full);
}

/// A service with one method that takes `T`.
fn taking<T: Serialize + DeserializeOwned + JsonSchema>() -> ServiceDescriptor {
    let mut service = ServiceDescriptor::builder("test.v1", "Demo", "");
    service.method("put", "Put", "").argument::<T>("value", "T").reply::<()>("()");
    service.build()
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Tagged {
    Number { number: u32 },
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct At {
    #[serde(rename = "@id")]
    id: u8,
}

/// Two names that are one without hyphens.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Clash {
    #[serde(rename = "a-b")]
    hyphen: u8,
    a_b: u8,
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum ClashPlain {
    #[serde(rename = "a-b")]
    Hyphen,
    #[serde(rename = "a_b")]
    Underscore,
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum ClashWithData {
    #[serde(rename = "a-b")]
    Hyphen(u8),
    #[serde(rename = "a_b")]
    Underscore(u8),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Kebab {
    /// How long.
    long_name: u8,
    plain_enum: KebabEnum,
    with_data: KebabData,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum KebabEnum {
    DarkGreen,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum KebabData {
    LightBlue { some_shade: u8 },
}

#[test]
fn hyphens_are_underscores() {
    let service = taking::<Kebab>();
    schema::check(&service).unwrap();
    let text = schema::proto(&service);
    for line in [
        "  // How long.\n  uint32 long_name = 1;\n  KebabEnum plain_enum = 2;\n  KebabData with_data = 3;\n",
        "  KEBAB_ENUM_DARK_GREEN = 0;\n",
        "    KebabDataLightBlue light_blue = 1;\n",
        "  uint32 some_shade = 1;\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct PutRequest {
    a: u8,
}

#[test]
fn what_proto3_can_not_express_is_rejected_with_its_position() {
    #[rustfmt::skip]
    let cases = [
        (taking::<Tagged>(), "self-describing"),
        (taking::<At>(), "`PutRequest.value`: `At`: `@id` is not a valid name in proto3; expected ASCII letters, digits and _, and no digit first; rename it"),
        (taking::<Clash>(), "`Clash.a_b` and another field have the same name in JSON; rename one with serde(rename)"),
        (taking::<ClashPlain>(), "two variants of ClashPlain are called CLASH_PLAIN_A_B; rename one with serde(rename)"),
        (taking::<ClashWithData>(), "`ClashWithData.a_b` and another field have the same name in JSON"),
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
    let before = compile("test/v1/Demo.proto", PROTO);
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
    let required = changed(&|set| {
        let field = field(set, "ListRequest", 1);
        (field.proto3_optional, field.oneof_index) = (None, None);
    });
    assert_eq!(required, ["field 1 of test.v1.ListRequest was `optional uint32 count` and is now `uint32 count`"]);
    let removed = changed(&|set| drop(message_of(set, "AddRequest").field.pop()));
    assert_eq!(removed, ["field 2 of test.v1.AddRequest was `int64 b` and is gone"]);
    let gone = changed(&|set| drop(set.file[0].service[0].method.remove(2)));
    assert_eq!(gone, ["/test.v1.Demo/Nothing was `NothingRequest -> NothingReply` and is gone"]);
    let recoloured = changed(&|set| set.file[0].enum_type[0].value.reverse());
    assert_eq!(recoloured, [""; 0], "only numbers count, not their order");
}
