//! Blocks of the state: what was written is read back; other bytes are damage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidewater_engine::state::fuzz::state_blocks(data));
