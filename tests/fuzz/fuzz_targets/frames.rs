//! Frames of stored text: reading gives the same bytes, and other bytes are an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewater_files::fuzz::frames(data));
