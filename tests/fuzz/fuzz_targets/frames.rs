//! Frames of kept text: what was kept is read back to the byte; other bytes are an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewater_files::fuzz::frames(data));
