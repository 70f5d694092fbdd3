//! Incoming and outgoing messages, within the budget.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use everywire_core::{
    Budget, Limit, Result, RpcError,
    wire::{CancellationToken, FREE_BYTES, Interrupted, run_until},
};

/// Drives `arriving`, which reads a message, until it completes, `message_time` elapses or `stop` is cancelled. A message that
/// is there already costs no timer.
pub async fn arrived<T>(
    arriving: impl Future<Output = Result<T>>,
    budget: &Budget,
    stop: &CancellationToken,
) -> Result<T> {
    run_until(pin!(arriving), budget.limits().message_time, stop).await.unwrap_or_else(|cut| match cut {
        Interrupted::TimedOut => Err(budget.exceeded(Limit::MessageTime, "the message did not arrive in time")),
        Interrupted::Stopped => Err(RpcError::unavailable("the server is shutting down")),
    })
}

/// Counts `reply` as buffered until its last copy is dropped. An error if the budget has no room for it.
pub fn buffered(reply: Vec<u8>, budget: &Arc<Budget>) -> Result<Bytes> {
    if reply.len() <= FREE_BYTES {
        return Ok(reply.into());
    }
    let mut reservation = budget.reserve();
    reservation.try_resize(reply.len())?;
    Ok(reservation.into_bytes(reply))
}

#[cfg(test)]
mod tests {
    use everywire_core::{Code, Limits};

    use super::*;

    #[test]
    fn a_reply_counts_until_it_is_dropped_and_another_is_rejected_meanwhile() {
        let budget = Budget::new(Limits { buffered_bytes: 100, ..Limits::default() });
        let reply = buffered(vec![7; FREE_BYTES + 60], &budget).unwrap();
        assert_eq!(budget.bytes(), 60);
        assert_eq!(buffered(vec![7; FREE_BYTES + 60], &budget).unwrap_err().code(), Code::ResourceExhausted);
        drop(reply);
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
