//! Where each source stands once an epoch is committed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tidewater_connectors::file::Position;

use super::commit::SourcePositions;
use super::deliveries::SourceChanges;
use crate::drive::inflow;
use crate::drive::ingest::Intake;
use crate::state::DeliveryRecord;

/// The positions of a source once the epoch is committed.
pub fn positions(
    source: &str,
    mut changes: SourceChanges,
    [added, removed, _]: &[Option<Arc<Intake>>; 3],
) -> SourcePositions {
    let mut kept = Vec::new();
    let mut has_unused = removed.is_some() || !changes.removed.is_empty();
    let taken = added.as_ref().map(|added| {
        let taken = added.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (added, taken.clone())
    });
    if let Some((added, taken)) = &taken {
        for taken in taken {
            let incoming = &changes.added[taken.delivery];
            let path = incoming.delivery.name.to_string();
            if !taken.settled {
                changes.positions.extend(incoming.replaces.clone());
                has_unused = true;
                continue;
            }
            let count = &added.counts[taken.delivery];
            let (read, rejected) = (
                count.read.load(Ordering::Relaxed),
                count.rejected.load(Ordering::Relaxed),
            );
            kept.extend(taken.parts.iter().map(|part| part.hash.clone()));
            let position = Position {
                path: path.clone(),
                bytes: taken.bytes,
                modified_ns: incoming.modified_ns,
                hash: taken.hash.clone(),
                parts: taken.parts.clone(),
                rows: read - rejected,
                rejected,
            };
            changes.records.push(DeliveryRecord {
                source: source.to_owned(),
                path: path.clone(),
                change: changes.kinds[taken.delivery].to_owned(),
                rows_in: read,
                rows_out: incoming
                    .replaces
                    .as_ref()
                    .map_or(0, |old| old.rows + old.rejected),
            });
            changes.forgotten.remove(&path);
            // An addition to what stays.
            match changes.positions.iter_mut().find(|old| old.path == path) {
                Some(old) => append(old, position),
                None => changes.positions.push(position),
            }
        }
    }
    SourcePositions {
        source: source.to_owned(),
        positions: changes.positions,
        forgotten: changes.forgotten,
        records: changes.records,
        kept,
        has_unused,
        stream: None,
    }
}

fn append(old: &mut Position, tail: Position) {
    old.bytes = tail.bytes;
    old.modified_ns = tail.modified_ns;
    old.hash = tail.hash;
    old.parts.extend(tail.parts);
    old.rows += tail.rows;
    old.rejected += tail.rejected;
}

/// Rows of all deliveries of a source, and of these the rejected ones.
pub fn rows_of(source: &SourcePositions) -> (u64, u64) {
    if let Some(stream) = &source.stream {
        return inflow::rows_of(stream);
    }
    let counts = source
        .positions
        .iter()
        .map(|position| (position.rows + position.rejected, position.rejected));
    counts.fold((0, 0), |(read, rejected), more| {
        (read + more.0, rejected + more.1)
    })
}
