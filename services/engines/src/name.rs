//! Limits on the names of locks, owners and resources, and hints for unsupported URLs of a Redis.

use everywire_core::{Result, RpcError};

/// The longest name of a lock, an owner or a resource, in bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// Checks that a name has 1 to [`MAX_NAME_BYTES`] bytes. `argument` is its name in the error.
pub fn check_name(argument: &str, name: &str) -> Result<()> {
    match name.len() {
        0 => Err(RpcError::invalid_argument(format!("`{argument}` is empty"))),
        1..=MAX_NAME_BYTES => Ok(()),
        long => Err(RpcError::invalid_argument(format!("`{argument}` has {long} bytes; at most {MAX_NAME_BYTES}"))),
    }
}

/// What to write instead of a URL with this `scheme`, if it is one of a Redis that is not supported.
pub fn supported_redis_url(scheme: &str) -> Option<&'static str> {
    Some(match scheme {
        _ if scheme.contains("sentinel") => {
            "Redis Sentinel is not supported; expected redis://HOST:PORT with the address of the primary, or of what leads to it"
        }
        _ if scheme.contains("cluster") => {
            "Redis Cluster is not supported; expected redis://HOST:PORT, not in cluster mode"
        }
        "rediss" | "valkeys" | "redis+tls" | "redis+ssl" => "TLS to Redis is not supported; expected redis://HOST:PORT",
        "valkey" => "a Valkey is a Redis; expected redis://HOST:PORT",
        "unix" | "redis+unix" | "redis-socket" | "redis+socket" => {
            "a socket file is not supported; expected redis://HOST:PORT"
        }
        _ => return None,
    })
}
