//! The limits of every wire as flags.

use clap::Args;
use everywire::Limits;
use humantime::Duration;

/// Writes the flags and what becomes of them: name, help, and the field of [`Limits`].
macro_rules! flags {
    (
        numbers { $($(#[doc = $number_help:literal])+ $number:ident => $number_limit:ident,)+ }
        times { $($(#[doc = $time_help:literal])+ $time:ident,)+ }
    ) => {
        /// What a peer may cost, the same on every wire.
        #[derive(Debug, Clone, Args)]
        #[command(next_help_heading = "Limits of every wire")]
        pub(crate) struct LimitFlags {
            $($(#[doc = $number_help])+
            #[arg(long, value_name = "N", default_value_t = Limits::default().$number_limit)]
            $number: usize,)+
            $($(#[doc = $time_help])+
            #[arg(long, value_name = "TIME", default_value_t = Limits::default().$time.into())]
            $time: Duration,)+
        }

        impl From<LimitFlags> for Limits {
            fn from(flags: LimitFlags) -> Self {
                Self { $($number_limit: flags.$number,)+ $($time: flags.$time.into(),)+ }
            }
        }
    };
}

flags! {
    numbers {
        /// Open connections on each wire
        max_connections => connections,
        /// Open connections from one address (for IPv6, one /64 network); loopback is exempt
        max_connections_per_address => connections_per_address,
        /// Bytes of one message as it is sent
        max_message_bytes => message_bytes,
        /// Bytes of one message after decompression
        max_decompressed_bytes => decompressed_bytes,
        /// Bytes of unfinished messages and of replies that clients have not read, over all connections of all wires
        max_buffered_bytes => buffered_bytes,
        /// How deep values may nest
        max_depth => depth,
        /// Calls in flight on one connection, not counting those that wait for a lock
        max_calls_in_flight => calls_in_flight,
        /// Calls of one connection that wait for a lock
        max_waiting_calls => waiting_calls,
        /// Calls in flight over all connections of all wires, and separately calls that wait for a lock
        max_calls_in_all => calls_in_all,
        /// Calls in one batch
        max_batch_calls => batch_calls,
        /// Bytes of replies that one connection may leave unread
        max_unsent_bytes => unsent_bytes,
    }
    times {
        /// Time for a connection's handshake, or for a request's head
        handshake_time,
        /// How long a connection may stay open without a call
        idle_time,
        /// Time for one message to arrive, and for the peer to read what is sent to it
        message_time,
        /// Time for one call
        call_time,
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
