//! What travels with a call over HTTP, version 1 or 2: its headers.

use std::time::{Duration, Instant};

use everywire_core::{
    Context, Result, RpcError,
    wire::{Outgoing, deadline_after},
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The time left for a call, as gRPC writes it: at most eight digits and a unit.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// When the caller no longer wants the reply, if the headers say so: gRPC's `grpc-timeout`, or `connect-timeout-ms` of the Connect
/// protocol, whichever comes first. The time counts from now.
///
/// A time that can't be read is `INVALID_ARGUMENT`.
pub fn deadline(headers: &HeaderMap) -> Result<Option<Instant>> {
    Ok(timeout(headers)?.and_then(deadline_after))
}

/// The time left for a call, if the headers have one.
pub fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    // Few requests have one, and comparing a few names costs less than looking for each.
    let found = headers.iter().find_map(|(name, value)| match name.as_str() {
        "grpc-timeout" => {
            Some(grpc_timeout(value.as_bytes()).ok_or("grpc-timeout; expected at most eight digits and a unit"))
        }
        "connect-timeout-ms" => {
            Some(connect_timeout(value.as_bytes()).ok_or("connect-timeout-ms; expected at most ten digits"))
        }
        _ => None,
    });
    found.transpose().map_err(|what| RpcError::invalid_argument(format!("malformed {what}")))
}

fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let number = number(digits, 8)?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

fn connect_timeout(value: &[u8]) -> Option<Duration> {
    number(value, 10).map(Duration::from_millis)
}

/// The number that one to `most` digits stand for.
fn number(digits: &[u8], most: usize) -> Option<u64> {
    let is_number = (1..=most).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Writes `grpc-timeout` in the finest unit that eight digits hold.
pub fn timeout_header(time: Duration) -> HeaderValue {
    const LIMIT: u128 = 100_000_000;
    let units = [(time.as_nanos(), 'n'), (time.as_micros(), 'u'), (time.as_millis(), 'm')];
    let (number, unit) = units.into_iter().find(|(number, _)| *number < LIMIT).unwrap_or_else(|| {
        let hours = u128::from(time.as_secs() / 3600);
        let seconds = u128::from(time.as_secs());
        if seconds < LIMIT { (seconds, 'S') } else { (hours.min(LIMIT - 1), 'H') }
    });
    HeaderValue::try_from(format!("{number}{unit}")).expect("digits and a letter are a header value")
}

/// Reads trace and metadata. An error if there is more metadata than may travel.
pub fn read(headers: &HeaderMap, cx: &mut Context) -> Result<()> {
    cx.receive(headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))))
}

/// How many bytes the headers have.
pub fn bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Adds what is sent of a context to the headers of a request, and how much `time` its caller gives it.
pub fn write(headers: &mut HeaderMap, outgoing: &Outgoing<'_>, time: Option<Duration>) {
    headers.extend(time.map(|time| (TIMEOUT, timeout_header(time))));
    // A call's own credentials take the place of those of the client.
    outgoing.metadata().iter().for_each(|(name, _)| drop(headers.remove(name)));
    for (name, value) in outgoing.entries() {
        let entry = HeaderName::try_from(name).ok().zip(HeaderValue::from_str(&value).ok());
        if let Some((name, value)) = entry {
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everywire_core::{Code, Trace};

    fn headers(name: &'static str, value: &str) -> Option<HeaderMap> {
        let value = HeaderValue::from_str(value).ok()?;
        Some(HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
    }

    #[test]
    fn times_are_written_in_the_finest_unit_that_fits() {
        #[rustfmt::skip]
        let cases = [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(30), "30000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_hours(100_000_000), "99999999H"),
            (Duration::MAX, "99999999H"),
        ];
        for (time, text) in cases {
            assert_eq!(timeout_header(time), text);
            let read = timeout(&headers("grpc-timeout", text).unwrap()).unwrap().unwrap();
            assert!(read <= time, "{text}: {read:?}");
        }
    }

    #[test]
    fn malformed_times_are_rejected() {
        let grpc = ["", "1", "S", "1s", "-1S", "1.5S", "123456789S", "1S "].map(|text| ("grpc-timeout", text));
        let connect = ["", "1m", "-1", "12345678901"].map(|text| ("connect-timeout-ms", text));
        for (name, text) in grpc.into_iter().chain(connect) {
            let Some(headers) = headers(name, text) else { continue };
            assert_eq!(timeout(&headers).unwrap_err().code(), Code::InvalidArgument, "{name}: {text:?}");
        }
        assert_eq!(timeout(&headers("connect-timeout-ms", "1500").unwrap()), Ok(Some(Duration::from_millis(1500))));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let trace = Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("a=b")).unwrap();
        let sent = Context::new().metadata("tenant", "7").unwrap().metadata("tenant", "8").unwrap().trace(trace);
        let mut headers = headers("content-type", "text/xml").unwrap();
        let time = Duration::from_secs(1);
        write(&mut headers, &Outgoing::new(&sent, time), Some(time));
        let mut received = Context::new();
        read(&headers, &mut received).unwrap();
        assert_eq!(received.metadata, sent.metadata);
        let (trace, sent) = (received.trace.unwrap(), sent.trace.unwrap());
        assert_eq!((trace.trace_id(), trace.state()), (sent.trace_id(), sent.state()));
        assert_ne!(trace.span_id(), sent.span_id());
        assert_eq!(timeout(&headers), Ok(Some(time)));
    }
}
