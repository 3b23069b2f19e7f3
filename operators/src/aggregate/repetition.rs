//! How often keys repeat, estimated from their hashes in fixed memory.

/// Bits of the map, as a power of two: 256 KiB.
const MAP_BITS: u32 = 21;
/// Keys after which the map is emptied. It is then at most half full.
const WINDOW: usize = 1 << 20;
/// Before so many keys nothing is said about them.
const SAMPLE_MIN: usize = 1 << 16;

/// Counts how many of the recent keys are new, by linear counting (Whang, Vander-Zanden and Taylor, 1990): a key is taken for
/// new if the bit of its hash is not set.
#[derive(Default)]
pub struct Repetition {
    map: Vec<u64>,
    keys: usize,
    new: usize,
}

impl Repetition {
    /// Counts keys.
    pub fn count(&mut self, hashes: &[u64]) {
        if self.map.is_empty() || self.keys >= WINDOW {
            self.map.clear();
            self.map.resize(1 << (MAP_BITS - u64::BITS.ilog2()), 0);
            (self.keys, self.new) = (0, 0);
        }
        self.keys += hashes.len();
        for hash in hashes {
            // The lower bits of the hash choose the worker.
            let at = hash >> (u64::BITS - MAP_BITS);
            let word = usize::try_from(at / u64::from(u64::BITS)).unwrap_or_default();
            let bit = 1 << (at % u64::from(u64::BITS));
            self.new += usize::from(self.map[word] & bit == 0);
            self.map[word] |= bit;
        }
    }

    /// Whether more than half of the recent keys are repetitions.
    pub fn is_common(&self) -> bool {
        self.keys >= SAMPLE_MIN && self.new < self.keys / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;

    /// Feeds the keys `0..count`, then modulo `distinct`, in batches, and asks after each.
    fn is_common(keys: impl Iterator<Item = u64>) -> Vec<bool> {
        let hashes: Vec<u64> = keys.map(|key| hash(&key.to_be_bytes())).collect();
        let mut repetition = Repetition::default();
        let batches = hashes.chunks(5000).map(|batch| {
            repetition.count(batch);
            repetition.is_common()
        });
        batches.collect()
    }

    #[test]
    fn keys_that_repeat_are_told_from_keys_that_do_not() {
        // Different keys, far beyond a window.
        assert!(!is_common(0..3_000_000).contains(&true));
        // Most keys occur once, and few others often.
        assert!(
            !is_common((0..900_000).map(|at| if at % 3 == 0 { 7 } else { at })).contains(&true)
        );
        // All keys recur, soon or late.
        for distinct in [100, 20_000, 200_000] {
            let found = is_common((0..1_000_000).map(|at| at % distinct));
            assert!(found[..10].iter().all(|common| !common), "{distinct}");
            assert!(found.contains(&true), "{distinct}");
        }
        // Keys begin to repeat after a long time.
        let late = (0..2_000_000_u64).map(|at| if at < 1_100_000 { at } else { at % 10 });
        assert!(is_common(late).ends_with(&[true]));
    }
}
