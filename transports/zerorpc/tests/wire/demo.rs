//! A service with everything a wire can stumble over.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use everywire_core::{Code, Result, RpcError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[everywire_core::service(package = "demo.v1")]
pub(crate) trait Demo {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Gives all its arguments back.
    async fn echo(&self, value: Everything) -> Result<Everything>;
    /// Gives a text back.
    async fn text(&self, text: String) -> Result<String>;
    /// Says which options came.
    async fn options(&self, first: Option<i64>, middle: i64, last: Option<String>) -> Result<Vec<String>>;
    /// Waits for a time.
    async fn wait(&self, ms: u64) -> Result<u64>;
    /// How many waits are running.
    async fn waiting(&self) -> Result<u64>;
    /// Fails.
    async fn fail(&self, code: i32, message: String) -> Result<()>;
    /// Panics.
    async fn panic(&self) -> Result<()>;
    /// Answers with many bytes.
    async fn big(&self, bytes: u64) -> Result<String>;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Everything {
    pub(crate) least: i64,
    pub(crate) most: u64,
    pub(crate) float: f64,
    pub(crate) text: String,
    pub(crate) absent: Option<String>,
    pub(crate) middle: Option<u8>,
    pub(crate) colour: Colour,
    pub(crate) inner: Inner,
    pub(crate) list: Vec<Inner>,
    pub(crate) map: BTreeMap<String, i64>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) unit: (),
    pub(crate) pair: (bool, char),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) colours: Vec<Colour>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Colour {
    Red,
    Green,
}

#[derive(Debug, Default)]
pub(crate) struct Real {
    waiting: AtomicUsize,
}

impl Demo for Real {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum has more than 64 bits"))
    }

    async fn echo(&self, value: Everything) -> Result<Everything> {
        Ok(value)
    }

    async fn text(&self, text: String) -> Result<String> {
        Ok(text)
    }

    async fn options(&self, first: Option<i64>, middle: i64, last: Option<String>) -> Result<Vec<String>> {
        Ok(vec![format!("{first:?}"), middle.to_string(), format!("{last:?}")])
    }

    async fn wait(&self, ms: u64) -> Result<u64> {
        let _running = Running::new(&self.waiting);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    }

    async fn waiting(&self) -> Result<u64> {
        Ok(self.waiting.load(Ordering::SeqCst) as u64)
    }

    async fn fail(&self, code: i32, message: String) -> Result<()> {
        Err(RpcError::new(Code::from_number(code).unwrap_or(Code::Unknown), message))
    }

    async fn panic(&self) -> Result<()> {
        panic!("as asked")
    }

    async fn big(&self, bytes: u64) -> Result<String> {
        Ok("x".repeat(usize::try_from(bytes).unwrap_or_default()))
    }
}

struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
