//! `<nil/>`: an extension that not every reader knows.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::lexer::is_name_byte;

/// How `None` is written.
pub(super) const NIL: &str = "<value><nil/></value>";

/// How a struct member that is nil is written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nil {
    /// As `<nil/>`.
    Written,
    /// Not at all, since the reader may not know nil. An array element, a map's value and a whole reply can't be left out, so
    /// they are `<nil/>` in any case.
    #[default]
    LeftOut,
}

impl Nil {
    /// How nil is written in the reply to `document`: a client that writes nil can read it.
    pub(crate) fn or_used_in(self, document: &str) -> Self {
        if self == Self::LeftOut && uses_nil(document) { Self::Written } else { self }
    }
}

/// The longest namespace prefix that is recognised.
const PREFIX_BYTES: usize = 32;

/// Whether an element `nil` starts in `document`, with any prefix.
fn uses_nil(document: &str) -> bool {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("nil"));
    let bytes = document.as_bytes();
    NAME.find_iter(bytes).any(|at| {
        let before = &bytes[at.saturating_sub(PREFIX_BYTES)..at];
        let is_name = matches!(bytes.get(at + "nil".len()), Some(b'/' | b'>' | b' ' | b'\t' | b'\r' | b'\n'));
        let prefix = before.iter().rev().take_while(|byte| is_name_byte(**byte)).count();
        let (start, prefix) = before.split_at(before.len() - prefix);
        is_name && start.ends_with(b"<") && (prefix.is_empty() || prefix.ends_with(b":"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nil_is_found_where_it_is_an_element() {
        for used in ["<nil/>", "<value><nil /></value>", "<nil>", "<ex:nil/>", "nil <nil\n/>", "<a:b-c:nil/>"] {
            assert!(uses_nil(used), "{used}");
            assert_eq!(Nil::LeftOut.or_used_in(used), Nil::Written);
        }
        let long = format!("{}:nil/>", "x".repeat(100));
        for unused in
            ["", "nil", "<nil", "</nil>", "<string>nil</string>", "<nils/>", "<vanil/>", ":nil/>", "<a>b:nil/", &long]
        {
            assert!(!uses_nil(unused), "{unused}");
            assert_eq!(Nil::LeftOut.or_used_in(unused), Nil::LeftOut);
            assert_eq!(Nil::Written.or_used_in(unused), Nil::Written);
        }
    }
}
