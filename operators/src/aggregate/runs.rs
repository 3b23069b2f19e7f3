//! Runs: `(group, value)` pairs with how many more, or fewer, times they are there, sorted.
//!
//! A first run of a job brings tens of millions of pairs in one epoch, which are the peak of its memory: a pair of ids
//! takes 12 bytes here. Epochs are totally ordered, so what was before an epoch is a handful of runs ([`Past`]), without
//! times.
//!
//! 1. The pairs of a run are sorted; a pair stands more than once only where its difference exceeds four bytes, and no
//!    difference is zero.
//! 2. Runs are merged as they come in, so that each is more than twice as long as the next: a pair is moved a logarithmic
//!    number of times, and pairs that repeat are summed early.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Range;
use std::rc::Rc;

use super::paired::pack;
use super::radix::sort_by_digits;
use crate::row::Row;

/// A `(group, value)` pair; the group is an id of the worker's own dictionary.
pub type Pair<V> = (u32, V);

/// Pairs of a chunk.
const CHUNK: usize = 1 << 15;

/// Sorted pairs with their differences, in chunks: all are full but the last, and each is given back as soon as what was in
/// it is merged.
#[derive(Clone, Debug)]
pub struct Run<V> {
    chunks: Vec<Chunk<V>>,
}

#[derive(Clone, Debug)]
struct Chunk<V> {
    pairs: Vec<Pair<V>>,
    diffs: Vec<i32>,
}

impl<V> Default for Run<V> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

/// What pairs may have as values.
pub trait Value: Ord + Clone + 'static {
    /// Sorts by pairs.
    fn sort(pairs: &mut Vec<(Pair<Self>, i32)>);
}

impl Value for u32 {
    fn sort(pairs: &mut Vec<(Pair<u32>, i32)>) {
        sort_by_digits(pairs, |((group, value), _)| [0, pack(*group, *value)]);
    }
}

impl Value for u64 {
    fn sort(pairs: &mut Vec<(Pair<u64>, i32)>) {
        sort_by_digits(pairs, |((group, value), _)| [(*group).into(), *value]);
    }
}

impl Value for Row {
    fn sort(pairs: &mut Vec<(Pair<Row>, i32)>) {
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
}

impl<V: Value> Run<V> {
    /// Sorts and sums pairs; `unsorted` is left empty.
    pub fn sort(unsorted: &mut Vec<(Pair<V>, i32)>) -> Self {
        V::sort(unsorted);
        let mut run = Builder::new(unsorted.len());
        let updates = unsorted.drain(..);
        let mut updates = updates.map(|(pair, diff)| (pair, diff.into())).peekable();
        while let Some((pair, diff)) = next_sum(&mut updates) {
            run.push(pair, diff);
        }
        run.finish()
    }

    /// How many pairs stand in it.
    pub fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.pairs.len());
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The pairs, in order; one may stand more than once.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair<V>> {
        self.chunks.iter().flat_map(|chunk| &chunk.pairs)
    }

    /// The pair at an index.
    pub fn pair(&self, index: usize) -> &Pair<V> {
        &self.chunks[index / CHUNK].pairs[index % CHUNK]
    }

    /// The difference of the pair at an index.
    pub fn diff(&self, index: usize) -> i64 {
        self.chunks[index / CHUNK].diffs[index % CHUNK].into()
    }

