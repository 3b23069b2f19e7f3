//! What an epoch changed for a source's files: the positions after it, and the deliveries of its record.

use std::collections::{BTreeMap, BTreeSet};

use tidewater_contract::checkpoint::CheckpointUpdate;
use tidewater_contract::connector::{DeliveryChange, DeliveryCounts, EpochCounts, SourceOutcome};
use tidewater_contract::error::SourceError;
use tidewater_contract::hold::HeldDelivery;

use super::{FileChanges, HELD, opened};
use crate::delivery::KeptPart;
use crate::intake::{FileIntake, NewlySetAside};
use crate::position::Position;
use crate::twins;

impl FileChanges {
    /// The outcome of the epoch, once its deliveries were read. `counts` are the rows that were read.
    pub(super) fn conclude(&self, counts: &EpochCounts) -> Result<SourceOutcome, SourceError> {
        let mut outcome = SourceOutcome {
            deliveries: self.records.clone(),
            has_unused: !self.removed.is_empty(),
            ..SourceOutcome::default()
        };
        let stay = match opened(&self.judged_again) {
            Some(intake) => self.reposition(&intake, &counts.judged_again, &mut outcome),
            None => self.positions.clone(),
        };
        let stay = stay.into_iter().chain(self.held.iter().cloned());
        let mut positions = Positions {
            positions: stay.collect(),
            forgotten: self.forgotten.clone(),
            arrived: BTreeSet::new(),
        };
        let inserted = self.inserted();
        for bad in inserted.iter().flat_map(|intake| intake.newly_set_aside()) {
            self.record_bad(bad, &mut positions, &mut outcome);
        }
        for read in inserted.iter().flat_map(|intake| intake.read_deliveries()) {
            let index = read.delivery;
            let (Some(incoming), Some(&kind)) = (self.added.get(index), self.kinds.get(index))
            else {
                continue;
            };
            if !read.settled {
                positions.positions.extend(incoming.replaces.clone());
                outcome.has_unused = true;
                continue;
            }
            let counts = counts.inserted.get(index).copied().unwrap_or_default();
            let kept = read.parts.iter().map(|part| part.hash.clone());
            outcome.unsynced.extend(kept);
            let replaced = incoming.replaces.as_ref();
            outcome.deliveries.push(DeliveryChange {
                name: incoming.delivery.name.to_string(),
                kind,
                rows_in: counts.read,
                rejected: counts.rejected,
                rows_out: replaced.map_or(0, |old| old.rows + old.rejected),
            });
            positions.insert(Position {
                path: incoming.delivery.name.to_string(),
                bytes: read.bytes,
                modified_ns: incoming.modified_ns,
                version: incoming.version.clone(),
                hash: read.hash,
                parts: read.parts,
                rows: counts.read - counts.rejected,
                rejected: counts.rejected,
                set_aside: None,
            });
        }
        // With a key, equal rows count once, so a second delivery of them does no harm.
        if !self.spec.ordinals {
            outcome.warnings = twins::warnings(&positions.positions, &positions.arrived);
        }
        positions.finish(&self.known, &mut outcome)?;
        Ok(outcome)
    }

    /// Records a delivery that was set aside. It counts as one rejected row.
    fn record_bad(
        &self,
        bad: NewlySetAside,
        positions: &mut Positions,
        outcome: &mut SourceOutcome,
    ) {
        let (Some(incoming), Some(&kind), Some(kept)) = (
            self.added.get(bad.index),
            self.kinds.get(bad.index),
            bad.kept,
        ) else {
            return;
        };
        let replaced = incoming.replaces.as_ref();
        outcome.deliveries.push(DeliveryChange {
            name: incoming.delivery.name.to_string(),
            kind: match bad.set_aside.hold {
                Some(_) => HELD,
                None => kind,
            },
            rows_in: 1,
            rejected: 1,
            rows_out: replaced.map_or(0, |old| old.rows + old.rejected),
        });
        let mut set_aside = bad.set_aside;
        // Content that was held before, and is again, is held since then.
        let known = replaced.filter(|old| old.hash == kept.hash);
        if let (Some(hold), Some(known)) = (&mut set_aside.hold, known.and_then(Position::hold)) {
            hold.since = known.since;
        }
        let parts = kept.parts.iter();
        outcome.unsynced.extend(parts.map(|part| part.hash.clone()));
        positions.insert(Position {
            path: incoming.delivery.name.to_string(),
            bytes: kept.bytes,
            modified_ns: incoming.modified_ns,
            version: incoming.version.clone(),
            hash: kept.hash,
            parts: kept.parts,
            rows: 0,
            rejected: 1,
            set_aside: Some(set_aside),
        });
    }

