//! From the bytes of a document to its text.
//!
//! A byte order mark takes precedence over the `charset` of the content type, and that over the `encoding` of the XML
//! declaration (RFC 7303, section 3). Without any of them the document is UTF-8.
//!
//! The encodings and their names are those of <https://encoding.spec.whatwg.org>, with two exceptions. There ISO-8859-1 and
//! US-ASCII are names of windows-1252; here they are what XML parsers take them for: the bytes 0x80 to 0x9F are control
//! characters in ISO-8859-1, and US-ASCII ends at 0x7F.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, mem::decode_latin1};
use quick_xml::events::{BytesDecl, BytesStart};

use super::{
    error::{Error, Kind, excerpt},
    text::document,
};

/// How much of a document is searched for the end of its XML declaration.
const DECLARATION_BYTES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    Other(&'static Encoding),
}

/// Decodes a document whose content type names the encoding `charset`, if it names one. UTF-8 and ASCII are borrowed; other
/// text may get longer, up to `limit` bytes.
pub(crate) fn decode<'a>(bytes: &'a [u8], charset: Option<&str>, limit: usize) -> Result<Cow<'a, str>, Error> {
    let charset = Charset::of(bytes, charset)?;
    if charset == Charset::Utf8 || charset.extends_ascii() && bytes.is_ascii() {
        return document(bytes).map(Cow::Borrowed);
    }
    let text = match charset {
        Charset::Latin1 if bytes.len() + bytes.iter().filter(|byte| !byte.is_ascii()).count() > limit => {
            return Err(too_long(limit));
        }
        Charset::Latin1 => decode_latin1(bytes).into_owned(),
        Charset::Other(encoding) => decode_with(encoding, bytes, limit)?,
        Charset::Utf8 | Charset::Ascii => {
            let at = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or_default();
            return Err(Error::new(Kind::Character, format!("byte {at} is not US-ASCII")));
        }
    };
    document(text.as_bytes())?;
    Ok(Cow::Owned(text))
}

impl Charset {
    fn of(bytes: &[u8], charset: Option<&str>) -> Result<Self, Error> {
        if let Some(evident) = Self::evident(bytes)? {
            return Ok(evident);
        }
        let name = charset.map(Cow::Borrowed).or_else(|| declared(bytes)).unwrap_or(Cow::Borrowed("utf-8"));
        Self::named(name.trim()).ok_or_else(|| unknown(&name))
    }

    /// The encoding that the first bytes prove: by a byte order mark, or by a NUL as one of two bytes, since XML has no NUL (XML
    /// 1.0, appendix F).
    fn evident(bytes: &[u8]) -> Result<Option<Self>, Error> {
        Ok(match bytes {
            [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => return Err(unknown("UTF-32")),
            [0xEF, 0xBB, 0xBF, ..] => Some(Self::Utf8),
            [0xFE, 0xFF, ..] | [0, 1..=255, ..] => Some(Self::Other(UTF_16BE)),
            [0xFF, 0xFE, ..] | [1..=255, 0, ..] => Some(Self::Other(UTF_16LE)),
            _ => None,
        })
    }

    fn named(name: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is(&["utf-8"]) {
            return Some(Self::Utf8);
        }
        // Python's own name for it.
        if is(&["latin-1"]) {
            return Some(Self::Latin1);
        }
        let encoding = Encoding::for_label(name.as_bytes()).filter(|encoding| *encoding != REPLACEMENT)?;
        if [UTF_8, UTF_16BE, UTF_16LE].contains(&encoding) {
            // UTF-16 would be evident. Programs that serialize to a string of 16-bit units declare it and then send UTF-8.
            Some(Self::Utf8)
        } else if encoding != WINDOWS_1252 || is(&["windows-1252", "cp1252", "x-cp1252"]) {
            Some(Self::Other(encoding))
        } else if is(&["us-ascii", "ascii", "ansi_x3.4-1968"]) {
            Some(Self::Ascii)
        } else {
            Some(Self::Latin1)
        }
    }

    /// Whether ASCII bytes are ASCII characters.
    fn extends_ascii(self) -> bool {
        !matches!(self, Self::Other(encoding) if !encoding.is_ascii_compatible())
    }
}

/// The `encoding` of the XML declaration.
fn declared(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let declaration = bytes.trim_ascii_start().strip_prefix(b"<?")?;
    let length = memchr::memmem::find(&declaration[..declaration.len().min(DECLARATION_BYTES)], b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..length]).ok()?;
    // Most declarations name no encoding, which is quick to see.
    if !declaration.starts_with("xml") || !declaration.contains("encoding") {
        return None;
    }
    let declaration = BytesDecl::from_start(BytesStart::from_content(declaration, "xml".len()));
    Some(Cow::Owned(declaration.encoding()?.ok()?.into_owned()))
}

