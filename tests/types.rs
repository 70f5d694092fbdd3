//! What serde can express and people use, through the codec of every wire, without sockets: each type works, or is rejected before
//! anything serves.
//!
//! `UPDATE_TYPES=1 cargo test --test types` writes `docs/types.md` anew.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does")]
#![expect(clippy::option_option, reason = "a type that people use")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt::{Debug, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use everywire::{
    Budget, Caller, Limits, Result,
    descriptor::ServiceDescriptor,
    grpc, jsonrpc,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize, de::DeserializeOwned},
    wire::Protocol,
    xmlrpc, zerorpc,
};
use serde_bytes::ByteBuf;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/types.md");

/// Declares a service with a method for each type, and the values that are sent there and back.
macro_rules! types {
    ($($method:ident $words:literal $type:ty = [$($value:expr),+ $(,)?];)+) => {
        /// Returns what it gets.
        #[everywire::service(package = "test.v1")]
        trait Types {
            $(#[doc = $words] async fn $method(&self, value: $type) -> Result<$type>;)+
        }

        struct Mirror;

        impl Types for Mirror {
            $(async fn $method(&self, value: $type) -> Result<$type> {
                Ok(value)
            })+
        }

        /// The types, and what each wire says of them at mount.
        fn rows() -> Vec<Row> {
            vec![$(Row { method: stringify!($method), words: $words, rust: stringify!($type), rejections: rejections::<$type>() }),+]
        }

        /// Sends every value there and back, but not what the wire `column` rejects, and returns what went wrong.
        async fn exchange(column: usize, rows: &[Row], caller: impl Caller) -> Vec<String> {
            let client = TypesClient::new(caller);
            let mut wrong = Vec::new();
            // Each is boxed, because one future with all of them takes minutes to compile.
            $(if rows.iter().any(|row| row.method == stringify!($method) && row.rejections[column].is_none()) {
                for value in [$($value),+] {
                    let value: $type = value;
                    let sent = format!("{value:?}");
                    let got = Box::pin(client.$method(value)).await.map(|got| format!("{got:?}"));
                    if got.as_ref() != Ok(&sent) {
                        wrong.push(format!("{}, {}: {sent} came back as {got:?}", WIRES[column], $words));
                    }
                }
            })+
            wrong
        }
    };
}

#[derive(Debug)]
struct Row {
    method: &'static str,
    words: &'static str,
    rust: &'static str,
    rejections: [Option<String>; 4],
}

const WIRES: [&str; 4] = ["XML-RPC", "JSON-RPC, RabbitMQ", "gRPC", "zerorpc"];

fn rejections<T: Serialize + DeserializeOwned + JsonSchema>() -> [Option<String>; 4] {
    let mut service = ServiceDescriptor::builder("", "S", "");
    service.method("put", "Put", "").argument::<T>("value", "T").reply::<()>("()");
    let service = service.build();
    let reason = |checked: Result<()>| {
        let message = checked.err()?.message().to_owned();
        let places = ["value: T: ", "`PutRequest.value`: "];
        let reason = places.iter().find_map(|place| message.split_once(place)).map(|(_, reason)| reason.to_owned());
        Some(reason.unwrap_or(message))
    };
    [
        reason(xmlrpc::Server::new().check(&service)),
        reason(jsonrpc::Server::new().check(&service)),
        reason(grpc::Server::new().check(&service)),
        reason(zerorpc::Server::new().check(&service)),
    ]
}

macro_rules! declare {
    ($($(#[$attribute:meta])* $kind:ident $name:ident $body:tt)+) => {
        $(#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(crate = "everywire::serde")]
        #[schemars(crate = "everywire::schemars")]
        $(#[$attribute])*
        $kind $name $body)+
    };
}

declare! {
    struct Plain { number: u32, text: String, inner: Inner }
    struct Inner { maybe: Option<i64>, list: Vec<String> }
    #[serde(rename_all = "camelCase")] struct Renamed { long_name: u8, other_name: Option<u8> }
    #[serde(rename_all = "kebab-case")] struct Hyphens { long_name: u8, other_name: Option<u8>, colour: HyphenColour }
    #[serde(rename_all = "kebab-case")] enum HyphenColour { DarkGreen, LightBlue(u8) }
    struct At { #[serde(rename = "@id")] id: u8 }
    struct Skipping { first: u8, #[serde(skip_serializing_if = "Option::is_none")] middle: Option<u8>, last: u8 }
    struct Defaulted { #[serde(default)] first: u8, #[serde(default)] second: Vec<u8> }
    struct Bytes { #[serde(with = "serde_bytes")] #[schemars(with = "Vec<u8>")] bytes: Vec<u8> }
    enum Colour { Red, DarkGreen }
    enum Event { Idle, Key(u32), Moved(i32, i32), Clicked { button: u8, at: Option<f64> } }
    enum Carrying { Texts(Vec<String>), Perhaps(Option<u8>), Table(BTreeMap<String, u8>), Inner(Inner), Unit(()) }
    #[serde(tag = "kind")] enum Internal { A { number: u32 }, B { text: String } }
    #[serde(tag = "kind", content = "data")] enum Adjacent { A(u32), B(String) }
    #[serde(untagged)] enum Untagged { Number(u32), Text(String) }
    struct Beside { untagged: Untagged, maybe: Option<Option<u8>> }
    struct Flat { name: String, #[serde(flatten)] rest: Rest }
    struct Rest { number: u32 }
    struct Tree { value: u8, branches: Vec<Tree> }
    enum Expression { Number(f64), Negated(Box<Expression>), Sum(Vec<Expression>) }
    #[serde(try_from = "u8", into = "u8")] struct Percent { percent: u8 }
    #[serde(try_from = "String", into = "String")] struct Coupon { code: String }
}

/// Types with parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
struct Page<T> {
    items: Vec<T>,
    next: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
enum Key {
    One,
    Two,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
struct Metres(f64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
struct Level(u8);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
struct Point(i32, i32);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
struct Nothing;

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        if (1..=100).contains(&percent) { Ok(Self { percent }) } else { Err(format!("{percent} is no percentage")) }
    }
}

impl From<Percent> for u8 {
    fn from(Percent { percent }: Percent) -> Self {
        percent
    }
}

impl TryFrom<String> for Coupon {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, &'static str> {
        if code.is_empty() { Err("an empty code") } else { Ok(Self { code }) }
    }
}

impl From<Coupon> for String {
    fn from(Coupon { code }: Coupon) -> Self {
        code
    }
}

fn inner() -> Inner {
    Inner { maybe: Some(0), list: vec![String::new(), "a".into()] }
}

types! {
    a_bool "a truth value" bool = [true, false];
    an_i8 "an integer of 8 bits" i8 = [i8::MIN, 0, i8::MAX];
    an_i16 "an integer of 16 bits" i16 = [i16::MIN, 0, i16::MAX];
    an_i32 "an integer of 32 bits" i32 = [i32::MIN, 0, i32::MAX];
    an_i64 "an integer of 64 bits" i64 = [i64::MIN, 0, i64::MAX];
    an_i128 "an integer of 128 bits" i128 = [i128::MIN, 0, i128::MAX];
    a_u8 "a natural number of 8 bits" u8 = [0, u8::MAX];
    a_u16 "a natural number of 16 bits" u16 = [0, u16::MAX];
    a_u32 "a natural number of 32 bits" u32 = [0, u32::MAX];
    a_u64 "a natural number of 64 bits" u64 = [0, u64::MAX];
    a_u128 "a natural number of 128 bits" u128 = [0, u128::MAX];
    a_usize "a size" usize = [0, 7];
    non_zero "a number other than zero" NonZeroU32 = [NonZeroU32::MIN, NonZeroU32::MAX];
    an_f32 "a float of 32 bits" f32 = [0.0, -1.5, f32::MAX];
    an_f64 "a float of 64 bits" f64 = [0.0, -0.0, 0.1, f64::MAX];
    a_char "a character" char = ['a', 'ß', '😀'];
    text "a text" String = [String::new(), "größer".into()];
    unit "nothing" () = [()];
    unit_struct "a unit struct" Nothing = [Nothing];
    byte_list "a list of bytes" Vec<u8> = [vec![], vec![0, 255]];
    byte_buf "bytes, by `serde_bytes`" ByteBufSchema = [ByteBufSchema(ByteBuf::from(vec![0, 255])), ByteBufSchema(ByteBuf::new())];
    byte_field "bytes in a field, by `serde_bytes`" Bytes = [Bytes { bytes: vec![] }, Bytes { bytes: vec![0, 255] }];
    byte_array "an array of bytes" [u8; 4] = [[0, 1, 2, 255]];
    date_time "a time with a time zone" chrono::DateTime<chrono::Utc> = [chrono::DateTime::from_timestamp(1, 5).unwrap()];
    date "a date" chrono::NaiveDate = [chrono::NaiveDate::from_ymd_opt(2024, 2, 29).unwrap()];
    naive "a time without a time zone" chrono::NaiveDateTime = [chrono::DateTime::from_timestamp(1, 0).unwrap().naive_utc()];
    clock "a time of day" chrono::NaiveTime = [chrono::NaiveTime::from_hms_opt(23, 59, 58).unwrap()];
    time_date "a date of the crate time" TimeDate = [TimeDate(time::Date::from_ordinal_date(2024, 60).unwrap())];
    uuid "a UUID" uuid::Uuid = [uuid::Uuid::nil(), uuid::Uuid::max()];
    url "a URL" url::Url = ["https://example.com/a?b=c".parse().unwrap()];
    ip "an IP address" IpAddr = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    ipv4 "an IPv4 address" Ipv4Addr = [Ipv4Addr::LOCALHOST];
    socket "an address with a port" SocketAddrText = [SocketAddrText(([127, 0, 0, 1], 80).into())];
    duration "a duration" Duration = [Duration::ZERO, Duration::new(5, 7)];
    system_time "a time of the system" SystemTime = [SystemTime::UNIX_EPOCH + Duration::new(5, 7)];
    option "something or nothing" Option<i64> = [None, Some(0), Some(-7)];
    option_struct "a struct or nothing" Option<Inner> = [None, Some(inner())];
    option_list "a list or nothing" Option<Vec<String>> = [None, Some(vec![]), Some(vec![String::new()])];
    double_option "two kinds of nothing" Option<Option<u8>> = [None, Some(None), Some(Some(0))];
    list "a list" Vec<u64> = [vec![], vec![0, u64::MAX]];
    list_of_lists "a list of lists" Vec<Vec<i64>> = [vec![], vec![vec![], vec![0, -1]]];
    cube "a list of lists of lists" Vec<Vec<Vec<f64>>> = [vec![vec![], vec![vec![0.5], vec![]]]];
    gaps "a list with gaps" Vec<Option<u32>> = [vec![None, Some(0), Some(7)]];
    lists_of_texts "a list of lists of texts" Vec<Vec<String>> = [vec![vec![], vec![String::new()]]];
    levels "a list of newtypes of bytes" Vec<Level> = [vec![], vec![Level(0), Level(255)]];
    maybe_levels "the same or nothing" Option<Vec<Level>> = [None, Some(vec![]), Some(vec![Level(8), Level(0)])];
    queue "a queue" VecDeque<u8> = [[1, 2].into()];
    set "a set" BTreeSet<String> = [["a".to_owned()].into()];
    map "a map" BTreeMap<String, u64> = [[].into(), [("a".into(), 0)].into()];
    hash_map "a hash map" HashMap<String, Inner> = [[("a".into(), inner())].into()];
    map_of_lists "a map of lists" BTreeMap<String, Vec<u64>> = [[("a".into(), vec![]), ("b".into(), vec![0, 1])].into()];
    map_of_maps "a map of maps" BTreeMap<String, BTreeMap<String, u8>> = [[("a".into(), [("b".into(), 0)].into())].into()];
    map_of_options "a map with gaps" BTreeMap<String, Option<u8>> = [[("a".into(), None), ("b".into(), Some(0))].into()];
    list_of_maps "a list of maps" Vec<BTreeMap<String, u8>> = [vec![[].into(), [("a".into(), 1)].into()]];
    enum_keys "a map by a plain enum" BTreeMap<Key, u8> = [[(Key::One, 1), (Key::Two, 0)].into()];
    number_keys "a map by number" BTreeMap<u64, String> = [[(0, "a".into()), (7, String::new())].into()];
    tuple_keys "a map by tuple" BTreeMap<(u8, u8), u8> = [[((0, 1), 2)].into()];
    tuple "a tuple" (i8, String, Option<bool>) = [(0, String::new(), None), (-1, "a".into(), Some(false))];
    array "an array" [f64; 3] = [[0.0, 1.5, -1.0]];
    plain "a struct" Plain = [Plain { number: 0, text: String::new(), inner: inner() }];
    renamed "a struct with renamed fields" Renamed = [Renamed { long_name: 1, other_name: None }];
    hyphens "a struct with hyphens in its names" Hyphens = [
        Hyphens { long_name: 1, other_name: Some(0), colour: HyphenColour::DarkGreen },
        Hyphens { long_name: 0, other_name: None, colour: HyphenColour::LightBlue(1) },
    ];
    at "a struct with other signs in its names" At = [At { id: 0 }];
    skipping "a struct with fields left out" Skipping = [Skipping { first: 1, middle: None, last: 2 }];
    defaulted "a struct with defaults" Defaulted = [Defaulted { first: 0, second: vec![] }];
    newtype "a newtype" Metres = [Metres(0.0), Metres(1.5)];
    tuple_struct "a tuple struct" Point = [Point(0, -1)];
    numbers_page "a generic struct" Page<u32> = [Page { items: vec![0, 1], next: None }];
    structs_page "another instance of it" Page<Inner> = [Page { items: vec![inner()], next: Some(0) }];
    either "a result" std::result::Result<u32, String> = [Ok(0), Err("a".into())];
    colour "a plain enum" Colour = [Colour::Red, Colour::DarkGreen];
    colours "a list of plain enums" Vec<Colour> = [vec![Colour::DarkGreen, Colour::Red]];
    event "an enum with data" Event = [
        Event::Idle, Event::Key(0), Event::Moved(0, -1), Event::Clicked { button: 0, at: None },
    ];
    events "a list of enums with data" Vec<Event> = [vec![Event::Idle, Event::Key(7), Event::Idle], vec![]];
    maybe_event "an enum with data or nothing" Option<Event> = [None, Some(Event::Idle), Some(Event::Key(0))];
    carrying "an enum with lists and maps" Carrying = [
        Carrying::Texts(vec![]), Carrying::Texts(vec![String::new()]), Carrying::Perhaps(Some(0)),
        Carrying::Table([("a".into(), 0)].into()), Carrying::Inner(inner()), Carrying::Unit(()),
    ];
    internal "an internally tagged enum" Internal = [Internal::A { number: 0 }, Internal::B { text: "a".into() }];
    adjacent "an adjacently tagged enum" Adjacent = [Adjacent::A(0), Adjacent::B("a".into())];
    untagged "an untagged enum" Untagged = [Untagged::Number(0), Untagged::Text("a".into())];
    beside "two kinds of nothing beside an untagged enum" Beside = [Beside { untagged: Untagged::Number(0), maybe: Some(None) }];
    flat "a flattened struct" Flat = [Flat { name: "a".into(), rest: Rest { number: 0 } }];
    tree "a recursive struct" Tree = [Tree { value: 0, branches: vec![Tree { value: 1, branches: vec![] }] }];
    expression "a recursive enum" Expression = [
        Expression::Sum(vec![Expression::Number(0.5), Expression::Negated(Box::new(Expression::Number(0.0)))]),
    ];
    percent "a number within bounds" Percent = [Percent { percent: 1 }, Percent { percent: 100 }];
    coupon "a text that is not empty" Coupon = [Coupon { code: "a".into() }];
    boxed "a boxed struct" Box<Inner> = [Box::new(inner())];
    json "any JSON" serde_json::Value = [serde_json::json!({ "a": [1, "b", true] })];
}

/// Types whose crates say nothing to schemars.
macro_rules! as_text {
    ($($name:ident($inner:ty) as $schema:literal;)+) => {
        $(#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(crate = "everywire::serde", transparent)]
        #[schemars(crate = "everywire::schemars")]
        struct $name(#[schemars(with = $schema)] $inner);)+
    };
}

as_text! {
    ByteBufSchema(ByteBuf) as "Vec<u8>";
    TimeDate(time::Date) as "String";
    SocketAddrText(SocketAddr) as "String";
}

#[tokio::test]
async fn every_type_works_or_is_rejected_by_the_codec_of_every_wire() {
    let rows = rows();
    let service = Arc::new(TypesService::new(Mirror));
    let budget = Budget::new(Limits::default());
    let wrong = [
        exchange(0, &rows, xmlrpc::Loopback::new(Arc::clone(&service), Arc::clone(&budget))).await,
        exchange(1, &rows, everywire_json::Loopback::new(Arc::clone(&service), Arc::clone(&budget))).await,
        exchange(2, &rows, grpc::Loopback::new(Arc::clone(&service), Arc::clone(&budget))).await,
        exchange(3, &rows, zerorpc::Loopback::new(service, budget)).await,
    ];
    let wrong = wrong.concat();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let everywhere = rows.iter().filter(|row| row.rejections.iter().all(Option::is_none)).count();
    let present = page(&rows, everywhere);
    if std::env::var_os("UPDATE_TYPES").is_some() {
        std::fs::write(PAGE, &present).unwrap();
    }
    let committed = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(present == committed, "docs/types.md is out of date; UPDATE_TYPES=1 writes it anew:\n{present}");
}

fn page(rows: &[Row], everywhere: usize) -> String {
    let mut page = format!(
        "# Types\n\nWritten by `tests/types.rs`; `UPDATE_TYPES=1 cargo test --test types` writes it anew.\n\n\
        Each type goes through the codec of each wire and back, without sockets between them. Of {} types, {everywhere} work on \
        every\nwire. `✓`: values come back as they were. A number refers to the reason why the wire rejects a service with \
        this type, before\nanything is served.\n\n| type | Rust | {} |\n|---|---|---|---|---|---|\n",
        rows.len(),
        WIRES.join(" | "),
    );
    let mut reasons: Vec<String> = Vec::new();
    for Row { words, rust, rejections, .. } in rows {
        let cells = rejections
            .each_ref()
            .map(|rejection| rejection.as_ref().map_or("✓".to_owned(), |reason| note(&mut reasons, reason)));
        let rust: String = rust.split_whitespace().collect();
        let _ = writeln!(page, "| {words} | `{}` | {} |", rust.replace(',', ", "), cells.join(" | "));
    }
    page.push('\n');
    for (number, reason) in (1..).zip(&reasons) {
        let _ = writeln!(page, "{number}. {reason}");
    }
    page + NOTES
}

/// What the table does not say.
const NOTES: &str = "
## Floats that are no numbers

NaN and the infinities travel over XML-RPC, gRPC and zerorpc. JSON has no word for them: over JSON-RPC and RabbitMQ an argument that has one is
`INVALID_ARGUMENT` at the client, and a reply `INTERNAL`, and the message says so. No `null` takes their place.

## What is not checked

What a type does is found by letting it read and write itself, before anything is served. Untagged, internally and adjacently tagged
enums and structs with `#[serde(flatten)]` decode from self-describing formats only, so what they do stays unseen. gRPC rejects a service
with such a type. The other wires carry it and check what is beside it: the other fields of the struct around it, those of a struct
with flattened fields among them, and the other variants of the enum around it. They don't check:

- what is inside such an enum, and inside a flattened field
- what is behind such a type in a tuple, a tuple struct or a tuple variant
- a field of a struct with flattened fields whose name is not in its JSON Schema

There, a type that a wire rejects according to the table is accepted, and its values come back changed or not at all: `Some(None)` of an
`Option<Option<u8>>` as `None`, without an error. `Option<serde_json::Value>` is accepted everywhere but over gRPC, although
`Some(Value::Null)` comes back as `None`.

## Names

The names of fields and variants are those of serde on every wire, but a `.proto` file has no `-` in names: over gRPC, `long-name` of
`rename_all = \"kebab-case\"` is `long_name`. Two fields that would then have one name are an error at mount.
";

/// The number of a reason.
fn note(reasons: &mut Vec<String>, reason: &str) -> String {
    let known = reasons.iter().position(|known| known == reason);
    let index = known.unwrap_or_else(|| {
        reasons.push(reason.to_owned());
        reasons.len() - 1
    });
    (index + 1).to_string()
}
