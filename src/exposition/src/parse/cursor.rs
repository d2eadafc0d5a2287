//! Lines of a document, and a place in a line.

use std::borrow::Cow;

use super::error::ParseError;

/// The lines of a document that is UTF-8.
pub(super) struct Lines<'a> {
    rest: &'a str,
    number: usize,
    line_bytes: usize,
}

impl<'a> Lines<'a> {
    /// Lines of at most `line_bytes` bytes.
    pub fn new(bytes: &'a [u8], line_bytes: usize) -> Result<Self, ParseError> {
        match std::str::from_utf8(bytes) {
            Ok(rest) => Ok(Self { rest, number: 0, line_bytes }),
            Err(error) => Err(not_utf8(bytes, error.valid_up_to())),
        }
    }

    /// The next line, and whether a line feed ends it. There is no line behind the last line feed.
    pub fn next(&mut self) -> Option<Result<(Line<'a>, bool), ParseError>> {
        if self.rest.is_empty() {
            return None;
        }
        let (text, rest, is_ended) = match self.rest.split_once('\n') {
            Some((text, rest)) => (text, rest, true),
            None => (self.rest, "", false),
        };
        self.rest = rest;
        self.number += 1;
        let line = Line { text, at: 0, number: self.number };
        if text.len() > self.line_bytes {
            let most = self.line_bytes;
            let message = format!("expected a line of at most {most} bytes, found {}", text.len());
            return Some(Err(line.error(message)));
        }
        Some(Ok((line, is_ended)))
    }

    /// An error behind the last line.
    pub fn error_at_end(&self, message: &str) -> ParseError {
        ParseError { line: self.number + 1, column: 1, message: message.to_owned() }
    }
}

fn not_utf8(bytes: &[u8], at: usize) -> ParseError {
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    let message = format!("expected UTF-8, found the byte 0x{:02x}", bytes[at]);
    ParseError { line, column: last.chars().count() + 1, message }
}

/// What to do with a backslash before a character that needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// It stands for itself.
    Lenient,
    /// It is an error.
    Strict,
}

/// A place in a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    text: &'a str,
    /// Always at the border of a character.
    at: usize,
    pub number: usize,
}

impl<'a> Line<'a> {
    pub fn text(&self) -> &'a str {
        self.text
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Steps over `byte`, which is ASCII, if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Steps over `byte`, which is called `what`.
    pub fn expect(&mut self, byte: u8, what: &str) -> Result<(), ParseError> {
        if self.eat(byte) { Ok(()) } else { Err(self.expected(what)) }
    }

    /// Steps over `word` if it is next.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// Steps over what `is_part` allows, which has to allow all or no bytes beyond ASCII.
    pub fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Steps over blanks and tabs.
    pub fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// The rest of the line.
    pub fn take_rest(&mut self) -> &'a str {
        let rest = self.rest();
        self.at = self.text.len();
        rest
    }

    /// A quoted string, with its escape sequences replaced.
    pub fn quoted(&mut self, what: &str, escapes: Escapes) -> Result<Cow<'a, str>, ParseError> {
        self.expect(b'"', what)?;
        let plain = self.take_while(|byte| byte != b'"' && byte != b'\\');
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            match self.peek() {
                None => return Err(self.expected("a closing quote")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(_) => self.escaped(&mut text, escapes, true)?,
            }
            text.push_str(self.take_while(|byte| byte != b'"' && byte != b'\\'));
        }
    }

    /// The rest of the line, with its escape sequences replaced; `quotes` is whether `\"` is one.
    pub fn take_text(&mut self, escapes: Escapes, quotes: bool) -> Result<String, ParseError> {
        let mut text = self.take_while(|byte| byte != b'\\').to_owned();
        while !self.is_at_end() {
            self.escaped(&mut text, escapes, quotes)?;
            text.push_str(self.take_while(|byte| byte != b'\\'));
        }
        Ok(text)
    }

    /// Replaces the escape sequence at the backslash that is next.
    fn escaped(
        &mut self,
        text: &mut String,
        escapes: Escapes,
        quotes: bool,
    ) -> Result<(), ParseError> {
        let replaced = match self.text.as_bytes().get(self.at + 1) {
            Some(b'n') => '\n',
            Some(b'\\') => '\\',
            Some(b'"') if quotes => '"',
            _ if escapes == Escapes::Strict => {
                let known = if quotes { "\\\\, \\\" or \\n" } else { "\\\\ or \\n" };
                return Err(self.expected(known));
            }
            _ => {
                text.push('\\');
                self.at += 1;
                return Ok(());
            }
        };
        text.push(replaced);
        self.at += 2;
        Ok(())
    }

    /// An error at this place.
    pub fn error(&self, message: impl Into<String>) -> ParseError {
        let column = self.text[..self.at].chars().count() + 1;
        ParseError { line: self.number, column, message: message.into() }
    }

    /// The error that something else was expected at this place.
    pub fn expected(&self, what: &str) -> ParseError {
        match self.rest().chars().next() {
            Some(found) => self.error(format!("expected {what}, found {found:?}")),
            None => self.error(format!("expected {what}, found the end of the line")),
        }
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
