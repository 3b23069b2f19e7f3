//! Numbers, dates and times from text: accepted values equal those of the standard library, and nothing is lost.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewater_formats::fuzz::scalars(data));