/// Reserves at most `limit` bytes, and four more that the decoder wants to be free.
fn decode_with(encoding: &'static Encoding, bytes: &[u8], limit: usize) -> Result<String, Error> {
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let most = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(usize::MAX);
    let mut text = String::with_capacity(most.min(limit.saturating_add(4)));
    let (result, read) = decoder.decode_to_string_without_replacement(bytes, &mut text, true);
    match result {
        DecoderResult::InputEmpty if text.len() <= limit => Ok(text),
        DecoderResult::InputEmpty | DecoderResult::OutputFull => Err(too_long(limit)),
        DecoderResult::Malformed(..) => {
            Err(Error::new(Kind::Character, format!("not {}: wrong before byte {read}", encoding.name())))
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::new(Kind::Encoding, format!("the encoding `{}` is unknown; expected UTF-8", excerpt(name)))
}

fn too_long(limit: usize) -> Error {
    Error::new(
        Kind::Length,
        format!("the document is too long once it is UTF-8; the limit decompressed_bytes is {limit}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 10;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn declaring(encoding: &str, rest: &[u8]) -> Vec<u8> {
        [format!("<?xml version='1.0' encoding=\"{encoding}\"?>").as_bytes(), rest].concat()
    }

    /// The text after the declaration.
    fn text(bytes: &[u8], charset: Option<&str>) -> Result<String, Kind> {
        let text = decode(bytes, charset, LIMIT).map_err(|error| error.kind())?;
        Ok(text.split_once("?>").map_or(&*text, |(_, rest)| rest).to_owned())
    }

    #[test]
    fn each_encoding_is_read_by_its_declaration_and_by_its_charset() {
        let cases: [(&[&str], &[u8], &str); 14] = [
            (&["utf-8", "UTF-8", "utf8"], "<a>é€🦀".as_bytes(), "<a>é€🦀"),
            (&["us-ascii", "ASCII", "ANSI_X3.4-1968"], b"<a>&#233;", "<a>&#233;"),
            (&["iso-8859-1", "ISO_8859-1", "latin1", "Latin-1", "l1", "cp819"], b"<a>\xe9\x80\xff", "<a>é\u{80}ÿ"),
            (&["windows-1252", "CP1252"], b"<a>\xe9\x80", "<a>é€"),
            (&["iso-8859-15"], b"<a>\xa4", "<a>€"),
            (&["iso-8859-2"], b"<a>\xb1", "<a>ą"),
            (&["koi8-r"], b"<a>\xc1", "<a>а"),
            (&["windows-1251"], b"<a>\xe0", "<a>а"),
            (&["shift_jis"], b"<a>\x8a\xbf", "<a>漢"),
            (&["euc-jp"], b"<a>\xb4\xc1", "<a>漢"),
            (&["iso-2022-jp"], b"<a>\x1b$B4A\x1b(B", "<a>漢"),
            (&["gb18030", "gbk"], b"<a>\xba\xba", "<a>汉"),
            (&["big5"], b"<a>\xba\x7e", "<a>漢"),
            (&["euc-kr"], b"<a>\xc7\xd1", "<a>한"),
        ];
        for (names, bytes, expected) in cases {
            for name in names {
                assert_eq!(text(&declaring(name, bytes), None).as_deref(), Ok(expected), "{name}");
                assert_eq!(text(bytes, Some(name)).as_deref(), Ok(expected), "{name}");
            }
        }
    }

    #[test]
    fn utf_16_is_seen() {
        let plain = "<a>é€🦀";
        for declared in
            ["", "<?xml version='1.0' encoding='UTF-16'?>", "<?xml version='1.0'?>", "<?xml encoding='utf-8'?>"]
        {
            let document = format!("{declared}{plain}");
            let marked = format!("\u{feff}{document}");
            for charset in [None, Some("utf-16"), Some("utf-16le"), Some("iso-8859-1")] {
                for document in [&document, &marked] {
                    for bytes in [utf16(document, u16::to_le_bytes), utf16(document, u16::to_be_bytes)] {
                        assert_eq!(text(&bytes, charset).as_deref(), Ok(plain), "{document} {charset:?}");
                    }
                }
            }
        }
        // Serialized as UTF-16 and sent as UTF-8.
        assert_eq!(text(&declaring("utf-16", plain.as_bytes()), None).as_deref(), Ok(plain));
    }

    #[test]
    fn a_mark_counts_before_the_charset_and_that_before_the_declaration() {
        let utf8 = "é".as_bytes();
        let marked = |rest: &[u8]| [b"\xef\xbb\xbf", rest].concat();
        let cases = [
            (declaring("iso-8859-1", utf8), None, "Ã©"),
            (declaring("iso-8859-1", utf8), Some("utf-8"), "é"),
            (declaring("utf-8", utf8), Some("iso-8859-1"), "Ã©"),
            (marked(&declaring("iso-8859-1", utf8)), None, "é"),
            (marked(&declaring("iso-8859-1", utf8)), Some("us-ascii"), "é"),
            (declaring("x'y\"z", utf8), Some(" UTF-8 "), "é"),
            ([b"<?xml version='1.0'\nencoding = 'latin1' standalone='yes' ?>", utf8].concat(), None, "Ã©"),
            ([b"<?xml version='1.0' standalone='yes'?>", utf8].concat(), None, "é"),
            ([b"\n<?xml encoding='latin1'?>", utf8].concat(), None, "Ã©"),
            ([b"<?other encoding='latin1'?>", utf8].concat(), None, "é"),
        ];
        for (bytes, charset, expected) in cases {
            assert_eq!(text(&bytes, charset).as_deref(), Ok(expected), "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn unknown_names_and_wrong_bytes_are_told_apart() {
        for name in ["klingon", "utf-7", "utf-32", "iso-2022-kr", "", "x-\u{e9}"] {
            assert_eq!(text(&declaring(name, b"<a/>"), None), Err(Kind::Encoding), "{name}");
            assert_eq!(text(b"<a/>", Some(name)), Err(Kind::Encoding), "{name}");
        }
        for marked in [b"\xff\xfe\0\0<\0\0\0", b"\0\0\xfe\xff\0\0\0<"] {
            assert_eq!(text(marked, None), Err(Kind::Encoding));
        }
        let wrong: [(&str, &[u8]); 6] = [
            ("utf-8", b"\xe9"),
            ("us-ascii", b"\xe9"),
            ("shift_jis", b"\x8a"),
            ("euc-jp", b"\xb4"),
            ("windows-1252", b"\x01"),
            ("iso-8859-1", b"\x01\xe9"),
        ];
        for (name, bytes) in wrong {
            assert_eq!(text(&declaring(name, bytes), None), Err(Kind::Character), "{name}");
            assert_eq!(text(bytes, Some(name)), Err(Kind::Character), "{name}");
        }
        for bytes in [b"\xff\xfe<\0a", &b"\xfe\xff\xd8\0\0a"[..], b"<\0\x01\0", b"\xff\xfe\xff\xff"] {
            assert_eq!(text(bytes, None), Err(Kind::Character), "{bytes:x?}");
        }
    }

    #[test]
    fn text_that_needs_no_change_stays_where_it_is() {
        for name in ["utf-8", "us-ascii", "iso-8859-1", "windows-1252", "shift_jis", "utf-16"] {
            let bytes = declaring(name, b"<a/>");
            assert!(matches!(decode(&bytes, None, 0), Ok(Cow::Borrowed(_))), "{name}");
        }
    }

    #[test]
    fn text_does_not_grow_beyond_the_limit() {
        for (name, byte, grown) in
            [("iso-8859-1", &b"\xe9"[..], 2), ("windows-1252", b"\x80", 3), ("utf-16", b"\x20\xac", 3)]
        {
            let start: &[u8] = if name == "utf-16" { b"\xfe\xff" } else { b"" };
            let bytes = [start, &byte.repeat(100)].concat();
            assert_eq!(
                decode(&bytes, Some(name), grown * 100).map(|text| text.len()).ok(),
                Some(grown * 100),
                "{name}"
            );
            let longer = decode(&bytes, Some(name), grown * 100 - 1).map_err(|error| error.kind());
            assert_eq!(longer, Err(Kind::Length), "{name}");
        }
    }
}
