//! One connection's session: events become calls, answers and signs of life.

use std::{io, time::Duration};

use bytes::Bytes;
use everywire_zmtp::{Envelope, Peer, Reply, Session, frames::violation};
use rpc_core::{RpcError, ServiceDescriptor, unknown_method};

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
}

impl<D> ZerorpcSession<D> {
    /// A session for one connection.
    pub(crate) fn new(dispatch: D, descriptor: &'static ServiceDescriptor, depth: usize) -> Self {
        Self { dispatch, descriptor, ids: MessageIds::new(), depth }
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
    F: Future<Output = Reply> + Send + 'static,
{
    type Call = F;
    type Channel = Channel;

    const TICK: Duration = PERIOD;

    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        peer: &mut Peer<Channel>,
    ) -> io::Result<Option<(Channel, F)>> {
        let [payload] = body else { return Err(violation("a message with other than one payload")) };
        let event = Event::decode(payload);
        let id = match &event {
            Ok(Event { response_to: Some(channel), .. }) => {
                heard(&envelope, channel, peer);
                return Ok(None);
            }
            Ok(Event { message_id, .. }) | Err(Malformed { message_id }) => *message_id,
        };
        let channel = id.and_then(ChannelId::copy).ok_or_else(|| violation("no event with an id to answer to"))?;
        let asker = Asker { envelope, channel };
        let Ok(event) = event else {
            self.refuse(&asker, peer, fault::put_unreadable);
            return Ok(None);
        };
        Ok(self.request(asker, payload, &event, peer))
    }

    fn tick(&mut self, peer: &mut Peer<Channel>) {
        // What is not read can't be heard.
        let missed = u8::from(!peer.is_paused());
        let Peer { calls, output, .. } = peer;
        calls.retain(|channel| {
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
fn heard(envelope: &Envelope, channel: &[u8], peer: &mut Peer<Channel>) {
    let open =
        peer.calls.channels().find(|open| open.asker.channel.as_bytes() == channel && open.asker.envelope == *envelope);
    if let Some(open) = open {
        open.missed = 0;
    }
}

impl<D, F> ZerorpcSession<D>
where
    D: Fn(ZerorpcCall) -> F,
{
    /// Starts the call of a request, or answers at once.
    fn request(
        &mut self,
        asker: Asker,
        payload: &Bytes,
        event: &Event,
        peer: &mut Peer<Channel>,
    ) -> Option<(Channel, F)> {
        if peer.is_draining() {
            let stopping = RpcError::unavailable("the server is shutting down");
            self.refuse(&asker, peer, |args| fault::put(args, &stopping));
            return None;
        }
        if schema::is_builtin(event.name) {
            self.builtin(&asker, event, peer);
            return None;
        }
        let method = self.descriptor.method(event.name);
        let args = payload.slice_ref(event.args);
        let mut call = ZerorpcCall::new(self.ids.next().1, asker.clone(), method, args, self.depth);
        if method.is_none() {
            let reply = unknown_method(self.descriptor, event.name, &mut call);
            peer.output.push(&reply.envelope, &reply.body);
            return None;
        }
        Some((Channel { asker, missed: 0 }, (self.dispatch)(call)))
    }

    fn builtin(&mut self, asker: &Asker, event: &Event, peer: &mut Peer<Channel>) {
        match schema::answer(self.descriptor, event.name, event.args) {
            Ok(value) => {
                let answer = envelope::ok_encoded(&self.ids.next().1, asker.channel.as_bytes(), &value);
                peer.output.push(&asker.envelope, &answer);
            }
            Err(error) => self.refuse(asker, peer, |args| fault::put(args, &error)),
        }
    }

    fn refuse(&mut self, asker: &Asker, peer: &mut Peer<Channel>, args: impl FnOnce(&mut Vec<u8>)) {
        peer.output.push(&asker.envelope, &envelope::err(&self.ids.next().1, asker.channel.as_bytes(), args));
    }
}
