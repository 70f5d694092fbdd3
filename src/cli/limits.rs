//! The limits of every wire as flags.

use std::time::Duration;

use clap::Args;
use rpc_core::Limits;

/// What a peer may cost, the same on every wire.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits of each wire")]
pub(crate) struct LimitFlags {
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    max_connections: usize,
    /// Bytes of one message
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().message_bytes)]
    max_message_bytes: usize,
    /// How deep values may nest
    #[arg(long, value_name = "N", default_value_t = Limits::default().depth)]
    max_depth: usize,
    /// Calls in flight on one connection
    #[arg(long, value_name = "N", default_value_t = Limits::default().calls_in_flight)]
    max_calls_in_flight: usize,
    /// Calls in one batch
    #[arg(long, value_name = "N", default_value_t = Limits::default().batch_calls)]
    max_batch_calls: usize,
    /// Bytes of replies that one connection may leave unread
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().unsent_bytes)]
    max_unsent_bytes: usize,
    /// Time for a connection's greeting or a request's head
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    handshake_time: Duration,
    /// Time for one message to arrive
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    message_time: Duration,
}

impl From<LimitFlags> for Limits {
    fn from(flags: LimitFlags) -> Self {
        Self {
            connections: flags.max_connections,
            handshake_time: flags.handshake_time,
            message_time: flags.message_time,
            message_bytes: flags.max_message_bytes,
            depth: flags.max_depth,
            calls_in_flight: flags.max_calls_in_flight,
            batch_calls: flags.max_batch_calls,
            unsent_bytes: flags.max_unsent_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        limits: LimitFlags,
    }

    #[test]
    fn the_flags_have_the_defaults_of_the_limits() {
        assert_eq!(Limits::from(Flags::parse_from(["everywire"]).limits), Limits::default());
    }
}
