//! JSON-RPC 2.0 over AMQP 0-9-1: as in RabbitMQ's RPC tutorial, with lapin.
//!
//! # The wire
//! A request is a message to the default exchange, whose routing key is the queue named after the service. This is
//! `add(3, 4)` of `demo.v1.Calculator`, and its reply:
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
//!     reply_to        amq.rabbitmq.reply-to
//! {"jsonrpc":"2.0","id":1,"result":7}
//! ```
//! Arguments travel by position or by name; trailing optional ones may be left out. `correlation_id` comes back as it was.
//! `reply_to` of a request is any queue; a request without it, or without an `id`, runs and gets no reply. `expiration` is the time of
//! the call in milliseconds: the broker drops what waited for longer, and the server ends what runs for longer. The rest of
//! the bodies, errors included, stands in [`everywire_json`].
//!
//! # Cancellation
//! `reply_to` of a reply is where the caller can cancel its other calls. The server consumes direct reply-to on the channel of its
//! replies, so the broker puts the address of that channel there, such as `amq.rabbitmq.reply-to.g1h…`. A reply to a queue has no
//! `reply_to`. This cancels the call whose request had the correlation id 2:
//! ```text
//! basic.publish  exchange ""  routing key: the reply's reply_to
//!     type            $/cancelRequest
//!     correlation_id  2
//!     reply_to        amq.rabbitmq.reply-to
//! ```
//! It has no body, and nothing answers it. The server drops the calls of the message with this correlation id and acknowledges the
//! message. The caller has to use direct reply-to and to cancel on the channel that sent the request: then `reply_to` is the address that the
//! broker put into the request, which nobody can guess, so nobody cancels the call of another. A server that does
//! not have the call remembers the last 4,096 such messages, each for 30 s, because a request may still wait in the queue: if it
//! arrives in this time, it is acknowledged and does not run. So a caller that cancels gives each request a correlation id of its own.
//! Any other message to a server's address is ignored.
//!
//! An address lasts as long as its channel. A message to an old one is dropped by the broker. With a broker that has no direct
//! reply-to, replies have no `reply_to`.
//!
//! # Streams
//! The reply to a call of a method that returns [`Streaming`](everywire_core::Streaming) is several messages. All go to the request's
//! `reply_to`, with its correlation id. This is `count(3)`, which counts from 0 on, for a caller with room for two items:
//! ```text
//! basic.publish  exchange ""  routing key "demo.v1.Calculator"  mandatory
//!     correlation_id  3
//!     reply_to        amq.rabbitmq.reply-to
//!     headers         credit=2
//! {"jsonrpc":"2.0","id":3,"method":"count","params":{"to":3}}
//!
//! basic.publish  exchange ""  routing key: the request's reply_to
//!     correlation_id  3
//!     reply_to        amq.rabbitmq.reply-to
//!     headers         seq=0 end=false
//! {"jsonrpc":"2.0","id":3,"result":[0,1]}
//!
//! basic.publish  exchange ""  routing key: the reply's reply_to
//!     type            $/credit
//!     correlation_id  3
//!     reply_to        amq.rabbitmq.reply-to
//!     headers         credit=2
//!
//! basic.publish  exchange ""  routing key: the request's reply_to
//!     correlation_id  3
//!     reply_to        amq.rabbitmq.reply-to
//!     headers         seq=1 end=true
//! {"jsonrpc":"2.0","id":3,"result":[2]}
//! ```
//! - `result` is an array: of all items that are ready, as far as there is credit, up to 64 KiB and the item that exceeds them. It may be empty. The
//!   first message is sent at once, so that the caller knows that the stream has begun.
//! - `seq` numbers the messages, from 0 on. If one is missing or comes twice, [`Client`] ends the stream with `DATA_LOSS`.
//! - `end` is true in the last message. It has the last items, or none, or in place of `result` the error that ends the stream.
//! - `credit` is how many items the caller has room for: in the request, where 1 is the default, and what is added by a message `$/credit`
//!   to the server's address. At most 65,536 count. Without credit no item is made; the end is found with credit for one more item, but
//!   costs none. An error that the method does not decide, as at the deadline, needs none.
//! - `credit_bytes`, beside `credit`, is how many bytes of bodies the caller has room for. It is not limited by default. One message may
//!   exceed it.
//!
//! `$/credit` counts only from the caller of the stream, as `$/cancelRequest` does, which ends it without a last message. A caller may
//! have one stream with a correlation id at a time. One whose `reply_to` is a queue has only the credit of its request; a stream that has
//! more items ends with `RESOURCE_EXHAUSTED` behind them.
//!
//! In a request with the header `credit`, `expiration` is only the time that it may wait in the queue; the stream then ends after
//! `timeout_ms`, if that header is there. In any other request `expiration` is the time of the whole stream. A request whose stream has
//! begun is acknowledged, and never delivered again. Headers are integers of any type, and `end` is a boolean.
//!
//! Both sides notice that the other one is gone, although it sends nothing: each asks the broker for the other's address every 5 s. The
//! server does so as for any call that takes long, and the client for servers from which nothing came meanwhile. The stream of a server
//! that is gone ends with `UNAVAILABLE`; so does one whose server got another address, since credit may be lost.
//!
//! A call in a batch can't be replied to with a stream, and a request without `reply_to` or `id` gets none.
//!
//! # What is declared
//! The server looks for its queue, and declares it if it is missing: durable, and with a bound: `x-max-length` 65,536,
//! `x-max-length-bytes` 256 MiB and `x-overflow` `reject-publish`, so that a client that asks for confirmations learns that
//! it is full. An existing queue with other settings, such as a quorum queue, is used as it is. Nothing else is
//! declared: no exchange, no binding, and no queue of replies, since the client uses direct reply-to. Several servers may
//! share a queue.
//!
//! # Rights
//! The user of a server needs the rights to read the queue, to write to the default exchange (`amq.default`), where the
//! replies go, and to configure the queue if it is missing. The user of a client needs the right to write to the default
//! exchange. A missing right is `PERMISSION_DENIED` with the broker's message: for a server when it begins to serve, or before
//! that in [`Server::subscribe`]. A server whose user loses a right later keeps trying, at most 10 s apart.
//!
//! # Calls that wait
//! At most [`calls_in_flight`](everywire_core::Limits::calls_in_flight) requests are unacknowledged (prefetch). A request whose
//! call waits for other calls ([`Method::waits`](everywire_core::descriptor::Method::waits)), or has taken 1 s, is acknowledged at once rather
//! than after its reply. So however many calls wait, the one that ends their wait is delivered and runs, and no call exceeds
//! the broker's time for an acknowledgement (`consumer_timeout`, 30 min by default). Calls that wait are bounded by
//! [`waiting_calls`](everywire_core::Limits::waiting_calls) instead, and their messages by
//! [`buffered_bytes`](everywire_core::Limits::buffered_bytes), with bodies and headers; one more is `RESOURCE_EXHAUSTED`. As many other calls as
//! `calls_in_flight` may be acknowledged early; beyond those, calls that take long stay unacknowledged.
//!
//! # At most once, or at least once
//! A request is acknowledged once its reply is sent. If the server or the broker dies before, the broker delivers the
//! request again, with the flag `redelivered`: to another server, or to the same one when it is back. What then happens to
//! it is the method's choice:
//! - One that is not idempotent **never runs twice for one message**. A message with the flag may have run, or may only
//!   have waited beside one that ran, so it is rejected with `ABORTED` and does not run
//!   ([`AtMostOnce`](everywire_core::layer::AtMostOnce)).
//! - One that is marked `#[idempotent]` runs again, so that its caller gets a reply after all.
//!
//! A request that is acknowledged early, as described [above](#calls-that-wait), is never delivered again, not even if its
//! method is `#[idempotent]`. If its server dies or loses its connection, its caller gets no `ABORTED` and no reply from
//! another server, and its deadline passes.
//!
//! The flag is there whenever the message may have been at a server before: the broker sets it on whatever it had delivered
//! and got no acknowledgement for, and after a crash of its own on every message that it reads back from the disk, delivered
//! or not. Requests of [`Client`] are not written to disk: they die with the broker, and their callers are told that the
//! connection is lost. Two messages are two calls, even if their contents are the same. A client that sends a call again after
//! an error with the origin [`Local`](everywire_core::Origin::Local) may run it twice, as on every wire.
//!
//! A call that kills its server is delivered to the next one. If it is idempotent it runs there too, until its `expiration`
//! is over; a quorum queue with a delivery limit ends that sooner.
//!
//! A reply that is sent at the moment of a crash may be lost, although the call has run. Its caller gets `ABORTED` if the request
//! is delivered again; otherwise its deadline passes, or its connection is lost.
//!
//! # What goes wrong
//! A message that is not a request gets the error that JSON-RPC prescribes, with the `id` `null`, and is acknowledged, so that it is
//! not delivered again. So is a body that does not match its `content_encoding`. Server and client decode gzip and deflate, and ignore the
//! name of a character set there. A reply whose caller is gone is dropped: it is published `mandatory`, so that the server
//! learns of it; with direct reply-to it is not, since the broker then returns even what it delivered.
//!
//! lapin ends the connection at a text that is not UTF-8 and at a frame that is too long, and the process when headers nest too deep. The
//! broker delivers all of that, and again after a reconnect. So each frame is checked before lapin reads it. A message that lapin
//! can't read loses its properties except `correlation_id` and `reply_to`, and gets an error: `RESOURCE_EXHAUSTED` if its headers nest
//! more than 64 levels deep or its properties are longer than a frame, `INVALID_ARGUMENT` for a text or a type. Properties that are
//! longer than a frame are not kept, so that such a message gets no reply; only the broker makes them so long, as when it adds
//! `x-death`. In a routing key or a message of the broker, bytes that are not UTF-8 are replaced by `?`.
//!
//! A call that takes long is cancelled, too, once the queue for its reply is gone. The server looks for that queue after 5 s and
//! every 5 s from then on, once for all calls of a caller. A look at a queue that is gone, or that is exclusive to the caller,
//! is a line in the broker's log, so the server looks at exclusive queues less and less often, down to every 5 min. With direct
//! reply-to there is no such line while the caller is there.
//!
//! Anyone can make up an address of direct reply-to. RabbitMQ 3.10 closes the connection that sends to one which it can't decode, and the
//! channel that looks for one may wait forever. So before the first reply to callers at a node of the broker, the server sends an empty
//! message to the channel of one of them, with a key that is not the caller's, on a connection of its own. It drops a reply to an
//! address that has broken that. It looks for callers on another connection, and a look ends 2 s after that connection is open. Both are opened when they are
//! needed. While one is opened again, looks and the first replies to callers at other nodes wait; calls and other replies do not. At
//! most 16 such replies wait, and more are dropped.
//!
//! If the queue of requests is deleted, the server declares it again and goes on; calls in flight get their replies, requests
//! that were in the queue are lost, and their callers' deadlines pass. The server logs one line when the broker or the queue
//! goes away, and one when it is back.
//!
//! # Limits
//! The peers of a server are the broker's, so most limits are its settings. The server keeps `calls_in_flight`,
//! `waiting_calls`, `calls_in_all`, `call_time`, `decompressed_bytes`, those of [`everywire_json`], and `message_bytes`, which
//! has to be less than the broker's `max_message_size`, by 64 KiB where there are streams: a request is measured once it is there, and a
//! reply must fit too.
//!
//! Specifications: [AMQP 0-9-1](https://www.rabbitmq.com/amqp-0-9-1-reference), [direct
//! reply-to](https://www.rabbitmq.com/docs/direct-reply-to), [JSON-RPC 2.0](https://www.jsonrpc.org/specification).

mod acknowledgement;
mod addresses;
mod broker;
mod callers;
mod cancel;
mod client;
mod connection;
mod context;
mod credit;
mod envelope;
mod fault;
mod fields;
mod frames;
mod items;
mod outage;
mod probe;
mod queue;
mod replies;
mod requests;
mod server;
mod stream;

pub use client::Client;
pub use server::Server;
