//! Messages on their way in and out, within the budget.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::future::poll_immediate;
use rpc_core::{Budget, CancellationToken, FREE_BYTES, Limit, Result, RpcError, Share};
use tokio::time::timeout;

/// Waits for a message that `arriving` reads: at most for `message_time`, and no longer than until the stop. A message that
/// is there costs no timer.
pub async fn arrived<T>(
    arriving: impl Future<Output = Result<T>>,
    budget: &Budget,
    stop: &CancellationToken,
) -> Result<T> {
    let mut arriving = pin!(arriving);
    if let Some(arrived) = poll_immediate(arriving.as_mut()).await {
        return arrived;
    }
    let late = || budget.over(Limit::MessageTime, "the message did not arrive in time");
    tokio::select! {
        arrived = timeout(budget.limits().message_time, arriving) => arrived.unwrap_or_else(|_| Err(late())),
        () = stop.cancelled() => Err(RpcError::unavailable("the server is stopping")),
    }
}

/// A reply that counts as buffered until the last copy of it is gone, which is when it is written. An error if the
/// budget has no room for it.
pub fn buffered(reply: Vec<u8>, budget: &Arc<Budget>) -> Result<Bytes> {
    if reply.len() <= FREE_BYTES {
        return Ok(reply.into());
    }
    let mut share = budget.share();
    share.hold(reply.len())?;
    Ok(Bytes::from_owner(Buffered { reply, _share: share }))
}

struct Buffered {
    reply: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Buffered {
    fn as_ref(&self) -> &[u8] {
        &self.reply
    }
}

#[cfg(test)]
mod tests {
    use rpc_core::{Code, Limits};

    use super::*;

    #[test]
    fn a_reply_counts_until_its_last_copy_is_gone() {
        let budget = Budget::new(Limits { buffered_bytes: 100, ..Limits::default() });
        let reply = buffered(vec![7; FREE_BYTES + 60], &budget).unwrap();
        let rest = reply.slice(FREE_BYTES..);
        drop(reply);
        assert_eq!(budget.bytes(), 60);
        assert_eq!(buffered(vec![7; FREE_BYTES + 60], &budget).unwrap_err().code(), Code::ResourceExhausted);
        drop(rest);
        assert_eq!(budget.bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_arrive_is_given_up() {
        let budget = Budget::new(Limits::default());
        let stop = CancellationToken::new();
        let never = || arrived(std::future::pending::<Result<()>>(), &budget, &stop);
        assert_eq!(never().await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(budget.met(Limit::MessageTime), 1);
        stop.cancel();
        assert_eq!(never().await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(arrived(async { Ok(7) }, &budget, &stop).await, Ok(7), "what is there is taken");
    }
}
