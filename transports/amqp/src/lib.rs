//! JSON-RPC 2.0 over AMQP 0-9-1: the way of RabbitMQ's RPC tutorial, with lapin.
//!
//! # The wire
//! A request is a message to the default exchange, whose routing key is the queue named after the service. This is
//! `add(3, 4)` of `demo.v1.Calculator`, and its answer:
//! ```text
//! basic.publish  exchange ""  routing key "demo.v1.Calculator"  mandatory
//!     content_type    application/json
//!     correlation_id  1
//!     reply_to        amq.rabbitmq.reply-to
//!     expiration      30000
//! {"jsonrpc":"2.0","id":1,"method":"add","params":{"a":3,"b":4}}
//!
//! basic.publish  exchange ""  routing key: the request's reply_to
//!     content_type    application/json
//!     correlation_id  1
//! {"jsonrpc":"2.0","id":1,"result":7}
//! ```
//! Arguments travel by position or by name; trailing optional ones may be left out. `correlation_id` comes back as it was.
//! `reply_to` is any queue; a request without it, or without an `id`, runs and gets no answer. `expiration` is the time of
//! the call in milliseconds: the broker drops what waited for longer, and the server ends what runs for longer. The rest of
//! the bodies, errors included, stands in [`everywire_json`].
//!
//! # What is declared
//! The server declares its queue, durable, and with a bound: `x-max-length` 65,536, `x-max-length-bytes` 256 MiB and
//! `x-overflow` `reject-publish`, by which a client that asks for confirmations learns that it is full. A queue that is
//! there with other settings, a quorum queue for example, is used as it is. Nothing else is declared: no exchange, no
//! binding, and no queue of answers, since the client uses direct reply-to. Several servers may share a queue. Prefetch is
//! [`calls_in_flight`](rpc_core::Limits::calls_in_flight).
//!
//! # At most once, or at least once
//! A request is acknowledged once its answer is sent, on the same channel and behind it. If the server or the broker dies
//! before, the broker delivers the request again, with the flag `redelivered`: to another server, or to the same one when
//! it is back. What then happens to it is the method's choice:
//! - One that is not idempotent **never runs twice for one message**. A message with the flag may have run, or may only
//!   have waited beside one that ran, so it is answered with `ABORTED` and does not run.
//! - One that is marked `#[idempotent]` runs again, so that its caller gets an answer after all.
//!
//! The flag is there whenever the message may have been at a server before: the broker sets it on whatever it had delivered
//! and got no acknowledgement for, and after a crash of its own on every message that it reads back from the disk, delivered
//! or not. Requests of [`Client`] are not written to disk: they die with the broker, and their callers are told that the
//! connection is lost. Two messages are two calls, even if their contents are the same. Whoever sends a call again after an
//! error with the origin [`Local`](rpc_core::Origin::Local) may run it twice, as on every wire.
//!
//! A call that kills its server is delivered to the next one. If it is idempotent it runs there too, until its `expiration`
//! is over; a quorum queue with a delivery limit ends that sooner.
//!
//! An answer that was sent in the moment of a crash may be lost, and the call then has run. Its caller gets `ABORTED` where
//! the request comes again, and else runs into its deadline or loses its connection.
//!
//! # What goes wrong
//! What is no request is answered as JSON-RPC asks for, with the `id` `null`, and acknowledged, so that it does not come
//! again. An answer whose caller has gone is dropped: it is published `mandatory`, so that the server learns of it; with
//! direct reply-to it is not, since the broker then returns even what it delivered.
//!
//! # Limits
//! The peers of a server are the broker's, so most limits are its settings. Here are kept `calls_in_flight`, `calls_in_all`,
//! `call_time`, those of [`everywire_json`], and `message_bytes`, which has to be less than the broker's `max_message_size`: a request
//! is measured once it is there, and an answer must fit too.
//!
//! Specifications: [AMQP 0-9-1](https://www.rabbitmq.com/amqp-0-9-1-reference), [direct
//! reply-to](https://www.rabbitmq.com/docs/direct-reply-to), [JSON-RPC 2.0](https://www.jsonrpc.org/specification).

mod broker;
mod client;
mod delivered;
mod link;
mod server;
mod session;

pub use client::Client;
pub use server::Server;
