//! Finds the ends of records and fields by RFC 4180, and recovers from violations of it.
//!
//! 1. A record ends at a line end (LF or CRLF) outside quotes, or at the end of the file.
//! 2. A field is quoted if its first byte is the quote. It then ends at the next quote that is neither doubled nor
//!    escaped, and a delimiter or line end must follow. In other fields, a quote is an ordinary character.
//! 3. A record with a fault consists of the line on which it begins. Reading continues at the next line, so a missing
//!    quote affects no other line.
//! 4. The result does not depend on how the bytes were cut, as long as they begin at a record.

use memchr::{memchr, memchr_iter, memchr2, memchr3, memrchr};

/// A mark of a few bytes: a delimiter, or the beginning of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    bytes: [u8; Mark::BYTES_MAX],
    length: usize,
}

impl Mark {
    /// Length of the longest mark.
    pub const BYTES_MAX: usize = 4;

    /// `None` if there are no bytes, or too many.
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        (!text.is_empty()).then_some(Self {
            bytes,
            length: text.len(),
        })
    }

    /// The mark's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The mark's length.
    pub(super) fn len(self) -> usize {
        self.length
    }

    /// The mark's first byte.
    pub(crate) fn first(self) -> u8 {
        self.bytes[0]
    }
}

/// The characters that divide text into records and fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub delimiter: Mark,
    /// The quote character; `None` if quotes have no meaning.
    pub quote: Option<u8>,
    /// The escape character, which makes the next byte an ordinary character.
    pub escape: Option<u8>,
    /// The beginning of a comment line, which is not a record.
    pub comment: Option<Mark>,
}

/// A record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// End of its text, without the line end.
    pub end: usize,
    /// Where the next record begins.
    pub next: usize,
    /// Whether it is a comment and not a record.
    pub is_comment: bool,
    /// Its fault, if it has one.
    pub fault: Option<QuoteFault>,
}

/// A violation of the quoting rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuoteFault {
    /// The field at fault, from 0.
    pub field: usize,
    /// What is wrong, and what to do.
    pub reason: &'static str,
}

const AFTER_QUOTE: &str =
    "text after the closing quote; double the quotes that belong to the field";
const NOT_CLOSED: &str =
    "the field's quote is never closed, or only on a later line with text after it";

impl Dialect {
    /// Whether records of `bytes` must be scanned byte by byte, because a line end may be inside quotes, or a line
    /// may be a comment.
    pub(super) fn is_special(self, bytes: &[u8]) -> bool {
        let has = |byte: Option<u8>| byte.is_some_and(|byte| memchr(byte, bytes).is_some());
        self.delimiter.len() > 1
            || has(self.quote)
            || has(self.escape)
            || has(self.comment.map(Mark::first))
    }

    /// Length of the longest prefix of `bytes` that is whole records; `bytes` begin at a record.
    pub(super) fn whole_records(self, bytes: &[u8]) -> usize {
        let has = |byte: Option<u8>| byte.is_some_and(|byte| memchr(byte, bytes).is_some());
        if !has(self.quote) && !has(self.escape) {
            return memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        }
        let mut at = 0;
        while let Some(record) = self.record(bytes, at, false, |_| ()) {
            at = record.next;
        }
        at
    }

    /// The record that begins at `start`, or `None` if `bytes` end before it does. `at_end` says that nothing follows
    /// `bytes`. `field_end` is called with the end of each field; the last field may include a CR.
    pub(super) fn record(
        self,
        bytes: &[u8],
        start: usize,
        at_end: bool,
        mut field_end: impl FnMut(usize),
    ) -> Option<Record> {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let line_end = memchr(b'\n', rest);
        let line = rest
            .get(..line_end.unwrap_or(rest.len()))
            .unwrap_or_default();
        let line_end = line_end.map(|length| start + length);
        let end = line_end.or_else(|| at_end.then_some(bytes.len()));
        if self
            .comment
            .is_some_and(|comment| line.starts_with(comment.as_bytes()))
        {
            return Some(Record {
                is_comment: true,
                ..ended(bytes, start, end?, None)
            });
        }
        let has = |byte: Option<u8>| byte.is_some_and(|byte| memchr(byte, line).is_some());
        if has(self.quote) || has(self.escape) || self.delimiter.len() > 1 {
            return match self.walk(bytes, start, at_end, field_end) {
                Walk::Ended(end) => Some(ended(bytes, start, end, None)),
                Walk::Fault(fault) if end.is_some() => {
                    let end = end?;
                    let fault = self.fault_of_line(bytes, start, end, fault);
                    Some(ended(bytes, start, end, Some(fault)))
                }
                Walk::Cut | Walk::Fault(_) => None,
            };
        }
        let end = end?;
        memchr_iter(self.delimiter.first(), line).for_each(|length| field_end(start + length));
        field_end(end);
        Some(ended(bytes, start, end, None))
    }

    /// The fault of a record, judged by its first line only, since later lines may be in another block.
    fn fault_of_line(
        self,
        bytes: &[u8],
        start: usize,
        end: usize,
        fault: QuoteFault,
    ) -> QuoteFault {
        let through = bytes.get(..end).unwrap_or_default();
        match self.walk(through, start, true, |_| ()) {
            Walk::Fault(fault) => fault,
            Walk::Ended(_) | Walk::Cut => fault,
        }
    }

