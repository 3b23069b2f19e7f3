//! The persistent state of stateful operators: sorted entries of bytes.
//!
//! The graph does no I/O. Its driver gives each operator a [`StateHandle`], through which the operator reads the
//! [`StoredEntries`] from before the graph began, and records a [`StateDelta`] for each epoch. Stored entries never change
//! while a graph runs; the operator's arrangements hold the changes since. Together they are the operator's state.
//!
//! | operator | key | entry |
//! |---|---|---|
//! | distinct | call, group, slice of values, value | count of the pair |
//! | extremes | call, group, value | count of the pair |
//! | groups | group | accumulators |
//! | joins, windows and tops | key, row | count of the row |
//! | settle | row, partition, kind of event | count of the events |
//!
//! 1. Keys are order-preserving and free of prefixes: the entries of a group, or of a key, are adjacent.
//! 2. An entry with the count zero, or a group without rows, is not stored.
//! 3. Two workers never change the same key of an operator in one epoch. Between the keys of a
//!    [run](StateVisitor::begin_run) there are no keys of other workers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Why state cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

/// The entries of one operator from before the graph began.
pub trait StoredEntries: Send + Sync {
    /// A cursor, which has no position until it seeks.
    fn cursor(&self) -> Box<dyn EntryCursor + '_>;

    /// A lookup of single entries.
    fn lookup(&self) -> Box<dyn EntryLookup + '_>;
}

/// Looks up the counts of entries.
pub trait EntryLookup {
    /// The count of the entry with this key; 0 when there is none. Cheap when keys are in ascending order.
    ///
    /// # Errors
    /// When the state cannot be read, or is damaged.
    fn count(&mut self, key: &[u8]) -> Result<i64, StateError>;
}

/// Walks over entries in ascending order of their keys.
pub trait EntryCursor {
    /// Moves to the first entry whose key is not less than `key`. Cheap when it is not far ahead.
    ///
    /// # Errors
    /// When the state cannot be read, or is damaged.
    fn seek(&mut self, key: &[u8]) -> Result<(), StateError>;

    /// Moves to the last entry whose key is less than `key`, or past the end when there is none.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    fn seek_before(&mut self, key: &[u8]) -> Result<(), StateError>;

    /// Moves to the next entry.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    fn step(&mut self) -> Result<(), StateError>;

    /// The current entry; `None` past the end.
    fn entry(&self) -> Option<StateEntry<'_>>;
}

/// An entry of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateEntry<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its count; 1 for groups.
    pub count: i64,
    /// The accumulators of a group; empty for other entries.
    pub payload: &'a [u8],
}

/// An update of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryUpdate<'a> {
    /// Adds to its count.
    Add(i64),
    /// Sets its count. For operators that have looked up the old one.
    Count(i64),
    /// Sets its payload.
    Put(&'a [u8]),
    /// Removes it.
    Remove,
}

/// Receives updates in ascending order of their keys.
pub trait StateVisitor {
    /// A run begins: between its keys there are no updates of other workers.
    fn begin_run(&mut self);

    /// An update of the current run.
    fn update(&mut self, key: &[u8], update: EntryUpdate<'_>);
}

/// The updates of an operator's state in one epoch.
pub trait StateDelta {
    /// Passes the updates to `visitor` in ascending order of their keys, each key once.
    fn visit(&self, visitor: &mut dyn StateVisitor);
}

/// The deltas that a worker's operator has recorded.
type RecordedDeltas = Rc<RefCell<Vec<Box<dyn StateDelta>>>>;

/// The state of one operator.
#[derive(Clone, Default)]
pub struct StateHandle {
    stored: Option<Arc<dyn StoredEntries>>,
    deltas: Option<RecordedDeltas>,
}

impl StateHandle {
    /// The stored entries; `None` when there are none.
    pub fn stored(&self) -> Option<&dyn StoredEntries> {
        self.stored.as_deref()
    }

    /// Records a delta, if the state is persistent.
    pub fn record(&self, delta: impl FnOnce() -> Box<dyn StateDelta>) {
        if let Some(deltas) = &self.deltas {
            deltas.borrow_mut().push(delta());
        }
    }
}

/// Identifies the state of one operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateName {
    /// The operator's view.
    pub view: String,
    /// A name that is unique within the job.
    pub name: String,
}

