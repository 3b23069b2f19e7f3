//! `extremes`: maintains the least and greatest value of each group, for `min` and `max`.
//!
//! Pairs are sorted by group and value, so one search finds either end. The cost follows the change and not the size of
//! the group.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::Stream;

use super::group_ends::{End, EndFinder};
use super::keys::{owner, tag, untag};
use super::pair_run::PairRun;
use super::pair_spine::PairSpine;
use super::pair_state::ExtremePairDelta;
use super::parcel::{GroupExtremes, PairDeltas, Parcel};
use super::sort_pairs::sort_pairs;
use super::spec::{AccumulatorLayout, Aggregation, Function};
use super::value_codec::ValueCodec;
use crate::Faults;
use crate::dictionary::KeyDictionary;
use crate::hash::hash;
use crate::row::EncodedRow;
use crate::state::{StateError, StateHandle};

/// Emits the extremes of every group whose pairs changed, for the calls that read them.
pub fn extremes<'scope, C: ValueCodec>(
    pairs: Stream<'scope, u64, Vec<Parcel<PairDeltas>>>,
    codec: C,
    aggregation: &Aggregation,
    layout: &AccumulatorLayout,
    faults: Faults,
    state: StateHandle,
) -> Stream<'scope, u64, Vec<Parcel<GroupExtremes>>> {
    let groups = Rc::new(RefCell::new(KeyDictionary::default()));
    let mut tracker = ExtremeTracker::<C> {
        readers: ends_read(aggregation, layout),
        peers: pairs.scope().peers(),
        groups: Rc::clone(&groups),
        spine: PairSpine::default(),
        state,
    };
    let operator = format!("{}: extremes", aggregation.name);
    sort_pairs(pairs, operator, faults, groups, codec, move |run| {
        Ok(tracker.close(run)?)
    })
}

/// A call, by its number, and the end that it reads.
type EndRead = (u16, End);

struct ExtremeTracker<C: ValueCodec> {
    /// The calls that share a set of pairs, by the call that tags the pairs.
    readers: BTreeMap<usize, Vec<EndRead>>,
    peers: usize,
    groups: Rc<RefCell<KeyDictionary>>,
    spine: PairSpine<C::Value>,
    state: StateHandle,
}

impl<C: ValueCodec> ExtremeTracker<C> {
    /// Ends an epoch: the extremes of the groups of its pairs.
    fn close(&mut self, run: PairRun<C::Value>) -> Result<Vec<Parcel<GroupExtremes>>, StateError> {
        let run = Rc::new(run);
        self.state.record(|| {
            Box::new(ExtremePairDelta::<C> {
                run: Rc::clone(&run),
                groups: Rc::clone(&self.groups),
            })
        });
        self.spine.push(Rc::clone(&run));
        let mut ends = EndFinder::<C>::new(self.spine.runs(), self.state.stored());
        let groups = self.groups.borrow();
        let mut parcels = ExtremeParcels::new(self.peers);
        for range in run.groups() {
            let group = run.pair(range.start).group;
            let key = groups.get(group);
            let Some((first_call, group_key)) = untag(key) else {
                continue;
            };
            for &(call, end) in self.readers.get(&first_call).into_iter().flatten() {
                parcels.push(call, group_key, ends.find(end, group, key)?);
            }
        }
        Ok(parcels.finish())
    }
}

/// The calls that share a set of pairs, each with the end that it reads, by the call that tags the pairs.
fn ends_read(
    aggregation: &Aggregation,
    layout: &AccumulatorLayout,
) -> BTreeMap<usize, Vec<EndRead>> {
    let sets = layout.pairs.iter().filter(|set| !set.distinct);
    let of_set = sets.map(|set| {
        let ends = set.calls.iter().map(|&call| {
            let end = match aggregation.calls[call].function {
                Function::Max => End::Greatest,
                _ => End::Least,
            };
            // The pre-aggregation has refused more calls than fit.
            (u16::try_from(call).unwrap_or_default(), end)
        });
        (set.calls[0], ends.collect())
    });
    of_set.collect()
}

/// Collects extremes into a parcel for each worker.
struct ExtremeParcels {
    parcels: Vec<Parcel<GroupExtremes>>,
    tagged: Vec<u8>,
}

impl ExtremeParcels {
    fn new(peers: usize) -> Self {
        let parcels = (0..).take(peers).map(|to| Parcel {
            to,
            body: GroupExtremes::default(),
        });
        Self {
            parcels: parcels.collect(),
            tagged: Vec::new(),
        }
    }

    fn push(&mut self, call: u16, group: &[u8], extreme: Option<EncodedRow>) {
        let owner = owner(hash(group), self.parcels.len());
        let body = &mut self.parcels[owner].body;
        tag(call, group, &mut self.tagged);
        body.groups.push(&self.tagged);
        body.extremes.push(extreme);
    }

    fn finish(mut self) -> Vec<Parcel<GroupExtremes>> {
        self.parcels.retain(|parcel| !parcel.body.groups.is_empty());
        self.parcels
    }
}
