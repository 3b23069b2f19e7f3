//! The layout of the objects in a file, and where each begins and ends.
//!
//! | layout | a file that begins with | a row is |
//! |---|---|---|
//! | lines | anything else | a line that is not blank |
//! | array | `[` | an element of that array |
//! | objects | an object that continues on the next line | an object, over as many lines as it takes |
//!
//! Rows of an array and of objects are found by their brackets, so memory is bounded by the largest row. A row that
//! is not JSON does not affect others as long as its brackets are balanced. In the layout of objects, a line that
//! begins with `{` begins a row even if the previous row is not closed, unless a value is expected there.
//!
//! 1. Rows do not depend on how a file is cut into blocks.
//! 2. A file that is cut short ends with a bad row: among lines and objects its incomplete last row, in an array
//!    always one.

use tidewater_contract::source::TextBlock;

/// The layout of the objects in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonLayout {
    Lines,
    /// The elements of an array that begins at this offset of the file.
    Array {
        start: u64,
    },
    Objects,
}

/// The text of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowText<'a> {
    /// Line on which it begins, from 1.
    pub line: u64,
    /// Offset of its first byte in the file.
    pub byte_offset: u64,
    pub bytes: &'a [u8],
    /// Why it cannot be a row, if the text around it shows that.
    pub misplaced: Option<&'static str>,
}

/// The rows of a block, in order.
pub(super) type RowTexts<'a> = Box<dyn Iterator<Item = RowText<'a>> + 'a>;

const NOT_CLOSED: &str = "the array has no closing ']': is the file cut short?";
const BEHIND_ARRAY: &str = "text after the end of the array";
const NO_COMMA: &str = "no ',' between this element of the array and the one before it";
const NO_ELEMENT: &str = "a ',' without an element of the array after it";

/// Whether the beginning of a file is enough to determine its layout.
pub(super) fn is_decided(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let Some(end) = memchr::memchr(b'\n', text) else {
        return text.first() == Some(&b'[');
    };
    let (first_line, rest) = text.split_at(end);
    text.first() != Some(&b'{')
        || matches!(row_end(first_line, false), RowEnd::At(_))
        || !rest.trim_ascii_start().is_empty()
}

impl JsonLayout {
    /// The layout of a file that begins with `text`, after a byte order mark of `mark_bytes`.
    pub(super) fn of(text: &[u8], mark_bytes: usize) -> Self {
        let begun = text.trim_ascii_start();
        let first_line = memchr::memchr(b'\n', begun).unwrap_or(begun.len());
        let (first_line, rest) = begun.split_at(first_line);
        let goes_on = || {
            let next = rest.trim_ascii_start().first();
            matches!(row_end(first_line, false), RowEnd::Open)
                && next.is_some_and(|next| *next != b'{')
        };
        match begun.first() {
            Some(b'[') => Self::Array {
                start: (mark_bytes + text.len() - begun.len()) as u64,
            },
            Some(b'{') if goes_on() => Self::Objects,
            _ => Self::Lines,
        }
    }

    /// Bytes before the first row of a file, including an array's bracket.
    pub(super) fn header_bytes(self, mark_bytes: usize) -> usize {
        match self {
            Self::Array { start } => usize::try_from(start).map_or(mark_bytes, |start| start + 1),
            Self::Lines | Self::Objects => mark_bytes,
        }
    }

    /// Length of the longest prefix of `bytes` that is whole rows. `bytes` begins after a row. The comma or bracket
    /// after an array's element is not included, so that the end of the file shows whether the array is complete.
    pub(super) fn whole_rows(self, bytes: &[u8]) -> usize {
        let is_array = match self {
            Self::Lines => return memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1),
            Self::Array { .. } => true,
            Self::Objects => false,
        };
        let mut whole = 0;
        loop {
            let behind = bytes.get(whole..).unwrap_or_default();
            let start = separators(behind, is_array);
            let row = behind.get(start..).unwrap_or_default();
            let end = match row_end(row, !is_array) {
                RowEnd::At(end) if row.first() != Some(&b']') => start + end.max(1),
                _ => return whole,
            };
            if is_array
                && behind
                    .get(end..)
                    .unwrap_or_default()
                    .trim_ascii_start()
                    .is_empty()
            {
                return whole;
            }
            whole += end;
        }
    }

    /// The rows of a block. `is_last` says whether it is the last block of its file.
    pub(super) fn rows(self, block: &TextBlock, is_last: bool) -> RowTexts<'_> {
        let cursor = BlockCursor {
            bytes: &block.bytes,
            at: 0,
            line: block.first_line,
            byte_offset: block.byte_offset,
        };
        match self {
            Self::Lines => Box::new(lines(cursor)),
            Self::Objects => Box::new(objects(cursor)),
            Self::Array { start } => Box::new(ArrayElements {
                due: if block.byte_offset <= start + 1 {
                    Due::FirstElement
                } else {
                    Due::Comma
                },
                is_last,
                cursor,
            }),
        }
    }
}

/// A position in a block.
struct BlockCursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The line of the byte at `at`; `byte_offset` is its offset in the file.
    line: u64,
    byte_offset: u64,
}

