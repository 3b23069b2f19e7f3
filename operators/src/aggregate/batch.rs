//! Batches of `(group, value)` pairs: the batcher and builder of their arrangement.
//!
//! A first run brings tens of millions of pairs in one epoch. Differential's own batcher keeps each as
//! `((pair, ()), time, diff)`, 24 bytes for a pair of ids; a [`Run`] keeps its time once and its differences in four
//! bytes, 12 bytes a pair, and that is what the peak of memory is made of.
//!
//! 1. The pairs of a run are sorted; a pair stands more than once only where its difference exceeds four bytes.
//! 2. Runs of an epoch are merged as they come in, so that each is more than twice as long as the next: a pair is moved
//!    a logarithmic number of times, and pairs that repeat are summed early.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;

use differential_dataflow::ExchangeData;
use differential_dataflow::logging::Logger;
use differential_dataflow::trace::implementations::Vector;
use differential_dataflow::trace::implementations::ord_neu::{OrdKeyBatch, OrdKeyBuilder};
use differential_dataflow::trace::{Batcher, Builder, Description};
use timely::container::{ContainerBuilder, PushInto};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::arrange::Pair;
use super::groups::pack;
use super::radix::sort_by_digits;
use crate::row::Row;

type Update<V> = ((Pair<V>, ()), u64, i64);

/// Updates handed to differential's builder at a time.
const PIECE: usize = 1024;

/// Sorted pairs of one epoch with their differences.
#[derive(Clone, Debug)]
pub struct Run<V> {
    time: u64,
    pairs: Vec<Pair<V>>,
    diffs: Vec<i32>,
}

impl<V> Default for Run<V> {
    fn default() -> Self {
        Self {
            time: 0,
            pairs: Vec::new(),
            diffs: Vec::new(),
        }
    }
}

/// What pairs may have as values.
pub trait Value: ExchangeData {
    /// Sorts by pairs.
    fn sort(pairs: &mut Vec<(Pair<Self>, i64)>);
}

impl Value for u32 {
    fn sort(pairs: &mut Vec<(Pair<u32>, i64)>) {
        sort_by_digits(pairs, |((group, value), _)| [0, pack(*group, *value)]);
    }
}

impl Value for u64 {
    fn sort(pairs: &mut Vec<(Pair<u64>, i64)>) {
        sort_by_digits(pairs, |((group, value), _)| [(*group).into(), *value]);
    }
}

impl Value for Row {
    fn sort(pairs: &mut Vec<(Pair<Row>, i64)>) {
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
}

impl<V: Value> Run<V> {
    /// Sorts and sums pairs; `unsorted` is left empty.
    pub fn sort(time: u64, unsorted: &mut Vec<(Pair<V>, i64)>) -> Self {
        V::sort(unsorted);
        let mut run = Self {
            time,
            pairs: Vec::with_capacity(unsorted.len()),
            diffs: Vec::with_capacity(unsorted.len()),
        };
        let mut updates = unsorted.drain(..).peekable();
        while let Some((pair, diff)) = next_sum(&mut updates) {
            run.push(pair, diff);
        }
        run
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn merge(self, other: Self) -> Self {
        let capacity = self.pairs.len() + other.pairs.len();
        let time = self.time;
        let mut merged = Self {
            time,
            pairs: Vec::with_capacity(capacity),
            diffs: Vec::with_capacity(capacity),
        };
        let (mut left, mut right) = (self.into_updates(), other.into_updates());
        let (mut a, mut b) = (left.next(), right.next());
        loop {
            match (a, b) {
                (Some(one), Some(other)) => match one.0.cmp(&other.0) {
                    Ordering::Less => {
                        merged.push(one.0, one.1);
                        (a, b) = (left.next(), Some(other));
                    }
                    Ordering::Greater => {
                        merged.push(other.0, other.1);
                        (a, b) = (Some(one), right.next());
                    }
                    // Beyond four bytes a pair stands more than once.
                    Ordering::Equal => {
                        let (pair, mut sum) = (one.0, one.1 + other.1);
                        (a, b) = (left.next(), right.next());
                        for (next, rest) in [
                            (&mut a, &mut left as &mut dyn Iterator<Item = _>),
                            (&mut b, &mut right),
                        ] {
                            while let Some((_, more)) = next.take_if(|(other, _)| *other == pair) {
                                sum += more;
                                *next = rest.next();
                            }
                        }
                        merged.push(pair, sum);
                    }
                },
                (rest, None) => {
                    let rest = rest.into_iter().chain(left);
                    rest.for_each(|(pair, diff)| merged.push(pair, diff));
                    return merged;
                }
                (None, rest) => {
                    let rest = rest.into_iter().chain(right);
                    rest.for_each(|(pair, diff)| merged.push(pair, diff));
                    return merged;
                }
            }
        }
    }

    /// Appends a pair that is not less than the last; differences of zero vanish.
    fn push(&mut self, pair: Pair<V>, diff: i64) {
        match i32::try_from(diff) {
            Ok(0) => {}
            Ok(diff) => {
                self.pairs.push(pair);
                self.diffs.push(diff);
            }
            Err(_) => self.push_in_parts(&pair, diff),
        }
    }

    #[cold]
    fn push_in_parts(&mut self, pair: &Pair<V>, mut diff: i64) {
        while diff != 0 {
            let limit = if diff > 0 { i32::MAX } else { i32::MIN };
            let part = i32::try_from(diff).unwrap_or(limit);
            self.pairs.push(pair.clone());
            self.diffs.push(part);
            diff -= i64::from(part);
        }
    }

    fn into_updates(self) -> impl Iterator<Item = (Pair<V>, i64)> {
        self.pairs
            .into_iter()
            .zip(self.diffs.into_iter().map(i64::from))
    }
}

/// The next pair and the sum of all its differences.
fn next_sum<V: Ord>(
    updates: &mut Peekable<impl Iterator<Item = (Pair<V>, i64)>>,
) -> Option<(Pair<V>, i64)> {
    let (pair, mut sum) = updates.next()?;
    while let Some((_, diff)) = updates.next_if(|(other, _)| *other == pair) {
        sum += diff;
    }
    Some((pair, sum))
}

/// Hands runs on as they come: they are sorted already.
pub struct Runs<V> {
    ready: VecDeque<Run<V>>,
    handed: Run<V>,
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            handed: Run::default(),
        }
    }
}

