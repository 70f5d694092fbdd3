//! What the steps of an engine with a queue of its own answer: a few numbers, the same from each of them.

use std::time::Duration;

use everywire_core::Result;

use crate::LockGrant;
use crate::{
    Request,
    engine::{Taken, from_millis, grant, queue_is_full},
    table::refused,
};

/// What an engine's `take` found: `1, token, holds, rest`, or `0, rest, is first, ticket`, or that the queue is full.
pub(super) fn taken(request: &Request, own_ticket: Option<&mut i64>, found: &[i64]) -> Result<Taken> {
    match *found {
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

/// What an engine's `renew` found: `1, token, holds, rest`, or `0, rest`.
pub(super) fn renewed(request: &Request, found: &[i64]) -> LockGrant {
    match *found {
        [1, token, holds, rest] => grant(request, token, holds, rest),
        _ => refused(request.owner.clone(), found.get(1).map(|rest| from_millis(*rest))),
    }
}
