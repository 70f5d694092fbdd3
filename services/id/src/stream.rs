//! Streams of ids.

use std::sync::Arc;

use everywire_core::{RpcError, Streaming};
use futures_util::{TryStreamExt, stream};

use crate::Ids;

/// The most ids that a stream takes from the generator at a time: what a snowflake makes in a millisecond, and few enough that one
/// step of an engine stays short.
const BATCH: u32 = 1 << 12;

impl Ids {
    /// The next `count` ids, with the guarantees of [`next_many`](Self::next_many), however many. They are made in batches of
    /// at most 4,096 when they are read, and ascend unless they are hidden. Those of the last batch that nobody reads are lost.
    pub fn stream(self: &Arc<Self>, count: u64) -> Streaming<u64> {
        let ids = Arc::clone(self);
        let batches = stream::try_unfold(count, move |left| {
            let ids = Arc::clone(&ids);
            async move {
                let size = u32::try_from(left).unwrap_or(BATCH).min(BATCH);
                if size == 0 {
                    return Ok::<_, RpcError>(None);
                }
                let batch = ids.next_many(size).await?;
                Ok(Some((stream::iter(batch.into_iter().map(Ok)), left - u64::from(size))))
            }
        });
        Streaming::new(batches.try_flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures_util::StreamExt;

    use crate::Snowflake;

    use super::*;

    fn ids() -> Ids {
        Snowflake::new(0).unwrap().into()
    }

    async fn all(ids: Ids, count: u64) -> Vec<u64> {
        Arc::new(ids).stream(count).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn a_stream_has_as_many_ids_as_asked_for() {
        for count in [0, 1, 4_095, 4_096, 4_097, 100_001] {
            let ids = all(ids(), count).await;
            assert_eq!(ids.len() as u64, count);
            assert!(ids.is_sorted_by(|one, next| one < next), "{count}");
        }
    }

    #[tokio::test]
    async fn hidden_ids_are_unique() {
        let ids = all(ids().hidden("00112233445566778899aabbccddeeff".parse().unwrap()), 10_000).await;
        assert_eq!(ids.into_iter().collect::<HashSet<_>>().len(), 10_000);
    }

    #[tokio::test]
    async fn a_stream_that_is_not_read_makes_no_ids() {
        let ids = Arc::new(ids());
        let mut stream = ids.stream(u64::MAX);
        let first = stream.next().await.unwrap().unwrap();
        let between = ids.next().await.unwrap();
        let rest: Vec<u64> = (&mut stream).take(4_095).try_collect().await.unwrap();
        assert!(rest.iter().all(|id| (first..between).contains(id)), "the first batch");
        assert!(stream.next().await.unwrap().unwrap() > between, "the second one is made when it is read");
    }
}
