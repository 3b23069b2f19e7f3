//! Random histories of changes, epoch by epoch.
//!
//! Rows come from a small pool for each source, by index, so the same row is inserted again and again. Within an
//! epoch, changes come in any order, and a retraction may precede its insertion. At the end of each epoch, no count
//! is negative.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// An insertion or retraction of a source's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the source.
    pub source: usize,
    /// Index of the row in the source's pool.
    pub row: u32,
    /// `1` or `-1`.
    pub diff: i64,
}

/// The changes of each epoch, in the order of delivery.
pub type History = Vec<Vec<Change>>;

/// The count of each row of each source.
pub type Counts = BTreeMap<(usize, u32), i64>;

/// A source's name and its possible rows.
pub type Pool = (String, RecordBatch);

/// Draws 3 to 8 epochs over pools of these sizes.
pub fn draw(rng: &mut ChaCha8Rng, pools: &[usize]) -> History {
    let epochs = rng.random_range(3..=8);
    let mut counts = Counts::new();
    (0..epochs)
        .map(|epoch| draw_epoch(rng, pools, epoch, &mut counts))
        .collect()
}

fn draw_epoch(
    rng: &mut ChaCha8Rng,
    pools: &[usize],
    epoch: usize,
    counts: &mut Counts,
) -> Vec<Change> {
    let mut changes = Vec::new();
    // Sometimes an epoch retracts everything.
    if epoch > 1 && rng.random_bool(0.08) {
        for ((source, row), count) in std::mem::take(counts) {
            changes.extend((0..count).map(|_| Change {
                source,
                row,
                diff: -1,
            }));
        }
        return changes;
    }
    for (source, pool) in pools.iter().enumerate() {
        let size = if epoch == 0 {
            rng.random_range(0..=12)
        } else {
            rng.random_range(0..=5)
        };
        for _ in 0..size {
            let present: Vec<u32> = counts
                .keys()
                .filter(|(of, _)| *of == source)
                .map(|(_, row)| *row)
                .collect();
            let mut insert = |rng: &mut ChaCha8Rng, changes: &mut Vec<Change>| {
                let row = u32::try_from(rng.random_range(0..*pool)).unwrap();
                apply(
                    counts,
                    Change {
                        source,
                        row,
                        diff: 1,
                    },
                    changes,
                );
            };
            match rng.random_range(0..10) {
                0..=2 if !present.is_empty() => {
                    let row = present[rng.random_range(0..present.len())];
                    apply(
                        counts,
                        Change {
                            source,
                            row,
                            diff: -1,
                        },
                        &mut changes,
                    );
                }
                // A correction: one row is retracted, another inserted.
                3..=4 if !present.is_empty() => {
                    insert(rng, &mut changes);
                    let row = present[rng.random_range(0..present.len())];
                    apply(
                        counts,
                        Change {
                            source,
                            row,
                            diff: -1,
                        },
                        &mut changes,
                    );
                }
                _ => insert(rng, &mut changes),
            }
        }
    }
    changes.shuffle(rng);
    changes
}

fn apply(counts: &mut Counts, change: Change, changes: &mut Vec<Change>) {
    count(counts, &change);
    changes.push(change);
}

/// Counts a change.
pub fn count(counts: &mut Counts, change: &Change) {
    let count = counts.entry((change.source, change.row)).or_default();
    *count += change.diff;
    if *count == 0 {
        counts.remove(&(change.source, change.row));
    }
}

/// An epoch as deliveries. Adjacent changes of one source and sign are one batch.
pub fn deliveries(pools: &[Pool], changes: &[Change]) -> Vec<(String, RecordBatch, i64)> {
    let runs = changes.chunk_by(|a, b| (a.source, a.diff) == (b.source, b.diff));
    let batches = runs.map(|run| {
        let (name, pool) = &pools[run[0].source];
        (
            name.clone(),
            pick(pool, run.iter().map(|change| change.row)),
            run[0].diff,
        )
    });
    batches.collect()
}

/// The rows that each source holds.
pub fn present(pools: &[Pool], counts: &Counts) -> BTreeMap<String, RecordBatch> {
    let sources = pools.iter().enumerate().map(|(source, (name, pool))| {
        let rows = counts.iter().filter(|((of, _), _)| *of == source);
        let rows = rows.flat_map(|((_, row), count)| (0..*count).map(|_| *row));
        (name.clone(), pick(pool, rows))
    });
    sources.collect()
}

fn pick(pool: &RecordBatch, rows: impl Iterator<Item = u32>) -> RecordBatch {
    take_record_batch(pool, &UInt32Array::from_iter_values(rows)).unwrap()
}

/// A smaller history that still `fails`. Epochs and single changes are removed as long as it does.
pub fn shrink(history: &History, fails: impl Fn(&History) -> bool) -> History {
    let mut smallest = history.clone();
    loop {
        let smaller =
            candidates(&smallest).find(|candidate| is_valid(candidate) && fails(candidate));
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

fn candidates(history: &History) -> impl Iterator<Item = History> {
    let without_epochs = (0..history.len()).rev().map(|epoch| {
        let mut history = history.clone();
        history.remove(epoch);
        history
    });
    let places = history
        .iter()
        .enumerate()
        .flat_map(|(epoch, changes)| (0..changes.len()).map(move |at| (epoch, at)));
    // An insertion and its retraction are removed as a pair.
    let pairs = places.clone().flat_map(|(epoch, at)| {
        let change = history[epoch][at];
        let undone = Change {
            diff: -change.diff,
            ..change
        };
        let after = history[epoch..]
            .iter()
            .enumerate()
            .flat_map(move |(offset, changes)| {
                let same = changes
                    .iter()
                    .enumerate()
                    .filter(move |(_, other)| **other == undone);
                same.map(move |(other, _)| (epoch + offset, other))
            });
        after.take(1).map(move |other| [(epoch, at), other])
    });
    let removed = |places: &[(usize, usize)]| {
        let mut smaller = history.clone();
        for (epoch, changes) in smaller.iter_mut().enumerate() {
            let mut at = 0;
            changes.retain(|_| {
                at += 1;
                !places.contains(&(epoch, at - 1))
            });
        }
        smaller
    };
    let single = places.map(move |place| removed(&[place]));
    without_epochs
        .chain(single)
        .chain(pairs.map(move |pair| removed(&pair)))
}

fn is_valid(history: &History) -> bool {
    let mut counts = Counts::new();
    history.iter().all(|changes| {
        changes.iter().for_each(|change| count(&mut counts, change));
        counts.values().all(|count| *count > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    #[test]
    fn histories_never_take_back_what_is_not_there() {
        for seed in 0..200 {
            let history = draw(&mut seed::generator(seed, "history"), &[5, 3]);
            assert!((3..=8).contains(&history.len()));
            assert!(is_valid(&history), "{seed}: {history:?}");
        }
    }

    #[test]
    fn shrinking_leaves_what_fails() {
        // Fails if row 2 of source 0 ever occurs twice.
        let fails = |history: &History| {
            let mut counts = Counts::new();
            history.iter().any(|changes| {
                changes.iter().for_each(|change| count(&mut counts, change));
                counts.get(&(0, 2)) == Some(&2)
            })
        };
        let mut drawn = (0..500).map(|seed| draw(&mut seed::generator(seed, "shrink"), &[4, 2]));
        let smallest = shrink(&drawn.find(fails).unwrap(), fails);
        let change = Change {
            source: 0,
            row: 2,
            diff: 1,
        };
        assert_eq!(smallest.concat(), [change, change]);
    }
}
