//! Streams that are pulled: replies of many items over wires where a server does not send on its own.
//!
//! The reply to the call has the items that are there at once, and a token if there are more. Each further call with that token, a
//! pull, waits for items and returns those that are ready, up to 64 KiB of them. The last one says so. A caller that wants no more
//! sends the token once more to end the stream.

mod batch;
mod client;
mod items;
mod open;

pub use self::{
    batch::Batch,
    client::{Part, Pull, pulled, response_in_time},
    items::{BATCH_BYTES, Items},
    open::{OpenStreams, no_stream},
};
