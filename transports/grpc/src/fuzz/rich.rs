//! One message, declared for serde and for prost.

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::from_slice;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Colour {
    Red = 0,
    Green = 1,
    Blue = 2,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaf {
    pub(super) name: String,
    pub(super) weight: f64,
    pub(super) flags: Vec<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Metres(pub(super) u64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rich {
    pub(super) a_bool: bool,
    pub(super) an_i8: i8,
    pub(super) an_i16: i16,
    pub(super) an_i32: i32,
    pub(super) an_i64: i64,
    pub(super) a_u8: u8,
    pub(super) a_u16: u16,
    pub(super) a_u32: u32,
    pub(super) a_u64: u64,
    pub(super) an_f32: f32,
    pub(super) an_f64: f64,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
    pub(super) leaf: Leaf,
    pub(super) colour: Colour,
    pub(super) metres: Metres,
    pub(super) maybe_bool: Option<bool>,
    pub(super) maybe_i64: Option<i64>,
    pub(super) maybe_f64: Option<f64>,
    pub(super) maybe_text: Option<String>,
    pub(super) maybe_bytes: Option<Vec<u8>>,
    pub(super) maybe_leaf: Option<Leaf>,
    pub(super) maybe_colour: Option<Colour>,
    pub(super) i32s: Vec<i32>,
    pub(super) u64s: Vec<u64>,
    pub(super) f32s: Vec<f32>,
    pub(super) texts: Vec<String>,
    pub(super) byte_strings: Vec<Vec<u8>>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) colours: Vec<Colour>,
    pub(super) by_text: BTreeMap<String, i64>,
    pub(super) by_number: BTreeMap<i32, Leaf>,
    pub(super) by_bool: BTreeMap<bool, String>,
    pub(super) bytes_by_u64: BTreeMap<u64, Vec<u8>>,
    pub(super) last: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PLeaf {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(double, tag = "2")]
    pub(super) weight: f64,
    #[prost(bool, repeated, tag = "3")]
    pub(super) flags: Vec<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PRich {
    #[prost(bool, tag = "1")]
    pub(super) a_bool: bool,
    #[prost(int32, tag = "2")]
    pub(super) an_i8: i32,
    #[prost(int32, tag = "3")]
    pub(super) an_i16: i32,
    #[prost(int32, tag = "4")]
    pub(super) an_i32: i32,
    #[prost(int64, tag = "5")]
    pub(super) an_i64: i64,
    #[prost(uint32, tag = "6")]
    pub(super) a_u8: u32,
    #[prost(uint32, tag = "7")]
    pub(super) a_u16: u32,
    #[prost(uint32, tag = "8")]
    pub(super) a_u32: u32,
    #[prost(uint64, tag = "9")]
    pub(super) a_u64: u64,
    #[prost(float, tag = "10")]
    pub(super) an_f32: f32,
    #[prost(double, tag = "11")]
    pub(super) an_f64: f64,
    #[prost(string, tag = "12")]
    pub(super) text: String,
    #[prost(bytes = "vec", tag = "13")]
    pub(super) bytes: Vec<u8>,
    #[prost(message, optional, tag = "14")]
    pub(super) leaf: Option<PLeaf>,
    #[prost(enumeration = "Colour", tag = "15")]
    pub(super) colour: i32,
    #[prost(uint64, tag = "16")]
    pub(super) metres: u64,
    #[prost(bool, optional, tag = "17")]
    pub(super) maybe_bool: Option<bool>,
    #[prost(int64, optional, tag = "18")]
    pub(super) maybe_i64: Option<i64>,
    #[prost(double, optional, tag = "19")]
    pub(super) maybe_f64: Option<f64>,
    #[prost(string, optional, tag = "20")]
    pub(super) maybe_text: Option<String>,
    #[prost(bytes = "vec", optional, tag = "21")]
    pub(super) maybe_bytes: Option<Vec<u8>>,
    #[prost(message, optional, tag = "22")]
    pub(super) maybe_leaf: Option<PLeaf>,
    #[prost(enumeration = "Colour", optional, tag = "23")]
    pub(super) maybe_colour: Option<i32>,
    #[prost(int32, repeated, tag = "24")]
    pub(super) i32s: Vec<i32>,
    #[prost(uint64, repeated, tag = "25")]
    pub(super) u64s: Vec<u64>,
    #[prost(float, repeated, tag = "26")]
    pub(super) f32s: Vec<f32>,
    #[prost(string, repeated, tag = "27")]
    pub(super) texts: Vec<String>,
    #[prost(bytes = "vec", repeated, tag = "28")]
    pub(super) byte_strings: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "29")]
    pub(super) leaves: Vec<PLeaf>,
    #[prost(enumeration = "Colour", repeated, tag = "30")]
    pub(super) colours: Vec<i32>,
    #[prost(map = "string, int64", tag = "31")]
    pub(super) by_text: HashMap<String, i64>,
    #[prost(map = "int32, message", tag = "32")]
    pub(super) by_number: HashMap<i32, PLeaf>,
    #[prost(map = "bool, string", tag = "33")]
    pub(super) by_bool: HashMap<bool, String>,
    #[prost(map = "uint64, bytes", tag = "34")]
    pub(super) bytes_by_u64: HashMap<u64, Vec<u8>>,
    #[prost(uint32, tag = "35")]
    pub(super) last: u32,
}

impl From<Leaf> for PLeaf {
    fn from(Leaf { name, weight, flags }: Leaf) -> Self {
        Self { name, weight, flags }
    }
}

impl From<Rich> for PRich {
    fn from(rich: Rich) -> Self {
        Self {
            a_bool: rich.a_bool,
            an_i8: rich.an_i8.into(),
            an_i16: rich.an_i16.into(),
            an_i32: rich.an_i32,
            an_i64: rich.an_i64,
            a_u8: rich.a_u8.into(),
            a_u16: rich.a_u16.into(),
            a_u32: rich.a_u32,
            a_u64: rich.a_u64,
            an_f32: rich.an_f32,
            an_f64: rich.an_f64,
            text: rich.text,
            bytes: rich.bytes,
            leaf: Some(rich.leaf.into()),
            colour: rich.colour as i32,
            metres: rich.metres.0,
            maybe_bool: rich.maybe_bool,
            maybe_i64: rich.maybe_i64,
            maybe_f64: rich.maybe_f64,
            maybe_text: rich.maybe_text,
            maybe_bytes: rich.maybe_bytes,
            maybe_leaf: rich.maybe_leaf.map(Into::into),
            maybe_colour: rich.maybe_colour.map(|colour| colour as i32),
            i32s: rich.i32s,
            u64s: rich.u64s,
            f32s: rich.f32s,
            texts: rich.texts,
            byte_strings: rich.byte_strings,
            leaves: rich.leaves.into_iter().map(Into::into).collect(),
            colours: rich.colours.into_iter().map(|colour| colour as i32).collect(),
            by_text: rich.by_text.into_iter().collect(),
            by_number: rich.by_number.into_iter().map(|(key, leaf)| (key, leaf.into())).collect(),
            by_bool: rich.by_bool.into_iter().collect(),
            bytes_by_u64: rich.bytes_by_u64.into_iter().collect(),
            last: rich.last,
        }
    }
}

/// Checks that both read `bytes` as the same value, or that ours rejects them: its narrow integers and closed enums allow
/// less than prost's.
pub(super) fn compare(bytes: &[u8]) {
    let Ok(ours) = from_slice::<Rich>(bytes) else { return };
    let theirs = PRich::decode(bytes).unwrap_or_else(|error| panic!("we read {ours:?}, prost rejects them: {error}"));
    let theirs = from_slice::<Rich>(&theirs.encode_to_vec()).expect("what prost writes can be read");
    // As text, because damage makes NaNs; prost leaves -0.0 out.
    let text = |rich| format!("{rich:?}").replace("-0.0", "0.0");
    assert_eq!(text(theirs), text(ours));
}
