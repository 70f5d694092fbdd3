//! Calls that are held back.

use std::collections::VecDeque;

use bytes::BytesMut;
use everywire_json::Answer;

/// How much memory the messages of calls that are held back may take. Beyond it nothing is read.
const HELD_BYTES: usize = 1 << 20;

/// Messages whose calls have not begun, because as many calls run as may run at a time.
#[derive(Default)]
pub(crate) struct Held {
    messages: VecDeque<BytesMut>,
    bytes: usize,
}

impl Held {
    pub(crate) fn push(&mut self, message: BytesMut) {
        self.bytes += cost(&message);
        self.messages.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<BytesMut> {
        let message = self.messages.pop_front()?;
        self.bytes -= cost(&message);
        Some(message)
    }

    /// Takes out the messages for which `answer` has an answer, and returns the answers.
    pub(crate) fn take_answered(&mut self, answer: impl Fn(&[u8]) -> Option<Answer>) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.messages.retain(|message| match answer(message) {
            Some(answer) => {
                self.bytes -= cost(message);
                answers.push(answer);
                false
            }
            None => true,
        });
        answers
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= HELD_BYTES
    }

    /// How much memory the messages take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(message: &BytesMut) -> usize {
    message.len() + size_of::<BytesMut>()
}
