//! The values at the edges, over every wire.

use std::collections::BTreeMap;

use everywire::{
    Code, Origin, Result,
    schemars::{self, JsonSchema},
    serde::{Deserialize, Serialize},
};

use crate::harness::{Wires, on_every_wire, soon};

/// A struct with one of everything that every wire carries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Nest {
    name: String,
    colour: Colour,
    least: i8,
    most: u16,
    parts: Vec<Part>,
    first: Option<Part>,
    counts: BTreeMap<String, u64>,
    ratio: f64,
    bytes: Vec<u8>,
}

/// The inside of a nest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Part {
    number: Option<i64>,
    labels: Vec<String>,
    done: bool,
}

/// A plain enum.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde", rename_all = "snake_case")]
pub(crate) enum Colour {
    /// The first.
    #[default]
    Red,
    /// The second.
    DarkGreen,
}

/// Gives back what it gets.
#[everywire::service(package = "test.v1")]
pub(crate) trait Echo {
    /// A signed integer.
    async fn int(&self, value: i64) -> Result<i64>;
    /// An unsigned integer.
    async fn uint(&self, value: u64) -> Result<u64>;
    /// A number.
    async fn float(&self, value: f64) -> Result<f64>;
    /// A quotient, which may be no number.
    async fn quotient(&self, a: f64, b: f64) -> Result<Vec<Option<f64>>>;
    /// A text.
    async fn text(&self, value: String) -> Result<String>;
    /// Everything.
    async fn nest(&self, value: Nest) -> Result<Nest>;
    /// A list of everything.
    async fn nests(&self, values: Vec<Nest>) -> Result<Vec<Nest>>;
    /// Something or nothing, before and behind something.
    async fn maybe(&self, before: Option<String>, value: i64, behind: Option<Nest>) -> Result<Option<String>>;
    /// Nothing.
    async fn nothing(&self) -> Result<()>;
}

struct Mirror;

impl Echo for Mirror {
    async fn int(&self, value: i64) -> Result<i64> {
        Ok(value)
    }

    async fn uint(&self, value: u64) -> Result<u64> {
        Ok(value)
    }

    async fn float(&self, value: f64) -> Result<f64> {
        Ok(value)
    }

    async fn quotient(&self, a: f64, b: f64) -> Result<Vec<Option<f64>>> {
        Ok(vec![None, Some(a / b)])
    }

    async fn text(&self, value: String) -> Result<String> {
        Ok(value)
    }

    async fn nest(&self, value: Nest) -> Result<Nest> {
        Ok(value)
    }

    async fn nests(&self, values: Vec<Nest>) -> Result<Vec<Nest>> {
        Ok(values)
    }

    async fn maybe(&self, before: Option<String>, value: i64, behind: Option<Nest>) -> Result<Option<String>> {
        Ok(before.or_else(|| behind.map(|nest| format!("{} {value}", nest.name))))
    }

    async fn nothing(&self) -> Result<()> {
        Ok(())
    }
}

/// A service with a type for which most wires have no word.
#[everywire::service(package = "test.v1")]
pub(crate) trait Pairs {
    /// Swaps.
    async fn swap(&self, pair: Pair) -> Result<Pair>;
}

type Perhaps = Option<i64>;

/// Something that may be absent in two ways: most wires have only one nil.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Pair {
    both: Option<Perhaps>,
}

struct Swaps;

impl Pairs for Swaps {
    async fn swap(&self, pair: Pair) -> Result<Pair> {
        Ok(pair)
    }
}

