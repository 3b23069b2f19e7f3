//! The layout of text in a file, independent of its format: encoding, line ends, and lines around the rows.
//!
//! Decoders of formats read UTF-8 with line feeds. Other text is converted block by block. The lines of original and
//! converted text correspond, so that places and rejected rows refer to the file.

use std::sync::{Arc, OnceLock};

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use memchr::{memchr, memchr_iter};

use super::shown::raw_row;
use super::trailer::Trailer;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::LineEnd;

/// Replaces a sequence that is invalid in the encoding. It is never UTF-8, so its row is rejected.
const LACKING: u8 = 0xff;

/// If this many bytes of a file have no line feed, its lines end otherwise.
const CERTAIN_BYTES: usize = 64 << 10;

/// The option `encoding` of text files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEncoding {
    /// One encoding.
    Fixed(&'static Encoding),
    /// UTF-16 of either byte order, by its byte order mark.
    Utf16,
}

/// The option `line_end` of text files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEndRule {
    /// Line feeds, perhaps after carriage returns; or carriage returns, in a file without line feeds.
    #[default]
    Auto,
    /// Line feeds, perhaps after carriage returns.
    LineFeed,
    /// Line feeds, carriage returns, or both.
    Any,
}

/// A source's options about the layout of its text files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLayout {
    /// `encoding`.
    pub encoding: TextEncoding,
    /// `line_end`.
    pub line_end: LineEndRule,
    /// `skip_lines`: lines before the header, or before the rows if there is no header.
    pub skip_lines: usize,
    /// `skip_trailer` and `trailer`: lines at the end of the file that are not rows.
    pub trailer: Trailer,
}

impl Default for TextLayout {
    fn default() -> Self {
        Self {
            encoding: TextEncoding::Fixed(UTF_8),
            line_end: LineEndRule::Auto,
            skip_lines: 0,
            trailer: Trailer::None,
        }
    }
}

/// The layout of one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileLayout {
    pub encoding: &'static Encoding,
    pub line_end: LineEnd,
    /// Bytes of the byte order mark.
    pub mark_bytes: usize,
}

impl TextLayout {
    /// Determines the layout from the beginning of a file.
    ///
    /// # Errors
    /// When the file has another encoding than the source declares.
    pub(crate) fn of_file(&self, file: &Arc<str>, head: &[u8]) -> Result<FileLayout, SourceError> {
        let (encoding, mark_bytes) = self
            .encoding
            .of_file(head)
            .map_err(|message| SourceError::file(file, message))?;
        let text = head.get(mark_bytes..).unwrap_or_default();
        let line_end = match self.line_end {
            _ if encoding == UTF_16LE => LineEnd::Utf16Le,
            _ if encoding == UTF_16BE => LineEnd::Utf16Be,
            LineEndRule::Any => LineEnd::Any,
            LineEndRule::Auto if has_carriage_returns_alone(text) => LineEnd::Any,
            LineEndRule::LineFeed | LineEndRule::Auto => LineEnd::LineFeed,
        };
        Ok(FileLayout {
            encoding,
            line_end,
            mark_bytes,
        })
    }

    /// Whether the first bytes of a file include the skipped lines, followed by what `is_head` requires.
    pub(crate) fn is_head(&self, head: &[u8], is_head: impl Fn(&[u8]) -> bool) -> bool {
        // Four bytes are enough for every byte order mark. A file with a wrong encoding is refused, however much of
        // it is read.
        if head.len() < 4 && matches!(head.first(), None | Some(0 | 0xef | 0xfe | 0xff)) {
            return false;
        }
        let Ok(layout) = self.of_file(&Arc::from(""), head) else {
            return true;
        };
        let text = head.get(layout.mark_bytes..).unwrap_or_default();
        let is_uncertain = layout.line_end == LineEnd::Any && self.line_end == LineEndRule::Auto;
        if is_uncertain && head.len() < CERTAIN_BYTES {
            return false;
        }
        let whole = text.get(..layout.line_end.last(text)).unwrap_or_default();
        let converted = layout.convert(whole);
        let plain = converted.plain(whole);
        self.behind_skipped(plain)
            .and_then(|at| plain.get(at..))
            .is_some_and(is_head)
    }

