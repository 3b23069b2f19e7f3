//! Random draws that are the same on every machine: only `ChaCha8` streams and integer arithmetic.
//!
//! A stream is identified by the seed, its purpose and a number. No draw depends on another stream, so any worker may
//! compute any chunk.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The purpose of a stream of draws. It is part of the key, so streams of two purposes are independent.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// How many rows each day has.
    Days,
    /// The pool of cards.
    Cards,
    /// The rows of a chunk.
    Rows,
    /// The home regions of cards.
    Homes,
    /// Planted cases.
    Planted,
}

/// An endless stream of draws.
pub struct DrawStream(ChaCha8Rng);

impl DrawStream {
    /// The stream `number` of `purpose` under `seed`, from its beginning.
    pub fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = match purpose {
            Purpose::Days => 1,
            Purpose::Cards => 2,
            Purpose::Rows => 3,
            Purpose::Homes => 4,
            Purpose::Planted => 5,
        };
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(number);
        Self(generator)
    }

    /// A uniform index below `len`, which must be below 2³²; 0 for an empty range.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the product shifted by 32 is below `len`"
    )]
    pub fn index(&mut self, len: usize) -> usize {
        ((u64::from(self.0.next_u32()) * len as u64) >> 32) as usize
    }

    /// A standard normal draw, in 1/1024: twelve uniform draws of ten bits have a sum whose deviation is 1024.
    pub fn normal_1024ths(&mut self) -> i64 {
        let bits = [self.0.next_u64(), self.0.next_u64()];
        let sum: u64 = bits
            .iter()
            .map(|word| (0..6).map(|k| (word >> (10 * k)) & 1023).sum::<u64>())
            .sum();
        sum.cast_signed() - 12 * 1023 / 2
    }
}

/// Draws an index with the odds of small integer weights: a table with one slot for each unit of weight.
pub struct Weighted(Vec<u8>);

impl Weighted {
    /// Odds from the weights of indices 0, 1, …
    pub fn new(weights: impl IntoIterator<Item = u8>) -> Self {
        Self(
            (0..=u8::MAX)
                .zip(weights)
                .flat_map(|(index, weight)| std::iter::repeat_n(index, weight.into()))
                .collect(),
        )
    }

    /// One index.
    pub fn draw(&self, stream: &mut DrawStream) -> usize {
        self.0[stream.index(self.0.len())].into()
    }
}

/// Draws in one block of [`rows_per_day`].
const BLOCK: u64 = 1 << 20;

/// How many of `records` fall on each of `days` days, if each record has a uniform day. Workers share the blocks of
/// draws. The result does not depend on their number.
pub fn rows_per_day(seed: u64, records: u64, days: usize, workers: usize) -> Vec<u64> {
    let blocks = records.div_ceil(BLOCK);
    let count = |worker: usize| {
        let mut rows = vec![0u64; days];
        for block in (worker as u64..blocks).step_by(workers) {
            let mut stream = DrawStream::new(seed, Purpose::Days, block);
            for _ in 0..BLOCK.min(records - block * BLOCK) {
                rows[stream.index(days)] += 1;
            }
        }
        rows
    };
    let parts: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || count(worker)))
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    (0..days)
        .map(|day| parts.iter().map(|part| part[day]).sum())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pinned() {
        // These values must not change, so that the files of a seed never change.
        let mut stream = DrawStream::new(42, Purpose::Rows, 0);
        let draws: Vec<usize> = (0..4).map(|_| stream.index(1000)).collect();
        let mut again = DrawStream::new(42, Purpose::Rows, 0);
        assert_eq!(draws, (0..4).map(|_| again.index(1000)).collect::<Vec<_>>());
        let mut other = DrawStream::new(42, Purpose::Rows, 1);
        assert_ne!(draws, (0..4).map(|_| other.index(1000)).collect::<Vec<_>>());
        assert_eq!(draws, PINNED);
    }

    const PINNED: [usize; 4] = [815, 540, 950, 402];

    #[test]
    fn normal_has_mean_zero_and_deviation_one() {
        let mut stream = DrawStream::new(7, Purpose::Rows, 0);
        let draws: Vec<i64> = (0..100_000).map(|_| stream.normal_1024ths()).collect();
        let sum: i64 = draws.iter().sum();
        let squares: i64 = draws.iter().map(|z| z * z).sum();
        assert!((sum / 100_000).abs() <= 12, "mean {}", sum / 100_000);
        let variance = squares / 100_000;
        assert!(
            (1_027_000..1_070_000).contains(&variance),
            "variance {variance}"
        );
    }

    #[test]
    fn weights_are_odds() {
        let weighted = Weighted::new([1, 0, 3]);
        let mut stream = DrawStream::new(1, Purpose::Rows, 0);
        let mut counts = [0u32; 3];
        for _ in 0..40_000 {
            counts[weighted.draw(&mut stream)] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((9_500..10_500).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn days_add_up_whatever_the_workers() {
        let one = rows_per_day(3, BLOCK * 2 + 17, 31, 1);
        assert_eq!(one.iter().sum::<u64>(), BLOCK * 2 + 17);
        for workers in [2, 3, 8] {
            assert_eq!(rows_per_day(3, BLOCK * 2 + 17, 31, workers), one);
        }
        assert_eq!(rows_per_day(3, 0, 2, 2), [0, 0]);
    }
}
