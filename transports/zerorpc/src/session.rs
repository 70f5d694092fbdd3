//! One connection's session: events become calls, answers and signs of life.

use std::{io, time::Duration};

use bytes::Bytes;
use everywire_core::{RpcError, descriptor::ServiceDescriptor, wire::Waiting};
use everywire_zmtp::{Envelope, Peer, Reply, Session, frames::violation};

use crate::{
    call::{Asker, ZerorpcCall},
    envelope::{self, ChannelId, Event, LOST_AFTER, Malformed, MessageIds, PERIOD},
    fault, schema,
};

/// One connection. `dispatch` starts a call of the service.
pub(crate) struct ZerorpcSession<D> {
    dispatch: D,
    descriptor: &'static ServiceDescriptor,
    ids: MessageIds,
    depth: usize,
    waiting: Waiting,
}

impl<D> ZerorpcSession<D> {
    /// A session for one connection, whose waiting calls are `waiting`.
    pub(crate) fn new(dispatch: D, descriptor: &'static ServiceDescriptor, depth: usize, waiting: Waiting) -> Self {
        Self { dispatch, descriptor, ids: MessageIds::new(), depth, waiting }
    }
}

/// An open channel: a call that waits.
pub(crate) struct Channel {
    asker: Asker,
    /// Ticks since the peer was heard of.
    missed: u8,
}

impl<D, F> Session for ZerorpcSession<D>
where
    D: Fn(ZerorpcCall) -> F + Send,
    F: Future<Output = Reply> + Send,
{
    type Call = F;
    type Request = ZerorpcCall;
    type Channel = Channel;

    const TICK: Duration = PERIOD;

    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        peer: &mut Peer<'_, Self>,
    ) -> io::Result<Option<(Channel, ZerorpcCall)>> {
        let [payload] = body else { return Err(violation("a message with other than one payload")) };
        let event = Event::decode(payload);
        let id = match &event {
            Ok(Event { response_to: Some(channel), .. }) => {
                heard(&envelope, channel, peer);
                return Ok(None);
            }
            Ok(Event { message_id, .. }) | Err(Malformed { message_id }) => *message_id,
        };
        let id = id.ok_or_else(|| violation("no event with an id to answer to"))?;
        let refusal = match (event, ChannelId::copy(id)) {
            (Ok(event), Some(channel)) => return Ok(self.request(Asker { envelope, channel }, payload, &event, peer)),
            (Ok(_), None) => self.error(id, &RpcError::invalid_argument("a message_id has at most 255 bytes")),
            (Err(_), _) => envelope::err(&self.ids.next().1, id, fault::put_unreadable),
        };
        peer.output.push(&envelope, &refusal);
        Ok(None)
    }

    fn call(&mut self, request: ZerorpcCall) -> F {
        (self.dispatch)(request)
    }

    fn running(&self, in_flight: usize) -> usize {
        self.waiting.running(in_flight)
    }

    fn refuse(&mut self, envelope: Envelope, channel: Channel, error: &RpcError) -> Reply {
        Reply { envelope, body: self.error(channel.asker.channel.as_bytes(), error) }
    }

    fn tick(&mut self, peer: &mut Peer<'_, Self>) {
        // What is not read can't be heard.
        let missed = u8::from(!peer.is_paused());
        peer.retain(|channel, output| {
            channel.missed += missed;
            let Asker { envelope, channel: id } = &channel.asker;
            if channel.missed >= LOST_AFTER {
                return false;
            }
            output.push(envelope, &envelope::heartbeat(&self.ids.next().1, id.as_bytes()));
            true
        });
    }
}

/// Notes a sign of life in a channel: a heartbeat, or credit for more answers than the one that each call has.
fn heard(envelope: &Envelope, channel: &[u8], peer: &mut Peer<'_, impl Session<Channel = Channel>>) {
    let is_it = |open: &Asker| open.channel.as_bytes() == channel && open.envelope == *envelope;
    if let Some(open) = peer.channels().find(|open| is_it(&open.asker)) {
        open.missed = 0;
    }
}

impl<D, F> ZerorpcSession<D>
where
    D: Fn(ZerorpcCall) -> F + Send,
    F: Future<Output = Reply> + Send,
{
    /// The call of a request, or nothing after an answer at once.
    fn request(
        &mut self,
        asker: Asker,
        payload: &Bytes,
        event: &Event,
        peer: &mut Peer<'_, Self>,
    ) -> Option<(Channel, ZerorpcCall)> {
        let channel = asker.channel.as_bytes();
        if peer.is_draining() {
            let stopping = RpcError::unavailable("the server is shutting down");
            peer.output.push(&asker.envelope, &self.error(channel, &stopping));
            return None;
        }
        if schema::is_builtin(event.name) {
            let answer = match schema::answer(self.descriptor, event.name, event.args) {
                Ok(value) => envelope::ok_encoded(&self.ids.next().1, channel, &value),
                Err(error) => self.error(channel, &error),
            };
            peer.output.push(&asker.envelope, &answer);
            return None;
        }
        let method = match self.descriptor.find(event.name) {
            Ok(method) => method,
            Err(unknown) => {
                peer.output.push(&asker.envelope, &self.error(channel, &unknown));
                return None;
            }
        };
        let args = payload.slice_ref(event.args);
        let call = ZerorpcCall::new(self.ids.next().1, asker.clone(), method, args, self.depth);
        Some((Channel { asker, missed: 0 }, call))
    }
}

impl<D> ZerorpcSession<D> {
    /// The answer with an error.
    fn error(&self, channel: &[u8], error: &RpcError) -> Vec<u8> {
        envelope::err(&self.ids.next().1, channel, |args| fault::put(args, error))
    }
}
