//! A strict JSON parser (RFC 8259) that returns values on demand, without building a tree.
//!
//! Invariants:
//! 1. Every byte of a line is checked against the grammar, even if no column reads it.
//! 2. Nesting, and so recursion, is bounded by [`MAX_DEPTH`].
//! 3. No object at any depth has a repeated key.

use std::borrow::Cow;

use super::error::JsonError;

/// Deepest nesting of objects and lists, including the row's own object.
pub(super) const MAX_DEPTH: usize = 64;

/// Up to this many keys, comparing all pairs is faster than sorting.
const PAIRWISE_KEYS: usize = 16;

type Result<T> = std::result::Result<T, JsonError>;

/// A cursor over one line.
#[derive(Default)]
pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Keys of the open objects, innermost last.
    keys: Vec<Cow<'a, str>>,
}

impl<'a> Parser<'a> {
    /// Begins a new line and drops state that a fault left.
    pub(super) fn begin(&mut self, line: &'a str) {
        self.text = line;
        self.at = 0;
        self.depth = 0;
        self.keys.clear();
    }

    /// The first byte of the next token.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let spaces = rest.iter().take_while(|b| is_space(**b)).count();
        self.at += spaces;
        rest.get(spaces).copied()
    }

    /// Checks that only white space is left.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the line, one object a line")),
        }
    }

    /// Parses a `null` if one is next.
    pub(super) fn null(&mut self) -> Result<bool> {
        Ok(self.peek() == Some(b'n') && self.literal("null").map(|()| true)?)
    }

    /// Parses `true` or `false`.
    pub(super) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.literal("true").map(|()| true),
            Some(b'f') => self.literal("false").map(|()| false),
            _ => Err(self.found("true or false")),
        }
    }

    /// Parses a number, and returns it as written.
    pub(super) fn number(&mut self) -> Result<&'a str> {
        let Some(b'-' | b'0'..=b'9') = self.peek() else {
            return Err(self.found("a number"));
        };
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Parses a string, and returns it unescaped.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.found("text"));
        }
        self.at += 1;
        let plain = self.plain_run();
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    return Err(self.broken("a control character in text: write it as \\u00XX"));
                }
                None => return Err(self.broken("text without its closing quote")),
            }
            text.push_str(self.plain_run());
        }
    }

    /// Parses an object. `visit` gets each key, and parses its value.
    pub(super) fn object(
        &mut self,
        mut visit: impl FnMut(&mut Self, &str) -> Result<()>,
    ) -> Result<()> {
        if self.peek() != Some(b'{') {
            return Err(self.found("an object"));
        }
        self.open()?;
        let outer_keys = self.keys.len();
        if self.peek() != Some(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("a field name in quotes"));
                }
                let key = self.string()?;
                if self.peek() != Some(b':') {
                    return Err(self.unexpected("':'"));
                }
                self.at += 1;
                visit(self, &key)?;
                self.keys.push(key);
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return Err(self.unexpected("',' or '}'")),
                }
            }
        }
        self.close();
        let twice = duplicate(&mut self.keys[outer_keys..]);
        if let Some(key) = twice {
            return Err(JsonError::value("the object has this field twice").in_field(&key));
        }
        self.keys.truncate(outer_keys);
        Ok(())
    }

    /// Parses a list. `visit` parses each element.
    pub(super) fn list(
        &mut self,
        mut visit: impl FnMut(&mut Self, usize) -> Result<()>,
    ) -> Result<()> {
        if self.peek() != Some(b'[') {
            return Err(self.found("a list"));
        }
        self.open()?;
        if self.peek() != Some(b']') {
            for index in 0.. {
                visit(self, index)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return Err(self.unexpected("',' or ']'")),
                }
            }
        }
        self.close();
        Ok(())
    }

    /// Parses a value and drops it.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'{') => {
                self.object(|parser, key| parser.skip().map_err(|fault| fault.in_field(key)))
            }
            Some(b'[') => {
                self.list(|parser, index| parser.skip().map_err(|fault| fault.in_element(index)))
            }
            Some(b'"') => self.string().map(|_| ()),
            Some(b't' | b'f') => self.boolean().map(|_| ()),
            Some(b'n') => self.literal("null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Parses a value, and returns it as written; `None` is `null`.
    pub(super) fn raw(&mut self) -> Result<Option<&'a str>> {
        if self.null()? {
            return Ok(None);
        }
        let start = self.at;
        self.skip()?;
        Ok(Some(&self.text[start..self.at]))
    }

    /// The fault of a value that is not `expected`.
    pub(super) fn found(&mut self, expected: &str) -> JsonError {
        let next = self.peek();
        let is_word = |word: &str| self.rest().starts_with(word);
        let found = match next {
            Some(b'"') => "text",
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b't') if is_word("true") => "true",
            Some(b'f') if is_word("false") => "false",
            Some(b'n') if is_word("null") => "null",
            Some(b'-' | b'0'..=b'9') => "a number",
            _ => return self.unexpected(expected),
        };
        JsonError::value(format!("expected {expected}, found {found}"))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn open(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(self.broken(&format!("nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(taken);
        taken
    }

    fn digits(&mut self) -> Result<()> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected("a digit"));
        }
        self.at += count;
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected(word));
        }
        self.at += word.len();
        Ok(())
    }

    /// The text up to a quote, a backslash, a control character or the end.
    fn plain_run(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let stop = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
        let length = rest.bytes().position(|b| stop(&b)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn escape(&mut self) -> Result<char> {
        let escaped = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match escaped {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.broken("an unknown escape in text")),
        };
        self.at += 2;
        Ok(plain)
    }

    /// `\uXXXX`, or two of them as a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char> {
        let high = self.hex4()?;
        let code = match high {
            0xD800..=0xDBFF => match self.hex4() {
                Ok(low @ 0xDC00..=0xDFFF) => 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00),
                _ => return Err(self.broken("half of a surrogate pair in text")),
            },
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.broken("half of a surrogate pair in text"))
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 6)
            .and_then(|escape| {
                let digits = escape.strip_prefix(b"\\u")?;
                digits.iter().try_fold(0, |code, digit| {
                    Some(code * 16 + char::from(*digit).to_digit(16)?)
                })
            });
        let code =
            digits.ok_or_else(|| self.broken("a \\u escape without four hexadecimal digits"))?;
        self.at += 6;
        Ok(code)
    }

    fn unexpected(&mut self, expected: &str) -> JsonError {
        let _ = self.peek();
        let found = match self.rest().chars().next() {
            Some(found) => format!("{found:?}"),
            None => "the end of the line".to_owned(),
        };
        self.broken(&format!("expected {expected}, found {found}"))
    }

    fn broken(&self, what: &str) -> JsonError {
        JsonError::syntax(format!(
            "not JSON at byte {} of the row: {what}",
            self.at + 1
        ))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A repeated key. Large objects are sorted, so that a hostile one does not cost quadratic time.
fn duplicate(keys: &mut [Cow<'_, str>]) -> Option<String> {
    if keys.len() <= PAIRWISE_KEYS {
        let at = (1..keys.len()).find(|i| keys[..*i].contains(&keys[*i]))?;
        return Some(keys[at].to_string());
    }
    keys.sort_unstable();
    let twice = keys.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(twice[0].to_string())
}
