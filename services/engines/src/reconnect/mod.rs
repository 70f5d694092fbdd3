//! A connection to an engine, checked when it is made and replaced when it can't be used any more.
//!
//! One task keeps it. Calls use the current connection, or fail with the reason why there is none; right after a loss they
//! wait for the first attempt. One line is logged when an engine becomes unavailable, and one when it is back.

mod connect;
mod health;
mod keeper;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use everywire_core::Result;
use tokio::{task::JoinSet, time::timeout};

use self::{connect::no_answer, keeper::Keeper};
pub use self::{
    connect::{Connect, STEP_TIME},
    health::Health,
};
use crate::failure::{Failure, Names};

/// An engine whose connection is replaced whenever it is lost.
pub struct Reconnecting<C: Connect> {
    keeper: Arc<Keeper<C>>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

impl<C: Connect> fmt::Debug for Reconnecting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting").field("names", self.names()).finish_non_exhaustive()
    }
}

impl<C: Connect> Reconnecting<C> {
    /// Connects for the first time.
    pub async fn connect(connector: C, names: Names) -> Result<Self> {
        let keeper = Keeper::new(connector, names);
        let first = keeper.attempt(None).await.map_err(|failure| keeper.names.at_start(&failure))?;
        keeper.publish(&first);
        let (keeper, mut tasks) = (Arc::new(keeper), JoinSet::new());
        tasks.spawn(Arc::clone(&keeper).keep(first));
        Ok(Self { keeper, _tasks: tasks })
    }

    /// The engine's names in messages.
    pub fn names(&self) -> &Names {
        &self.keeper.names
    }

    /// Runs one step with the connection. A failure is `UNAVAILABLE`, and the outcome of the step is then unknown.
    pub async fn run<T, F>(&self, step: impl FnOnce(C::Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.attempt(step).await.map_err(|failure| match failure {
            Failure::Rejected(why) => self.names().rejected(&why),
            Failure::Lost(why) | Failure::Unfit(why) => self.names().unavailable(&why),
        })
    }

    /// Runs one step at the start of the server. Its error contains the engine's address.
    pub async fn run_at_start<T, F>(&self, step: impl FnOnce(C::Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.attempt(step).await.map_err(|failure| self.names().at_start(&failure))
    }

    async fn attempt<T, F>(&self, step: impl FnOnce(C::Connection) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut used = None;
        let attempt = async {
            let (connection, health) = self.keeper.connection().await?;
            used = Some(health);
            step(connection).await
        };
        let outcome = timeout(STEP_TIME, attempt).await.unwrap_or_else(|_| Err(no_answer()));
        let Some(health) = used else { return outcome };
        match &outcome {
            Ok(_) => health.served(),
            Err(Failure::Rejected(_)) => {}
            Err(failure) => health.failed(failure.why()),
        }
        outcome
    }
}
