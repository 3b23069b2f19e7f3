//! A run: `(group, value)` pairs, sorted, each with the change of its count.
//!
//! A first run of a job inserts tens of millions of pairs in one epoch. They are its peak of memory, and a pair of ids
//! takes 12 bytes here.
//!
//! 1. The pairs of a run are sorted. A pair occurs more than once only if its difference exceeds four bytes. No difference
//!    is zero.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Range;

use super::pair_counter::pack;
use super::radix::sort_by_digits;
use crate::row::EncodedRow;

/// A group, which is an id of the worker's own dictionary, and a value in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupValue<V> {
    /// The group.
    pub group: u32,
    /// The value.
    pub value: V,
}

/// Pairs in a chunk.
const CHUNK: usize = 1 << 15;

/// Sorted pairs with their differences, in chunks. All chunks but the last are full. A merge frees each chunk as soon as
/// it has passed it.
#[derive(Clone, Debug)]
pub struct PairRun<V> {
    chunks: Vec<PairChunk<V>>,
}

#[derive(Clone, Debug)]
struct PairChunk<V> {
    pairs: Vec<GroupValue<V>>,
    diffs: Vec<i32>,
}

impl<V> Default for PairRun<V> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

/// A pair of a run with its whole difference.
pub struct PairSum<'a, V> {
    /// Index of its first entry.
    pub at: usize,
    /// The pair.
    pub pair: &'a GroupValue<V>,
    /// The difference.
    pub diff: i64,
}

/// A representation of the values of pairs.
pub trait PairValue: Ord + Clone + 'static {
    /// Sorts pairs.
    fn sort(pairs: &mut Vec<(GroupValue<Self>, i32)>);
}

impl PairValue for u32 {
    fn sort(pairs: &mut Vec<(GroupValue<u32>, i32)>) {
        sort_by_digits(pairs, |(pair, _)| [0, pack(pair.group, pair.value)]);
    }
}

impl PairValue for u64 {
    fn sort(pairs: &mut Vec<(GroupValue<u64>, i32)>) {
        sort_by_digits(pairs, |(pair, _)| [pair.group.into(), pair.value]);
    }
}

impl PairValue for EncodedRow {
    fn sort(pairs: &mut Vec<(GroupValue<EncodedRow>, i32)>) {
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
}

impl<V: PairValue> PairRun<V> {
    /// A run of these pairs; leaves `unsorted` empty.
    pub fn sort(unsorted: &mut Vec<(GroupValue<V>, i32)>) -> Self {
        V::sort(unsorted);
        let mut run = PairRunBuilder::new(unsorted.len());
        let updates = unsorted.drain(..);
        let mut updates = updates.map(|(pair, diff)| (pair, diff.into())).peekable();
        while let Some((pair, diff)) = next_sum(&mut updates) {
            run.push(pair, diff);
        }
        run.finish()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.pairs.len());
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The pair of each entry, in order.
    pub fn pairs(&self) -> impl Iterator<Item = &GroupValue<V>> {
        self.chunks.iter().flat_map(|chunk| &chunk.pairs)
    }

    /// The pair at an index.
    pub fn pair(&self, index: usize) -> &GroupValue<V> {
        &self.chunks[index / CHUNK].pairs[index % CHUNK]
    }

    /// The difference of the pair at an index.
    pub fn diff(&self, index: usize) -> i64 {
        self.chunks[index / CHUNK].diffs[index % CHUNK].into()
    }

    /// The range of each group.
    pub fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let mut pairs = self.pairs().peekable();
        let mut from = 0;
        std::iter::from_fn(move || {
            let group = pairs.next()?.group;
            let mut to = from + 1;
            while pairs.next_if(|pair| pair.group == group).is_some() {
                to += 1;
            }
            let range = from..to;
            from = to;
            Some(range)
        })
    }

    /// The entries at these indices: pairs with their differences.
    pub fn updates(&self, range: Range<usize>) -> impl Iterator<Item = (&GroupValue<V>, i64)> {
        let chunks = self.chunks[range.start / CHUNK..range.end.div_ceil(CHUNK)].iter();
        let (mut skip, mut left) = (range.start % CHUNK, range.len());
        chunks.flat_map(move |chunk| {
            let from = std::mem::take(&mut skip);
            let to = chunk.pairs.len().min(from + left);
            left -= to - from;
            let diffs = chunk.diffs[from..to].iter().map(|&diff| diff.into());
            chunk.pairs[from..to].iter().zip(diffs)
        })
    }

