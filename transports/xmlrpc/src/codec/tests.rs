//! The format against golden bytes, against another implementation, and against chance.

use std::collections::BTreeMap;

use everywire_core::wire::MessageBuffer;
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Error, Kind, Nil, Parser, Value, Writer, document, from_str, to_string};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Choice {
    Plain,
    One(i64),
    Two(u8, String),
    Named { x: Option<bool> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapped(u64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rich {
    signed: (i8, i16, i32, i64, i128),
    unsigned: (u8, u16, u32, u64, u128),
    float: f64,
    single: f32,
    flag: bool,
    letter: char,
    text: String,
    maybe: Option<Wrapped>,
    list: Vec<Choice>,
    named: BTreeMap<String, Vec<String>>,
    numbered: BTreeMap<i64, f64>,
    flags: BTreeMap<bool, Option<Unit>>,
    inner: Option<Box<Rich>>,
    nothing: (),
}

/// Bytes as `serde_bytes` has them.
#[derive(Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, inside: &str) {
    let document = format!("<value>{inside}</value>");
    assert_eq!(to_string(value).as_deref(), Ok(document.as_str()), "{value:?}");
    assert_eq!(from_str::<T>(&document).as_ref(), Ok(value), "{document}");
}

#[test]
fn values_have_golden_bytes() {
    golden(&7, "<int>7</int>");
    golden(&i64::from(i32::MIN), "<int>-2147483648</int>");
    golden(&(i64::from(i32::MAX) + 1), "<i8>2147483648</i8>");
    golden(&i64::MIN, "<i8>-9223372036854775808</i8>");
    golden(&9_223_372_036_854_775_807_u64, "<i8>9223372036854775807</i8>");
    golden(&u64::MAX, "<biginteger>18446744073709551615</biginteger>");
    golden(&u128::MAX, "<biginteger>340282366920938463463374607431768211455</biginteger>");
    golden(&true, "<boolean>1</boolean>");
    golden(&0.1, "<double>0.1</double>");
    golden(&-1e300, "<double>-1e300</double>");
    golden(&f64::NEG_INFINITY, "<double>-inf</double>");
    golden(&String::new(), "<string></string>");
    golden(&"a < b\r".to_owned(), "<string>a &lt; b&#13;</string>");
    golden(&'🦀', "<string>🦀</string>");
    golden(&Bytes(vec![0, 255, 128, 7]), "<base64>AP+ABw==</base64>");
    golden(&vec![1, 2], "<array><data><value><int>1</int></value><value><int>2</int></value></data></array>");
    golden(&Vec::<u8>::new(), "<array><data></data></array>");
    golden(&None::<u8>, "<nil/>");
    golden(&(), "<nil/>");
    golden(&Unit, "<nil/>");
    golden(&Wrapped(1), "<int>1</int>");
    golden(
        &BTreeMap::from([(-1, true)]),
        "<struct><member><name>-1</name><value><boolean>1</boolean></value></member></struct>",
    );
    golden(&Choice::Plain, "<string>Plain</string>");
    golden(&Choice::One(1), "<struct><member><name>One</name><value><int>1</int></value></member></struct>");
    golden(
        &Choice::Two(1, "x".to_owned()),
        "<struct><member><name>Two</name><value><array><data><value><int>1</int></value><value><string>x</string></value>\
         </data></array></value></member></struct>",
    );
    golden(
        &Choice::Named { x: None },
        "<struct><member><name>Named</name><value><struct><member><name>x</name><value><nil/></value></member></struct>\
         </value></member></struct>",
    );
    assert_eq!(to_string(&f64::NAN).as_deref(), Ok("<value><double>nan</double></value>"));
}

#[test]
fn what_others_write_is_read() {
    #[track_caller]
    fn read<T: DeserializeOwned + PartialEq + std::fmt::Debug>(inside: &str, expected: &T) {
        assert_eq!(from_str::<T>(&format!("<value>{inside}</value>")).as_ref(), Ok(expected), "{inside}");
    }
    for tag in ["int", "i1", "i2", "i4", "i8", "biginteger", "ex:i8", "ex:biginteger"] {
        read(&format!("\n<{tag}>\n +7 </{tag}>\n"), &7_i8);
    }
    read("<double>1E5</double>", &1e5);
    read("<ex:float>.5</ex:float>", &0.5);
    read("<int>3</int>", &3.0);
    read("text", &"text".to_owned());
    read("", &String::new());
    read("\n ", &"\n ".to_owned());
    read("<string/>", &String::new());
    read("a<!-- b -->c<?d e?><![CDATA[<&>]]>", &"ac<&>".to_owned());
    read("<!-- -->\u{feff}é<?x?>\u{feff}", &"\u{feff}é\u{feff}".to_owned());
    read("a\r\nb\rc", &"a\nb\nc".to_owned());
    read("&#13;&#xA;&quot;&apos;&amp;lt;", &"\r\n\"'&lt;".to_owned());
    read("<string>Plain</string>", &Choice::Plain);
    read("Plain", &Choice::Plain);
    read("<base64>\nAP+A\nBw\n</base64>", &Bytes(vec![0, 255, 128, 7]));
    read("<base64>AP8=</base64>", &vec![0_u8, 255]);
    read("<ex:nil></ex:nil>", &None::<u8>);
    read("<int>7</int>", &Some(7));
    read("<string a='1' b=\"2\">x</string>", &"x".to_owned());
    read(
        "<struct>\n<member>\n<name>later</name><value><struct/></value>\n</member>\n<member><name>x</name><value><nil/></value></member></struct>",
        &Named { x: None },
    );
    for empty in [
        "<array><data/></array>",
        "<array>\n<data/>\n</array>",
        "<array/>",
        "<array></array>",
        "<array> <!-- x --> </array>",
    ] {
        read(empty, &Vec::<u8>::new());
    }
    read("<array><value><int>1</int></value> <value><int>2</int></value></array>", &vec![1, 2]);
    read("<array><value><array/></value></array>", &vec![Vec::<u8>::new()]);
    for empty in ["<struct/>", "<struct></struct>", "<struct> <!-- x --> </struct>"] {
        read(empty, &Named { x: None });
        read(empty, &BTreeMap::<String, u8>::new());
    }
    for (text, number) in [("7", 7_i128), ("-7", -7), ("007", 7), ("18446744073709551615", u64::MAX.into())] {
        read(text, &number);
        read(&format!("\n<string>{text}</string>\n"), &Some(number));
    }
    read("4294967295", &u32::MAX);
    read("18446744073709551615", &u64::MAX);
    read("-9223372036854775808", &i64::MIN);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    x: Option<u8>,
}

#[test]
fn a_member_that_is_nil_is_left_out_for_a_reader_without_it() {
    #[track_caller]
    fn left_out<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, inside: &str) {
        let mut out = MessageBuffer::unbounded(Vec::new());
        value.serialize(Writer::value(&mut out, Nil::LeftOut)).unwrap();
        let written = String::from_utf8(out.into_vec()).unwrap();
        assert_eq!(written, format!("<value>{inside}</value>"), "{value:?}");
        assert_eq!(from_str::<T>(&written).as_ref(), Ok(value), "{written}");
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Three {
        a: Option<u8>,
        b: u8,
        c: Option<Box<Three>>,
    }
    let member = |name: &str, inside: &str| format!("<member><name>{name}</name><value>{inside}</value></member>");
    let inner = Three { a: None, b: 1, c: None };
    let one = format!("<struct>{}</struct>", member("b", "<int>1</int>"));
    left_out(&inner, &one);
    let outer = Three { a: Some(2), b: 3, c: Some(Box::new(inner)) };
    left_out(
        &outer,
        &format!(
            "<struct>{}{}{}</struct>",
            member("a", "<int>2</int>"),
            member("b", "<int>3</int>"),
            member("c", &one)
        ),
    );
    left_out(&Named { x: None }, "<struct></struct>");
    left_out(&vec![Named { x: None }], "<array><data><value><struct></struct></value></data></array>");
    left_out(&Choice::Named { x: None }, &format!("<struct>{}</struct>", member("Named", "<struct></struct>")));
    // What can't be left out without a change of the rest.
    left_out(&None::<u8>, "<nil/>");
    left_out(&(), "<nil/>");
    left_out(&vec![None, Some(1)], "<array><data><value><nil/></value><value><int>1</int></value></data></array>");
    left_out(&(None::<u8>,), "<array><data><value><nil/></value></data></array>");
    left_out(&BTreeMap::from([("x".to_owned(), None::<u8>)]), &format!("<struct>{}</struct>", member("x", "<nil/>")));
}

#[test]
fn nan_is_read() {
    for text in ["nan", "NaN"] {
        assert!(from_str::<f64>(&format!("<value><double>{text}</double></value>")).unwrap().is_nan());
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    fn kind<T: DeserializeOwned>(text: &str) -> Kind {
        let read = || -> Result<T, Error> {
            let mut parser = Parser::new(document(text.as_bytes())?, 3);
            let value = T::deserialize(Value::new(&mut parser))?;
            parser.finish()?;
            Ok(value)
        };
        read().err().unwrap_or_else(|| panic!("{text} was read")).kind()
    }
    let deep = |levels: usize| {
        format!("{}<value/>{}", "<value><array><data>".repeat(levels), "</data></array></value>".repeat(levels))
    };
    assert_eq!(from_str::<Vec<Vec<Vec<String>>>>(&deep(3)), Ok(vec![vec![vec![String::new()]]]));
    assert_eq!(kind::<Vec<Vec<Vec<Vec<String>>>>>(&deep(4)), Kind::Depth);
    assert_eq!(kind::<serde::de::IgnoredAny>(&deep(100_000)), Kind::Depth);
    for text in ["<value>", "<value></int>", "<value>&nbsp;</value>", "<!DOCTYPE v><value/>", "<value><!-- ", "<"] {
        assert_eq!(kind::<String>(text), Kind::Syntax, "{text}");
    }
    for text in ["<value>\0</value>", "<value>&#0;</value>", "<value>&#xFFFF;</value>", "<value>&#x110000;</value>"] {
        assert_eq!(kind::<String>(text), Kind::Character, "{text}");
    }
    for text in ["", "x", "<int>1</int>", "<value/><value/>", "<value><x/></value>", "<value>1<int>1</int></value>"] {
        assert_eq!(kind::<String>(text), Kind::Structure, "{text}");
    }
    // An `<int>` can be every number that these hold.
    assert_eq!(kind::<i32>("<value>7</value>"), Kind::Type);
    assert_eq!(kind::<u16>("<value><string>7</string></value>"), Kind::Type);
    let more = "<value><array><data><value/><value/></data></array></value>";
    assert_eq!(kind::<(String,)>(more), Kind::Type);
    assert_eq!(kind::<bool>("<value><boolean>2</boolean></value>"), Kind::Type);
    assert_eq!(kind::<f64>("<value><double>x</double></value>"), Kind::Type);
    for text in [
        "",
        "-",
        "+7",
        " 7",
        "7 ",
        "7.0",
        "1e3",
        "0x7",
        "٣",
        "seven",
        "-1",
        "99999999999999999999999999999999999999999",
    ] {
        assert_eq!(kind::<u64>(&format!("<value>{text}</value>")), Kind::Type, "{text}");
    }
    assert_eq!(kind::<Bytes>("<value><base64>?</base64></value>"), Kind::Type);
    assert_eq!(kind::<Choice>("<value><int>1</int></value>"), Kind::Type);
    assert_eq!(kind::<Choice>("<value><struct/></value>"), Kind::Type);
    let two = "<member><name>One</name><value><int>1</int></value></member>".repeat(2);
    assert_eq!(kind::<Choice>(&format!("<value><struct>{two}</struct></value>")), Kind::Type);
}

#[test]
fn an_error_repeats_little_of_a_long_document() {
    let long = format!("<value>{}</value>", "ü".repeat(10_000));
    let error = from_str::<i64>(&long).unwrap_err();
    assert!(error.message().starts_with("invalid type: string \"üü") && error.message().len() <= 512, "{error}");
}

#[test]
fn keys_that_are_no_text_are_refused() {
    for error in [to_string(&BTreeMap::from([((), 1)])), to_string(&BTreeMap::from([(vec![1], 1)]))] {
        assert!(error.as_ref().is_err_and(|error| error.message().contains("the key of a map")), "{error:?}");
    }
}

/// dxr is another implementation of XML-RPC: what it reads from our text must be what it writes, and we read that.
#[test]
fn another_implementation_agrees() {
    use dxr::{TryFromValue, TryToValue};

    #[track_caller]
    fn agree<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + TryToValue + TryFromValue + PartialEq + std::fmt::Debug,
    {
        let ours = to_string(value).unwrap();
        let theirs = dxr::Value::from_xml(&ours).unwrap_or_else(|error| panic!("dxr can't read {ours}: {error}"));
        assert_eq!(&T::try_from_value(&theirs).unwrap(), value, "{ours}");
        let written = value.try_to_value().unwrap().to_xml().unwrap();
        assert_eq!(from_str::<T>(&written).as_ref(), Ok(value), "{written}");
    }
    agree(&7);
    agree(&i64::MIN);
    agree(&true);
    agree(&-0.1);
    agree(&"a < \"b\" & é🦀\n".to_owned());
    agree(&String::new());
    agree(&vec![vec!["x".to_owned()], vec![]]);
    agree(&None::<i32>);
    agree(&std::collections::HashMap::from([("key".to_owned(), 1)]));
}

fn xml_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>().prop_filter("XML has it", |&c| super::text::is_xml_char(c)), 0..12)
        .prop_map(String::from_iter)
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Plain),
        any::<i64>().prop_map(Choice::One),
        (any::<u8>(), xml_text()).prop_map(|(number, text)| Choice::Two(number, text)),
        any::<Option<bool>>().prop_map(|x| Choice::Named { x }),
    ]
}

