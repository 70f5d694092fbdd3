//! Golden bytes in both directions, and what is rejected. `fuzz/tests.rs` compares with prost.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned, de::IgnoredAny};

use super::{Codec, Enums, Error, Message, Scope, from_slice, read, to_vec};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Pair {
    a: i64,
    b: i64,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Nested {
    before: Option<Pair>,
    pair: Pair,
    after: Option<u32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skipping {
    first: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    middle: Option<u8>,
    last: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Data {
    Plain,
    Number(u32),
    Both(u8, String),
    Pair { a: i64, pair: Option<Pair> },
    Numbers(Vec<u32>),
    Bytes(Vec<u8>),
    Perhaps(Option<u32>),
    Deep(Box<Data>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct List {
    value: u8,
    next: Option<Box<List>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Level(u8);

fn from_slice_within<T: DeserializeOwned>(bytes: &[u8], depth: usize) -> Result<T, Error> {
    read(Message::new(bytes, Scope { depth, enums: Enums::default() }))
}

#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, bytes: &[u8]) {
    assert_eq!(to_vec(value).as_deref(), Ok(bytes), "{value:?}");
    assert_eq!(from_slice::<T>(bytes).as_ref(), Ok(value), "{bytes:?}");
}

#[test]
fn a_struct_is_a_message() {
    golden(&Pair { a: 3, b: 4 }, &[8, 3, 16, 4]);
    golden(&Pair { a: 0, b: 150 }, &[16, 0x96, 1]);
    golden(&Pair::default(), &[]);
    golden(&Pair { a: -1, b: 0 }, &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    golden(&Nested::default(), &[18, 0]);
    assert_eq!(from_slice::<Nested>(&[]), Ok(Nested::default()), "other writers leave it out");
    golden(
        &Nested { before: Some(Pair::default()), pair: Pair { a: 0, b: 1 }, after: Some(0) },
        &[10, 0, 18, 2, 16, 1, 24, 0],
    );
    golden(&Skipping { first: 1, middle: None, last: 2 }, &[8, 1, 24, 2]);
    golden(&(7u8, "x".to_owned()), &[8, 7, 18, 1, b'x']);
}

#[test]
fn other_values_are_field_1_and_unit_is_empty() {
    golden(&7i64, &[8, 7]);
    golden(&0i64, &[]);
    golden(&u64::MAX, &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    golden(&true, &[8, 1]);
    golden(&1.5f32, &[13, 0, 0, 0xc0, 0x3f]);
    golden(&-0.0f64, &[9, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    golden(&"ü".to_owned(), &[10, 2, 0xc3, 0xbc]);
    golden(&Some(0u8), &[8, 0]);
    golden(&None::<u8>, &[]);
    golden(&Some(Pair::default()), &[10, 0]);
    golden(&Colour::Green, &[8, 1]);
    golden(&IpAddr::V4(Ipv4Addr::LOCALHOST), b"\x0a\x09127.0.0.1");
    golden(&(), &[]);
    golden(&((), Unit, 1u8), &[10, 0, 18, 0, 24, 1]);
    golden(&vec![(), ()], &[10, 0, 10, 0]);
    golden(&Some(()), &[10, 0]);
    golden(&i128::MIN, b"\x0a\x28-170141183460469231731687303715884105728");
    golden(&(0u128, 'x', '\0', Some(0u128), Some('\0')), b"\x12\x01x\x22\x010\x2a\x01\0");
    golden(&(vec![0u128, 7], vec!['\0', 'x']), b"\x0a\x010\x0a\x017\x12\x01\0\x12\x01x");
    golden(&Unit, &[]);
}

#[test]
fn lists_and_maps() {
    golden(&vec![1u64, 0, 300], &[10, 4, 1, 0, 0xac, 2]);
    golden(&vec![1u8, 255], &[10, 2, 1, 255]);
    golden(&Some(Vec::<u8>::new()), &[10, 0]);
    golden(&vec![vec![1u8], vec![]], &[10, 1, 1, 10, 0]);
    golden(&vec![Colour::Red, Colour::Green], &[10, 2, 0, 1]);
    golden(&vec![String::new(), "a".into()], &[10, 0, 10, 1, b'a']);
    golden(&vec![Pair::default(), Pair { a: 1, b: 0 }], &[10, 0, 10, 2, 8, 1]);
    golden(
        &BTreeMap::from([("a".to_owned(), 1u8), ("b".to_owned(), 0)]),
        &[10, 5, 10, 1, b'a', 16, 1, 10, 3, 10, 1, b'b'],
    );
    assert_eq!(from_slice::<Vec<u32>>(&[8, 1, 10, 0, 10, 2, 2, 3, 8, 4]), Ok(vec![1, 2, 3, 4]), "packed and not");
    assert_eq!(from_slice::<Vec<u32>>(&[10, 0]), Ok(vec![]), "an empty packed list");
    assert_eq!(from_slice::<Vec<u8>>(&[10, 2, 1, 2, 10, 1, 3]), Ok(vec![3]), "the last bytes win");
}

#[test]
fn newtypes_of_bytes_are_bytes_in_a_list() {
    let levels = || vec![Level(8), Level(0), Level(255)];
    golden(&levels(), &[10, 3, 8, 0, 255]);
    golden(&Some(levels()), &[10, 3, 8, 0, 255]);
    golden(&vec![levels(), vec![]], &[10, 3, 8, 0, 255, 10, 0]);
    golden(&vec![Some(Level(1)), None], &[10, 2, 8, 1, 10, 0]);
}

#[test]
fn enums_with_data_are_messages_of_one_field() {
    let codec = Codec::of::<Data>().unwrap();
    #[track_caller]
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(codec: &Codec, value: &T, bytes: &[u8]) {
        assert_eq!(codec.to_vec(value).as_deref(), Ok(bytes), "{value:?}");
        assert_eq!(codec.from_slice::<T>(bytes).as_ref(), Ok(value), "{bytes:?}");
    }
    check(&codec, &Data::Plain, &[10, 0]);
    check(&codec, &Data::Number(0), &[16, 0]);
    check(&codec, &Data::Number(7), &[16, 7]);
    check(&codec, &Data::Both(1, "x".into()), &[26, 5, 8, 1, 18, 1, b'x']);
    check(&codec, &Data::Pair { a: 0, pair: None }, &[34, 0]);
    check(&codec, &Data::Pair { a: 1, pair: Some(Pair { a: 0, b: 2 }) }, &[34, 6, 8, 1, 18, 2, 16, 2]);
    check(&codec, &Data::Numbers(vec![1, 2]), &[42, 4, 10, 2, 1, 2]);
    check(&codec, &Data::Numbers(vec![]), &[42, 0]);
    check(&codec, &Data::Bytes(vec![1, 2]), &[50, 2, 1, 2]);
    check(&codec, &Data::Perhaps(None), &[58, 0]);
    check(&codec, &Data::Perhaps(Some(0)), &[58, 2, 8, 0]);
    check(&codec, &Data::Deep(Box::new(Data::Number(7))), &[66, 2, 16, 7]);
    check(&codec, &(Data::Number(1), 5u8), &[10, 2, 16, 1, 16, 5]);
    check(&codec, &Some(Data::Plain), &[10, 2, 10, 0]);
    check(&codec, &vec![Data::Plain, Data::Number(1), Data::Plain], &[10, 2, 10, 0, 10, 2, 16, 1, 10, 2, 10, 0]);
    check(&codec, &BTreeMap::from([(1u8, Data::Number(7))]), &[10, 6, 8, 1, 18, 2, 16, 7]);
    check(&codec, &Colour::Green, &[8, 1]);
    assert_eq!(codec.from_slice(&[16, 1, 10, 0, 16, 7]), Ok(Data::Number(7)), "the last variant wins");
    assert_eq!(codec.from_slice(&[34, 2, 8, 1, 34, 0]), Ok(Data::Pair { a: 1, pair: None }), "messages merge");
    assert_eq!(codec.from_slice(&[34, 2, 8, 1, 16, 1, 34, 0]), Ok(Data::Pair { a: 0, pair: None }), "but not these");
    assert_eq!(codec.from_slice(&[0x82, 1, 0, 16, 7, 0x8a, 1, 0]), Ok(Data::Number(7)), "unknown fields");
    for bytes in [&[][..], &[0x82, 1, 0], &[16], &[10, 1, 0], &[8, 0]] {
        assert!(codec.from_slice::<Data>(bytes).is_err(), "{bytes:?}");
    }
    assert!(codec.from_slice::<(Data, u8)>(&[16, 5]).is_err(), "an absent enum has no zero value");
    assert!(to_vec(&vec![Data::Plain, Data::Number(1)]).is_err(), "numbers and messages in one list");
}

#[test]
fn arguments_that_are_messages_must_be_there() {
    let scope = Scope { depth: 9, enums: Enums::default() };
    let arguments = |bytes| read::<(Pair, Option<Pair>, Vec<Pair>, u8, (u8, Nested))>(Message::arguments(bytes, scope));
    assert!(arguments(&[10, 0, 42, 0]).is_ok(), "their fields may be absent");
    for bytes in [&[][..], &[10, 0], &[42, 0], &[50, 0, 42, 0]] {
        assert_eq!(arguments(bytes).unwrap_err().to_string(), "the message is missing", "{bytes:?}");
    }
}

#[test]
fn lists_maps_and_options_in_each_other_are_messages() {
    golden(&vec![vec![1u32, 2], vec![], vec![300]], &[10, 4, 10, 2, 1, 2, 10, 0, 10, 4, 10, 2, 0xac, 2]);
    golden(&vec![vec![vec![1u8], vec![]], vec![]], &[10, 5, 10, 1, 1, 10, 0, 10, 0]);
    golden(&vec![vec![Pair { a: 1, b: 0 }]], &[10, 4, 10, 2, 8, 1]);
    golden(&vec![vec![String::new()]], &[10, 2, 10, 0]);
    golden(&Some(vec![1u32, 2]), &[10, 4, 10, 2, 1, 2]);
    golden(&Some(Vec::<u32>::new()), &[10, 0]);
    golden(&None::<Vec<u32>>, &[]);
    golden(&Some(vec![String::new(), "a".into()]), &[10, 5, 10, 0, 10, 1, b'a']);
    golden(&vec![Some(1u8), None, Some(0)], &[10, 2, 8, 1, 10, 0, 10, 2, 8, 0]);
    golden(&vec![Some(Pair::default()), None], &[10, 2, 10, 0, 10, 0]);
    golden(&[Some(Some(0u8)), Some(None), None].to_vec(), &[10, 4, 10, 2, 8, 0, 10, 2, 10, 0, 10, 0]);
    golden(&Some(None::<u8>), &[10, 0]);
    golden(&Some(Some(0u8)), &[10, 2, 8, 0]);
    golden(&vec![BTreeMap::from([(1u8, 2u8)]), BTreeMap::new()], &[10, 6, 10, 4, 8, 1, 16, 2, 10, 0]);
    golden(&Some(BTreeMap::from([(1u8, 2u8)])), &[10, 6, 10, 4, 8, 1, 16, 2]);
    golden(&BTreeMap::from([(1u8, vec![2u32, 3])]), &[10, 8, 8, 1, 18, 4, 10, 2, 2, 3]);
    golden(&BTreeMap::from([(1u8, Some(0u32)), (2, None)]), &[10, 6, 8, 1, 18, 2, 8, 0, 10, 4, 8, 2, 18, 0]);
    golden(&BTreeMap::from([(1u8, BTreeMap::from([(2u8, 3u8)]))]), &[10, 10, 8, 1, 18, 6, 10, 4, 8, 2, 16, 3]);
    golden(&BTreeMap::from([((1u8, 2u8), 3u8)]), &[10, 8, 10, 4, 8, 1, 16, 2, 16, 3]);
    assert_eq!(from_slice::<Option<Vec<u32>>>(&[10, 3, 10, 1, 1, 10, 2, 8, 2]), Ok(Some(vec![1, 2])), "merged");
    assert_eq!(from_slice::<Option<Vec<u32>>>(&[10, 3, 10, 1, 1, 10, 0]), Ok(Some(vec![1])), "merged with nothing");
    assert_eq!(from_slice::<Option<Vec<u8>>>(&[10, 1, 1, 10, 0]), Ok(Some(vec![])), "the last bytes win");
    assert_eq!(from_slice::<Vec<Vec<u32>>>(&[10, 5, 16, 1, 8, 5, 17]).ok(), None, "a truncated unknown field");
    assert_eq!(from_slice::<Vec<Vec<u32>>>(&[10, 6, 16, 1, 8, 5, 16, 9]), Ok(vec![vec![5]]), "unknown fields");
    assert_eq!(from_slice::<Vec<Vec<u32>>>(&[10, 2, 10, 0]), Ok(vec![vec![]]), "an empty packed list");
    rejected::<Option<Vec<u32>>>(&[10, 1, 10, 10, 1, 0], "field number");
    rejected::<Vec<Vec<String>>>(&[10, 3, 10, 1, 0xff], "utf-8");
    rejected::<Vec<Vec<u32>>>(&[10, 1, 0], "field number");
    let nested = |levels: u8| (0..levels).fold(vec![], |bytes, level| [&[10, 2 * level][..], &bytes].concat());
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Lists(Vec<Lists>);
    for (levels, allowed) in [(3, true), (60, true)] {
        assert_eq!(from_slice_within::<Lists>(&nested(levels), 60).is_ok(), allowed, "{levels}");
    }
    assert!(from_slice_within::<Lists>(&nested(30), 20).unwrap_err().is_depth());
}

#[test]
fn lengths_take_as_many_bytes_as_they_need() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 1 << 20] {
        let text = "x".repeat(length);
        let value = BTreeMap::from([(length as u64, text)]);
        assert_eq!(from_slice(&to_vec(&value).unwrap()).as_ref(), Ok(&value), "{length}");
    }
}

#[test]
fn fields_come_in_any_order_the_last_wins_and_messages_merge() {
    let cases: &[(&[u8], Nested)] = &[
        (&[24, 5, 18, 2, 8, 1], Nested { pair: Pair { a: 1, b: 0 }, after: Some(5), ..Default::default() }),
        (&[24, 5, 24, 6], Nested { after: Some(6), ..Default::default() }),
        (
            &[18, 2, 8, 1, 24, 7, 18, 2, 16, 2],
            Nested { pair: Pair { a: 1, b: 2 }, after: Some(7), ..Default::default() },
        ),
        (&[18, 4, 16, 2, 8, 1, 18, 2, 8, 3], Nested { pair: Pair { a: 3, b: 2 }, ..Default::default() }),
        // Unknown fields of each form: varint, 64 bits, length, 32 bits.
        (
            &[32, 1, 41, 1, 2, 3, 4, 5, 6, 7, 8, 50, 1, 9, 61, 1, 2, 3, 4, 24, 8],
            Nested { after: Some(8), ..Default::default() },
        ),
        // An overlong tag and an overlong number are legal.
        (&[0x98, 0, 0x88, 0x80, 0], Nested { after: Some(8), ..Default::default() }),
    ];
    for (bytes, expected) in cases {
        assert_eq!(from_slice::<Nested>(bytes).as_ref(), Ok(expected), "{bytes:?}");
    }
}

#[test]
fn unknown_groups_are_skipped() {
    // Field 9: 75 begins a group and 76 ends it. Field 10: 83 and 84.
    let pair = Pair { a: 3, b: 4 };
    #[rustfmt::skip]
    let cases: &[&[u8]] = &[
        &[8, 3, 16, 4, 75, 76],
        &[75, 76, 8, 3, 16, 4],
        &[8, 3, 75, 8, 1, 76, 16, 4],
        &[8, 3, 75, 83, 18, 1, 76, 84, 13, 1, 2, 3, 4, 76, 16, 4],
        &[8, 3, 16, 4, 75, 75, 76, 9, 1, 2, 3, 4, 5, 6, 7, 8, 76],
        // Groups of the same number one after the other, and a tag that is longer than it needs to be.
        &[8, 3, 16, 4, 75, 76, 75, 0xcc, 0],
        // Out of order, so the message is sorted first.
        &[16, 4, 75, 16, 1, 76, 8, 3],
    ];
    for bytes in cases {
        assert_eq!(from_slice::<Pair>(bytes).as_ref(), Ok(&pair), "{bytes:?}");
        let length = u8::try_from(bytes.len()).unwrap();
        let nested = [&[18, length], *bytes, &[24, 8, 75, 76]].concat();
        let expected = Nested { pair: Pair { a: 3, b: 4 }, after: Some(8), before: None };
        assert_eq!(from_slice::<Nested>(&nested), Ok(expected), "{nested:?}");
        let entry = [&[10, length + 4, 8, 1, 18, length], *bytes].concat();
        assert_eq!(from_slice::<BTreeMap<u8, Pair>>(&entry).unwrap()[&1], pair, "{entry:?}");
    }
    rejected::<Pair>(&[75], "ends inside");
    rejected::<Pair>(&[75, 8], "ends inside");
    rejected::<Pair>(&[75, 83, 76, 84], "end of a group");
    rejected::<Pair>(&[76], "end of a group");
    rejected::<Pair>(&[75, 84], "end of a group");
    rejected::<Pair>(&[75, 76, 76], "end of a group");
    rejected::<Pair>(&[75, 14, 76], "wire type");
    rejected::<Pair>(&[75, 0, 76], "field number");
    rejected::<Nested>(&[18, 1, 75, 24, 1], "ends inside");
    for (levels, allowed) in [(63, true), (64, false), (100_000, false)] {
        let bytes = [vec![75; levels], vec![76; levels]].concat();
        assert_eq!(from_slice::<Pair>(&bytes).is_ok(), allowed, "{levels} groups in a message");
    }
    assert!(from_slice_within::<Pair>(&[75, 75, 76, 76], 2).unwrap_err().is_depth());
}

#[track_caller]
fn rejected<T: DeserializeOwned + Debug>(bytes: &[u8], reason: &str) {
    let error = from_slice::<T>(bytes).unwrap_err().to_string();
    assert!(error.contains(reason), "{bytes:?}: {error}");
}

#[test]
fn malformed_messages_are_rejected() {
    rejected::<Pair>(&[8], "ends inside");
    rejected::<Pair>(&[0x80], "ends inside");
    rejected::<Pair>(&[10, 1, 1], "wire type Len where Varint");
    rejected::<Pair>(&[13, 1, 2, 3, 4], "wire type Fixed32");
    rejected::<Pair>(&[8, 1, 10, 0], "wire type Len");
    rejected::<Pair>(&[11, 12], "wire type Group where Varint");
    rejected::<Pair>(&[14], "wire type");
    rejected::<Pair>(&[0, 1], "field number");
    rejected::<Pair>(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "64 bits");
    rejected::<Pair>(&[0xff, 0xff, 0xff, 0xff, 0xff, 1], "field number");
    rejected::<String>(&[10, 1, 0xff], "utf-8");
    rejected::<String>(&[10, 1, 0xff, 10, 1, b'a'], "utf-8");
    rejected::<Vec<String>>(&[10, 1, 0xff], "utf-8");
    rejected::<String>(&[10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "ends inside");
    rejected::<u8>(&[8, 0x80, 2], "u8");
    rejected::<i8>(&[8, 0x80, 1], "i8");
    rejected::<Colour>(&[8, 2], "variant index");
    rejected::<Nested>(&[18, 1, 8, 18, 0], "ends inside");
    rejected::<Vec<IgnoredAny>>(&[10, 1, 1], "read nothing");
    rejected::<Vec<()>>(&[10, 1, 1], "field number");
    rejected::<u128>(b"\x0a\x01x", "invalid digit");
    rejected::<char>(b"\x0a\x02xx", "character");
    rejected::<serde_json::Value>(&[8, 1], "not self-describing");
}

#[test]
fn what_proto3_can_not_express_is_rejected() {
    #[track_caller]
    fn can_not_express<T: Serialize + DeserializeOwned + Debug>(value: &T) {
        assert!(to_vec(value).is_err(), "{value:?}");
    }
    can_not_express(&vec![serde_json::json!([1, "x"])]);
}

#[test]
fn depth_is_bounded() {
    let deep =
        |levels| (1..levels).fold(List { value: 1, next: None }, |next, _| List { value: 1, next: Some(next.into()) });
    for (levels, allowed) in [(1, true), (64, true), (65, false), (200, false)] {
        let bytes = to_vec(&deep(levels)).unwrap();
        assert_eq!(from_slice::<List>(&bytes).is_ok(), allowed, "{levels}");
        assert!(from_slice_within::<List>(&bytes, levels).is_ok(), "{levels}");
    }
}
