//! The limit of open files: a connection is one of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides connections: standard streams, listeners, the data directory and the runtime's own.
const RESERVE: u64 = 32;

/// Raises the limit of open files to what `wires` with that many `connections` each need, and as many `waiting` calls with a
/// connection each, as far as the system allows. Warns if that is not enough for the connections; further ones then wait in the
/// system's queue until others are closed.
pub(crate) fn allow(wires: usize, connections: usize, waiting: usize) {
    let count = |files: usize| u64::try_from(files).unwrap_or(u64::MAX);
    let needed = count(wires.saturating_mul(connections)).saturating_add(RESERVE);
    let allowed = raise(needed.saturating_add(count(waiting)));
    if allowed < needed {
        tracing::warn!(
            "{wires} wires with {connections} connections each may need {needed} open files, and {allowed} are \
             allowed: connections beyond that wait to be accepted. Raise the limit (ulimit -n {needed}) or lower \
             --max-connections"
        );
    }
}

/// Raises the soft limit to `needed`, or to the hard limit if that is lower; returns what is allowed then.
fn raise(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = current.unwrap_or(u64::MAX);
    let wanted = needed.min(maximum.unwrap_or(u64::MAX));
    if wanted <= allowed {
        return allowed;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).map_or(allowed, |()| wanted)
}
