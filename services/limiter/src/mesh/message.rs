//! The messages of the mesh.

use std::time::Duration;

use bytes::Bytes;
use zeromq::ZmqMessage;

/// The message of a grant.
pub(super) fn go(resource: &str, permits: u32, rest: Duration) -> ZmqMessage {
    message(resource.to_owned(), format!("go {permits} {}", rest.as_micros()))
}

/// A heartbeat.
pub(super) fn alive() -> ZmqMessage {
    message(String::new(), "alive".to_owned())
}

/// Parses a grant: the resource, the permits, and the rest of the slot. `None` for a heartbeat or an invalid message.
pub(super) fn read(message: &ZmqMessage) -> Option<(&str, u32, Duration)> {
    let resource = std::str::from_utf8(message.get(0)?).ok()?;
    let (permits, rest) = std::str::from_utf8(message.get(1)?).ok()?.strip_prefix("go ")?.split_once(' ')?;
    Some((resource, permits.parse().ok()?, Duration::from_micros(rest.parse().ok()?)))
}

fn message(topic: String, text: String) -> ZmqMessage {
    let mut message = ZmqMessage::from(topic);
    message.push_back(Bytes::from(text));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let granted = go("a b", 3, Duration::from_micros(1_500));
        assert_eq!(granted.get(1).unwrap(), "go 3 1500");
        assert_eq!(read(&granted), Some(("a b", 3, Duration::from_micros(1_500))));
    }

    #[test]
    fn other_messages_are_ignored() {
        for text in ["alive", "", "go", "go 1", "go 1 ", "go -1 5", "go 4294967296 5", "go 1 x", "gone 1 5"] {
            assert_eq!(read(&message("a".to_owned(), text.to_owned())), None, "{text}");
        }
        assert_eq!(read(&ZmqMessage::from("a")), None);
    }
}
