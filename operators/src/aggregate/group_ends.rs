//! Finds the least and the greatest value of a group, in the runs of the graph and in the stored entries.
//!
//! A value may be inserted in one run and retracted in another; it exists if its counts add up to more than zero. The
//! search begins at an end and continues inwards until it meets a value that exists.

use std::ops::Range;
use std::rc::Rc;

use super::pair_run::PairRun;
use super::value_codec::ValueCodec;
use crate::row::EncodedRow;
use crate::state::{EntryCursor, StateError, StoredEntries};

/// An end of a group's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The least value.
    Least,
    /// The greatest value.
    Greatest,
}

/// Finds the ends of groups, one after another.
pub struct EndFinder<'a, C: ValueCodec> {
    runs: &'a [Rc<PairRun<C::Value>>],
    stored: Option<Box<dyn EntryCursor + 'a>>,
}

impl<'a, C: ValueCodec> EndFinder<'a, C> {
    /// Searches these runs and these stored entries.
    pub fn new(runs: &'a [Rc<PairRun<C::Value>>], stored: Option<&'a dyn StoredEntries>) -> Self {
        Self {
            runs,
            stored: stored.map(StoredEntries::cursor),
        }
    }

    /// The bytes of the value at this end of `group`, whose key is `key`; `None` when it has no value.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn find(
        &mut self,
        end: End,
        group: u32,
        key: &[u8],
    ) -> Result<Option<EncodedRow>, StateError> {
        let runs = self.runs.iter();
        let mut in_runs: Vec<GroupPairs<'_, C>> =
            runs.map(|run| GroupPairs::of_group(run, group)).collect();
        match (&mut self.stored, end) {
            (None, _) => {}
            (Some(stored), End::Least) => stored.seek(key)?,
            (Some(stored), End::Greatest) => stored.seek_before(&prefix_end(key))?,
        }
        loop {
            let in_store = self.stored.as_ref().and_then(|stored| {
                let entry = stored.entry()?;
                Some((C::decode(entry.key.strip_prefix(key)?)?, entry.count))
            });
            let values = in_runs.iter().filter_map(|pairs| pairs.value(end));
            let values = values.chain(in_store.as_ref().map(|(value, _)| value));
            let outmost = match end {
                End::Least => values.min(),
                End::Greatest => values.max(),
            };
            let Some(value) = outmost.cloned() else {
                return Ok(None);
            };
            let mut count = 0;
            for pairs in &mut in_runs {
                while pairs.value(end) == Some(&value) {
                    count += pairs.pass(end);
                }
            }
            if let (Some(stored), Some((_, more))) = (
                &mut self.stored,
                in_store.filter(|(other, _)| *other == value),
            ) {
                count += more;
                match end {
                    End::Least => stored.step()?,
                    End::Greatest => {
                        let mut entry = key.to_vec();
                        C::encode(&value, &mut entry);
                        stored.seek_before(&entry)?;
                    }
                }
            }
            if count > 0 {
                let mut bytes = Vec::new();
                C::encode(&value, &mut bytes);
                return Ok(Some(EncodedRow::from(bytes.as_slice())));
            }
        }
    }
}

/// The least key that is greater than all keys with this prefix. A prefix begins with the number of a call, and so never
/// consists of bytes 255 alone.
fn prefix_end(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    while next.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    next
}

/// The pairs of a group in one run that the search has not passed.
struct GroupPairs<'a, C: ValueCodec> {
    run: &'a PairRun<C::Value>,
    rest: Range<usize>,
}

impl<'a, C: ValueCodec> GroupPairs<'a, C> {
    fn of_group(run: &'a PairRun<C::Value>, group: u32) -> Self {
        let from = run.search(0..run.len(), |pair| pair.group < group);
        let to = run.advance(from, |pair| pair.group == group);
        Self {
            run,
            rest: from..to,
        }
    }

    /// The value at an end.
    fn value(&self, end: End) -> Option<&'a C::Value> {
        if self.rest.is_empty() {
            return None;
        }
        let at = match end {
            End::Least => self.rest.start,
            End::Greatest => self.rest.end - 1,
        };
        Some(&self.run.pair(at).value)
    }

    /// Passes the entry at an end; returns its difference.
    fn pass(&mut self, end: End) -> i64 {
        let passed = match end {
            End::Least => self.rest.next(),
            End::Greatest => self.rest.next_back(),
        };
        passed.map_or(0, |at| self.run.diff(at))
    }
}
