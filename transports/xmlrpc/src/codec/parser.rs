//! Turns XML events into the few tokens that XML-RPC is made of.

use std::borrow::Cow;

use quick_xml::events::BytesText;

use super::{
    error::{Error, Kind, excerpt},
    lexer::{Lexer, Piece},
};

/// The elements of XML-RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    MethodCall,
    MethodName,
    MethodResponse,
    Params,
    Param,
    Fault,
    Value,
    Array,
    Data,
    Struct,
    Member,
    Name,
    Int,
    Boolean,
    Double,
    String,
    DateTime,
    Base64,
    Nil,
}

/// Reads one document.
pub(crate) struct Parser<'de> {
    document: &'de str,
    lexer: Lexer<'de>,
    /// A token that was looked at and not taken, and how many bytes are left from its start to the end of the document.
    ahead: Option<(Token<'de>, usize)>,
    /// The names of the elements that are open.
    open: Vec<&'de str>,
    /// Whether the last start was `<tag/>`, so that its end is due.
    is_empty: bool,
    /// How many levels of arrays and structs may still open.
    depth: usize,
}

/// Elements that are open at the same time in an ordinary document.
const ORDINARY_DEPTH: usize = 16;

/// Elements that may be open at a time in what [`Parser::skip`] skips, where the depth of values is not counted.
const MOST_OPEN: usize = 1_024;

#[derive(Clone, Copy)]
enum Token<'de> {
    Start(Tag),
    End,
    /// As it stands in the document, with any line ends.
    Text(&'de str),
    /// A character that was written as a reference.
    Char(char),
    Eof,
}

impl<'de> Parser<'de> {
    /// A parser of `document`, whose arrays and structs may nest `depth` deep. See [`document`](super::document) for
    /// what is checked before.
    pub(crate) fn new(document: &'de str, depth: usize) -> Self {
        let open = Vec::with_capacity(ORDINARY_DEPTH);
        Self { document, lexer: Lexer::new(document), ahead: None, open, is_empty: false, depth }
    }

    /// Takes the start of `tag`.
    pub(crate) fn open(&mut self, tag: Tag) -> Result<(), Error> {
        match self.markup()? {
            Token::Start(found) if found == tag => Ok(()),
            found => Err(unexpected(found, &format!("{tag:?}"))),
        }
    }