    /// The pairs at these indices, each once.
    pub fn sums(&self, range: Range<usize>) -> impl Iterator<Item = PairSum<'_, V>> {
        let updates = range.map(|at| (at, self.pair(at), self.diff(at)));
        let mut updates = updates.peekable();
        std::iter::from_fn(move || {
            let (at, pair, mut sum) = updates.next()?;
            while let Some((.., diff)) = updates.next_if(|(_, other, _)| *other == pair) {
                sum += diff;
            }
            Some(PairSum {
                at,
                pair,
                diff: sum,
            })
        })
    }

    /// The first index not less than `from` whose pair is not `before`. Fast when it is close to `from`.
    pub fn advance(&self, from: usize, before: impl Fn(&GroupValue<V>) -> bool) -> usize {
        let (length, mut from, mut step) = (self.len(), from, 1);
        while from + step <= length && before(self.pair(from + step - 1)) {
            from += step;
            step *= 2;
        }
        self.search(from..length.min(from + step - 1), before)
    }

    /// The first of these indices whose pair is not `before`, or their end.
    pub fn search(&self, among: Range<usize>, before: impl Fn(&GroupValue<V>) -> bool) -> usize {
        let Range {
            start: mut from,
            end: mut to,
        } = among;
        while from < to {
            let middle = usize::midpoint(from, to);
            if before(self.pair(middle)) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }

    /// Both runs in one.
    pub fn merge(self, other: Self) -> Self {
        let mut merged = PairRunBuilder::new(self.len() + other.len());
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
                    // Entries of one pair are summed before they are divided again.
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
                    break;
                }
                (None, rest) => {
                    let rest = rest.into_iter().chain(right);
                    rest.for_each(|(pair, diff)| merged.push(pair, diff));
                    break;
                }
            }
        }
        merged.finish()
    }

    /// The entries. A chunk is freed after its last entry.
    fn into_updates(self) -> impl Iterator<Item = (GroupValue<V>, i64)> {
        self.chunks.into_iter().flat_map(|chunk| {
            let diffs = chunk.diffs.into_iter().map(i64::from);
            chunk.pairs.into_iter().zip(diffs)
        })
    }
}

/// Builds a run.
struct PairRunBuilder<V> {
    full: Vec<PairChunk<V>>,
    last: PairChunk<V>,
    /// The number of pairs that may follow the full chunks.
    room: usize,
}

impl<V: PairValue> PairRunBuilder<V> {
    /// For at most this many entries with differences of four bytes.
    fn new(room: usize) -> Self {
        Self {
            full: Vec::new(),
            last: PairChunk::with_room(room),
            room,
        }
    }

    /// Appends a pair that is not less than the last one, unless its difference is zero.
    fn push(&mut self, pair: GroupValue<V>, diff: i64) {
        match i32::try_from(diff) {
            Ok(0) => {}
            Ok(diff) => self.append(pair, diff),
            Err(_) => self.push_in_parts(&pair, diff),
        }
    }

    #[cold]
    fn push_in_parts(&mut self, pair: &GroupValue<V>, mut diff: i64) {
        while diff != 0 {
            let limit = if diff > 0 { i32::MAX } else { i32::MIN };
            let part = i32::try_from(diff).unwrap_or(limit);
            self.append(pair.clone(), part);
            diff -= i64::from(part);
        }
    }

    fn append(&mut self, pair: GroupValue<V>, diff: i32) {
        if self.last.pairs.len() == CHUNK {
            self.next_chunk();
        }
        self.last.pairs.push(pair);
        self.last.diffs.push(diff);
    }

    #[cold]
    fn next_chunk(&mut self) {
        self.room = self.room.saturating_sub(CHUNK);
        let next = PairChunk::with_room(self.room);
        self.full.push(std::mem::replace(&mut self.last, next));
    }

    fn finish(mut self) -> PairRun<V> {
        if !self.last.pairs.is_empty() {
            // Summing left unused room.
            self.last.pairs.shrink_to_fit();
            self.last.diffs.shrink_to_fit();
            self.full.push(self.last);
        }
        PairRun { chunks: self.full }
    }
}

