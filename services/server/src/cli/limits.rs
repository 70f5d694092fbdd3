//! The limits of every wire as flags.

use clap::Args;
use everywire::Limits;
use humantime::Duration;

/// Writes the flags, a group of the help each, and what becomes of them: name, kind of value, and the field of [`Limits`].
macro_rules! flags {
    ($($heading:literal { $($(#[doc = $help:literal])+ $name:ident: $value:ident => $limit:ident,)+ })+) => {
        /// What a peer may cost, the same on every wire.
        #[derive(Debug, Clone, Args)]
        pub(crate) struct LimitFlags {
            $($($(#[doc = $help])+
            #[arg(long, help_heading = $heading, value_name = stringify!($value), default_value_t = Limits::default().$limit.into())]
            $name: $value,)+)+
        }

        impl From<LimitFlags> for Limits {
            fn from(flags: LimitFlags) -> Self {
                Self { $($($limit: flags.$name.into(),)+)+ }
            }
        }
    };
}

/// The kinds of values, by the names that the help shows.
type N = usize;
#[expect(clippy::upper_case_acronyms, reason = "the help shows it")]
type TIME = Duration;

flags! {
    "Limits of connections" {
        /// Open connections on each wire
        max_connections: N => connections,
        /// Open connections from one address (for IPv6, one /64 network); loopback is exempt
        max_connections_per_address: N => connections_per_address,
        /// Time for a connection's handshake, or for a request's head
        handshake_time: TIME => handshake_time,
        /// How long a connection may stay open without a call
        idle_time: TIME => idle_time,
    }
    "Limits of messages" {
        /// Bytes of one message as it is sent
        max_message_bytes: N => message_bytes,
        /// Bytes of one message after decompression
        max_decompressed_bytes: N => decompressed_bytes,
        /// How deep values may nest
        max_depth: N => depth,
        /// Time for one message to arrive, and for the peer to read what is sent to it
        message_time: TIME => message_time,
        /// Bytes of replies that one connection may leave unread
        max_unsent_bytes: N => unsent_bytes,
        /// Bytes of unfinished messages and of replies that clients have not read, over all connections of all wires
        max_buffered_bytes: N => buffered_bytes,
    }
    "Limits of calls" {
        /// Time for one call
        call_time: TIME => call_time,
        /// Calls in one batch
        max_batch_calls: N => batch_calls,
        /// Calls in flight on one connection, not counting those that wait for a lock and open streams
        max_calls_in_flight: N => calls_in_flight,
        /// Calls of one connection that wait for a lock, and open streams
        max_waiting_calls: N => waiting_calls,
        /// Calls in flight over all connections of all wires, and separately calls that wait for a lock and open streams
        max_calls_in_all: N => calls_in_all,
        /// How long a stream over HTTP/1 stays open between two calls for its items
        stream_idle_time: TIME => stream_idle_time,
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
