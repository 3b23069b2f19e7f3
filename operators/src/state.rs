//! What stateful operators remember beyond the life of their graph, as sorted entries of bytes.
//!
//! The graph itself does no I/O: whoever drives it gives each operator its [`Part`] of the state, through which the
//! operator looks up what was [`Kept`] before the graph began, and notes what its epochs change. What was kept never
//! changes under a graph; what the graph changed since is in its arrangements; both together are the truth.
//!
//! | part | key | entry |
//! |---|---|---|
//! | distinct | call, group, slice of values, value | how often the pair is there |
//! | extremes | call, group, value | how often the pair is there |
//! | groups | group | the accumulators |
//! | rows of joins, windows and tops | key, row | how often the row is there |
//!
//! 1. Keys are order-preserving and free of prefixes: the entries of a group, or of a key, lie side by side.
//! 2. An entry that counts zero, or a group without rows, is no entry.
//! 3. Of one part no two workers change the same key in one epoch, nor keys between which those of a [run](Give::run) lie.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Why state cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

/// The entries that a part of the state held before the graph began.
pub trait Kept: Send + Sync {
    /// A cursor that stands nowhere until it seeks.
    fn cursor(&self) -> Box<dyn KeptCursor + '_>;

    /// What looks single entries up.
    fn lookup(&self) -> Box<dyn KeptLookup + '_>;
}

/// Looks up how often entries are there.
pub trait KeptLookup {
    /// How often the entry of `key` is there; 0 when it is not. Cheap when keys are asked for in ascending order.
    ///
    /// # Errors
    /// When the state cannot be read, or is damaged.
    fn count(&mut self, key: &[u8]) -> Result<i64, StateError>;
}

/// Walks over entries in ascending order of their keys.
pub trait KeptCursor {
    /// Moves to the first entry whose key is not less than `key`. Cheap when it lies not far ahead.
    ///
    /// # Errors
    /// When the state cannot be read, or is damaged.
    fn seek(&mut self, key: &[u8]) -> Result<(), StateError>;

    /// Moves to the last entry whose key is less than `key`; past the last when there is none.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    fn seek_before(&mut self, key: &[u8]) -> Result<(), StateError>;

    /// Moves to the next entry.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    fn step(&mut self) -> Result<(), StateError>;

    /// The entry it stands at; none past the last.
    fn entry(&self) -> Option<Entry<'_>>;
}

/// An entry of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// How often it is there; 1 for groups.
    pub count: i64,
    /// What is kept for it; empty but for groups.
    pub payload: &'a [u8],
}

/// What an epoch does to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update<'a> {
    /// It is there so many times more, or less.
    Add(i64),
    /// It is there so many times now: from who has looked up how often it was.
    Count(i64),
    /// This is kept for it now.
    Put(&'a [u8]),
    /// It goes.
    Remove,
}

/// Takes updates in ascending order of their keys.
pub trait Give {
    /// A run begins: between its updates no other worker has any.
    fn run(&mut self);

    /// An update of the run.
    fn update(&mut self, key: &[u8], update: Update<'_>);
}

/// Updates of one part that an operator noted.
pub trait Noted {
    /// Gives the updates in ascending order of their keys, each key once.
    fn give(&self, give: &mut dyn Give);
}

/// The state of one operator.
#[derive(Clone, Default)]
pub struct Part {
    kept: Option<Arc<dyn Kept>>,
    noted: Option<Rc<RefCell<Vec<Box<dyn Noted>>>>>,
}

impl Part {
    /// What was kept; `None` when there is nothing to be looked up.
    pub fn kept(&self) -> Option<&dyn Kept> {
        self.kept.as_deref()
    }

    /// Notes what changed, if anyone wants to know.
    pub fn note(&self, noted: impl FnOnce() -> Box<dyn Noted>) {
        if let Some(all) = &self.noted {
            all.borrow_mut().push(noted());
        }
    }
}

/// The state of one worker's operators, in the order in which they were rendered: the same on every worker.
pub struct Ledger {
    keeps: Box<dyn Fn(&str) -> bool>,
    find: Box<dyn Fn(&str) -> Option<Arc<dyn Kept>>>,
    parts: RefCell<Vec<(PartName, Part)>>,
}

/// Whose part of the state it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartName {
    /// The operator's view.
    pub view: String,
    /// A name that no other part of the job has.
    pub name: String,
}

impl Ledger {
    /// For graphs whose state ends with them.
    pub fn forgetful() -> Self {
        Self::new(|_| false, |_| None)
    }

    /// For graphs that begin with what `find` has for the parts of that name, none for parts that are empty. `keeps`
    /// says of which views the state is kept.
    pub fn new(
        keeps: impl Fn(&str) -> bool + 'static,
        find: impl Fn(&str) -> Option<Arc<dyn Kept>> + 'static,
    ) -> Self {
        Self {
            keeps: Box::new(keeps),
            find: Box::new(find),
            parts: RefCell::default(),
        }
    }

    /// The state of an operator of `view`, by a name that no other part of the job has.
    pub fn part(&self, view: &str, name: &str) -> Part {
        if !(self.keeps)(view) {
            return Part::default();
        }
        let part = Part {
            kept: (self.find)(name),
            noted: Some(Rc::default()),
        };
        let (view, name) = (view.to_owned(), name.to_owned());
        let name = PartName { view, name };
        self.parts.borrow_mut().push((name, part.clone()));
        part
    }

    /// What was noted since the last time, part by part. Each part's notes follow one another in time and may speak of
    /// the same keys.
    pub fn take(&self) -> Vec<(PartName, Vec<Box<dyn Noted>>)> {
        let parts = self.parts.borrow();
        let taken = parts.iter().map(|(name, part)| {
            let noted = part.noted.as_ref().map(|noted| noted.take());
            (name.clone(), noted.unwrap_or_default())
        });
        taken.collect()
    }
}

/// Gives the updates of several notes as one: what they say of the same key is put together, the later ones last.
pub fn give_all(notes: &[Box<dyn Noted>], give: &mut dyn Give) {
    if let [one] = notes {
        return one.give(give);
    }
    let mut all = Together::default();
    notes.iter().for_each(|note| note.give(&mut all));
    for (key, update) in &all.0 {
        give.run();
        match update {
            Last::Add(0) => {}
            Last::Add(more) => give.update(key, Update::Add(*more)),
            Last::Count(count) => give.update(key, Update::Count(*count)),
            Last::Put(payload) => give.update(key, Update::Put(payload)),
            Last::Remove => give.update(key, Update::Remove),
        }
    }
}

/// What updates of a key come to.
enum Last {
    Add(i64),
    Count(i64),
    Put(Vec<u8>),
    Remove,
}

impl From<Update<'_>> for Last {
    fn from(update: Update<'_>) -> Self {
        match update {
            Update::Add(more) => Self::Add(more),
            Update::Count(count) => Self::Count(count),
            Update::Put(payload) => Self::Put(payload.to_vec()),
            Update::Remove => Self::Remove,
        }
    }
}

/// Updates by key.
#[derive(Default)]
struct Together(BTreeMap<Vec<u8>, Last>);

impl Give for Together {
    fn run(&mut self) {}

    fn update(&mut self, key: &[u8], update: Update<'_>) {
        match (self.0.get_mut(key), update) {
            (Some(Last::Add(count) | Last::Count(count)), Update::Add(more)) => *count += more,
            (Some(last), update) => *last = update.into(),
            (None, update) => drop(self.0.insert(key.to_vec(), update.into())),
        }
    }
}