impl<V> PushInto<&mut Vec<Run<V>>> for Runs<V> {
    fn push_into(&mut self, runs: &mut Vec<Run<V>>) {
        self.ready.extend(runs.drain(..));
    }
}

impl<V: 'static> ContainerBuilder for Runs<V> {
    type Container = Run<V>;

    fn extract(&mut self) -> Option<&mut Run<V>> {
        self.handed = self.ready.pop_front()?;
        Some(&mut self.handed)
    }

    fn finish(&mut self) -> Option<&mut Run<V>> {
        self.extract()
    }
}

/// Collects runs until their epoch is complete.
pub struct PairBatcher<V> {
    epochs: BTreeMap<u64, Vec<Run<V>>>,
    lower: Antichain<u64>,
    frontier: Antichain<u64>,
}

impl<V: Value> PushInto<Run<V>> for PairBatcher<V> {
    fn push_into(&mut self, run: Run<V>) {
        if run.is_empty() {
            return;
        }
        let runs = self.epochs.entry(run.time).or_default();
        runs.push(run);
        while let [.., left, right] = runs.as_slice()
            && left.pairs.len() / 2 <= right.pairs.len()
        {
            merge_last(runs);
        }
    }
}

fn merge_last<V: Value>(runs: &mut Vec<Run<V>>) {
    if let (Some(right), Some(left)) = (runs.pop(), runs.pop()) {
        let mut merged = left.merge(right);
        // What was summed up leaves room behind; much of it is given back.
        if merged.pairs.len() < merged.pairs.capacity() / 4 * 3 {
            merged.pairs.shrink_to_fit();
            merged.diffs.shrink_to_fit();
        }
        runs.push(merged);
    }
}

impl<V: Value> Batcher for PairBatcher<V> {
    type Output = Run<V>;
    type Time = u64;

    fn new(_logger: Option<Logger>, _operator_id: usize) -> Self {
        Self {
            epochs: BTreeMap::new(),
            lower: Antichain::from_elem(0),
            frontier: Antichain::new(),
        }
    }

    fn seal(&mut self, upper: Antichain<u64>) -> (Vec<Run<V>>, Description<u64>) {
        let mut sealed = Vec::new();
        while let Some(epoch) = self.epochs.first_entry()
            && !upper.less_equal(epoch.key())
        {
            let mut runs = epoch.remove();
            while runs.len() > 1 {
                merge_last(&mut runs);
            }
            sealed.extend(runs.into_iter().filter(|run| !run.is_empty()));
        }
        self.frontier.clear();
        self.frontier.extend(self.epochs.keys().next().copied());
        let description =
            Description::new(self.lower.clone(), upper.clone(), Antichain::from_elem(0));
        self.lower = upper;
        (sealed, description)
    }