    /// Where the pairs of each group are.
    pub fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let mut pairs = self.pairs().peekable();
        let mut from = 0;
        std::iter::from_fn(move || {
            let group = pairs.next()?.0;
            let mut to = from + 1;
            while pairs.next_if(|pair| pair.0 == group).is_some() {
                to += 1;
            }
            let range = from..to;
            from = to;
            Some(range)
        })
    }

    /// What stands at these indices: pairs with their differences.
    pub fn updates(&self, range: Range<usize>) -> impl Iterator<Item = (&Pair<V>, i64)> {
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

    /// The pairs at these indices, each once, with where it stands first and its difference.
    pub fn sums(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &Pair<V>, i64)> {
        let updates = range.map(|at| (at, self.pair(at), self.diff(at)));
        let mut updates = updates.peekable();
        std::iter::from_fn(move || {
            let (at, pair, mut sum) = updates.next()?;
            while let Some((.., diff)) = updates.next_if(|(_, other, _)| *other == pair) {
                sum += diff;
            }
            Some((at, pair, sum))
        })
    }

    /// The first index from `from` on at whose pair `before` does not hold: found near `from` in few steps.
    pub fn advance(&self, from: usize, before: impl Fn(&Pair<V>) -> bool) -> usize {
        let (length, mut from, mut step) = (self.len(), from, 1);
        while from + step <= length && before(self.pair(from + step - 1)) {
            from += step;
            step *= 2;
        }
        self.search(from..length.min(from + step - 1), before)
    }

    /// The first of these indices at whose pair `before` does not hold, or their end.
    pub fn search(&self, among: Range<usize>, before: impl Fn(&Pair<V>) -> bool) -> usize {
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

    fn merge(self, other: Self) -> Self {
        let mut merged = Builder::new(self.len() + other.len());
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

    /// The pairs; a chunk is gone when its last was taken.
    fn into_updates(self) -> impl Iterator<Item = (Pair<V>, i64)> {
        self.chunks.into_iter().flat_map(|chunk| {
            let diffs = chunk.diffs.into_iter().map(i64::from);
            chunk.pairs.into_iter().zip(diffs)
        })
    }
}

/// Puts a run together.
struct Builder<V> {
    full: Vec<Chunk<V>>,
    last: Chunk<V>,
    /// How many more pairs there may be than in the full chunks.
    room: usize,
}

impl<V: Value> Builder<V> {
    /// For at most so many pairs whose differences are of four bytes.
    fn new(room: usize) -> Self {
        Self {
            full: Vec::new(),
            last: Chunk::with_room(room),
            room,
        }
    }

    /// Appends a pair that is not less than the last; differences of zero vanish.
    fn push(&mut self, pair: Pair<V>, diff: i64) {
        match i32::try_from(diff) {
            Ok(0) => {}
            Ok(diff) => self.append(pair, diff),
            Err(_) => self.push_in_parts(&pair, diff),
        }
    }

    #[cold]
    fn push_in_parts(&mut self, pair: &Pair<V>, mut diff: i64) {
        while diff != 0 {
            let limit = if diff > 0 { i32::MAX } else { i32::MIN };
            let part = i32::try_from(diff).unwrap_or(limit);
            self.append(pair.clone(), part);
            diff -= i64::from(part);
        }
    }

    fn append(&mut self, pair: Pair<V>, diff: i32) {
        if self.last.pairs.len() == CHUNK {
            self.next_chunk();
        }
        self.last.pairs.push(pair);
        self.last.diffs.push(diff);
    }

    #[cold]
    fn next_chunk(&mut self) {
        self.room = self.room.saturating_sub(CHUNK);
        let next = Chunk::with_room(self.room);
        self.full.push(std::mem::replace(&mut self.last, next));
    }

    fn finish(mut self) -> Run<V> {
        if !self.last.pairs.is_empty() {
            // What was summed up leaves room behind.
            self.last.pairs.shrink_to_fit();
            self.last.diffs.shrink_to_fit();
            self.full.push(self.last);
        }
        Run { chunks: self.full }
    }
}

impl<V> Chunk<V> {
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

/// Pairs sorted at once: 4 MiB of ids.
const SORTED_MAX: usize = 1 << 18;

/// The pairs of an epoch that is not complete.
pub struct Coming<V> {
    /// What came last.
    pub unsorted: Vec<(Pair<V>, i32)>,
    runs: Vec<Run<V>>,
}

impl<V> Default for Coming<V> {
    fn default() -> Self {
        Self {
            unsorted: Vec::new(),
            runs: Vec::new(),
        }
    }
}

impl<V: Value> Coming<V> {
    /// Sorts what came, once it is much.
    pub fn sort_much(&mut self) {
        if self.unsorted.len() >= SORTED_MAX {
            self.runs.push(Run::sort(&mut self.unsorted));
            while let [.., left, right] = self.runs.as_slice()
                && is_due(left, right)
            {
                merge_last(&mut self.runs);
            }
        }
    }

    /// All pairs in one run.
    pub fn finish(mut self) -> Run<V> {
        self.runs.push(Run::sort(&mut self.unsorted));
        drop(self.unsorted);
        while self.runs.len() > 1 {
            merge_last(&mut self.runs);
        }
        self.runs.pop().unwrap_or_default()
    }
}

fn merge_last<V: Value>(runs: &mut Vec<Run<V>>) {
    if let (Some(right), Some(left)) = (runs.pop(), runs.pop()) {
        runs.push(left.merge(right));
    }
}

/// Whether a run is so small beside the next one that they should be one.
fn is_due<V: Value>(left: &Run<V>, right: &Run<V>) -> bool {
    left.len() / 2 <= right.len()
}

/// The pairs of all epochs so far.
pub struct Past<V>(Vec<Rc<Run<V>>>);

impl<V> Default for Past<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: Value> Past<V> {
    /// Adds an epoch's.
    pub fn push(&mut self, run: Rc<Run<V>>) {
        self.0.push(run);
        while let [.., left, right] = self.0.as_slice()
            && is_due(left, right)
            && let (Some(right), Some(left)) = (self.0.pop(), self.0.pop())
        {
            let merged = Rc::unwrap_or_clone(left).merge(Rc::unwrap_or_clone(right));
            self.0.push(Rc::new(merged));
        }
    }

    /// Its runs.
    pub fn runs(&self) -> &[Rc<Run<V>>] {
        &self.0
    }

    /// Looks pairs up in ascending order.
    pub fn lookup(&self) -> Lookup<'_, V> {
        Lookup(self.0.iter().map(|run| (&**run, 0)).collect())
    }
}

/// How often pairs were there, asked for in ascending order.
pub struct Lookup<'a, V>(Vec<(&'a Run<V>, usize)>);

