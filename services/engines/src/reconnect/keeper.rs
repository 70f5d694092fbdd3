//! The current connection, and the task that replaces it.

use std::sync::Arc;

use tokio::{sync::watch, time::timeout};

use super::{
    connect::{Connect, STEP_TIME, no_answer},
    health::Health,
};
use crate::{
    backoff::Backoff,
    failure::{Failure, Names},
};

/// A connection and its health.
pub(super) type Checked<C> = (<C as Connect>::Connection, Health);

/// What calls and the keeping task share.
pub(super) struct Keeper<C: Connect> {
    connector: C,
    pub(super) names: Names,
    state: watch::Sender<State<C::Connection>>,
}

enum State<T> {
    /// The first attempt since the last connection was lost.
    Connecting,
    Connected(T, Health),
    Unavailable(String),
}

impl<C: Connect> Keeper<C> {
    pub(super) fn new(connector: C, names: Names) -> Self {
        Self { connector, names, state: watch::Sender::new(State::Connecting) }
    }

    /// The current connection, or the next one while it is being made.
    pub(super) async fn connection(&self) -> Result<Checked<C>, Failure> {
        if let Some(present) = self.present() {
            return present;
        }
        let mut state = self.state.subscribe();
        loop {
            if let Some(present) = self.present() {
                return present;
            }
            // It can't fail: the sender is in `self`.
            let _ = state.changed().await;
        }
    }

    /// The current connection, or why there is none. `None` while it is being made.
    fn present(&self) -> Option<Result<Checked<C>, Failure>> {
        match &*self.state.borrow() {
            State::Connected(connection, health) if !health.is_lost() => {
                if !C::is_usable(connection) {
                    health.ended();
                    return None;
                }
                Some(Ok((connection.clone(), health.clone())))
            }
            State::Connected(..) | State::Connecting => None,
            State::Unavailable(reason) => Some(Err(Failure::Lost(reason.clone()))),
        }
    }

    /// Tries to connect once.
    pub(super) async fn attempt(&self, last: Option<&C::Connection>) -> Result<Checked<C>, Failure> {
        let health = Health::default();
        let connecting = self.connector.connect(last, &health);
        let connection = timeout(STEP_TIME, connecting).await.unwrap_or_else(|_| Err(no_answer()))?;
        Ok((connection, health))
    }

    pub(super) fn publish(&self, (connection, health): &Checked<C>) {
        self.state.send_replace(State::Connected(connection.clone(), health.clone()));
    }

    /// Replaces the connection whenever it is lost.
    pub(super) async fn keep(self: Arc<Self>, mut current: Checked<C>) {
        let mut backoff = Backoff::default();
        loop {
            let (connection, health) = &current;
            health.lost().await;
            self.state.send_replace(State::Connecting);
            let mut outage = Outage::new(&self.names);
            if let Some(reason) = health.failed_call() {
                outage.begin(reason);
            }
            // A connection that never served is no success: the next attempt waits as it does after a failure.
            if health.has_served() {
                backoff = Backoff::default();
            } else {
                backoff.pause().await;
            }
            current = self.reconnect(connection, &mut backoff, &mut outage).await;
            self.publish(&current);
            outage.end();
        }
    }

    /// Connects, however many attempts it takes.
    async fn reconnect(&self, last: &C::Connection, backoff: &mut Backoff, outage: &mut Outage<'_>) -> Checked<C> {
        loop {
            match self.attempt(Some(last)).await {
                Ok(made) => return made,
                Err(failure) => {
                    outage.begin(failure.why());
                    self.state.send_replace(State::Unavailable(failure.why().to_owned()));
                    backoff.pause().await;
                }
            }
        }
    }
}

/// The time without a connection. Its begin and its end are logged, unless no call and no attempt failed.
struct Outage<'a> {
    names: &'a Names,
    is_logged: bool,
}

impl<'a> Outage<'a> {
    fn new(names: &'a Names) -> Self {
        Self { names, is_logged: false }
    }

    fn begin(&mut self, reason: &str) {
        if !self.is_logged {
            self.is_logged = true;
            tracing::warn!("{}, {}, is unavailable: {reason}", self.names.role, self.names.address);
        }
    }

    fn end(self) {
        let Names { role, address, .. } = self.names;
        if self.is_logged {
            tracing::warn!("{role}, {address}, is available again");
        } else {
            tracing::debug!("connected again to {role}, {address}");
        }
    }
}
