//! One connection's session: turns events into calls, replies and heartbeats.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use everywire_core::{
    Budget, RpcError,
    descriptor::{Method, Services},
    wire::{Encoded, Waiting},
};
use everywire_zmtp::{Envelope, Peer, Reply, Session, frames::violation};

use crate::{
    call::{Around, ReplyTo, Request},
    envelope::{self, CANCEL, Event, LOST_AFTER, Malformed, PERIOD},
    events::Credit,
    id::{ChannelId, MessageIds},
    schema,
};

/// One connection. `dispatch` starts a call of the service.
pub(crate) struct ZerorpcSession<'a, D> {
    dispatch: D,
    services: &'a Services,
    ids: MessageIds,
    budget: Arc<Budget>,
    waiting: Waiting,
}

impl<'a, D> ZerorpcSession<'a, D> {
    /// A session for one connection, whose waiting calls are `waiting`.
    pub(crate) fn new(dispatch: D, services: &'a Services, budget: Arc<Budget>, waiting: Waiting) -> Self {
        Self { dispatch, services, ids: MessageIds::new(), budget, waiting }
    }
}

/// An open channel: a call that waits.
pub(crate) struct Channel {
    reply_to: ReplyTo,
    /// Ticks since an event of the peer arrived in it.
    missed: u8,
    /// How many items the peer takes, if the method streams.
    credit: Option<Arc<Credit>>,
}

impl<D, F> Session for ZerorpcSession<'_, D>
where
    D: Fn(Request) -> F + Send,
    F: Future<Output = Reply> + Send,
{
    type Call = F;
    type Request = Request;
    type Channel = Channel;

    const TICK: Duration = PERIOD;

    #[inline]
    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        peer: &mut Peer<'_, Self>,
    ) -> io::Result<Option<(Channel, Request)>> {
        let [payload] = body else { return Err(violation("a message with other than one payload")) };
        let event = Event::decode(payload);
        let id = match &event {
            Ok(Event { response_to: Some(channel), name: CANCEL, .. }) => {
                cancel(&envelope, channel, peer);
                return Ok(None);
            }
            Ok(event @ Event { response_to: Some(channel), .. }) => {
                heard(&envelope, channel, event, peer);
                return Ok(None);
            }
            Ok(Event { message_id, .. }) | Err(Malformed { message_id }) => *message_id,
        };
        let id = id.ok_or_else(|| violation("no event with an id to reply to"))?;
        let rejection = match (event, ChannelId::copy(id)) {
            (Ok(event), Some(channel)) => {
                return Ok(self.request(ReplyTo { envelope, channel }, payload, &event, peer));
            }
            (Ok(_), None) => self.error(id, &RpcError::invalid_argument("a message_id has at most 255 bytes")),
            (Err(_), _) => envelope::unreadable(&self.ids.next().1, id),
        };
        peer.output.push(&envelope, &rejection);
        Ok(None)
    }

    fn call(&mut self, request: Request) -> F {
        (self.dispatch)(request)
    }

    fn running(&self, in_flight: usize) -> usize {
        self.waiting.running(in_flight)
    }

    fn tick(&mut self, peer: &mut Peer<'_, Self>) {
        // While reading is paused, a heartbeat would go unnoticed.
        let missed = u8::from(!peer.is_paused());
        peer.retain(|channel, output| {
            channel.missed += missed;
            let ReplyTo { envelope, channel: id } = &channel.reply_to;
            if channel.missed >= LOST_AFTER {
                return false;
            }
            output.push(envelope, &envelope::heartbeat(&self.ids.next().1, id.as_bytes()));
            true
        });
    }
}

/// What came with a request besides its arguments.
fn around(event: &Event) -> everywire_core::Result<Option<Box<Around>>> {
    let is_usual = event.header.is_empty();
    (!is_usual).then(|| Around::new(event.header).map(Box::new)).transpose()
}

/// Ends the call of a channel whose caller no longer wants its reply.
fn cancel(envelope: &Envelope, channel: &[u8], peer: &mut Peer<'_, impl Session<Channel = Channel>>) {
    peer.retain(|open, _| !open.reply_to.is(envelope, channel));
}

/// Notes an event in an open channel: a heartbeat, or credit for further items.
fn heard(envelope: &Envelope, channel: &[u8], event: &Event, peer: &mut Peer<'_, impl Session<Channel = Channel>>) {
    if let Some(open) = peer.channels().find(|open| open.reply_to.is(envelope, channel)) {
        open.missed = 0;
        if let (Some(credit), Some(events)) = (&open.credit, event.granted()) {
            credit.grant(events);
        }
    }
}

impl<D, F> ZerorpcSession<'_, D>
where
    D: Fn(Request) -> F + Send,
    F: Future<Output = Reply> + Send,
{
    /// What calls the method of a request, or nothing after a reply at once.
    fn request(
        &mut self,
        reply_to: ReplyTo,
        payload: &Bytes,
        event: &Event,
        peer: &mut Peer<'_, Self>,
    ) -> Option<(Channel, Request)> {
        let method = match self.method(event, reply_to.channel.as_bytes(), peer.is_draining()) {
            Ok(method) => method,
            Err(reply) => {
                peer.output.push(&reply_to.envelope, &reply);
                return None;
            }
        };
        let around = match around(event) {
            Ok(around) => around,
            Err(error) => {
                peer.output.push(&reply_to.envelope, &self.error(reply_to.channel.as_bytes(), &error));
                return None;
            }
        };
        let args = payload.slice_ref(event.args);
        let credit = method.streams().then(Arc::default);
        let request = Request { reply_to: reply_to.clone(), method, args, around, credit: credit.clone() };
        Some((Channel { reply_to, missed: 0, credit }, request))
    }
}

impl<D> ZerorpcSession<'_, D> {
    /// The method that a request calls, or the reply to a request that calls none of the service's.
    fn method(&self, event: &Event, channel: &[u8], is_draining: bool) -> Result<&'static Method, Encoded> {
        if is_draining {
            return Err(self.error(channel, &RpcError::unavailable("the server is shutting down")));
        }
        if schema::is_builtin(event.name) {
            return Err(match schema::reply(self.services, event.name, event.args) {
                Ok(value) => envelope::ok_encoded(&self.ids.next().1, channel, &value).into(),
                Err(error) => self.error(channel, &error),
            });
        }
        self.services.find(event.name).map_err(|unknown| self.error(channel, &unknown))
    }

    /// The reply with an error.
    fn error(&self, channel: &[u8], error: &RpcError) -> Encoded {
        envelope::err(&self.ids.next().1, channel, error, &self.budget)
    }
}
