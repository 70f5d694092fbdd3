//! A reply for which the buffers of all connections have no room, over every wire.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use everywire::{
    Budget, Code, Limits, Result,
    schemars::{self, JsonSchema},
    serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq},
};

use crate::harness::{Wires, on_every_wire};

/// What all connections may buffer.
const BUFFERED_BYTES: usize = 1 << 20;

static BUDGET: OnceLock<Arc<Budget>> = OnceLock::new();

/// How much was reserved at most while a reply was written.
static RESERVED: AtomicUsize = AtomicUsize::new(0);

/// A list of ones, which are in no memory until they are written.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde", from = "Vec<u64>")]
#[schemars(with = "Vec<u64>")]
pub(crate) struct Ones(usize);

impl From<Vec<u64>> for Ones {
    fn from(ones: Vec<u64>) -> Self {
        Self(ones.len())
    }
}

impl Serialize for Ones {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0))?;
        for _ in 0..self.0 {
            RESERVED.fetch_max(BUDGET.get().map_or(0, |budget| budget.bytes()), Relaxed);
            list.serialize_element(&1_u64)?;
        }
        list.end()
    }
}

#[everywire::service(package = "test.v1")]
pub(crate) trait Lists {
    /// `count` ones.
    async fn ones(&self, count: usize) -> Result<Ones>;
}

struct Lister;

impl Lists for Lister {
    async fn ones(&self, count: usize) -> Result<Ones> {
        Ok(Ones(count))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_reply_is_reserved_while_it_is_written() {
    let limits = Limits { buffered_bytes: BUFFERED_BYTES, message_bytes: usize::MAX, ..Limits::default() };
    let wires = Wires::serve_within(ListsService::new(Lister), limits).await;
    BUDGET.set(Arc::clone(&wires.budget)).unwrap();
    on_every_wire!(wires, |wire, caller| {
        let lists = ListsClient::new(caller);
        if wire != "memory" {
            RESERVED.store(0, Relaxed);
            let error = lists.ones(2 * BUFFERED_BYTES).await.unwrap_err();
            assert_eq!(error.code(), Code::ResourceExhausted, "{wire}: {error}");
            assert!(error.message().contains("the limit buffered_bytes is 1048576"), "{wire}: {error}");
            let reserved = RESERVED.load(Relaxed);
            assert!(
                (BUFFERED_BYTES / 2..=BUFFERED_BYTES).contains(&reserved),
                "{wire}: {reserved} bytes were reserved"
            );
        }
        // What was reserved is free again.
        for _ in 0..3 {
            assert_eq!(lists.ones(15_000).await, Ok(Ones(15_000)), "{wire}");
        }
    });
}
