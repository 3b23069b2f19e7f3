//! Where records and their fields end: RFC 4180, strictly, and how reading recovers from what is not RFC 4180.
//!
//! 1. A record ends at a line end (LF or CRLF) outside quotes, or at the end of the file.
//! 2. A field is quoted when its first byte is the quote. Then it ends at the next quote that is not doubled, and
//!    a delimiter or line end must follow. A quote anywhere else is a fault.
//! 3. A record with a fault is the line on which it begins and nothing more: reading goes on at the next line,
//!    so a lost quote never swallows its neighbours.
//! 4. What is found does not depend on how the bytes were cut, as long as they begin at a record.

use memchr::{memchr, memchr_iter, memchr3, memrchr};

/// The bytes that divide fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub delimiter: u8,
    /// `None` when quotes mean nothing.
    pub quote: Option<u8>,
}

/// A record of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// End of its text, line end excluded.
    pub end: usize,
    /// Where the next record begins.
    pub next: usize,
    /// What is wrong with it, if anything.
    pub fault: Option<Fault>,
}

/// A breach of the quoting rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The field at fault, from 0.
    pub field: usize,
    /// What is wrong, and what to do.
    pub reason: &'static str,
}

const STRAY: &str =
    "a quote within an unquoted field; quote the whole field and double the quotes in it";
const AFTER_QUOTE: &str =
    "text after the closing quote; double the quotes that belong to the field";
const NOT_CLOSED: &str =
    "the field's quote is never closed, or only on a later line with text behind it";

impl Dialect {
    /// Length of the longest prefix of `bytes` that is whole records; `bytes` begin at a record.
    pub(super) fn whole_records(self, bytes: &[u8]) -> usize {
        if self
            .quote
            .is_none_or(|quote| memchr(quote, bytes).is_none())
        {
            return memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        }
        let mut at = 0;
        while let Some(record) = self.record(bytes, at, false, |_| ()) {
            at = record.next;
        }
        at
    }

    /// The record that begins at `start`, or `None` when `bytes` end before it does. `at_end` says that nothing
    /// follows `bytes`. `field_end` is told the end of each field; that of the last one may include a CR.
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
        if let Some(quote) = self.quote.filter(|quote| memchr(*quote, line).is_some()) {
            return match self.quoted(bytes, start, at_end, quote, field_end) {
                Walk::Ended(end) => Some(ended(bytes, start, end, None)),
                Walk::Fault(fault) if line_end.is_some() || at_end => {
                    let end = line_end.unwrap_or(bytes.len());
                    Some(ended(
                        bytes,
                        start,
                        end,
                        Some(self.fault_of_line(bytes, start, end, quote, fault)),
                    ))
                }
                Walk::Cut | Walk::Fault(_) => None,
            };
        }
        let end = line_end.or_else(|| at_end.then_some(bytes.len()))?;
        memchr_iter(self.delimiter, line).for_each(|length| field_end(start + length));
        field_end(end);
        Some(ended(bytes, start, end, None))
    }

    /// The fault of a record as its first line alone shows it: later lines may not be in the same block.
    fn fault_of_line(
        self,
        bytes: &[u8],
        start: usize,
        end: usize,
        quote: u8,
        fault: Fault,
    ) -> Fault {
        let through = bytes.get(..end).unwrap_or_default();
        match self.quoted(through, start, true, quote, |_| ()) {
            Walk::Fault(fault) => fault,
            Walk::Ended(_) | Walk::Cut => fault,
        }
    }

    /// Walks the fields of a record that has quotes.
    fn quoted(
        self,
        bytes: &[u8],
        start: usize,
        at_end: bool,
        quote: u8,
        mut field_end: impl FnMut(usize),
    ) -> Walk {
        let mut at = start;
        for field in 0.. {
            let end = if bytes.get(at) == Some(&quote) {
                match closing(bytes, at + 1, quote) {
                    Some(end) if end < bytes.len() || at_end => end,
                    None if at_end => {
                        return Walk::Fault(Fault {
                            field,
                            reason: NOT_CLOSED,
                        });
                    }
                    _ => return Walk::Cut,
                }
            } else {
                let text = bytes.get(at..).unwrap_or_default();
                match memchr3(self.delimiter, b'\n', quote, text) {
                    Some(length) => at + length,
                    None if at_end => bytes.len(),
                    None => return Walk::Cut,
                }
            };
            match (bytes.get(end), bytes.get(end + 1)) {
                (Some(byte), _) if *byte == self.delimiter => {
                    field_end(end);
                    at = end + 1;
                }
                (Some(b'\n') | None, _) => {
                    field_end(end);
                    return Walk::Ended(end);
                }
                (Some(b'\r'), Some(b'\n')) => {
                    field_end(end + 1);
                    return Walk::Ended(end + 1);
                }
                (Some(b'\r'), None) if at_end => {
                    field_end(end + 1);
                    return Walk::Ended(end + 1);
                }
                (Some(b'\r'), None) => return Walk::Cut,
                (Some(byte), _) if *byte == quote => {
                    return Walk::Fault(Fault {
                        field,
                        reason: STRAY,
                    });
                }
                (Some(_), _) => {
                    return Walk::Fault(Fault {
                        field,
                        reason: AFTER_QUOTE,
                    });
                }
            }
        }
        Walk::Cut
    }
}

enum Walk {
    /// At the line end, or the end of all.
    Ended(usize),
    /// The bytes end before the record does.
    Cut,
    Fault(Fault),
}

/// The record whose line end is at `end`.
fn ended(bytes: &[u8], start: usize, end: usize, fault: Option<Fault>) -> Record {
    let text = bytes.get(start..end).unwrap_or_default();
    let carriage_return = usize::from(text.last() == Some(&b'\r'));
    Record {
        end: end - carriage_return,
        next: bytes.len().min(end + 1),
        fault,
    }
}

/// Where the quoted text that begins at `at` ends: behind the first quote that is not doubled.
fn closing(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    loop {
        let found = at + memchr(quote, bytes.get(at..)?)?;
        if bytes.get(found + 1) != Some(&quote) {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// The text of a field as it stands, quotes removed. `scratch` is used when quotes are doubled.
pub(super) fn unquote<'a>(field: &'a [u8], quote: u8, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(inner) = field
        .strip_prefix(&[quote])
        .and_then(|rest| rest.strip_suffix(&[quote]))
    else {
        return field;
    };
    if memchr(quote, inner).is_none() {
        return inner;
    }
    scratch.clear();
    let mut rest = inner;
    while let Some(found) = memchr(quote, rest) {
        let (text, doubled) = rest.split_at(found + 1);
        scratch.extend_from_slice(text);
        rest = doubled.get(1..).unwrap_or_default();
    }
    scratch.extend_from_slice(rest);
    scratch
}
