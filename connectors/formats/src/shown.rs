//! Formats text of files for messages and for the quarantine.

use std::borrow::Cow;
use std::fmt::Write;

use encoding_rs::{DecoderResult, Encoding, UTF_8};

/// A row for the quarantine: its text, if it is valid in `encoding`. Otherwise each invalid byte is written as `\xHH`
/// and each backslash as `\\`, so that the original bytes can be recovered.
pub(crate) fn raw_row(bytes: &[u8], encoding: &'static Encoding) -> String {
    if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        return text.into_owned();
    }
    let mut shown = String::with_capacity(bytes.len() * 2);
    for (text, lost) in pieces(bytes, encoding) {
        shown.push_str(&text.replace('\\', "\\\\"));
        for byte in lost {
            // Writing to a String does not fail.
            let _ = write!(shown, "\\x{byte:02X}");
        }
    }
    shown
}

/// Text for a terminal. Control characters, and bytes that are not UTF-8, are written as escapes.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for (text, lost) in pieces(bytes, UTF_8) {
        for character in text.chars() {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in lost {
            let _ = write!(shown, "\\x{byte:02X}");
        }
    }
    shown
}

/// The parts of a text that are valid in `encoding`, each with the invalid bytes after it.
fn pieces<'a>(
    bytes: &'a [u8],
    encoding: &'static Encoding,
) -> impl Iterator<Item = (Cow<'static, str>, &'a [u8])> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut rest = bytes;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let room = decoder
            .max_utf8_buffer_length_without_replacement(rest.len())
            .unwrap_or(usize::MAX / 2);
        let mut text = String::with_capacity(room);
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        let (taken, behind) = rest.split_at(read);
        rest = behind;
        let lost = match result {
            DecoderResult::Malformed(length, after) => {
                let end = taken.len().saturating_sub(usize::from(after));
                taken
                    .get(end.saturating_sub(usize::from(length))..end)
                    .unwrap_or_default()
            }
            DecoderResult::InputEmpty | DecoderResult::OutputFull => {
                ended = true;
                &[]
            }
        };
        Some((Cow::Owned(text), lost))
    })
}

#[cfg(test)]
mod tests {
    use encoding_rs::EUC_KR;

    use super::*;

    #[test]
    fn rows_can_be_had_again() {
        for (bytes, encoding, expected) in [
            (&b"a,\xed\x95\x9c\n"[..], UTF_8, "a,한\n"),
            (b"a,\xff\xfe,\\x", UTF_8, "a,\\xFF\\xFE,\\\\x"),
            (b"a\\b", UTF_8, "a\\b"),
            (b"caf\xe9", UTF_8, "caf\\xE9"),
            (b"\xe3\x81", UTF_8, "\\xE3\\x81"),
            (b"\xb0\xa1,1", EUC_KR, "가,1"),
            (b"\xb0\xa1,\xff1", EUC_KR, "가,\\xFF1"),
        ] {
            assert_eq!(raw_row(bytes, encoding), expected);
        }
    }

    #[test]
    fn terminals_see_no_control_characters() {
        assert_eq!(printable(b"\x1b[31mred\x07;x"), "\\u{1b}[31mred\\u{7};x");
        assert_eq!(printable("한\t\r".as_bytes()), "한\\t\\r");
        assert_eq!(printable(b"N\xff"), "N\\xFF");
    }
}
