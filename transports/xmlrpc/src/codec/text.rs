//! Characters: which ones XML 1.0 has, and how text is escaped.

use std::borrow::Cow;

use everywire_core::wire::MessageBuffer;

use super::error::{Error, Kind};

/// The characters of XML 1.0, section 2.2. The others can't be written at all, not even as a reference.
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Checks the bytes of a whole document once, so that the parser needn't: UTF-8 with XML's characters only.
pub(crate) fn document(bytes: &[u8]) -> Result<&str, Error> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| Error::new(Kind::Character, format!("not UTF-8: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match first_forbidden(text) {
        None => Ok(text),
        Some((at, c)) => Err(forbidden(at, c)),
    }
}

/// `text` with U+FFFD in place of what XML can't write: an error's message must arrive in any case.
pub(crate) fn sanitized(text: &str) -> Cow<'_, str> {
    match first_forbidden(text) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.replace(|c| !is_xml_char(c), "\u{fffd}")),
    }
}

/// Appends `text` with its markup escaped. A carriage return becomes a reference, since a parser turns a plain one into
/// a line feed (section 2.11).
pub(super) fn escape(text: &str, out: &mut MessageBuffer<'_>) -> Result<(), Error> {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !SPECIAL[usize::from(byte)] {
            continue;
        }
        let escaped: &[u8] = match byte {
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'&' => b"&amp;",
            b'\r' => b"&#13;",
            NONCHARACTER if !matches!(bytes[at..], [_, 0xBF, 0xBE | 0xBF, ..]) => continue,
            _ => return Err(forbidden(at, text[at..].chars().next().unwrap_or_default())),
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(escaped);
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
    Ok(())
}

/// The first byte of U+FFFE and U+FFFF in UTF-8, and of valid characters.
const NONCHARACTER: u8 = 0xEF;

/// The bytes at which [`escape`] has to look closer.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = !matches!(byte, 0x09 | 0x0A);
        byte += 1;
    }
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'&' as usize] = true;
    special[NONCHARACTER as usize] = true;
    special
};

fn first_forbidden(text: &str) -> Option<(usize, char)> {
    // Without a branch, so that the compiler looks at many bytes at once; few texts need the exact search after it.
    let suspicious = text.bytes().fold(0, |found, byte| {
        let control = byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
        found | u8::from(control) | u8::from(byte == NONCHARACTER)
    });
    if suspicious != 0 { text.char_indices().find(|&(_, c)| !is_xml_char(c)) } else { None }
}

fn forbidden(at: usize, c: char) -> Error {
    Error::new(Kind::Character, format!("XML has no character U+{:04X} (byte {at})", u32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_covers_markup_and_rejects_what_xml_lacks() {
        let cases = [
            ("", Some("")),
            ("plain", Some("plain")),
            ("a<b>&c]]>", Some("a&lt;b&gt;&amp;c]]&gt;")),
            ("\r\n\t", Some("&#13;\n\t")),
            ("\u{fffd}\u{feff}ｆ", Some("\u{fffd}\u{feff}ｆ")),
            ("é🦀\u{7f}", Some("é🦀\u{7f}")),
            ("\0", None),
            ("a\u{1f}", None),
            ("\u{fffe}", None),
            ("x\u{ffff}", None),
        ];
        for (text, expected) in cases {
            let mut out = MessageBuffer::unbounded(Vec::new());
            let outcome = escape(text, &mut out);
            assert_eq!(outcome.is_ok(), expected.is_some(), "{text:?}");
            assert_eq!(document(text.as_bytes()).is_ok(), expected.is_some(), "{text:?}");
            if let Some(expected) = expected {
                assert_eq!(*out, *expected.as_bytes(), "{text:?}");
            }
        }
    }

    #[test]
    fn every_character_is_judged_alike_by_all_functions() {
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let text = c.to_string();
            let written = escape(&text, &mut MessageBuffer::unbounded(Vec::new())).is_ok();
            assert_eq!(written, is_xml_char(c), "{c:?}");
            assert_eq!(sanitized(&text) == text, is_xml_char(c), "{c:?}");
        }
    }
}
