//! The codec against prost: each must read what the other writes, as the same value.

use proptest::{collection::vec, option, prelude::*, test_runner::Config};
use prost::Message;

use super::rich::{Colour, Leaf, Metres, PRich, Rich, compare};
use crate::{from_slice, to_vec};

/// Values per property. `PROST_CASES=1000000 cargo test -p everywire-grpc --release` takes longer and tests more.
const CASES: u32 = 20_000;

/// Any numbers, and as often ones at which the length of a varint changes.
fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![Just(0), 0..300u64, any::<u64>(), (0..64u32).prop_map(|bit| (1 << bit) - 1), Just(1 << 63)]
}

fn float() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![Just(0.0), Just(f64::INFINITY), Just(-1.5), any::<f64>()]
}

fn text() -> impl Strategy<Value = String> + Clone {
    let short = vec(any::<char>(), 0..6).prop_map(String::from_iter);
    // Around 128 bytes the length takes a second byte.
    prop_oneof![4 => short, 1 => (110..135usize).prop_map(|length| "x".repeat(length))]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> + Clone {
    vec(any::<u8>(), 0..6)
}

fn colour() -> impl Strategy<Value = Colour> + Clone {
    prop_oneof![Just(Colour::Red), Just(Colour::Green), Just(Colour::Blue)]
}

fn leaf() -> impl Strategy<Value = Leaf> + Clone {
    (text(), float(), vec(any::<bool>(), 0..3)).prop_map(|(name, weight, flags)| Leaf { name, weight, flags })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "any number will do")]
fn rich() -> impl Strategy<Value = Rich> {
    let numbers = proptest::array::uniform10(number());
    let singles = (any::<bool>(), float(), float(), text(), bytes(), leaf(), colour());
    let options = (
        option::of(any::<bool>()),
        option::of(number()),
        option::of(float()),
        option::of(text()),
        option::of(bytes()),
        option::of(leaf()),
        option::of(colour()),
    );
    let lists = (
        vec(number(), 0..4),
        vec(number(), 0..4),
        vec(float(), 0..3),
        vec(text(), 0..3),
        vec(bytes(), 0..3),
        vec(leaf(), 0..3),
        vec(colour(), 0..3),
    );
    let maps = (
        vec((text(), number()), 0..3),
        vec((number(), leaf()), 0..3),
        vec((any::<bool>(), text()), 0..3),
        vec((number(), bytes()), 0..3),
    );
    (numbers, singles, options, lists, maps).prop_map(|(n, s, o, l, m)| Rich {
        a_bool: s.0,
        an_i8: n[0] as i8,
        an_i16: n[1] as i16,
        an_i32: n[2] as i32,
        an_i64: n[3] as i64,
        a_u8: n[4] as u8,
        a_u16: n[5] as u16,
        a_u32: n[6] as u32,
        a_u64: n[7],
        an_f32: s.1 as f32,
        an_f64: s.2,
        text: s.3,
        bytes: s.4,
        leaf: s.5,
        colour: s.6,
        metres: Metres(n[8]),
        maybe_bool: o.0,
        maybe_i64: o.1.map(|number| number as i64),
        maybe_f64: o.2,
        maybe_text: o.3,
        maybe_bytes: o.4,
        maybe_leaf: o.5,
        maybe_colour: o.6,
        i32s: l.0.into_iter().map(|number| number as i32).collect(),
        u64s: l.1,
        f32s: l.2.into_iter().map(|float| float as f32).collect(),
        texts: l.3,
        byte_strings: l.4,
        leaves: l.5,
        colours: l.6,
        by_text: m.0.into_iter().map(|(key, number)| (key, number as i64)).collect(),
        by_number: m.1.into_iter().map(|(key, leaf)| (key as i32, leaf)).collect(),
        by_bool: m.2.into_iter().collect(),
        bytes_by_u64: m.3.into_iter().collect(),
        last: n[9] as u32,
    })
}

/// A message that means the same and looks different: top-level records in any order, unknown ones among them.
fn shuffled(bytes: &[u8], order: &[u32]) -> Vec<u8> {
    let mut rest = bytes;
    let mut records = vec![];
    while !rest.is_empty() {
        let before = rest;
        let (number, wire) = prost::encoding::decode_key(&mut rest).unwrap();
        prost::encoding::skip_field(wire, number, &mut rest, prost::encoding::DecodeContext::default()).unwrap();
        records.push((number, &before[..before.len() - rest.len()]));
    }
    // Records of one field keep their order: it has a meaning.
    records.sort_by_key(|(number, _)| order[*number as usize % order.len()]);
    // Field 2,015 as bytes, and as a group with another in it.
    let unknown: &[u8] = &[0xfa, 0x7d, 1, 9, 0xfb, 0x7d, 0x0b, 0x08, 1, 0x0c, 0xfc, 0x7d];
    records.into_iter().flat_map(|(_, record)| [record, unknown]).flatten().copied().collect()
}

fn config(divisor: u32) -> Config {
    let cases = std::env::var("PROST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    Config { cases: cases / divisor, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn each_reads_what_the_other_writes(
        rich in rich(),
        order in vec(any::<u32>(), 36),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let theirs = PRich::from(rich.clone());
        let mut written = to_vec(&rich).unwrap();
        let mut read = PRich::decode(&*written).unwrap();
        // prost distinguishes an absent message from a zero one.
        read.leaf.get_or_insert_default();
        prop_assert_eq!(&read, &theirs);
        let by_prost = theirs.encode_to_vec();
        prop_assert_eq!(&from_slice::<Rich>(&by_prost).unwrap(), &rich);
        prop_assert_eq!(&from_slice::<Rich>(&shuffled(&by_prost, &order)).unwrap(), &rich);
        if !written.is_empty() {
            let at = at.index(written.len());
            written[at] = byte;
            compare(&written);
            compare(&written[..at]);
        }
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn two_messages_in_a_row_merge(first in rich(), second in rich()) {
        compare(&[to_vec(&first).unwrap(), to_vec(&second).unwrap()].concat());
    }
}

#[test]
fn unpacked_numbers_are_read() {
    let unpacked = [0xc0, 0x01, 1, 0xc2, 0x01, 2, 2, 3, 0xc2, 0x01, 0, 0xc0, 0x01, 4];
    assert_eq!(PRich::decode(&unpacked[..]).unwrap().i32s, [1, 2, 3, 4]);
    assert_eq!(from_slice::<Rich>(&unpacked).unwrap().i32s, [1, 2, 3, 4]);
}