impl<'a> BlockCursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Moves past `length` bytes, and returns them as a row.
    fn take(&mut self, length: usize) -> RowText<'a> {
        let bytes = self.rest();
        let bytes = bytes.get(..length).unwrap_or(bytes);
        let row = RowText {
            line: self.line,
            byte_offset: self.byte_offset,
            bytes,
            misplaced: None,
        };
        self.at += bytes.len();
        self.line += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.byte_offset += bytes.len() as u64;
        row
    }

    fn skip_spaces(&mut self) {
        self.take(separators(self.rest(), false));
    }
}

/// The non-blank lines of a block, without line ends.
fn lines(mut cursor: BlockCursor<'_>) -> impl Iterator<Item = RowText<'_>> {
    let split = move || {
        let rest = cursor.rest();
        if rest.is_empty() {
            return None;
        }
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let mut row = cursor.take(length);
        let line = row.bytes.strip_suffix(b"\n").unwrap_or(row.bytes);
        row.bytes = line.strip_suffix(b"\r").unwrap_or(line);
        Some(row)
    };
    std::iter::from_fn(split).filter(|row| !row.bytes.trim_ascii().is_empty())
}

fn objects(mut cursor: BlockCursor<'_>) -> impl Iterator<Item = RowText<'_>> {
    std::iter::from_fn(move || {
        cursor.skip_spaces();
        let rest = cursor.rest();
        if rest.is_empty() {
            return None;
        }
        let length = match row_end(rest, true) {
            RowEnd::At(end) => end.max(1),
            RowEnd::Open => rest.len(),
        };
        let mut row = cursor.take(length);
        row.bytes = row.bytes.trim_ascii_end();
        Some(row)
    })
}

/// The elements of an array.
struct ArrayElements<'a> {
    cursor: BlockCursor<'a>,
    due: Due,
    is_last: bool,
}

/// What must come next in an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// An element, or the array's end.
    FirstElement,
    Element,
    /// A comma, or the array's end.
    Comma,
    /// Nothing: the array has ended.
    Nothing,
}

impl<'a> ArrayElements<'a> {
    fn misplaced(&mut self, length: usize, why: &'static str) -> RowText<'a> {
        let mut row = self.cursor.take(length);
        row.bytes = row.bytes.trim_ascii_end();
        row.misplaced = Some(why);
        row
    }
}

impl<'a> Iterator for ArrayElements<'a> {
    type Item = RowText<'a>;

    fn next(&mut self) -> Option<RowText<'a>> {
        loop {
            self.cursor.skip_spaces();
            let rest = self.cursor.rest();
            let due = self.due;
            match (rest.first(), due) {
                (None, Due::Nothing) => return None,
                (None, _) => {
                    self.due = Due::Nothing;
                    if self.is_last {
                        return Some(self.misplaced(0, NOT_CLOSED));
                    }
                }
                (Some(_), Due::Nothing) => return Some(self.misplaced(rest.len(), BEHIND_ARRAY)),
                (Some(b','), Due::Comma) => {
                    self.cursor.take(1);
                    self.due = Due::Element;
                }
                (Some(b','), _) => return Some(self.misplaced(1, NO_ELEMENT)),
                (Some(b']'), Due::Element) => {
                    self.due = Due::FirstElement;
                    return Some(self.misplaced(0, NO_ELEMENT));
                }
                (Some(b']'), _) => {
                    self.cursor.take(1);
                    self.due = Due::Nothing;
                }
                (Some(_), _) => {
                    let length = match row_end(rest, false) {
                        RowEnd::At(end) => end.max(1),
                        RowEnd::Open => rest.len(),
                    };
                    self.due = Due::Comma;
                    if due == Due::Comma {
                        return Some(self.misplaced(length, NO_COMMA));
                    }
                    return Some(self.cursor.take(length));
                }
            }
        }
    }
}

/// Length of the white space before a row, including commas in an array.
fn separators(bytes: &[u8], with_commas: bool) -> usize {
    let is_one = |byte: &&u8| byte.is_ascii_whitespace() || with_commas && **byte == b',';
    bytes.iter().take_while(is_one).count()
}

/// Where a row ends.
enum RowEnd {
    At(usize),
    /// Not in these bytes.
    Open,
}

/// The end of the row at the beginning of `bytes`: after its last bracket or quote, or at the end of a bare word.
/// With `by_lines`, also before a line that begins with `{`.
fn row_end(bytes: &[u8], by_lines: bool) -> RowEnd {
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    // The last byte outside of strings that is not white space.
    let mut last = b',';
    for (at, &byte) in bytes.iter().enumerate() {
        if in_text {
            // A string ends at a line end, so that a missing quote affects only its line.
            if is_escaped {
                is_escaped = false;
            } else if byte == b'\\' {
                is_escaped = true;
            } else if matches!(byte, b'"' | b'\n') {
                in_text = false;
                if depth == 0 {
                    return RowEnd::At(at + 1);
                }
            }
            continue;
        }
        let begins_line = || at > 0 && bytes[at - 1] == b'\n';
        match byte {
            b'"' => in_text = true,
            b'{' if by_lines && begins_line() && !matches!(last, b',' | b'[' | b':') => {
                return RowEnd::At(at);
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => {
                // An unmatched closing bracket ends the text before it.
                return RowEnd::At(at + usize::from(depth == 1 || by_lines));
            }
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 && !by_lines => return RowEnd::At(at),
            _ if depth == 0 && byte.is_ascii_whitespace() && !by_lines => return RowEnd::At(at),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            last = byte;
        }
    }
    RowEnd::Open
}
