//! Runs the graphs of an epoch, and writes the updates of their state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidewater_connectors::file::sink::Run;

use super::views::Views;
use crate::drive::graph::Epoch;
use crate::drive::graph_set::Graph;
use crate::drive::run::finished;
use crate::drive::tables::PerTable;
use crate::drive::{RunError, state_writers, workers};
use crate::state::{StateSnapshot, StateTransaction, VIEWS, ViewRecord};

/// The results of an epoch's graphs.
pub struct Computed {
    /// The epoch that was computed.
    pub epoch: Epoch,
    /// The sorted runs of each table.
    pub runs: PerTable<Vec<Run>>,
    /// Names of the parts of each view whose state is kept.
    pub parts: BTreeMap<String, Vec<String>>,
}

/// Deletes the state of views that are rebuilt, and of those that are gone.
///
/// # Errors
/// When the store fails.
pub fn drop_parts(
    transaction: &StateTransaction,
    views: &Views,
    snapshot: &StateSnapshot,
) -> Result<(), RunError> {
    let known: BTreeMap<String, ViewRecord> = snapshot.records(VIEWS, "")?;
    for (name, view) in &known {
        if views.is_rebuilt(name) || views.gone.views.contains_key(name) {
            for part in &view.parts {
                transaction.drop_part(part)?;
            }
        }
    }
    Ok(())
}

/// Runs the graphs of an epoch, and writes the updates of their state.
///
/// # Errors
/// When an operator or the store fails.
pub fn compute(
    epoch: Epoch,
    transaction: &StateTransaction,
    workers: usize,
) -> Result<Computed, RunError> {
    let (senders, mut writers) = state_writers::channels(workers.max(1));
    let senders = Mutex::new(senders);
    let epoch = Arc::new(epoch);
    let for_workers = Arc::clone(&epoch);
    let guards = workers::start(workers, &epoch.faults, move |worker| {
        let senders = senders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        for_workers.work(worker, senders)
    })?;
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut failed = None;
    for _ in Graph::ALL {
        match writers.receive(transaction) {
            Ok(Some(names)) => names
                .into_iter()
                .for_each(|part| parts.entry(part.view).or_default().push(part.name)),
            Ok(None) => break,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    // Workers that are still sending must not wait for a receiver.
    drop(writers);
    let shards = workers::join(guards, &epoch.faults)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let (epoch, runs) = finished(epoch, shards)?;
    Ok(Computed { epoch, runs, parts })
}
