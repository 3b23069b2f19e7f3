//! `extremes`: the ends of each group's values, for `min` and `max`.
//!
//! The pairs are sorted by group and value, so either end is found by one search: the cost follows the change and not
//! the size of the group.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::datatypes::DataType;
use timely::dataflow::Stream;

use super::ends::{End, Ends};
use super::kept_pairs::NotedValues;
use super::keys::{owner, tag, untag};
use super::parcel::{Bests, Pairs, Parcel};
use super::partial::AggregateError;
use super::runs::{Past, Run};
use super::sort::{Values, sort_pairs};
use super::spec::{Aggregation, Function, Layout};
use crate::Faults;
use crate::dictionary::Dictionary;
use crate::hash::hash;
use crate::row::Row;
use crate::state::{Part, StateError};

/// Values of `min` and `max`: in the order of their bytes, whatever they are kept as.
pub trait Ordered: Values {
    /// The value of some bytes; none when they are not of one.
    fn read(bytes: &[u8]) -> Option<Self::Value>;

    /// Appends the value's bytes.
    fn write(value: &Self::Value, bytes: &mut Vec<u8>);
}

/// Values of any type, as their own order-preserving bytes.
pub struct AsBytes;

impl Ordered for AsBytes {
    fn read(bytes: &[u8]) -> Option<Row> {
        Some(Row::from(bytes))
    }

    fn write(value: &Row, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(value.as_bytes());
    }
}

/// Values of eight bytes, as one number: a pair is sorted by digits then, and takes a third of the memory.
pub struct AsNumber;

/// What precedes the bytes of a value that is not NULL in Arrow's row format; NULL is never in a pair.
const PRESENT: u8 = 1;

impl AsNumber {
    /// Whether values of that type are eight bytes.
    pub fn holds(data_type: &DataType) -> bool {
        matches!(
            data_type,
            DataType::Int64
                | DataType::UInt64
                | DataType::Float64
                | DataType::Timestamp(..)
                | DataType::Date64
                | DataType::Time64(_)
                | DataType::Decimal64(..)
        )
    }
}

impl Ordered for AsNumber {
    fn read(bytes: &[u8]) -> Option<u64> {
        let (&PRESENT, value) = bytes.split_first()? else {
            return None;
        };
        value.try_into().ok().map(u64::from_be_bytes)
    }

    fn write(value: &u64, bytes: &mut Vec<u8>) {
        bytes.push(PRESENT);
        bytes.extend_from_slice(&value.to_be_bytes());
    }
}

impl Values for AsBytes {
    type Value = Row;

    fn value(&mut self, bytes: &[u8]) -> Result<Row, AggregateError> {
        Ok(Row::from(bytes))
    }
}

impl Values for AsNumber {
    type Value = u64;

    fn value(&mut self, bytes: &[u8]) -> Result<u64, AggregateError> {
        Self::read(bytes).ok_or(AggregateError::ValueBytes(bytes.len()))
    }
}

/// Tells the ends that calls want of every group whose pairs changed.
pub fn extremes<'scope, O: Ordered>(
    pairs: Stream<'scope, u64, Vec<Parcel<Pairs>>>,
    values: O,
    aggregation: &Aggregation,
    layout: &Layout,
    faults: Faults,
    part: Part,
) -> Stream<'scope, u64, Vec<Parcel<Bests>>> {
    let groups = Rc::new(RefCell::new(Dictionary::default()));
    let mut teller = Teller::<O> {
        wanted: wanted(aggregation, layout),
        peers: pairs.scope().peers(),
        groups: Rc::clone(&groups),
        past: Past::default(),
        part,
    };
    let operator = format!("{}: extremes", aggregation.name);
    sort_pairs(pairs, operator, faults, groups, values, move |run| {
        Ok(teller.tell(run)?)
    })
}

struct Teller<O: Ordered> {
    wanted: BTreeMap<usize, Vec<(u16, End)>>,
    peers: usize,
    groups: Rc<RefCell<Dictionary>>,
    past: Past<O::Value>,
    part: Part,
}

impl<O: Ordered> Teller<O> {
    /// The ends of the groups of an epoch's pairs.
    fn tell(&mut self, run: Run<O::Value>) -> Result<Vec<Parcel<Bests>>, StateError> {
        let run = Rc::new(run);
        self.part.note(|| {
            Box::new(NotedValues::<O> {
                run: Rc::clone(&run),
                groups: Rc::clone(&self.groups),
            })
        });
        self.past.push(Rc::clone(&run));
        let mut ends = Ends::<O>::new(self.past.runs(), self.part.kept());
        let groups = self.groups.borrow();
        let mut outgoing = Outgoing::new(self.peers);
        for range in run.groups() {
            let group = run.pair(range.start).0;
            let key = groups.get(group);
            outgoing.tell(key, &self.wanted, |end| ends.find(end, group, key))?;
        }
        Ok(outgoing.parcels())
    }
}

/// The calls that share the pairs of a call, each with the end that it wants; by that call.
fn wanted(aggregation: &Aggregation, layout: &Layout) -> BTreeMap<usize, Vec<(u16, End)>> {
    let sets = layout.pairs.iter().filter(|set| !set.distinct);
    let of_set = sets.map(|set| {
        let ends = set.calls.iter().map(|&call| {
            let end = match aggregation.calls[call].function {
                Function::Max => End::Greatest,
                _ => End::Least,
            };
            // There are no more calls than that: the pre-aggregation has seen to it.
            (u16::try_from(call).unwrap_or_default(), end)
        });
        (set.calls[0], ends.collect())
    });
    of_set.collect()
}

/// What is found, for the workers that own the groups.
struct Outgoing {
    parcels: Vec<Parcel<Bests>>,
    tagged: Vec<u8>,
}

impl Outgoing {
    fn new(peers: usize) -> Self {
        let parcels = (0..).take(peers).map(|to| Parcel {
            to,
            body: Bests::default(),
        });
        Self {
            parcels: parcels.collect(),
            tagged: Vec::new(),
        }
    }

    /// Finds the ends that the calls of `key`, a group's with its tag, want.
    fn tell(
        &mut self,
        key: &[u8],
        wanted: &BTreeMap<usize, Vec<(u16, End)>>,
        mut find: impl FnMut(End) -> Result<Option<Row>, StateError>,
    ) -> Result<(), StateError> {
        let Some((call, group)) = untag(key) else {
            return Ok(());
        };
        let owner = owner(hash(group), self.parcels.len());
        let body = &mut self.parcels[owner].body;
        for &(call, end) in wanted.get(&call).into_iter().flatten() {
            let best = find(end)?;
            tag(call, group, &mut self.tagged);
            body.groups.push(&self.tagged);
            body.best.push(best);
        }
        Ok(())
    }

    fn parcels(mut self) -> Vec<Parcel<Bests>> {
        self.parcels.retain(|parcel| !parcel.body.groups.is_empty());
        self.parcels
    }
}
