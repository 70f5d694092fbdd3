//! What is called in the matrix. Foreign servers have it too, see `tests/foreign/service.py`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use everywire::{
    Code, Result, RpcError,
    schemars::{self, JsonSchema},
    serde::{Deserialize, Serialize},
};
use tokio::{sync::Barrier, time::timeout};

/// How many calls meet.
pub(crate) const TOGETHER: usize = 4;

/// Longer than any client takes from its first call to its last of those that meet.
const MEETING_TIME: Duration = Duration::from_secs(20);

/// Gives back what it gets.
#[everywire::service(package = "interop.v1")]
pub(crate) trait Interop {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// A signed integer.
    async fn int(&self, value: i64) -> Result<i64>;
    /// An unsigned integer.
    async fn uint(&self, value: u64) -> Result<u64>;
    /// A text or nothing.
    async fn maybe(&self, value: Option<String>) -> Result<Option<String>>;
    /// A text.
    async fn text(&self, value: String) -> Result<String>;
    /// Bytes.
    async fn blob(&self, value: Blob) -> Result<Blob>;
    /// Structs in structs in a list.
    async fn nest(&self, value: Vec<Outer>) -> Result<Vec<Outer>>;
    /// Fails with `NOT_FOUND` and this message.
    async fn fail(&self, message: String) -> Result<()>;
    /// Is answered once four calls with this name are in it.
    async fn meet(&self, name: String) -> Result<u32>;
}

/// Bytes, as serde calls them: base64 in XML, bin in `MessagePack`, a list of numbers in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Blob(
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub(crate) Vec<u8>,
);

/// A struct around another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Outer {
    pub(crate) name: String,
    pub(crate) inner: Inner,
}

/// The struct inside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Inner {
    pub(crate) number: i64,
    pub(crate) labels: Vec<String>,
}

/// The implementation.
#[derive(Default)]
pub(crate) struct Mirror {
    meetings: Mutex<HashMap<String, Arc<Barrier>>>,
}

impl Interop for Mirror {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn int(&self, value: i64) -> Result<i64> {
        Ok(value)
    }

    async fn uint(&self, value: u64) -> Result<u64> {
        Ok(value)
    }

    async fn maybe(&self, value: Option<String>) -> Result<Option<String>> {
        Ok(value)
    }

    async fn text(&self, value: String) -> Result<String> {
        Ok(value)
    }

    async fn blob(&self, value: Blob) -> Result<Blob> {
        Ok(value)
    }

    async fn nest(&self, value: Vec<Outer>) -> Result<Vec<Outer>> {
        Ok(value)
    }

    async fn fail(&self, message: String) -> Result<()> {
        Err(RpcError::not_found(message))
    }

    async fn meet(&self, name: String) -> Result<u32> {
        let meeting =
            Arc::clone(self.meetings.lock().unwrap().entry(name).or_insert_with(|| Arc::new(Barrier::new(TOGETHER))));
        match timeout(MEETING_TIME, meeting.wait()).await {
            Ok(_) => Ok(u32::try_from(TOGETHER).unwrap()),
            Err(_) => Err(RpcError::new(Code::DeadlineExceeded, "the others did not come")),
        }
    }
}
