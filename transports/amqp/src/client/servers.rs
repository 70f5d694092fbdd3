//! Finds out whether the servers of open streams are still there.

use std::{sync::Arc, time::Duration};

use lapin::types::ShortString;
use tokio::time::{sleep, timeout};

use super::pending::PendingCalls;
use crate::{
    broker::Broker,
    queue::{Presence, look},
};

/// The pause between two looks for servers. Only one from which nothing came meanwhile is looked for.
const PERIOD: Duration = Duration::from_secs(5);

/// How long a look may take. The broker answers within milliseconds.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// Ends the streams of servers that are gone, until the connection is lost. A message to the address of one vanishes without an error,
/// and a server that has nothing to send is silent anyway; so the client asks the broker for the address.
pub(super) async fn watch(amqp: Arc<lapin::Connection>, pending: Arc<PendingCalls>, broker: Broker) {
    while pending.is_open() {
        sleep(PERIOD).await;
        for server in pending.silent_servers() {
            let reason = match timeout(LOOK_TIME, look_for(&amqp, &server)).await {
                Ok(Ok(Presence::Missing)) => "the server of the stream is gone",
                // Other streams would wait behind the next look at it.
                Err(_) => "the broker does not say whether the server of the stream is there",
                // If the connection is lost, all calls on it fail.
                Ok(Ok(_) | Err(_)) => continue,
            };
            pending.fail_streams_of(&server, &broker.gone(reason));
        }
    }
}

/// Takes a channel of its own, because the broker closes it if there is no such server.
async fn look_for(amqp: &lapin::Connection, server: &ShortString) -> lapin::Result<Presence> {
    look(amqp.create_channel().await?, server).await
}
