//! How long a call took: what `--verbose` says.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::cli::remote::Location;

/// Runs from before a connection is opened.
pub(super) struct Watch {
    server: String,
    start: Instant,
    ready: Option<Duration>,
}

impl Watch {
    pub(super) fn start(location: &Location) -> Self {
        let server = format!("{} at {}", location.wire.name(), location.shown());
        Self { server, start: Instant::now(), ready: None }
    }

    /// The call begins now.
    pub(super) fn ready(&mut self) {
        self.ready = Some(self.start.elapsed());
    }
}

/// The time until now, in the two parts that it has.
impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.ready.unwrap_or_default();
        let call = self.start.elapsed().saturating_sub(ready);
        write!(f, "{}: connected and described in {ready:.1?}, called in {call:.1?}", self.server)
    }
}
