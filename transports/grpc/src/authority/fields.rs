//! Reads a block of fields (RFC 7541) just enough to find the authority.

/// The index of the authority in the static table, and its name (appendix A).
const INDEX: u8 = 1;
const NAME: &[u8] = b":authority";

/// The flags of a string's first byte, and of an integer's further bytes (sections 5.2 and 5.1).
const HUFFMAN: u8 = 0x80;
const MORE: u8 = 0x80;

/// For each length in bits, one more than the last Huffman code of that length (appendix B). Codes ascend with their lengths,
/// so bits below that number are a complete code. The codes of printable ASCII have at most 15 bits, except the backslash's.
const CODES: [u16; 16] = [0, 0, 0, 0, 0, 0xa, 0x2e, 0x7c, 0xfe, 0, 0x3fd, 0x7fd, 0xffc, 0x1ffe, 0x3ffe, 0x7fff];

/// The length of the code of `%`, and the code.
const PERCENT: (usize, u16) = (6, 0x15);

/// The position in a block at which the bytes read so far end.
#[derive(Debug, Default)]
pub(super) struct Fields {
    next: Next,
    /// How many strings follow in this field: a name and a value, a value, or none.
    strings: usize,
    is_authority: bool,
    /// The current string.
    is_plain: bool,
    left: usize,
    shift: u32,
    /// The current Huffman code and its length.
    code: u16,
    bits: usize,
}

#[derive(Debug, Default, Clone, Copy)]
enum Next {
    #[default]
    Field,
    /// The rest of an index. Its value is not needed.
    Index,
    Length,
    MoreLength,
    Text,
}

impl Fields {
    /// Reads the next bytes of the block and replaces each `%` of an authority by a dot.
    pub(super) fn read(&mut self, mut bytes: &mut [u8]) {
        while let [byte, ..] = *bytes {
            let read = if matches!(self.next, Next::Text) { self.text(bytes) } else { self.byte(byte) };
            bytes = &mut bytes[read..];
        }
    }

    fn byte(&mut self, byte: u8) -> usize {
        match self.next {
            Next::Field => self.field(byte),
            Next::Index if byte < MORE => self.end_index(),
            Next::Index | Next::Text => {}
            Next::Length => {
                self.is_plain = byte & HUFFMAN == 0;
                self.left = usize::from(byte & 0x7f);
                self.shift = 0;
                if self.left == 0x7f { self.next = Next::MoreLength } else { self.end_length() }
            }
            Next::MoreLength => {
                let more = usize::from(byte & 0x7f).checked_shl(self.shift).unwrap_or(usize::MAX);
                self.left = self.left.saturating_add(more);
                self.shift = self.shift.saturating_add(7);
                if byte < MORE {
                    self.end_length();
                }
            }
        }
        1
    }

    /// Begins a field, or a change of the table's size (section 6).
    fn field(&mut self, byte: u8) {
        let (mask, is_literal) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        let index = byte & mask;
        self.is_authority = is_literal && index == INDEX;
        self.strings = usize::from(is_literal) + usize::from(is_literal && index == 0);
        if index == mask { self.next = Next::Index } else { self.end_index() }
    }

    fn end_index(&mut self) {
        self.next = if self.strings == 0 { Next::Field } else { Next::Length };
    }

    fn end_length(&mut self) {
        if self.is_name() {
            self.is_authority = self.is_plain && self.left == NAME.len();
        }
        (self.code, self.bits) = (0, 0);
        self.next = Next::Text;
        if self.left == 0 {
            self.end_text();
        }
    }

    /// Reads what has arrived of the current string.
    fn text(&mut self, bytes: &mut [u8]) -> usize {
        let read = bytes.len().min(self.left);
        if self.is_authority && self.is_name() {
            self.is_authority = NAME[NAME.len() - self.left..].starts_with(&bytes[..read]);
        } else if self.is_authority && self.is_plain {
            bytes[..read].iter_mut().filter(|byte| **byte == b'%').for_each(|byte| *byte = b'.');
        } else if self.is_authority {
            self.coded_text(&mut bytes[..read]);
        }
        self.left -= read;
        if self.left == 0 {
            self.end_text();
        }
        read
    }

    /// Replaces each `%` of a Huffman-coded value, up to a code of more than 15 bits. The codes of `%` and the dot differ in
    /// the last bit but one; if that bit was in an earlier read, the `%` stays.
    fn coded_text(&mut self, bytes: &mut [u8]) {
        for at in 0..8 * bytes.len() {
            self.code = self.code << 1 | u16::from(bytes[at / 8] >> (7 - at % 8) & 1);
            self.bits += 1;
            let Some(&end) = CODES.get(self.bits) else {
                self.is_authority = false;
                return;
            };
            if self.code >= end {
                continue;
            }
            if (self.bits, self.code) == PERCENT && at > 0 {
                bytes[(at - 1) / 8] ^= 0x80 >> ((at - 1) % 8);
            }
            (self.code, self.bits) = (0, 0);
        }
    }

    fn end_text(&mut self) {
        self.strings -= 1;
        self.end_index();
    }

    fn is_name(&self) -> bool {
        self.strings == 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coded_authorities_are_changed() {
        #[rustfmt::skip]
        let cases: [(&[u8], &[u8]); 4] = [
            // %2Ftmp%2Fsock and .2Ftmp.2Fsock
            (b"\x54\x58\x53\x4d\x6a\x8b\x0a\x0e\x4e\xbf", b"\x5c\x58\x53\x4d\x6b\x8b\x0a\x0e\x4e\xbf"),
            // %%%%%%%% and ........
            (b"\x55\x55\x55\x55\x55\x55", b"\x5d\x75\xd7\x5d\x75\xd7"),
            // ~|^@% and ~|^@. for the longer codes
            (b"\xff\xef\xfc\xff\xf3\xff\x4a\xff", b"\xff\xef\xfc\xff\xf3\xff\x4b\xff"),
            // localhost:50051
            (b"\xa0\xe4\x1d\x13\x9d\x09\xb8\xd8\x00\xd8\x7f", b"\xa0\xe4\x1d\x13\x9d\x09\xb8\xd8\x00\xd8\x7f"),
        ];
        for (text, changed) in cases {
            let length = 0x80 | u8::try_from(text.len()).unwrap();
            let field = |text: &[u8]| [&[0x41, length], text].concat();
            // Another field of the same bytes is left alone.
            let mut block = [field(text), [&[0x44, length], text].concat(), field(text)].concat();
            Fields::default().read(&mut block);
            assert_eq!(block, [field(changed), [&[0x44, length], text].concat(), field(changed)].concat());
        }
    }
}