#[tokio::test]
async fn a_type_that_a_wire_cannot_carry_is_refused_before_anything_serves() {
    let mut wires = Wires::serve(PairsService::new(Swaps)).await;
    let error = soon("the refusal", wires.ended()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    for part in ["test.v1.Pairs.swap", "pair: Pair", "`Pair.both`", "an absent value and a present nil"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

async fn mirror() -> Wires<EchoService<Mirror>> {
    Wires::serve(EchoService::new(Mirror)).await
}

fn full() -> Nest {
    let part = Part { number: Some(i64::MIN), labels: vec![String::new(), "二".into()], done: true };
    Nest {
        name: "nest".into(),
        colour: Colour::DarkGreen,
        least: i8::MIN,
        most: u16::MAX,
        parts: vec![part.clone(), Part::default(), Part { number: Some(0), ..Part::default() }],
        first: Some(part),
        counts: [("a".to_owned(), 0), (String::new(), u64::MAX), ("ключ".to_owned(), 7)].into(),
        ratio: -1.5e-300,
        bytes: (0..=255).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers() {
    let wires = mirror().await;
    on_every_wire!(wires, |wire, caller| {
        let echo = EchoClient::new(caller);
        let edge = i64::from(i32::MAX);
        for value in [0, 1, -1, edge, edge + 1, -edge - 1, -edge - 2, (1 << 53) + 1, i64::MAX, i64::MIN] {
            assert_eq!(echo.int(value).await, Ok(value), "{wire}");
        }
        for value in [0, u64::from(u32::MAX), 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX] {
            assert_eq!(echo.uint(value).await, Ok(value), "{wire}");
        }
        for value in [0.0, -0.0, 0.1, 1e300, f64::MIN_POSITIVE, f64::MAX, f64::EPSILON, 5e-324, 123_456_789.0] {
            let got = echo.float(value).await.unwrap();
            assert_eq!(got.to_bits(), value.to_bits(), "{wire}: {value}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_that_are_no_numbers() {
    let wires = mirror().await;
    on_every_wire!(wires, |wire, caller| {
        let echo = EchoClient::new(caller);
        let has_words = matches!(wire, "xmlrpc" | "grpc" | "zerorpc");
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let got = echo.float(value).await.map(f64::to_bits).map_err(|error| error.code());
            let expected = if has_words { Ok(value.to_bits()) } else { Err(Code::InvalidArgument) };
            assert_eq!(got, expected, "{wire}: {value}");
        }
        for (a, b, reply) in [(1.0, 0.0, f64::INFINITY), (1.0, 2.0, 0.5)] {
            let got = echo.quotient(a, b).await;
            if has_words || reply.is_finite() {
                assert_eq!(got, Ok(vec![None, Some(reply)]), "{wire}");
            } else {
                let error = got.unwrap_err();
                assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote), "{wire}: {error}");
                assert!(error.message().ends_with("JSON has no NaN and no infinity, and a value is inf"), "{error}");
            }
        }
        assert_eq!(echo.int(7).await, Ok(7), "{wire}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn texts() {
    let wires = mirror().await;
    let long = "x".repeat(1 << 20);
    let texts = [
        "",
        " ",
        " leading and trailing \n",
        "a\tb\nc\rd\r\ne",
        "<&>'\"]]> &amp; &#65; <!-- -->",
        "größer, Ω, 日本語, עברית",
        "astral: 😀 𝄞 \u{10FFFF}",
        "\u{FEFF}byte order mark",
        "combining: e\u{301}",
        &long,
    ];
    on_every_wire!(wires, |wire, caller| {
        let echo = EchoClient::new(caller);
        for text in texts {
            let got = echo.text(text.into()).await.unwrap_or_else(|error| panic!("{wire}: {text:.40}: {error}"));
            assert!(got == text, "{wire}: {text:.40?} came back as {got:.40?}");
        }
    });
}

/// XML 1.0 has no way to write these characters, so that wire refuses them before it sends anything.
#[tokio::test(flavor = "multi_thread")]
async fn characters_that_xml_forbids() {
    let wires = mirror().await;
    on_every_wire!(wires, |wire, caller| {
        let echo = EchoClient::new(caller);
        for text in ["\0", "a\u{1}b", "\u{B}", "\u{1F}", "\u{FFFE}", "\u{FFFF}"] {
            match echo.text(text.into()).await {
                Ok(got) => assert!(got == text && wire != "xmlrpc", "{wire}: {text:?} came back as {got:?}"),
                Err(error) => {
                    assert_eq!(wire, "xmlrpc", "{text:?}: {error}");
                    assert_eq!((error.code(), error.origin()), (Code::InvalidArgument, Origin::Local), "{text:?}");
                }
            }
        }
        assert_eq!(echo.text("\u{7F}\u{85}\u{E000}".into()).await.as_deref(), Ok("\u{7F}\u{85}\u{E000}"), "{wire}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn structs_lists_and_absent_values() {
    let wires = mirror().await;
    on_every_wire!(wires, |wire, caller| {
        let echo = EchoClient::new(caller);
        for nest in [full(), Nest::default()] {
            assert_eq!(echo.nest(nest.clone()).await, Ok(nest), "{wire}");
        }
        let many: Vec<_> = [full(), Nest::default()].into_iter().cycle().take(100).collect();
        assert_eq!(echo.nests(many.clone()).await, Ok(many), "{wire}");
        assert_eq!(echo.nests(vec![]).await, Ok(vec![]), "{wire}");
        assert_eq!(echo.maybe(None, 5, None).await, Ok(None), "{wire}");
        assert_eq!(echo.maybe(Some(String::new()), 0, None).await, Ok(Some(String::new())), "{wire}");
        assert_eq!(echo.maybe(None, -5, Some(full())).await, Ok(Some("nest -5".into())), "{wire}");
        assert_eq!(echo.nothing().await, Ok(()), "{wire}");
    });
}
