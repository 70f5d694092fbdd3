//! Words of the command line whose value is in a file.

use std::{
    borrow::Cow,
    fs::File,
    io::{Read, stdin},
};

use everywire::{Limits, Result, RpcError};

/// The word that reads standard input.
const STANDARD_INPUT: &str = "-";

/// The value of a word: of a file for `@FILE`, else its own. `@@` stands for `@`.
pub(super) fn value(word: &str) -> Result<Cow<'_, str>> {
    match word.strip_prefix('@') {
        Some(word) if word.starts_with('@') => Ok(word.into()),
        Some(file) => contents(file).map(Cow::from),
        None => Ok(word.into()),
    }
}

/// The text of a file, within the size that a message may have.
fn contents(file: &str) -> Result<String> {
    let unreadable = |reason: &dyn std::fmt::Display| RpcError::invalid_argument(format!("`@{file}`: {reason}"));
    let input: Box<dyn Read> = match file {
        STANDARD_INPUT => Box::new(stdin().lock()),
        file => Box::new(File::open(file).map_err(|error| unreadable(&error))?),
    };
    let most = Limits::default().message_bytes;
    let mut text = String::new();
    // One byte more than allowed shows that there is more.
    input.take(most as u64 + 1).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    if text.len() > most {
        return Err(unreadable(&format_args!("more than {most} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_value_is_its_word_or_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            format!("@{}", path.display())
        };
        for (word, expected) in [("a@b", "a@b"), ("@@a", "@a"), ("", ""), (&file("text", b"a\n"), "a\n")] {
            assert_eq!(value(word).unwrap(), expected, "{word}");
        }
        for bad in ["@/no/such/file", &file("bytes", b"\xFF"), &file("long", &vec![b' '; (8 << 20) + 1])] {
            let error = value(bad).unwrap_err();
            assert!(error.message().starts_with(&format!("`{bad}`: ")), "{error}");
        }
    }
}
