//! The ends of a group's values: the least or greatest that is there, among the runs of the graph and what was kept.
//!
//! A value may be in several places, taken back in one and taken in in another: it is there when its counts come to more
//! than nothing. So the search goes on from the end inwards until one is.

use std::ops::Range;
use std::rc::Rc;

use super::extremes::Ordered;
use super::runs::Run;
use crate::row::Row;
use crate::state::{Kept, KeptCursor, StateError};

/// An end of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it begins.
    Least,
    /// Where it ends.
    Greatest,
}

/// Finds the ends of groups.
pub struct Ends<'a, O: Ordered> {
    runs: &'a [Rc<Run<O::Value>>],
    kept: Option<Box<dyn KeptCursor + 'a>>,
}

impl<'a, O: Ordered> Ends<'a, O> {
    /// Of groups in `runs` and in what was kept.
    pub fn new(runs: &'a [Rc<Run<O::Value>>], kept: Option<&'a dyn Kept>) -> Self {
        Self {
            runs,
            kept: kept.map(Kept::cursor),
        }
    }

    /// The bytes of the value at that end of `group`, whose key is `key`; none when there is no value.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn find(&mut self, end: End, group: u32, key: &[u8]) -> Result<Option<Row>, StateError> {
        let runs = self.runs.iter();
        let mut fresh: Vec<Pairs<'_, O>> = runs.map(|run| Pairs::of_group(run, group)).collect();
        match (&mut self.kept, end) {
            (None, _) => {}
            (Some(kept), End::Least) => kept.seek(key)?,
            (Some(kept), End::Greatest) => kept.seek_before(&behind(key))?,
        }
        loop {
            let old = self.kept.as_ref().and_then(|kept| {
                let entry = kept.entry()?;
                Some((O::read(entry.key.strip_prefix(key)?)?, entry.count))
            });
            let values = fresh.iter().filter_map(|pairs| pairs.value(end));
            let values = values.chain(old.as_ref().map(|(value, _)| value));
            let outmost = match end {
                End::Least => values.min(),
                End::Greatest => values.max(),
            };
            let Some(value) = outmost.cloned() else {
                return Ok(None);
            };
            let mut count = 0;
            for pairs in &mut fresh {
                while pairs.value(end) == Some(&value) {
                    count += pairs.take(end);
                }
            }
            if let (Some(kept), Some((_, more))) =
                (&mut self.kept, old.filter(|(old, _)| *old == value))
            {
                count += more;
                match end {
                    End::Least => kept.step()?,
                    End::Greatest => {
                        let mut entry = key.to_vec();
                        O::write(&value, &mut entry);
                        kept.seek_before(&entry)?;
                    }
                }
            }
            if count > 0 {
                let mut bytes = Vec::new();
                O::write(&value, &mut bytes);
                return Ok(Some(Row::from(bytes.as_slice())));
            }
        }
    }
}

/// The first key behind all that begin with `key`, which begins with the number of a call and so with another byte than 255.
fn behind(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    while next.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    next
}

/// The pairs of a group in one run that were not looked at yet.
struct Pairs<'a, O: Ordered> {
    run: &'a Run<O::Value>,
    left: Range<usize>,
}

impl<'a, O: Ordered> Pairs<'a, O> {
    fn of_group(run: &'a Run<O::Value>, group: u32) -> Self {
        let from = run.search(0..run.len(), |pair| pair.0 < group);
        let to = run.advance(from, |pair| pair.0 == group);
        Self {
            run,
            left: from..to,
        }
    }

    /// The value at the end.
    fn value(&self, end: End) -> Option<&'a O::Value> {
        if self.left.is_empty() {
            return None;
        }
        let at = match end {
            End::Least => self.left.start,
            End::Greatest => self.left.end - 1,
        };
        Some(&self.run.pair(at).1)
    }

    /// Passes the pair at the end; gives its difference.
    fn take(&mut self, end: End) -> i64 {
        let taken = match end {
            End::Least => self.left.next(),
            End::Greatest => self.left.next_back(),
        };
        taken.map_or(0, |at| self.run.diff(at))
    }
}
