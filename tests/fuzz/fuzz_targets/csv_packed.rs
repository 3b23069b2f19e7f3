//! Packed CSV: unpacking gives the same bytes, and bytes that were not packed are refused.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use tidewater_formats::csv::packed::{pack, unpack};

const TEXT_BYTES_MAX: usize = 1 << 20;

fn decompress(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(bytes, length).ok()
}

fuzz_target!(|data: &[u8]| {
    let compress = |bytes: &[u8]| -> io::Result<Vec<u8>> { zstd::bulk::compress(bytes, 1) };
    if let Ok(Some(packed)) = pack(data, compress) {
        let unpacked = unpack(&packed, data.len(), decompress);
        assert_eq!(unpacked.as_deref(), Some(data), "what was packed");
    }
    let length = data.iter().take(3).fold(0, |length, byte| length << 8 | usize::from(*byte));
    let length = length.min(TEXT_BYTES_MAX);
    if let Some(text) = unpack(data.get(3..).unwrap_or_default(), length, decompress) {
        assert!(text.len() <= length, "more text than there is said to be");
    }
});