    /// Where text continues after the skipped lines; `None` if there are no more lines.
    pub(crate) fn behind_skipped(&self, text: &[u8]) -> Option<usize> {
        match self.skip_lines.checked_sub(1) {
            None => Some(0),
            Some(last) => LineEnd::LineFeed.ends(text).nth(last),
        }
    }
}

fn has_carriage_returns_alone(text: &[u8]) -> bool {
    let sure = text.strip_suffix(b"\r").unwrap_or(text);
    memchr(b'\r', sure).is_some() && memchr(b'\n', text).is_none()
}

impl TextEncoding {
    /// The encoding with this name; `None` if it is unknown.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        let label = match name.as_str() {
            "utf-16" | "utf16" | "unicode" => return Some(Self::Utf16),
            "utf16le" => "utf-16le",
            "utf16be" => "utf-16be",
            "cp949" | "ms949" | "uhc" => "windows-949",
            "latin-1" => "latin1",
            "cp932" => "windows-31j",
            "cp936" => "gbk",
            "cp950" => "big5",
            other => other,
        };
        let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
        // The bytes of a line end must be a line end wherever they occur.
        let has_plain_line_ends =
            encoding.is_ascii_compatible() || encoding.output_encoding() != encoding;
        has_plain_line_ends.then_some(Self::Fixed(encoding))
    }

    /// Whether the encoding has units of two bytes.
    pub(crate) fn is_utf16(self) -> bool {
        matches!(self, Self::Utf16)
            || self == Self::Fixed(UTF_16LE)
            || self == Self::Fixed(UTF_16BE)
    }

    /// The encoding of a file that begins with `head`, and the length of its byte order mark.
    fn of_file(self, head: &[u8]) -> Result<(&'static Encoding, usize), String> {
        if head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff") {
            return Err("is UTF-32, which is not read; save the file as UTF-8".to_owned());
        }
        match (self, Encoding::for_bom(head)) {
            (Self::Fixed(declared), Some((marked, bytes))) if declared == marked => {
                // Programs that join or convert files may write the mark again.
                let (mark, mut text) = head.split_at(bytes);
                while let Some(behind) = text.strip_prefix(mark) {
                    text = behind;
                }
                Ok((marked, head.len() - text.len()))
            }
            (Self::Utf16, Some((marked, bytes))) if marked != UTF_8 => Ok((marked, bytes)),
            (_, Some((marked, _))) => Err(format!(
                "is {}, as its byte order mark says, and the source declares {}; write OPTIONS (encoding '{}')",
                marked.name(),
                self.name(),
                if marked == UTF_8 { "utf-8" } else { "utf-16" }
            )),
            (Self::Utf16, None) if head.is_empty() => Ok((UTF_16LE, 0)),
            (Self::Utf16, None) => Err(
                "has no byte order mark that says which UTF-16 it is; write OPTIONS (encoding 'utf-16le') or \
                 'utf-16be'"
                    .to_owned(),
            ),
            (Self::Fixed(declared), None) => match utf16_without_mark(head) {
                Some(name) if declared != UTF_16LE && declared != UTF_16BE => Err(format!(
                    "is UTF-16 without a byte order mark, by its zero bytes; write OPTIONS (encoding '{name}')"
                )),
                _ => Ok((declared, 0)),
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fixed(encoding) => encoding.name(),
            Self::Utf16 => "UTF-16",
        }
    }
}

/// The byte order of UTF-16 without a mark, by its zero bytes. In Western text and in separators, every other byte is
/// zero.
fn utf16_without_mark(head: &[u8]) -> Option<&'static str> {
    const LOOK_UNITS: usize = 256;
    let (units, _) = head.as_chunks::<2>();
    let units = units.get(..LOOK_UNITS.min(units.len()))?;
    let zeros = |at: usize| units.iter().filter(|unit| unit.get(at) == Some(&0)).count();
    let (lower, upper) = (zeros(0), zeros(1));
    let is_many = |zeros: usize| units.len() >= 4 && zeros * 10 >= units.len() * 3;
    match (lower, upper) {
        (0, upper) if is_many(upper) => Some("utf-16le"),
        (lower, 0) if is_many(lower) => Some("utf-16be"),
        _ => None,
    }
}