prop_compose! {
    fn rich()(
        signed in any::<(i8, i16, i32, i64, i128)>(),
        unsigned in any::<(u8, u16, u32, u64, u128)>(),
        (float, single) in (proptest::num::f64::ANY.prop_filter("equal to itself", |f| !f.is_nan()),
            proptest::num::f32::ANY.prop_filter("equal to itself", |f| !f.is_nan())),
        (flag, letter) in (any::<bool>(), any::<char>().prop_filter("XML has it", |&c| super::text::is_xml_char(c))),
        text in xml_text(),
        maybe in any::<Option<u64>>(),
        list in proptest::collection::vec(choice(), 0..4),
        named in proptest::collection::btree_map(xml_text(), proptest::collection::vec(xml_text(), 0..3), 0..3),
        numbered in proptest::collection::btree_map(any::<i64>(), -1e9..1e9, 0..3),
        flags in proptest::collection::btree_map(any::<bool>(), Just(None), 0..2),
    ) -> Rich {
        Rich {
            signed, unsigned, float, single, flag, letter, text, list, named, numbered, flags,
            maybe: maybe.map(Wrapped), inner: None, nothing: (),
        }
    }
}

proptest! {
    #[test]
    fn any_value_returns_unchanged(outer in rich(), inner in rich()) {
        let value = Rich { inner: Some(Box::new(inner)), ..outer };
        let text = to_string(&value).unwrap();
        prop_assert_eq!(from_str::<Rich>(&text), Ok(value));
    }

    #[test]
    fn a_mutated_document_never_panics(value in rich(), edits in proptest::collection::vec(any::<(u16, u8, u8)>(), 1..6)) {
        let mut bytes = to_string(&value).unwrap().into_bytes();
        for (at, kind, byte) in edits {
            let at = usize::from(at) % bytes.len();
            match kind % 4 {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"<>&/;#x\"' "[usize::from(byte) % 10]),
                // More than the edits can remove.
                _ => bytes.truncate(at.max(8)),
            }
        }
        if let Ok(text) = document(&bytes) {
            let _ = Rich::deserialize(Value::new(&mut Parser::new(text, 16)));
            let _ = serde::de::IgnoredAny::deserialize(Value::new(&mut Parser::new(text, 16)));
            let _ = Parser::new(text, 16).skip_to_end();
        }
    }
}
