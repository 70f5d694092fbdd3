//! Subscriptions: streams whose items are sent as notifications, without a call for them.

use std::sync::Arc;

use everywire_core::{Peer, Result, RpcError, wire::Encoded};
use everywire_json::Subscription;
use everywire_net::{
    framed::SendQueue,
    pull::{Batch, OpenStreams},
};

use crate::frames::{TEXT, put_header};

/// The most items that are put into the output at a time: a notification takes more than 100 bytes, however short its item.
const MOST_ITEMS: usize = 256;

/// What a message leads to.
pub(crate) enum Answer {
    /// Its response, unless it is a notification, and the subscription that begins behind it.
    Response(Option<Encoded>, Option<Box<Subscription>>),
    /// Items of a subscription, or its end; none if it was ended by its subscriber.
    Items(Box<Subscription>, Option<Result<Batch>>),
}

impl Answer {
    /// Waits for the next items of a subscription of `peer`.
    pub(crate) async fn next(subscription: Box<Subscription>, streams: Arc<OpenStreams>, peer: Peer) -> Self {
        let items = streams.pull(&peer, &subscription.token, None, MOST_ITEMS).await;
        Self::Items(subscription, items)
    }

    /// Puts it into the output. Returns the subscription that goes on.
    #[inline]
    pub(crate) fn put(self, output: &mut SendQueue) -> Option<Box<Subscription>> {
        match self {
            Self::Response(response, subscription) => {
                if let Some(response) = response {
                    put_header(output.tail(), TEXT, response.len());
                    output.push(response);
                }
                subscription
            }
            Self::Items(subscription, items) => put_items(subscription, items?.as_ref(), output),
        }
    }
}

#[cold]
fn put_items(
    subscription: Box<Subscription>,
    items: Result<&Batch, &RpcError>,
    output: &mut SendQueue,
) -> Option<Box<Subscription>> {
    let mut notification = Vec::new();
    let mut put = |notification: &mut Vec<u8>| {
        put_header(output.tail(), TEXT, notification.len());
        output.tail().append(notification);
    };
    for item in items.into_iter().flat_map(Batch::iter) {
        subscription.put_item(item, &mut notification);
        put(&mut notification);
    }
    if items.is_ok_and(|items| !items.is_last()) {
        return Some(subscription);
    }
    subscription.put_end(items.err(), &mut notification);
    put(&mut notification);
    None
}
