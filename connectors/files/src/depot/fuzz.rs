//! What the fuzz targets of `tests/fuzz` hold of items that are not public.

#![allow(clippy::expect_used)]

use std::fs::File;
use std::io::{Seek, Write};

use super::frame::{Encoder, Frames};

/// The most text that a frame of any bytes is believed to hold.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Frames of a text give it back; frames of any other bytes are a text or an error.
///
/// # Panics
/// When that is not so, or there is no temporary file.
pub fn frames(data: &[u8]) {
    let encoded = Encoder::new().and_then(|mut encoder| encoder.frames(data));
    let encoded = encoded.expect("a text can be kept");
    assert_eq!(read(&encoded).as_deref(), Some(data), "what was kept");
    let _ = read(data);
}

/// The text of all frames, or `None` when one is damaged.
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