/// The states of one worker's operators, in the order in which they were rendered, which is the same on every worker.
pub struct StateRegistry {
    is_persistent: Box<dyn Fn(&str) -> bool>,
    find: Box<dyn Fn(&str) -> Option<Arc<dyn StoredEntries>>>,
    handles: RefCell<Vec<(StateName, StateHandle)>>,
}

impl StateRegistry {
    /// For graphs whose state ends with them.
    pub fn transient() -> Self {
        Self::new(|_| false, |_| None)
    }

    /// For graphs with persistent state. `is_persistent` selects the views, and `find` returns the stored entries of an
    /// operator by its name, or `None` when there are none.
    pub fn new(
        is_persistent: impl Fn(&str) -> bool + 'static,
        find: impl Fn(&str) -> Option<Arc<dyn StoredEntries>> + 'static,
    ) -> Self {
        Self {
            is_persistent: Box::new(is_persistent),
            find: Box::new(find),
            handles: RefCell::default(),
        }
    }

    /// The state of an operator of `view`, by a name that is unique within the job.
    pub fn handle(&self, view: &str, name: &str) -> StateHandle {
        if !(self.is_persistent)(view) {
            return StateHandle::default();
        }
        let handle = StateHandle {
            stored: (self.find)(name),
            deltas: Some(Rc::default()),
        };
        let (view, name) = (view.to_owned(), name.to_owned());
        let name = StateName { view, name };
        self.handles.borrow_mut().push((name, handle.clone()));
        handle
    }

    /// Removes and returns the recorded deltas of each operator, in the order of time. They may update the same keys.
    pub fn take_deltas(&self) -> Vec<(StateName, Vec<Box<dyn StateDelta>>)> {
        let handles = self.handles.borrow();
        let deltas = handles.iter().map(|(name, handle)| {
            let deltas = handle.deltas.as_ref().map(|deltas| deltas.take());
            (name.clone(), deltas.unwrap_or_default())
        });
        deltas.collect()
    }
}

/// Visits the updates of several deltas, in the order of time, as those of one: updates of the same key are merged.
pub fn visit_merged(deltas: &[Box<dyn StateDelta>], visitor: &mut dyn StateVisitor) {
    if let [delta] = deltas {
        return delta.visit(visitor);
    }
    let mut merged = MergedUpdates::default();
    deltas.iter().for_each(|delta| delta.visit(&mut merged));
    for (key, update) in &merged.0 {
        visitor.begin_run();
        match update {
            MergedUpdate::Add(0) => {}
            MergedUpdate::Add(more) => visitor.update(key, EntryUpdate::Add(*more)),
            MergedUpdate::Count(count) => visitor.update(key, EntryUpdate::Count(*count)),
            MergedUpdate::Put(payload) => visitor.update(key, EntryUpdate::Put(payload)),
            MergedUpdate::Remove => visitor.update(key, EntryUpdate::Remove),
        }
    }
}

/// The merged updates of one key.
enum MergedUpdate {
    Add(i64),
    Count(i64),
    Put(Vec<u8>),
    Remove,
}

impl From<EntryUpdate<'_>> for MergedUpdate {
    fn from(update: EntryUpdate<'_>) -> Self {
        match update {
            EntryUpdate::Add(more) => Self::Add(more),
            EntryUpdate::Count(count) => Self::Count(count),
            EntryUpdate::Put(payload) => Self::Put(payload.to_vec()),
            EntryUpdate::Remove => Self::Remove,
        }
    }
}

/// Merged updates by key.
#[derive(Default)]
struct MergedUpdates(BTreeMap<Vec<u8>, MergedUpdate>);

impl StateVisitor for MergedUpdates {
    fn begin_run(&mut self) {}

    fn update(&mut self, key: &[u8], update: EntryUpdate<'_>) {
        match (self.0.get_mut(key), update) {
            (
                Some(MergedUpdate::Add(count) | MergedUpdate::Count(count)),
                EntryUpdate::Add(more),
            ) => *count += more,
            (Some(merged), update) => *merged = update.into(),
            (None, update) => drop(self.0.insert(key.to_vec(), update.into())),
        }
    }
}
