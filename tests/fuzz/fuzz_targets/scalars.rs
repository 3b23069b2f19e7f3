//! Numbers, dates and times from text: what is taken is what the standard library reads, nothing is lost.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewater_formats::fuzz::scalars(data));
