//! The lines at the end of a text file that are not rows: a number of lines, or lines that match a pattern.

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use tidewater_contract::source::LineEnd;

use crate::layout::to_utf8;

/// Which lines at the end of a file are not rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trailer {
    /// There are none.
    #[default]
    None,
    /// `skip_trailer`: this many lines. Blank lines do not count.
    Lines(usize),
    /// `trailer`: lines that match a pattern, and the blank lines after them.
    Matching(LinePattern),
}

/// A pattern for a whole line, in which `*` means any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePattern {
    /// The texts between the stars.
    texts: Arc<[String]>,
}

impl LinePattern {
    /// The pattern. `None` if it matches every line, or blank lines.
    pub(crate) fn parse(pattern: &str) -> Option<Self> {
        let texts: Arc<[String]> = pattern.split('*').map(str::to_owned).collect();
        let says_something = texts.iter().any(|text| !text.trim().is_empty());
        says_something.then_some(Self { texts })
    }

    fn matches(&self, line: &str) -> bool {
        let Some((first, rest)) = self.texts.split_first() else {
            return false;
        };
        let Some(mut left) = line.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, between)) = rest.split_last() else {
            return left.is_empty();
        };
        for text in between {
            match left.split_once(text.as_str()) {
                Some((_, behind)) => left = behind,
                None => return false,
            }
        }
        left.ends_with(last.as_str())
    }
}

impl Trailer {
    /// Whether a file has none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Where the rows in `bytes` end for certain: before lines that are, or may become, the file's trailer. `ended`
    /// says that the file ends with these bytes.
    pub(crate) fn begin(
        &self,
        bytes: &[u8],
        ended: bool,
        line_end: LineEnd,
        encoding: &'static Encoding,
    ) -> usize {
        match self {
            Self::None => bytes.len(),
            Self::Lines(lines) => {
                let mut left = *lines;
                last_lines(bytes, line_end, |line| {
                    left -= usize::from(!is_blank(line));
                    LineUse::Trailer {
                        is_first: left == 0,
                    }
                })
            }
            Self::Matching(pattern) => {
                let mut is_incomplete = !ended;
                last_lines(bytes, line_end, |line| {
                    if std::mem::take(&mut is_incomplete) {
                        return LineUse::Trailer { is_first: false };
                    }
                    if is_blank(line) {
                        return LineUse::Blank;
                    }
                    let text = to_utf8(line, encoding);
                    let text =
                        String::from_utf8_lossy(if encoding == UTF_8 { line } else { &text });
                    if pattern.matches(text.trim_end_matches(['\r', '\n'])) {
                        LineUse::Trailer { is_first: false }
                    } else {
                        LineUse::Row
                    }
                })
            }
        }
    }
}

/// What a line at the end of a file is.
enum LineUse {
    /// A row, like all lines before it.
    Row,
    /// A line of the trailer.
    Trailer {
        /// Whether the lines before it are rows.
        is_first: bool,
    },
    /// A blank line. It belongs to the trailer if a line before it does.
    Blank,
}

/// Where the last lines of `bytes` begin that are not rows, as `is` tells from the last one backwards.
fn last_lines(bytes: &[u8], line_end: LineEnd, mut is: impl FnMut(&[u8]) -> LineUse) -> usize {
    let mut begins: Vec<usize> = std::iter::once(0).chain(line_end.ends(bytes)).collect();
    let (mut rows_end, mut end) = (bytes.len(), bytes.len());
    while let Some(begin) = begins.pop() {
        match is(bytes.get(begin..end).unwrap_or_default()) {
            LineUse::Row => break,
            LineUse::Trailer { is_first } => {
                rows_end = begin;
                if is_first {
                    break;
                }
            }
            LineUse::Blank => {}
        }
        end = begin;
    }
    rows_end
}

fn is_blank(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| byte.is_ascii_whitespace() || *byte == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use encoding_rs::{EUC_KR, UTF_16LE};

    use super::*;

    #[test]
    fn patterns_match_whole_lines() {
        let cases = [
            ("TRL|*", "TRL|000123", true),
            ("TRL|*", "TRL|", true),
            ("TRL|*", "TRL", false),
            ("TRL|*", " TRL|1", false),
            ("*rows)", "(12 rows)", true),
            ("*rows)", "(12 rows) ", false),
            ("Total*of*", "Total 3 of 4", true),
            ("Total*of*", "Total 3", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("EOF", "EOF", true),
            ("EOF", "EOF.", false),
            ("합계*", "합계,,600", true),
        ];
        for (pattern, line, matches) in cases {
            let pattern = LinePattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(line), matches, "{pattern:?} {line}");
        }
        for everything in ["", "*", " * ", "**"] {
            assert_eq!(LinePattern::parse(everything), None, "{everything}");
        }
    }

    #[test]
    fn a_trailer_is_at_the_end_alone() {
        let pattern = || Trailer::Matching(LinePattern::parse("T|*").unwrap());
        // The bytes, whether the file ends with them, and the rows among them.
        let cases = [
            (pattern(), "1\nT|1\n", true, "1\n"),
            (pattern(), "1\r\nT|1\r\n\r\n", true, "1\r\n"),
            (pattern(), "1\nT|1", true, "1\n"),
            (pattern(), "1\nT|1\n2\n", true, "1\nT|1\n2\n"),
            (pattern(), "1\n\nT|1\n\nT|2\n\n", true, "1\n\n"),
            (pattern(), "T|1\n", true, ""),
            (pattern(), "1\n2\n\n", true, "1\n2\n\n"),
            (pattern(), "", true, ""),
            // What follows may be more of the trailer, or rows.
            (pattern(), "1\nT|1\n", false, "1\n"),
            (pattern(), "1\nT|1\nT", false, "1\n"),
            (pattern(), "1\n2", false, "1\n"),
            (pattern(), "1\n2\n", false, "1\n2\n"),
            (Trailer::Lines(2), "1\n2\n3\n", true, "1\n"),
            (Trailer::Lines(2), "1\n\n2\n\n3\n\n", true, "1\n\n"),
            (Trailer::Lines(2), "1\n", true, ""),
            (Trailer::None, "1\nT|1\n", true, "1\nT|1\n"),
        ];
        for (trailer, text, ended, rows) in cases {
            let end = trailer.begin(text.as_bytes(), ended, LineEnd::LineFeed, UTF_8);
            assert_eq!(&text[..end], rows, "{trailer:?} {text:?} {ended}");
        }
    }

    #[test]
    fn a_pattern_is_in_the_encoding_of_the_file() {
        let trailer = Trailer::Matching(LinePattern::parse("합계*").unwrap());
        let text = "가\n합계 3\n";
        let (korean, ..) = EUC_KR.encode(text);
        assert_eq!(trailer.begin(&korean, true, LineEnd::LineFeed, EUC_KR), 3);
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(trailer.begin(&units, true, LineEnd::Utf16Le, UTF_16LE), 4);
    }
}
