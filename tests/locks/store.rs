//! What a lock protects: a number that clients read, and write one more.

use std::sync::{Mutex, PoisonError};

/// A store that looks at tokens, or doesn't.
#[derive(Debug, Default)]
pub(crate) struct Store {
    looks: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct State {
    value: u64,
    /// The highest token that was seen.
    token: u64,
    /// Writes that were accepted.
    pub(crate) writes: u64,
    /// Those of them with a lower token than one seen before.
    pub(crate) stale: u64,
    /// Writes that were refused.
    pub(crate) refused: u64,
}

impl Store {
    pub(crate) fn new(looks: bool) -> Self {
        Self { looks, state: Mutex::default() }
    }

    /// Nothing for a token that is too low.
    pub(crate) fn read(&self, token: u64) -> Option<u64> {
        let mut state = self.guard();
        let late = token < state.token;
        state.token = state.token.max(token);
        (!self.looks || !late).then_some(state.value)
    }

    pub(crate) fn write(&self, token: u64, value: u64) {
        let mut state = self.guard();
        let late = token < state.token;
        if late && self.looks {
            state.refused += 1;
            return;
        }
        state.token = state.token.max(token);
        state.writes += 1;
        state.stale += u64::from(late);
        state.value = value;
    }

    pub(crate) fn state(&self) -> State {
        *self.guard()
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes that another one undid.
    pub(crate) fn lost(&self) -> u64 {
        self.writes - self.value
    }
}