    fn frontier(&mut self) -> AntichainRef<'_, u64> {
        self.frontier.borrow()
    }
}

/// Builds a batch from one run an epoch, in the order of the epochs.
pub struct PairBuilder<V>(Vec<Run<V>>);

type Inner<V> = OrdKeyBuilder<Vector<Update<V>>, Vec<Update<V>>>;

impl<V: Value> Builder for PairBuilder<V> {
    type Input = Run<V>;
    type Time = u64;
    type Output = OrdKeyBatch<Vector<Update<V>>>;

    fn with_capacity(_keys: usize, _values: usize, _updates: usize) -> Self {
        Self(Vec::new())
    }

    fn push(&mut self, run: &mut Run<V>) {
        self.0.push(std::mem::take(run));
    }

    fn done(self, description: Description<u64>) -> Self::Output {
        let pairs = self.0.iter().map(|run| run.pairs.len()).sum();
        let mut builder = Inner::with_capacity(pairs, pairs, 0);
        let mut piece: Vec<Update<V>> = Vec::with_capacity(PIECE);
        let mut heads: Vec<_> = self
            .0
            .into_iter()
            .map(|run| (run.time, run.into_updates().peekable()))
            .collect();
        // One epoch alone is in order as it is.
        if let [(time, updates)] = heads.as_mut_slice() {
            while let Some((pair, diff)) = next_sum(updates) {
                piece.push(((pair, ()), *time, diff));
                if piece.len() == PIECE {
                    builder.push(&mut piece);
                }
            }
        }
        while let Some((time, updates)) = heads
            .iter_mut()
            .filter_map(|(time, updates)| {
                updates
                    .peek()
                    .cloned()
                    .map(|(pair, _)| (pair, *time, updates))
            })
            .min_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)))
            .map(|(_, time, updates)| (time, updates))
        {
            if let Some((pair, diff)) = next_sum(updates) {
                piece.push(((pair, ()), time, diff));
            }
            if piece.len() == PIECE {
                builder.push(&mut piece);
            }
        }
        builder.push(&mut piece);
        builder.done(description)
    }

    fn seal(runs: &mut Vec<Run<V>>, description: Description<u64>) -> Self::Output {
        Self(std::mem::take(runs)).done(description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(time: u64, updates: &[(u32, i64)]) -> Run<u32> {
        Run::sort(
            time,
            &mut updates
                .iter()
                .map(|&(value, diff)| ((0, value), diff))
                .collect(),
        )
    }

    fn sums(run: Run<u32>) -> Vec<(u32, i64)> {
        let mut updates = run.into_updates().peekable();
        std::iter::from_fn(|| next_sum(&mut updates))
            .map(|((_, value), diff)| (value, diff))
            .collect()
    }

    #[test]
    fn sorting_and_merging_sum_up() {
        assert_eq!(
            sums(run(0, &[(2, 1), (1, 1), (2, 3), (3, 1), (3, -1)])),
            [(1, 1), (2, 4)]
        );
        let merged = run(0, &[(1, 1), (2, 2), (4, 1)]).merge(run(0, &[(2, -2), (3, 1), (4, 1)]));
        assert_eq!(sums(merged), [(1, 1), (3, 1), (4, 2)]);
    }

    #[test]
    fn differences_beyond_four_bytes_are_kept() {
        let large = i64::from(i32::MAX);
        assert_eq!(sums(run(0, &[(1, 3 * large + 2)])), [(1, 3 * large + 2)]);
        assert_eq!(
            sums(run(0, &[(1, large)]).merge(run(0, &[(1, large)]))),
            [(1, 2 * large)]
        );
        assert_eq!(
            sums(run(0, &[(1, -3 * large), (2, 1)]).merge(run(0, &[(1, 3 * large)]))),
            [(2, 1)]
        );
    }

    #[test]
    fn epochs_are_sealed_in_order() {
        let mut batcher = PairBatcher::<u32>::new(None, 0);
        for (time, value) in [(1, 5), (0, 7), (1, 4), (2, 1), (0, 7)] {
            batcher.push_into(run(time, &[(value, 1)]));
        }
        let (sealed, _) = batcher.seal(Antichain::from_elem(2));
        assert_eq!(
            sealed.iter().map(|run| run.time).collect::<Vec<_>>(),
            [0, 1]
        );
        assert_eq!(
            sealed.into_iter().map(sums).collect::<Vec<_>>(),
            [vec![(7, 2)], vec![(4, 1), (5, 1)]]
        );
        assert_eq!(batcher.frontier().to_owned(), Antichain::from_elem(2));
    }
}
