//! `<nil/>`: an extension, for which not every reader has a value.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::lexer::is_name_byte;

/// How `None` is written.
pub(super) const NIL: &str = "<value><nil/></value>";

/// How a member of a struct is written that is nil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nil {
    /// As `<nil/>`.
    Written,
    /// Not at all, since the reader may not know nil. An element of an array, the value of a map and a whole reply can't be
    /// left out; they are `<nil/>` in any case.
    LeftOut,
}

impl Nil {
    /// For the answer to `document`: who writes nil can read it.
    pub(crate) fn or_used_in(self, document: &str) -> Self {
        if self == Self::LeftOut && uses_nil(document) { Self::Written } else { self }
    }
}

/// The longest prefix of a name space that is looked at.
const PREFIX_BYTES: usize = 32;

/// Whether an element `nil` starts in `document`, under whatever prefix.
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