impl FileLayout {
    /// The layout of bytes that are not converted. Only a byte order mark of UTF-8 is skipped.
    pub(crate) fn of_bytes(head: &[u8]) -> Self {
        let is_marked = head.starts_with(b"\xef\xbb\xbf");
        Self {
            encoding: UTF_8,
            line_end: LineEnd::LineFeed,
            mark_bytes: if is_marked { 3 } else { 0 },
        }
    }

    /// Converts bytes that consist of whole lines.
    pub(crate) fn convert(&self, bytes: &[u8]) -> Converted {
        let transcoded = (self.encoding != UTF_8).then(|| to_utf8(bytes, self.encoding));
        let text = transcoded.as_deref().unwrap_or(bytes);
        let unified = (self.line_end == LineEnd::Any).then(|| with_line_feeds(text));
        Converted {
            layout: *self,
            transcoded,
            unified: unified.flatten(),
            lines: OnceLock::new(),
        }
    }
}

/// The converted text of some bytes of a file.
pub(crate) struct Converted {
    layout: FileLayout,
    /// The text in UTF-8, if the file has another encoding.
    transcoded: Option<Vec<u8>>,
    /// The text with a line feed for each single carriage return, if there are any.
    unified: Option<Vec<u8>>,
    /// The beginnings of lines in the text and in the file's bytes.
    lines: OnceLock<[Vec<usize>; 2]>,
}

impl Converted {
    /// The text: UTF-8 with line feeds.
    pub(crate) fn plain<'a>(&'a self, bytes: &'a [u8]) -> &'a [u8] {
        self.unified
            .as_deref()
            .or(self.transcoded.as_deref())
            .unwrap_or(bytes)
    }

    /// The text before its line ends were unified, if that changed any.
    pub(crate) fn original<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let transcoded = self.transcoded.as_deref();
        self.unified.as_ref().map(|_| transcoded.unwrap_or(bytes))
    }

    /// The offset in the file's `bytes` of the line that begins at `at` in the text.
    pub(crate) fn place(&self, bytes: &[u8], at: usize) -> usize {
        let Some(text) = &self.transcoded else {
            return at;
        };
        let [in_text, in_file] = self.lines(bytes, text);
        let line = in_text.partition_point(|begin| *begin < at);
        in_file.get(line).copied().unwrap_or(bytes.len())
    }

    /// The file's lines for `range` of the text, for the quarantine.
    pub(crate) fn raw(&self, bytes: &[u8], range: std::ops::Range<usize>) -> String {
        let Some(text) = &self.transcoded else {
            return raw_row(bytes.get(range).unwrap_or_default(), UTF_8);
        };
        let [in_text, _] = self.lines(bytes, text);
        let next = in_text.partition_point(|begin| *begin < range.end.max(range.start + 1));
        let next = in_text.get(next).copied().unwrap_or(text.len());
        let (begin, end) = (self.place(bytes, range.start), self.place(bytes, next));
        let shown = raw_row(
            bytes.get(begin..end).unwrap_or_default(),
            self.layout.encoding,
        );
        shown.trim_end_matches(['\r', '\n']).to_owned()
    }

    fn lines(&self, bytes: &[u8], text: &[u8]) -> &[Vec<usize>; 2] {
        self.lines.get_or_init(|| {
            let plain = self.unified.as_deref().unwrap_or(text);
            let begins =
                |line_end: LineEnd, bytes| std::iter::once(0).chain(line_end.ends(bytes)).collect();
            [
                begins(LineEnd::LineFeed, plain),
                begins(self.layout.line_end, bytes),
            ]
        })
    }
}

/// The text in UTF-8. Each sequence that is invalid in the encoding becomes a byte that is not UTF-8.
pub(crate) fn to_utf8(bytes: &[u8], encoding: &'static Encoding) -> Vec<u8> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        let room = decoder
            .max_utf8_buffer_length_without_replacement(rest.len())
            .unwrap_or(rest.len() * 3 + 16);
        let filled = text.len();
        text.resize(filled + room, 0);
        let to = text.get_mut(filled..).unwrap_or_default();
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, to, true);
        text.truncate(filled + written);
        rest = rest.get(read..).unwrap_or_default();
        match result {
            DecoderResult::InputEmpty => return text,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => text.push(LACKING),
        }
    }
}

