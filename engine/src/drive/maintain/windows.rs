//! Drops the state of closed windows.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use tidewater_operators::state::{EntryUpdate, StateError, StoredEntries};
use tidewater_operators::{Fault, FaultKind};

use super::views::Views;
use crate::drive::RunError;
use crate::job::Job;
use crate::plan::retain::to_time;
use crate::state::{Damage, StateSnapshot, StateTransaction, StoreError, VIEWS, ViewRecord};

/// Drops the state of closed windows, which can no longer change. The cost is proportional to what is dropped, since
/// the time of a window is the first key of the aggregation.
///
/// # Errors
/// When the state cannot be read or written.
pub fn finalize(
    job: &Job,
    views: &Views,
    transaction: &StateTransaction,
    snapshot: &StateSnapshot,
) -> Result<(), RunError> {
    for sink in &job.sinks {
        let (Some(retain), Some(view)) = (&sink.retain, job.view(&sink.view)) else {
            continue;
        };
        let retained = views.kept.retained.get(&sink.view);
        let Some(horizon) = retained.and_then(|retained| retained.horizon) else {
            continue;
        };
        let data_type = view.schema.field(retain.column).data_type();
        let bounds = Bounds::new(horizon, data_type).map_err(|error| {
            let operator = sink.view.clone();
            let (message, kind) = (error.to_string(), FaultKind::Failed);
            RunError::Fault(Fault {
                operator,
                message,
                kind,
            })
        })?;
        let known: Option<ViewRecord> = snapshot.record(VIEWS, &sink.view)?;
        // Other operators of the view, below the aggregation, have other keys.
        let aggregation = format!("{}: aggregate: ", sink.view);
        let parts = known.map(|known| known.parts).unwrap_or_default();
        for name in parts.iter().filter(|name| name.starts_with(&aggregation)) {
            if let Some(part) = snapshot.part(name)? {
                // Pairs have the number of their call before the group.
                let tagged = !name.ends_with(": groups");
                let failed = |error: StateError| StoreError::damaged(Damage::Part(error.0));
                let gone = bounds.keys(part.as_ref(), tagged).map_err(failed)?;
                if !gone.is_empty() {
                    transaction.part(name, |part| {
                        gone.iter()
                            .try_for_each(|key| part.change(key, EntryUpdate::Remove))
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// The bytes at which the keys of closed windows begin and end: after windows without a time, and before the first
/// open window.
struct Bounds {
    first: Vec<u8>,
    open: Vec<u8>,
}

impl Bounds {
    fn new(horizon: i64, data_type: &DataType) -> Result<Self, ArrowError> {
        let rows = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        let open = rows.convert_columns(&[to_time(horizon, data_type)?])?;
        let open = open.row(0).data().to_vec();
        Ok(Self {
            first: open[..1].to_vec(),
            open,
        })
    }

    /// The keys of closed windows in a part.
    fn keys(&self, part: &dyn StoredEntries, tagged: bool) -> Result<Vec<Vec<u8>>, StateError> {
        let mut entries = part.cursor();
        let mut keys = Vec::new();
        let mut tag: Option<u16> = tagged.then_some(0);
        loop {
            let prefix: &[u8] = &tag.map(u16::to_be_bytes).unwrap_or_default();
            let prefix = if tagged { prefix } else { &[] };
            entries.seek(&[prefix, &self.first].concat())?;
            let end = [prefix, &self.open].concat();
            while let Some(entry) = entries.entry().filter(|entry| *entry.key < *end) {
                keys.push(entry.key.to_vec());
                entries.step()?;
            }
            let Some(now) = tag else { break };
            // Any remaining entry has this tag or a later one.
            if entries.entry().is_none() || now == u16::MAX {
                break;
            }
            tag = Some(now + 1);
        }
        Ok(keys)
    }
}
