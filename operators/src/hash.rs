//! The hash that assigns keys to workers: the same on every machine, build and run.

/// The XXH3 of `bytes`. Stored keys are placed by it, so it must never change.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}