    /// Updates the positions of deliveries that were judged again.
    fn reposition(
        &self,
        intake: &FileIntake,
        counts: &[DeliveryCounts],
        outcome: &mut SourceOutcome,
    ) -> Vec<Position> {
        let mut positions = self.positions.clone();
        for (position, counts) in positions.iter_mut().zip(counts) {
            position.rows = counts.read.saturating_sub(counts.rejected);
            position.rejected = counts.rejected;
            // What is held is not judged again here.
            position.set_aside = position.set_aside.take().filter(|one| one.hold.is_some());
        }
        let mut keep = |position: &mut Position, parts: Vec<KeptPart>| {
            outcome
                .unsynced
                .extend(parts.iter().map(|part| part.hash.clone()));
            outcome.has_unused = true;
            position.parts = parts;
        };
        for read in intake.read_deliveries() {
            if let Some(position) = positions.get_mut(read.delivery) {
                keep(position, read.parts);
            }
        }
        for NewlySetAside {
            index,
            set_aside,
            kept,
        } in intake.newly_set_aside()
        {
            if let Some(position) = positions.get_mut(index) {
                (position.rows, position.rejected) = (0, 1);
                position.set_aside = Some(set_aside);
                if let Some(kept) = kept {
                    keep(position, kept.parts);
                }
            }
        }
        positions
    }
}

/// The positions of a source after the epoch is committed.
struct Positions {
    positions: Vec<Position>,
    forgotten: BTreeSet<String>,
    /// The paths with new content.
    arrived: BTreeSet<String>,
}

impl Positions {
    fn insert(&mut self, position: Position) {
        self.forgotten.remove(&position.path);
        self.arrived.insert(position.path.clone());
        let same = |old: &&mut Position| old.path == position.path;
        match self.positions.iter_mut().find(same) {
            // The old content stays, and this is added to it.
            Some(old) => append(old, position),
            None => self.positions.push(position),
        }
    }

    fn finish(self, known: &[Position], outcome: &mut SourceOutcome) -> Result<(), SourceError> {
        let update = &mut outcome.checkpoint;
        put_changed(update, known, &self.positions)?;
        outcome.gone = self.forgotten.iter().cloned().collect();
        update.removed = self.forgotten;
        let held = self.positions.iter().filter_map(|one| {
            let (name, hold) = (one.path.clone(), one.hold()?.clone());
            Some(HeldDelivery { name, hold })
        });
        outcome.held = held.collect();
        outcome.held.sort_by(|one, other| one.name.cmp(&other.name));
        let is_set_aside = |one: &Position| one.set_aside.is_some();
        outcome.is_all_set_aside =
            !self.positions.is_empty() && self.positions.iter().all(is_set_aside);
        let rows = self.positions.iter().filter(|one| one.hold().is_none());
        outcome.rows_rejected = rows.clone().map(|one| one.rejected).sum();
        outcome.rows = rows.map(|one| one.rows + one.rejected).sum();
        outcome.has_deliveries = !self.positions.is_empty();
        Ok(())
    }
}

/// Sets the entries of changed positions.
fn put_changed(
    update: &mut CheckpointUpdate,
    known: &[Position],
    positions: &[Position],
) -> Result<(), SourceError> {
    let known = known.iter().map(|position| (&position.path, position));
    let known: BTreeMap<&String, &Position> = known.collect();
    for position in positions {
        if known.get(&position.path) != Some(&position) {
            update.put(&position.path, position)?;
        }
    }
    Ok(())
}

fn append(old: &mut Position, tail: Position) {
    old.bytes = tail.bytes;
    old.modified_ns = tail.modified_ns;
    old.version = tail.version;
    old.hash = tail.hash;
    old.parts.extend(tail.parts);
    old.rows += tail.rows;
    old.rejected += tail.rejected;
}