impl<V: Value> Lookup<'_, V> {
    /// How often the pair was there.
    pub fn count(&mut self, pair: &Pair<V>) -> i64 {
        let mut count = 0;
        for (run, at) in &mut self.0 {
            *at = run.advance(*at, |other| other < pair);
            while *at < run.len() && run.pair(*at) == pair {
                count += run.diff(*at);
                *at += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(updates: &[(u32, i32)]) -> Run<u32> {
        let updates = updates.iter().map(|&(value, diff)| ((0, value), diff));
        Run::sort(&mut updates.collect())
    }

    fn sums(run: &Run<u32>) -> Vec<(u32, i64)> {
        let sums = run.sums(0..run.len());
        sums.map(|(_, &(_, value), diff)| (value, diff)).collect()
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
    fn differences_beyond_four_bytes_are_kept() {
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
    fn groups_lie_side_by_side() {
        let updates = [(4, 1), (2, 7), (4, 0), (2, 9)].map(|pair| (pair, 1));
        let run = Run::<u32>::sort(&mut updates.to_vec());
        let groups = run
            .groups()
            .map(|range| range.map(|at| *run.pair(at)).collect());
        assert_eq!(
            groups.collect::<Vec<Vec<_>>>(),
            [vec![(2, 7), (2, 9)], vec![(4, 0), (4, 1)]]
        );
    }

    #[test]
    fn runs_of_many_chunks_are_as_those_of_one() {
        let chunk = u32::try_from(CHUNK).unwrap_or_default();
        for length in [chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 7] {
            // Every second and every third number: each sixth is in both, and goes.
            let every = |step: u32, diff: i32| {
                let numbers = (0..length).filter(move |number| number % step == 0);
                run(&numbers.map(|number| (number, diff)).collect::<Vec<_>>())
            };
            let (two, three) = (every(2, 1), every(3, -1));
            assert_eq!(two.len(), two.pairs().count());
            for target in [0, 1, length / 2, length - 1, length] {
                let found = two.advance(0, |pair| pair.1 < target);
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

    /// Epochs of pairs that come and go, against a map.
    #[test]
    fn the_past_counts_what_came_and_went() {
        let mut state = 5_u64;
        let mut random = |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u32::try_from(state >> 33).unwrap_or_default() % below
        };
        let mut past = Past::<u32>::default();
        let mut model = std::collections::BTreeMap::<Pair<u32>, i64>::new();
        for epoch in 0..40 {
            let mut updates = Vec::new();
            for _ in 0..=random(300) {
                let pair = (random(3), random(90));
                let diff = i32::try_from(random(5)).unwrap_or_default() - 2;
                *model.entry(pair).or_default() += i64::from(diff);
                updates.push((pair, diff));
            }
            past.push(Rc::new(Run::sort(&mut updates)));
            let mut lookup = past.lookup();
            for pair in (0..3).flat_map(|group| (0..90).map(move |value| (group, value))) {
                let there = model.get(&pair).copied().unwrap_or_default();
                assert_eq!(lookup.count(&pair), there, "epoch {epoch}, {pair:?}");
            }
            assert!(past.runs().len() < 12);
        }
    }
}
