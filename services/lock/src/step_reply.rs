//! The reply of an engine to one step: a few numbers with the same meaning for Redis, PostgreSQL and MariaDB.

use std::time::Duration;

use everywire_core::Result;

use crate::{
    LockGrant, Request,
    engine::{Taken, from_millis, grant, queue_is_full},
    table::not_granted,
};

/// The numbers that a step returned.
#[derive(Debug)]
pub(super) struct StepReply(pub(super) Vec<i64>);

impl StepReply {
    /// Reads the reply to `take`: `1, token, holds, rest`; `0, rest, is first, ticket`; or anything else if the queue is full.
    /// Stores the ticket in `own_ticket`.
    pub(super) fn taken(&self, request: &Request, own_ticket: Option<&mut i64>) -> Result<Taken> {
        match *self.0 {
            [1, token, holds, rest] => Ok(Taken::Granted(grant(request, token, holds, rest))),
            [0, rest, first, ticket] => {
                if let Some(own_ticket) = own_ticket {
                    *own_ticket = ticket;
                }
                let rest = from_millis(rest);
                Ok(Taken::Held { rest, again: (first == 1).then_some(rest + Duration::from_millis(1)) })
            }
            _ => Err(queue_is_full()),
        }
    }

    /// Reads the reply to `unlock`: 1 if the owner had the lock.
    #[cfg(any(feature = "mariadb", feature = "postgres"))]
    pub(super) fn unlocked(&self) -> bool {
        self.0.first() == Some(&1)
    }

    /// Reads the reply to `renew`: `1, token, holds, rest`, or `0, rest`.
    pub(super) fn renewed(&self, request: &Request) -> LockGrant {
        match *self.0 {
            [1, token, holds, rest] => grant(request, token, holds, rest),
            _ => not_granted(request.owner.clone(), self.0.get(1).map(|rest| from_millis(*rest))),
        }
    }
}
