//! A block of fields (RFC 7541), as far as it takes to find the authority.

/// The index of the authority in the static table, and its name (appendix A).
const INDEX: u8 = 1;
const NAME: &[u8] = b":authority";

/// What a string's first byte and an integer's other ones say (sections 5.1 and 5.2).
const HUFFMAN: u8 = 0x80;
const MORE: u8 = 0x80;

/// Where the bytes that were read end within a block.
#[derive(Debug, Default)]
pub(super) struct Fields {
    next: Next,
    /// How many strings follow in this field: a name and a value, a value, or none.
    strings: usize,
    is_authority: bool,
    /// The string at hand.
    is_plain: bool,
    left: usize,
    shift: u32,
}

#[derive(Debug, Default, Clone, Copy)]
enum Next {
    #[default]
    Field,
    /// The rest of an index that nothing here depends on.
    Index,
    Length,
    MoreLength,
    Text,
}

impl Fields {
    /// Reads the next bytes of the block and changes each `%` of an authority to `-`.
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
        self.next = Next::Text;
        if self.left == 0 {
            self.end_text();
        }
    }

    /// Reads what is there of the string at hand.
    fn text(&mut self, bytes: &mut [u8]) -> usize {
        let read = bytes.len().min(self.left);
        if self.is_authority && self.is_name() {
            self.is_authority = NAME[NAME.len() - self.left..].starts_with(&bytes[..read]);
        } else if self.is_authority && self.is_plain {
            bytes[..read].iter_mut().filter(|byte| **byte == b'%').for_each(|byte| *byte = b'-');
        }
        self.left -= read;
        if self.left == 0 {
            self.end_text();
        }
        read
    }

    fn end_text(&mut self) {
        self.strings -= 1;
        self.end_index();
    }

    fn is_name(&self) -> bool {
        self.strings == 2
    }
}
