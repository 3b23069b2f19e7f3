//! The hash that routes keys to workers: the same on every machine, build and run.

/// XXH3 of some bytes. Keys owe their place to it, so it must never change while state is kept.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}
