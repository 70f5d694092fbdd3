//! State that outlives a call: connections to engines that several servers share, high-water marks on disk, and a bounded map
//! whose entries expire.
//!
//! [`Reconnecting`](reconnect::Reconnecting) keeps a connection to an engine: it is checked when it is made, and replaced when
//! it can no longer be used. [`redis`], [`postgres`] and [`mariadb`] are connections of that kind. [`durable`] stores
//! high-water marks of tokens and ids in a directory.

pub mod backoff;
pub mod durable;
pub mod expiring;
pub mod failure;
#[cfg(feature = "mariadb")]
pub mod mariadb;
mod name;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod reconnect;
#[cfg(feature = "redis")]
pub mod redis;

pub use name::{MAX_NAME_BYTES, check_name, supported_redis_url};