impl<V> PairChunk<V> {
    fn with_room(pairs: usize) -> Self {
        let pairs = pairs.min(CHUNK);
        Self {
            pairs: Vec::with_capacity(pairs),
            diffs: Vec::with_capacity(pairs),
        }
    }
}

/// The next pair and the sum of all its differences.
fn next_sum<P: PartialEq>(
    updates: &mut Peekable<impl Iterator<Item = (P, i64)>>,
) -> Option<(P, i64)> {
    let (pair, mut sum) = updates.next()?;
    while let Some((_, diff)) = updates.next_if(|(other, _)| *other == pair) {
        sum += diff;
    }
    Some((pair, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(updates: &[(u32, i32)]) -> PairRun<u32> {
        let pair = |value| GroupValue { group: 0, value };
        let updates = updates.iter().map(|&(value, diff)| (pair(value), diff));
        PairRun::sort(&mut updates.collect())
    }

    fn sums(run: &PairRun<u32>) -> Vec<(u32, i64)> {
        let sums = run.sums(0..run.len());
        sums.map(|sum| (sum.pair.value, sum.diff)).collect()
    }

    #[test]
    fn sorting_and_merging_sum_up() {
        assert_eq!(
            sums(&run(&[(2, 1), (1, 1), (2, 3), (3, 1), (3, -1)])),
            [(1, 1), (2, 4)]
        );
        let merged = run(&[(1, 1), (2, 2), (4, 1)]).merge(run(&[(2, -2), (3, 1), (4, 1)]));
        assert_eq!(sums(&merged), [(1, 1), (3, 1), (4, 2)]);
    }

    #[test]
    fn differences_may_exceed_four_bytes() {
        let (most, large) = (i32::MAX, i64::from(i32::MAX));
        let many = [(1, most), (1, most), (1, 2), (1, most)];
        assert_eq!(sums(&run(&many)), [(1, 3 * large + 2)]);
        assert_eq!(
            sums(&run(&[(1, most)]).merge(run(&[(1, most)]))),
            [(1, 2 * large)]
        );
        let back = [(1, -most), (1, -most), (2, 1), (1, -2), (1, -most)];
        assert_eq!(sums(&run(&back).merge(run(&many))), [(2, 1)]);
    }

    #[test]
    fn the_pairs_of_a_group_are_adjacent() {
        let pairs = [(4, 1), (2, 7), (4, 0), (2, 9)];
        let updates = pairs.map(|(group, value)| (GroupValue { group, value }, 1));
        let run = PairRun::<u32>::sort(&mut updates.to_vec());
        let pairs = |range: Range<usize>| {
            let pairs = range.map(|at| *run.pair(at));
            pairs.map(|pair| (pair.group, pair.value)).collect()
        };
        let groups = run.groups().map(pairs);
        assert_eq!(
            groups.collect::<Vec<Vec<_>>>(),
            [vec![(2, 7), (2, 9)], vec![(4, 0), (4, 1)]]
        );
    }

    #[test]
    fn runs_of_many_chunks_behave_like_those_of_one() {
        let chunk = u32::try_from(CHUNK).unwrap_or_default();
        for length in [chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 7] {
            // Every second and every third number: each sixth is in both, and vanishes.
            let every = |step: u32, diff: i32| {
                let numbers = (0..length).filter(move |number| number % step == 0);
                run(&numbers.map(|number| (number, diff)).collect::<Vec<_>>())
            };
            let (two, three) = (every(2, 1), every(3, -1));
            assert_eq!(two.len(), two.pairs().count());
            for target in [0, 1, length / 2, length - 1, length] {
                let found = two.advance(0, |pair| pair.value < target);
                assert_eq!(
                    found,
                    usize::try_from(target.div_ceil(2))
                        .unwrap_or_default()
                        .min(two.len())
                );
            }
            let merged = two.merge(three);
            let expected = (0..length).filter_map(|number| match (number % 2, number % 3) {
                (0, 1 | 2) => Some((number, 1)),
                (1, 0) => Some((number, -1)),
                _ => None,
            });
            assert_eq!(sums(&merged), expected.collect::<Vec<_>>(), "{length}");
            assert_eq!(merged.groups().collect::<Vec<_>>(), vec![0..merged.len()]);
        }
    }
}
