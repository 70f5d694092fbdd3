//! The trace that a call belongs to (W3C Trace Context, level 1).

use std::fmt;

/// A trace, and the span of the caller in it, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) defines them.
///
/// ```
/// # use everywire_core::Trace;
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = Trace::parse(text, None).unwrap();
/// assert_eq!(trace.to_string(), text);
/// assert!(trace.is_sampled());
/// assert_eq!(trace.child().trace_id(), trace.trace_id());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    flags: u8,
    state: Option<Box<str>>,
}

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// How much of a `tracestate` travels (section 3.3.1.5).
const STATE_BYTES: usize = 512;

impl Trace {
    /// The name under which a trace travels, on every wire.
    pub const PARENT: &'static str = "traceparent";

    /// The name under which what systems of tracing add to a trace travels.
    pub const STATE: &'static str = "tracestate";

    /// Starts a new trace, which is sampled.
    pub fn start() -> Self {
        Self { id: fastrand::u128(1..), span: fastrand::u64(1..), flags: 1, state: None }
    }

    /// Reads the values of `traceparent` and `tracestate`. `None` if the first is not valid (section 3.2); a second one that is
    /// too long, or that could not be sent, is left out.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let fields = parent.as_bytes();
        let is_separated = fields.len() >= LENGTH && fields[2] == b'-' && fields[35] == b'-' && fields[52] == b'-';
        // A later version may have more behind another `-`.
        let ends = fields.len() == LENGTH || (!parent.starts_with("00") && fields.get(LENGTH) == Some(&b'-'));
        if !is_separated || !ends || hex(&fields[..2])? == 0xFF {
            return None;
        }
        let (id, span) = (hex(&fields[3..35])?, u64::try_from(hex(&fields[36..52])?).ok()?);
        let flags = u8::try_from(hex(&fields[53..LENGTH])?).ok()?;
        let can_travel =
            |state: &&str| state.len() <= STATE_BYTES && state.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let state = state.filter(|state| !state.is_empty()).filter(can_travel).map(Into::into);
        (id != 0 && span != 0).then_some(Self { id, span, flags, state })
    }

    /// The same trace with a span of its own: for a call on behalf of this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: fastrand::u64(1..), ..self.clone() }
    }

    /// The id of the trace, as 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.id)
    }

    /// The id of the caller's span, as 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// Whether the caller may have recorded the trace. It never changes what a call does.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }

    /// What systems of tracing add to the trace, as the value of `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// The value of `traceparent`.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Other flags than the first have no meaning in version 00, and are not set (section 3.2.2.5.2).
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags & 1)
    }
}

/// The number that small hexadecimal digits stand for.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn what_is_not_valid_is_no_trace() {
        let cases = [
            (format!("00-{IDS}-01"), true),
            (format!("00-{IDS}-00"), true),
            (format!("cc-{IDS}-01"), true),
            (format!("cc-{IDS}-01-what"), true),
            (format!("cc-{IDS}-01what"), false),
            (format!("00-{IDS}-01-what"), false),
            (format!("ff-{IDS}-01"), false),
            (format!("00-{}-01", IDS.to_uppercase()), false),
            (format!("00-{}-{}-01", "0".repeat(32), "1".repeat(16)), false),
            (format!("00-{}-{}-01", "1".repeat(32), "0".repeat(16)), false),
            (format!("00-{IDS}"), false),
            (format!("00_{IDS}-01"), false),
            ("ü".repeat(30), false),
            (String::new(), false),
        ];
        for (text, is_valid) in cases {
            assert_eq!(Trace::parse(&text, None).is_some(), is_valid, "{text}");
        }
    }

    #[test]
    fn a_state_travels_if_it_can() {
        let of = |state: &str| {
            let trace = Trace::parse(&format!("00-{IDS}-01"), Some(state)).unwrap();
            trace.child().state().map(str::to_owned)
        };
        assert_eq!(of("congo=t61rcWkgMzE"), Some("congo=t61rcWkgMzE".to_owned()));
        assert_eq!((of("a=\n"), of(&"x".repeat(513))), (None, None));
    }

    #[test]
    fn a_new_trace_can_be_read() {
        let trace = Trace::start();
        assert_eq!(Trace::parse(&trace.to_string(), None), Some(trace));
    }
}
