//! Blocks of the state: reading gives the same entries, and other bytes are reported as damage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewater_engine::state::fuzz::state_blocks(data));
