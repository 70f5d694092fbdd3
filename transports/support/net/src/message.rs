//! Incoming messages, within the budget.

use std::pin::pin;

use everywire_core::{
    Budget, Limit, Result, RpcError,
    wire::{CancellationToken, Interrupted, run_until},
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

#[cfg(test)]
mod tests {
    use everywire_core::{Code, Limits};

    use super::*;

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