    /// Takes the end of the innermost open element.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        match self.markup()? {
            Token::End => Ok(()),
            found => Err(unexpected(found, "an end tag")),
        }
    }

    /// Whether the start of `tag` comes next.
    pub(crate) fn is_at(&mut self, tag: Tag) -> Result<bool, Error> {
        let left = self.left();
        let token = self.markup()?;
        let found = matches!(token, Token::Start(found) if found == tag);
        self.ahead = Some((token, left));
        Ok(found)
    }

    /// Takes all text up to the next tag, with references resolved.
    pub(crate) fn text(&mut self) -> Result<Cow<'de, str>, Error> {
        let mut text = Cow::Borrowed("");
        loop {
            let left = self.left();
            match self.token()? {
                Token::Text(more) if text.is_empty() => text = with_plain_line_ends(more),
                Token::Text(more) => text.to_mut().push_str(&with_plain_line_ends(more)),
                Token::Char(c) => text.to_mut().push(c),
                tag => {
                    self.ahead = Some((tag, left));
                    return Ok(text);
                }
            }
        }
    }

    /// Takes text and then the end of the element around it.
    pub(crate) fn text_element(&mut self) -> Result<Cow<'de, str>, Error> {
        let text = self.text()?;
        self.close()?;
        Ok(text)
    }

    /// Takes the start of an element and says which, or the end of the one around it.
    pub(crate) fn open_or_close(&mut self) -> Result<Option<Tag>, Error> {
        match self.token()? {
            Token::Start(tag) => Ok(Some(tag)),
            Token::End => Ok(None),
            found => Err(unexpected(found, "a tag")),
        }
    }

    /// Goes one level of values down.
    pub(crate) fn descend(&mut self) -> Result<(), Error> {
        self.depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| Error::new(Kind::Depth, "values nest deeper than the limit depth"))?;
        Ok(())
    }

    /// Goes one level of values up.
    pub(crate) fn ascend(&mut self) {
        self.depth += 1;
    }

    /// Makes sure that nothing follows.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match self.markup()? {
            Token::Eof => Ok(()),
            found => Err(unexpected(found, "the end of the document")),
        }
    }

    /// Reads to the end of the document, only to find errors.
    pub(crate) fn skip_to_end(&mut self) -> Result<(), Error> {
        while !matches!(self.token()?, Token::Eof) {}
        Ok(())
    }

    /// Skips the element `tag`, with any content, and returns its text. An error if it is not well-formed or nests too deep.
    pub(crate) fn skip(&mut self, tag: Tag) -> Result<&'de str, Error> {
        let start = self.document.len() - self.left();
        self.open(tag)?;
        let mut inside = 1;
        while inside > 0 {
            match self.piece()? {
                Piece::Start { .. } => inside += 1,
                Piece::End(_) => inside -= 1,
                Piece::Text(_) | Piece::Char(_) | Piece::Eof => {}
            }
            if self.open.len() > MOST_OPEN {
                return Err(Error::new(Kind::Depth, format!("more than {MOST_OPEN} elements inside one another")));
            }
        }
        let end = self.document.len() - self.left();
        Ok(self.document.get(start..end).unwrap_or_default())
    }

    /// How many bytes of the document are not taken.
    fn left(&self) -> usize {
        self.ahead.map_or(self.lexer.rest().len(), |(_, left)| left)
    }

    /// The next tag, where only white space may stand between tags.
    fn markup(&mut self) -> Result<Token<'de>, Error> {
        loop {
            match self.token()? {
                Token::Text(text) if is_blank(text) => {}
                text @ (Token::Text(_) | Token::Char(_)) => return Err(unexpected(text, "a tag")),
                token => return Ok(token),
            }
        }
    }

    fn token(&mut self) -> Result<Token<'de>, Error> {
        if let Some((token, _)) = self.ahead.take() {
            return Ok(token);
        }
        Ok(match self.piece()? {
            Piece::Start { name, .. } => Token::Start(known(name)?),
            Piece::End(_) => Token::End,
            Piece::Text(text) => Token::Text(text),
            Piece::Char(c) => Token::Char(c),
            Piece::Eof => Token::Eof,
        })
    }

    /// The next piece; `<tag/>` is a start and an end. Checks that each end belongs to the element opened last.
    fn piece(&mut self) -> Result<Piece<'de>, Error> {
        if std::mem::take(&mut self.is_empty) {
            return Ok(Piece::End(""));
        }
        let piece = self.lexer.next()?;
        match piece {
            Piece::Start { name, is_empty } => {
                self.is_empty = is_empty;
                if !is_empty {
                    self.open.push(name);
                }
            }
            Piece::End(name) if self.open.pop() != Some(name) => {
                return Err(Error::new(Kind::Syntax, format!("</{}> does not end what is open", excerpt(name))));
            }
            Piece::Eof if !self.open.is_empty() => {
                return Err(Error::new(Kind::Syntax, "the document ends inside an element"));
            }
            Piece::End(_) | Piece::Text(_) | Piece::Char(_) | Piece::Eof => {}
        }
        Ok(piece)
    }
}

fn known(name: &str) -> Result<Tag, Error> {
    // Few writers use prefixes, so the whole name is looked for first.
    let tag = tag(name).or_else(|| tag(name.split_once(':')?.1));
    tag.ok_or_else(|| Error::new(Kind::Structure, format!("XML-RPC has no element <{}>", excerpt(name))))
}

/// White space as XML has it, section 2.3.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

fn tag(name: &str) -> Option<Tag> {
    Some(match name {
        "value" => Tag::Value,
        "int" | "i4" | "i8" | "i1" | "i2" | "biginteger" => Tag::Int,
        "string" => Tag::String,
        "member" => Tag::Member,
        "name" => Tag::Name,
        "struct" => Tag::Struct,
        "array" => Tag::Array,
        "data" => Tag::Data,
        "boolean" => Tag::Boolean,
        "double" | "float" | "bigdecimal" => Tag::Double,
        "nil" => Tag::Nil,
        "base64" => Tag::Base64,
        "dateTime.iso8601" | "dateTime" => Tag::DateTime,
        "param" => Tag::Param,
        "params" => Tag::Params,
        "methodName" => Tag::MethodName,
        "methodCall" => Tag::MethodCall,
        "methodResponse" => Tag::MethodResponse,
        "fault" => Tag::Fault,
        _ => return None,
    })
}

/// XML has one line end, the line feed, and reads the others as it (section 2.11).
fn with_plain_line_ends(text: &str) -> Cow<'_, str> {
    BytesText::from_escaped(text).xml10_content()
}

fn unexpected(found: Token<'_>, wanted: &str) -> Error {
    let found = match found {
        Token::Start(tag) => format!("{tag:?}"),
        Token::End => "an end tag".to_owned(),
        Token::Text(text) => format!("the text `{}`", excerpt(text.trim())),
        Token::Char(c) => format!("the text `{}`", c.escape_debug()),
        Token::Eof => "the end of the document".to_owned(),
    };
    Error::new(Kind::Structure, format!("not XML-RPC: {found} where {wanted} is expected"))
}
