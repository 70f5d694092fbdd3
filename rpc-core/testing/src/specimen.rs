//! What the fuzz targets of the wires share: a service whose methods give their arguments back, of every kind that serde can
//! describe, and the test that replays a corpus.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
};

use everywire_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives back what it is given.
#[everywire_core::service(package = "specimen.v1")]
pub trait Echo {
    /// A value with everything that all wires carry.
    async fn specimen(&self, value: Specimen) -> Result<Specimen>;
    /// An enum with data, which proto3 lacks.
    async fn choice(&self, value: Choice) -> Result<Choice>;
    /// Arguments of which the last may be left out.
    async fn several(&self, a: i64, b: Option<String>, c: Option<Vec<u8>>) -> Result<Several>;
    /// Nothing.
    async fn nothing(&self) -> Result<()>;
}

/// The arguments of [`Echo::several`].
pub type Several = (i64, Option<String>, Option<Vec<u8>>);

/// What all wires carry.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say what the types are")]
pub struct Specimen {
    pub flag: bool,
    pub tiny: i8,
    pub small: u16,
    pub signed: i64,
    pub unsigned: u64,
    pub single: f32,
    pub double: f64,
    pub text: String,
    pub bytes: Vec<u8>,
    pub colour: Colour,
    pub maybe: Option<i32>,
    pub maybe_text: Option<String>,
    pub inner: Option<Box<Specimen>>,
    pub numbers: Vec<i64>,
    pub parts: Vec<Part>,
    pub by_name: BTreeMap<String, Part>,
}

/// A message inside of another.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say what the types are")]
pub struct Part {
    pub name: String,
    pub colours: Vec<Colour>,
}

/// An enum without data.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say what the types are")]
pub enum Colour {
    #[default]
    Red,
    Green,
}

/// An enum with data.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say what the types are")]
pub enum Choice {
    Plain,
    One(u64),
    Two(bool, char),
    Named { x: Option<i64>, y: Vec<Choice> },
}

/// The implementation of [`Echo`].
#[derive(Debug, Clone, Copy)]
pub struct Echoing;

impl Echo for Echoing {
    async fn specimen(&self, value: Specimen) -> Result<Specimen> {
        Ok(value)
    }

    async fn choice(&self, value: Choice) -> Result<Choice> {
        Ok(value)
    }

    async fn several(&self, a: i64, b: Option<String>, c: Option<Vec<u8>>) -> Result<Several> {
        Ok((a, b, c))
    }

    async fn nothing(&self) -> Result<()> {
        Ok(())
    }
}

/// The outcome of a call of [`Echoing`], which never waits.
pub fn at_once<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("the call waits"),
    }
}

/// Compares as text, because a NaN is not equal to itself.
pub fn assert_same<T: fmt::Debug>(found: &T, expected: &T) {
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

/// Hands each file of `fuzz/corpus/TARGET` to `run`.
pub fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut inputs = 0;
    for file in files {
        let path = file.expect("a folder can be read on").path();
        println!("{}", path.display());
        run(&fs::read(&path).expect("a file of the corpus can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", corpus.display());
}