    /// Scans the fields of a record.
    fn walk(
        self,
        bytes: &[u8],
        start: usize,
        at_end: bool,
        mut field_end: impl FnMut(usize),
    ) -> Walk {
        let mut at = start;
        for field in 0.. {
            let quote = self.quote.filter(|quote| bytes.get(at) == Some(quote));
            let end = match quote {
                Some(quote) => match self.closing(bytes, at + 1, quote) {
                    Some(end) if end < bytes.len() || at_end => end,
                    None if at_end => {
                        return Walk::Fault(QuoteFault {
                            field,
                            reason: NOT_CLOSED,
                        });
                    }
                    _ => return Walk::Cut,
                },
                None => match self.unquoted_end(bytes, at, at_end) {
                    Some(end) => end,
                    None => return Walk::Cut,
                },
            };
            let rest = bytes.get(end..).unwrap_or_default();
            match rest {
                _ if rest.starts_with(self.delimiter.as_bytes()) => {
                    field_end(end);
                    at = end + self.delimiter.len();
                }
                [b'\n', ..] | [] => {
                    field_end(end);
                    return Walk::Ended(end);
                }
                [b'\r', b'\n', ..] => {
                    field_end(end + 1);
                    return Walk::Ended(end + 1);
                }
                [b'\r'] if at_end => {
                    field_end(end + 1);
                    return Walk::Ended(end + 1);
                }
                [b'\r'] => return Walk::Cut,
                _ if !at_end && self.delimiter.as_bytes().starts_with(rest) => return Walk::Cut,
                _ => {
                    return Walk::Fault(QuoteFault {
                        field,
                        reason: AFTER_QUOTE,
                    });
                }
            }
        }
        Walk::Cut
    }

    /// Where the unquoted field at `at` ends: at a delimiter, a line end, or the end of the file. `None` if more
    /// bytes are needed to decide.
    fn unquoted_end(self, bytes: &[u8], mut at: usize, at_end: bool) -> Option<usize> {
        let delimiter = self.delimiter.as_bytes();
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let found = match self.escape {
                None => memchr2(self.delimiter.first(), b'\n', rest),
                Some(escape) => memchr3(self.delimiter.first(), b'\n', escape, rest),
            };
            let Some(length) = found else {
                return at_end.then_some(bytes.len());
            };
            at += length;
            let rest = rest.get(length..).unwrap_or_default();
            match rest.first() {
                Some(byte) if Some(*byte) == self.escape => {
                    if rest.len() < 2 {
                        return at_end.then_some(bytes.len());
                    }
                    at += 2;
                }
                Some(b'\n') => return Some(at),
                _ if rest.starts_with(delimiter) => return Some(at),
                _ if delimiter.starts_with(rest) && !at_end => return None,
                _ => at += 1,
            }
        }
    }

    /// The index after the first quote, from `at` on, that is neither doubled nor escaped.
    fn closing(self, bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
        let escape = self.escape.unwrap_or(quote);
        loop {
            let found = at + memchr2(quote, escape, bytes.get(at..)?)?;
            let is_escape = escape != quote && bytes.get(found) == Some(&escape);
            if !is_escape && bytes.get(found + 1) != Some(&quote) {
                return Some(found + 1);
            }
            at = found + 2;
        }
    }

    /// The text of a field without its quotes, with doubled and escaped characters resolved. `scratch` holds it if it
    /// differs from the field's bytes.
    pub(super) fn text<'a>(self, field: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let quoted = self.quote.and_then(|quote| {
            let inner = field.strip_prefix(&[quote])?.strip_suffix(&[quote])?;
            Some((quote, inner))
        });
        let (marks, inner) = match (quoted, self.escape) {
            (Some((quote, inner)), escape) => ((quote, escape.unwrap_or(quote)), inner),
            (None, Some(escape)) => ((escape, escape), field),
            (None, None) => return field,
        };
        if memchr2(marks.0, marks.1, inner).is_none() {
            return inner;
        }
        scratch.clear();
        let mut rest = inner;
        while let Some(found) = memchr2(marks.0, marks.1, rest) {
            let (text, meant) = rest.split_at(found);
            scratch.extend_from_slice(text);
            scratch.extend(meant.get(1));
            rest = meant.get(2..).unwrap_or_default();
        }
        scratch.extend_from_slice(rest);
        scratch
    }
}

enum Walk {
    /// At the line end, or the end of the file.
    Ended(usize),
    /// The bytes end before the record does.
    Cut,
    Fault(QuoteFault),
}

/// The record whose line end is at `end`.
fn ended(bytes: &[u8], start: usize, end: usize, fault: Option<QuoteFault>) -> Record {
    let text = bytes.get(start..end).unwrap_or_default();
    let carriage_return = usize::from(text.last() == Some(&b'\r'));
    Record {
        end: end - carriage_return,
        next: bytes.len().min(end + 1),
        is_comment: false,
        fault,
    }
}