/// The text with a line feed for each carriage return that no line feed follows; `None` if there is none.
fn with_line_feeds(text: &[u8]) -> Option<Vec<u8>> {
    memchr(b'\r', text)?;
    let mut unified = text.to_vec();
    for at in memchr_iter(b'\r', text) {
        if text.get(at + 1) != Some(&b'\n')
            && let Some(byte) = unified.get_mut(at)
        {
            *byte = b'\n';
        }
    }
    Some(unified)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use encoding_rs::EUC_KR;

    use super::*;

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        let unit = |unit: u16| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        };
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn names() {
        for (name, encoding) in [
            ("UTF-8", UTF_8),
            ("cp949", EUC_KR),
            ("EUC-KR", EUC_KR),
            ("latin-1", encoding_rs::WINDOWS_1252),
            ("windows-1252", encoding_rs::WINDOWS_1252),
            ("utf-16le", UTF_16LE),
            ("shift_jis", encoding_rs::SHIFT_JIS),
        ] {
            assert_eq!(
                TextEncoding::named(name),
                Some(TextEncoding::Fixed(encoding)),
                "{name}"
            );
        }
        assert_eq!(TextEncoding::named("utf-16"), Some(TextEncoding::Utf16));
        for name in ["", "klingon", "iso-2022-jp", "utf-7"] {
            assert_eq!(TextEncoding::named(name), None, "{name}");
        }
    }

    #[test]
    fn files_tell_their_encoding() {
        let of = |encoding, head: &[u8]| TextEncoding::of_file(encoding, head);
        let utf8 = TextEncoding::Fixed(UTF_8);
        assert_eq!(of(utf8, b"a,b"), Ok((UTF_8, 0)));
        assert_eq!(of(utf8, b"\xef\xbb\xbfa,b"), Ok((UTF_8, 3)));
        assert_eq!(of(TextEncoding::Utf16, b"\xff\xfea\0"), Ok((UTF_16LE, 2)));
        assert_eq!(of(TextEncoding::Utf16, b"\xfe\xff\0a"), Ok((UTF_16BE, 2)));
        assert_eq!(
            of(TextEncoding::Fixed(UTF_16LE), &utf16("a,b\n1,2", false)),
            Ok((UTF_16LE, 0))
        );
        let cases: &[(TextEncoding, Vec<u8>, &str)] = &[
            (
                utf8,
                [b"\xff\xfe".to_vec(), utf16("a,b", false)].concat(),
                "encoding 'utf-16'",
            ),
            (
                utf8,
                utf16("id,amount\n1,2\n", false),
                "encoding 'utf-16le'",
            ),
            (utf8, utf16("id,amount\n1,2\n", true), "encoding 'utf-16be'"),
            (TextEncoding::Utf16, b"a,b".to_vec(), "no byte order mark"),
            (
                TextEncoding::Fixed(EUC_KR),
                b"\xef\xbb\xbfa".to_vec(),
                "encoding 'utf-8'",
            ),
            (utf8, b"\xff\xfe\0\0a\0\0\0".to_vec(), "UTF-32"),
        ];
        for (encoding, head, expected) in cases {
            let message = of(*encoding, head).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn lines_correspond() {
        let layout = TextLayout {
            encoding: TextEncoding::Fixed(EUC_KR),
            line_end: LineEndRule::Any,
            ..TextLayout::default()
        };
        let bytes = b"\xb0\xa1,1\r\n\xff\xb3\xaa\rx\n";
        let file = layout.of_file(&Arc::from("f"), bytes).unwrap();
        let converted = file.convert(bytes);
        let plain = converted.plain(bytes);
        assert_eq!(plain, b"\xea\xb0\x80,1\r\n\xff\xeb\x82\x98\nx\n");
        assert_eq!(converted.place(bytes, 7), 6);
        assert_eq!(converted.raw(bytes, 7..11), "\\xFF나");
        assert_eq!(converted.place(bytes, 12), 10);
        assert_eq!(converted.raw(bytes, 12..13), "x");
    }
}
