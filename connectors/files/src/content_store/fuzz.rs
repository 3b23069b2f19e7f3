//! Checks for the fuzz targets in `tests/fuzz` of items that are not public.

#![allow(clippy::expect_used)]

use std::fs::File;
use std::io::{Seek, Write};

use super::frame::{ContentEncoder, Frames};

/// The most text of a frame in arbitrary bytes.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Checks that the frames of a text give the text, and that any other bytes give a text or an error.
///
/// # Panics
/// When the check fails, or a temporary file cannot be created.
pub fn frames(data: &[u8]) {
    let encoded = ContentEncoder::new().and_then(|mut encoder| encoder.frames(data));
    let encoded = encoded.expect("a text can be kept");
    assert_eq!(read(&encoded).as_deref(), Some(data), "what was kept");
    let _ = read(data);
}

/// The text of all frames; `None` if one is damaged.
fn read(frames: &[u8]) -> Option<Vec<u8>> {
    let mut frames = Frames::new(file(frames).expect("a temporary file"));
    let mut text = Vec::new();
    while let Some(next) = frames.next(TEXT_BYTES_MAX).ok()? {
        text.extend(next);
    }
    Some(text)
}

fn file(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
