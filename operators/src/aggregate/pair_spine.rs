//! The runs of `(group, value)` pairs of an aggregation: those of the open epoch, and those of all epochs before.
//!
//! Epochs are totally ordered and are closed one after another, so a spine needs no times: the pairs before an epoch are a
//! few runs.
//!
//! 1. Runs are merged as they arrive, so that each is more than twice as long as the next. Each pair is moved a logarithmic
//!    number of times, and repeated pairs are summed early.

use std::rc::Rc;

use super::pair_run::{GroupValue, PairRun, PairValue};

/// Pairs that are sorted at a time: 4 MiB of ids.
const SORTED_MAX: usize = 1 << 18;

/// Collects the pairs of an epoch that is not complete.
pub struct PairBatcher<V> {
    /// Pairs that are not yet in a run.
    pub unsorted: Vec<(GroupValue<V>, i32)>,
    runs: Vec<PairRun<V>>,
}

impl<V> Default for PairBatcher<V> {
    fn default() -> Self {
        Self {
            unsorted: Vec::new(),
            runs: Vec::new(),
        }
    }
}

impl<V: PairValue> PairBatcher<V> {
    /// Makes a run of the unsorted pairs when there are enough of them.
    pub fn sort_if_full(&mut self) {
        if self.unsorted.len() >= SORTED_MAX {
            self.runs.push(PairRun::sort(&mut self.unsorted));
            while let [.., left, right] = self.runs.as_slice()
                && should_merge(left, right)
            {
                merge_last(&mut self.runs);
            }
        }
    }

    /// All pairs in one run.
    pub fn finish(mut self) -> PairRun<V> {
        self.runs.push(PairRun::sort(&mut self.unsorted));
        drop(self.unsorted);
        while self.runs.len() > 1 {
            merge_last(&mut self.runs);
        }
        self.runs.pop().unwrap_or_default()
    }
}

fn merge_last<V: PairValue>(runs: &mut Vec<PairRun<V>>) {
    if let (Some(right), Some(left)) = (runs.pop(), runs.pop()) {
        runs.push(left.merge(right));
    }
}

/// Whether a run is small enough, compared to the next one, that the two should be merged.
fn should_merge<V: PairValue>(left: &PairRun<V>, right: &PairRun<V>) -> bool {
    left.len() / 2 <= right.len()
}

/// The pairs of all complete epochs.
pub struct PairSpine<V>(Vec<Rc<PairRun<V>>>);

impl<V> Default for PairSpine<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: PairValue> PairSpine<V> {
    /// Adds the run of an epoch.
    pub fn push(&mut self, run: Rc<PairRun<V>>) {
        self.0.push(run);
        while let [.., left, right] = self.0.as_slice()
            && should_merge(left, right)
            && let (Some(right), Some(left)) = (self.0.pop(), self.0.pop())
        {
            let merged = Rc::unwrap_or_clone(left).merge(Rc::unwrap_or_clone(right));
            self.0.push(Rc::new(merged));
        }
    }

    /// The runs; each is more than twice as long as the next.
    pub fn runs(&self) -> &[Rc<PairRun<V>>] {
        &self.0
    }

    /// A lookup of the counts of pairs, in ascending order.
    pub fn lookup(&self) -> SpineLookup<'_, V> {
        SpineLookup(self.0.iter().map(|run| (&**run, 0)).collect())
    }
}

/// Looks up the counts of pairs in ascending order. Beside each run is the index of the first pair that is not less than
/// the last one looked up.
pub struct SpineLookup<'a, V>(Vec<(&'a PairRun<V>, usize)>);

impl<V: PairValue> SpineLookup<'_, V> {
    /// The count of a pair.
    pub fn count(&mut self, pair: &GroupValue<V>) -> i64 {
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

    /// Random epochs of insertions and retractions, compared with a map.
    #[test]
    fn spines_count_insertions_and_retractions() {
        let mut state = 5_u64;
        let mut random = |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u32::try_from(state >> 33).unwrap_or_default() % below
        };
        let mut spine = PairSpine::<u32>::default();
        let mut model = std::collections::BTreeMap::<GroupValue<u32>, i64>::new();
        for epoch in 0..40 {
            let mut updates = Vec::new();
            for _ in 0..=random(300) {
                let (group, value) = (random(3), random(90));
                let pair = GroupValue { group, value };
                let diff = i32::try_from(random(5)).unwrap_or_default() - 2;
                *model.entry(pair).or_default() += i64::from(diff);
                updates.push((pair, diff));
            }
            spine.push(Rc::new(PairRun::sort(&mut updates)));
            let mut lookup = spine.lookup();
            let values = |group| (0..90).map(move |value| GroupValue { group, value });
            for pair in (0..3).flat_map(values) {
                let count = model.get(&pair).copied().unwrap_or_default();
                assert_eq!(lookup.count(&pair), count, "epoch {epoch}, {pair:?}");
            }
            assert!(spine.runs().len() < 12);
        }
    }
}
