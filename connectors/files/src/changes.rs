//! The changes of a source's files since the last commit, and the deliveries to read for them.

mod outcome;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tidewater_contract::checkpoint::Checkpoint;
use tidewater_contract::connector::{
    ChangeRules, DeliveryChange, EpochCounts, InputPart, ReadUntil, SourceChanges, SourceOutcome,
};
use tidewater_contract::error::SourceError;
use tidewater_contract::hold::HeldDelivery;
use tidewater_contract::source::{Reader, SourceSpec};
use tidewater_formats::options::{Gate, OnBadFile, OnChange};

use super::content_store::ContentStore;
use super::delivery::{Content, Delivery};
use super::file_source::FileSource;
use super::intake::{FileIntake, Incoming};
use super::list::ListedFile;
use super::position::{Change, CompareRules, Position, SetAside, compare};
use super::storage::FileStamp;
use super::verdict::Judgement;
use super::withdrawn;

/// The kind of a delivery that is held.
const HELD: &str = "held";
/// The kind of a held delivery that is judged again and not held any more.
const RELEASED: &str = "released";

/// The changes of a source's files.
pub(super) struct FileChanges {
    source: FileSource,
    spec: Arc<SourceSpec>,
    store: Arc<ContentStore>,
    /// The positions at the last commit.
    known: Vec<Position>,
    /// Deliveries to insert.
    added: Vec<Incoming>,
    /// The kind of each of them in the record of the epoch.
    kinds: Vec<&'static str>,
    /// Deliveries to retract.
    removed: Vec<Incoming>,
    /// Unchanged deliveries, read only for views that are rebuilt.
    rest: Vec<Incoming>,
    /// Positions that stay, or that change without anything to read.
    positions: Vec<Position>,
    /// Paths whose positions are removed.
    forgotten: BTreeSet<String>,
    /// Deliveries that are retracted or renamed.
    records: Vec<DeliveryChange>,
    notices: Vec<String>,
    gate: Gate,
    /// The positions of deliveries that were in the tables and are held now. Their rows of the quarantine are in `added`.
    held: Vec<Position>,
    /// Whether rules of the job may hold deliveries.
    is_judged: bool,
    /// The reader of `added`.
    inserted: Mutex<Option<Arc<FileIntake>>>,
    /// The reader of the unchanged deliveries, if they are judged again.
    judged_again: Mutex<Option<Arc<FileIntake>>>,
}

impl FileChanges {
    /// Compares the files of a source with those of a checkpoint. A source that never had a file must have one.
    ///
    /// # Errors
    /// When files cannot be listed or compared, or changed although they must not.
    pub(super) fn compare(
        source: &FileSource,
        spec: &Arc<SourceSpec>,
        store: &Arc<ContentStore>,
        checkpoint: &Checkpoint,
        rules: ChangeRules<'_>,
    ) -> Result<Self, SourceError> {
        let known: Vec<Position> = checkpoint.values()?;
        withdrawn::check_directory(&**source.storage(), &spec.location, &known)?;
        let listed = if checkpoint.was_read {
            source.list_or_empty(&spec.location)?
        } else {
            source.list(&spec.location)?
        };
        let mut found = Self {
            source: source.clone(),
            spec: Arc::clone(spec),
            store: Arc::clone(store),
            known: known.clone(),
            added: Vec::new(),
            kinds: Vec::new(),
            removed: Vec::new(),
            rest: Vec::new(),
            positions: Vec::new(),
            forgotten: BTreeSet::new(),
            records: Vec::new(),
            notices: Vec::new(),
            gate: Gate::parse(&spec.options)?,
            held: Vec::new(),
            is_judged: rules.stays_held.is_some(),
            inserted: Mutex::default(),
            judged_again: Mutex::default(),
        };
        let (listed, known) = found.settle(listed, known, rules.settled_ns);
        let stays_held = rules.stays_held;
        let rules = CompareRules {
            on_change: OnChange::parse(&spec.options)?,
            rehash: rules.rehash,
        };
        let changes = compare(&**source.storage(), &spec.name, listed, known, rules)?;
        withdrawn::check(spec, found.known.len(), &changes)?;
        for change in changes {
            let stays = |old: &Position| match (old.hold(), stays_held) {
                (None, _) => true,
                (Some(hold), Some(stays_held)) => stays_held(&old.path, hold),
                (Some(_), None) => false,
            };
            match change {
                Change::Unchanged(old) if !stays(&old) => found.release(as_listed(&old), old),
                Change::Touched { old, new } if !stays(&old) => found.release(new, old),
                Change::Touched { old, new } if old.hold().is_some() => {
                    found.stay(moved(old, &new));
                }
                change => found.apply(change),
            }
        }
        Ok(found)
    }

    /// Leaves out files that were modified recently: new ones are ignored, others count as unchanged.
    fn settle(
        &mut self,
        listed: Vec<ListedFile>,
        known: Vec<Position>,
        settled_ns: i64,
    ) -> (Vec<ListedFile>, Vec<Position>) {
        let (fresh, listed): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .partition(|file| file.stamp.modified_ns > settled_ns);
        if fresh.is_empty() {
            return (listed, known);
        }
        let paths = fresh.iter().map(|file| file.path.display().to_string());
        let paths: BTreeSet<String> = paths.collect();
        let (left, known): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|position| paths.contains(&position.path));
        let as_it_was: BTreeSet<(&str, i64)> = left
            .iter()
            .map(|position| (position.path.as_str(), position.modified_ns))
            .collect();
        let changed = fresh.iter().filter(|file| {
            let path = file.path.display().to_string();
            !as_it_was.contains(&(path.as_str(), file.stamp.modified_ns))
        });
        self.notices.extend(changed.map(|file| {
            format!(
                "{} was modified within the time given by --settle: it is left for a later run",
                file.path.display()
            )
        }));
        for position in left {
            self.stay(position);
        }
        (listed, known)
    }

    fn apply(&mut self, change: Change) {
        let has_key = self.spec.ordinals;
        match change {
            Change::New(new) => self.add("new", new, None),
            Change::Unchanged(old) => self.stay(old),
            Change::Withdrawn(old) => self.remove("withdrawn", old),
            Change::Replaced { old, new } => {
                self.add("replaced", new, Some(old.clone()));
                self.retract(&old);
            }
            // All rows of a delivery with a key have the same time of modification. Whether a delivery without enough
            // good rows is a good one depends on its whole content, and so does whether it is held.
            Change::Appended { old, new }
                if has_key || self.is_judged || old.rows < self.gate.min_good_rows.max(1) =>
            {
                self.add("appended", new, Some(old.clone()));
                self.retract(&old);
            }
            Change::Appended { old, new } => self.append(old, &new),
            // Which row of a key counts depends on time and path.
            Change::Touched { old, new } if has_key => {
                self.add("touched", new, None);
                self.retract(&old);
            }
            Change::Touched { old, new } => self.stay(moved(old, &new)),
            // Rejected rows have the path of their file, and columns may have it too.
            Change::Renamed { old, new }
                if has_key || old.rejected > 0 || self.tells_apart(&old, &new) =>
            {
                self.add("renamed", new, None);
                self.remove("renamed", old);
            }
            Change::Renamed { old, new } => {
                self.forgotten.insert(old.path.clone());
                let position = moved(old, &new);
                self.record("renamed", &position.path, 0);
                self.stay(position);
            }
        }
    }

    /// Whether renaming a file changes its rows, because columns have values from its path.
    fn tells_apart(&self, old: &Position, new: &ListedFile) -> bool {
        let columns = self.source.path_columns();
        columns.tells_apart(&old.path, &new.path.to_string_lossy())
    }

    fn add(&mut self, kind: &'static str, new: ListedFile, replaces: Option<Position>) {
        self.kinds.push(kind);
        self.added.push(Incoming {
            replaces,
            ..Incoming::of(new, judged(self.gate))
        });
    }

    fn append(&mut self, old: Position, new: &ListedFile) {
        let lines: u64 = old.parts.iter().map(|part| part.lines).sum();
        self.kinds.push("appended");
        self.added.push(Incoming {
            modified_ns: new.stamp.modified_ns,
            version: new.stamp.version.clone(),
            delivery: Delivery {
                name: new.name(),
                bytes: new.stamp.bytes - old.bytes,
                from: Content::Tail {
                    path: new.path.clone(),
                    after: old.bytes,
                    first_line: lines + 1,
                    hash: old.hash.clone(),
                },
            },
            replaces: None,
            // The part that stays has good rows.
            judgement: Judgement::Accepted,
        });
        self.stay(old);
    }

    fn stay(&mut self, position: Position) {
        self.rest.push(kept(&position));
        self.positions.push(position);
    }

    /// Judges a held delivery as if it were new.
    fn release(&mut self, new: ListedFile, old: Position) {
        self.retract(&old);
        self.add(RELEASED, new, Some(old));
    }

    /// Holds a delivery that stays.
    fn hold_kept(&mut self, delivery: HeldDelivery) {
        let HeldDelivery { name, hold } = delivery;
        let same = |known: &Position| known.path == name && known.set_aside.is_none();
        let Some(at) = self.positions.iter().position(same) else {
            return;
        };
        let (old, _) = (self.positions.remove(at), self.rest.remove(at));
        self.retract(&old);
        let rows_out = old.rows + old.rejected;
        let held = Position {
            rows: 0,
            rejected: 1,
            set_aside: Some(SetAside::held(hold)),
            ..old
        };
        self.records.push(DeliveryChange {
            name: held.path.clone(),
            kind: HELD,
            rows_in: 1,
            rejected: 1,
            rows_out,
        });
        self.kinds.push(HELD);
        self.added.push(kept(&held));
        self.held.push(held);
    }

    /// Retracts a delivery that was replaced or removed.
    fn retract(&mut self, old: &Position) {
        self.removed.push(kept(old));
    }

    fn remove(&mut self, kind: &'static str, old: Position) {
        self.retract(&old);
        self.record(kind, &old.path, old.rows + old.rejected);
        self.forgotten.insert(old.path);
    }

    fn record(&mut self, kind: &'static str, path: &str, rows_out: u64) {
        self.records.push(DeliveryChange {
            name: path.to_owned(),
            kind,
            rows_in: 0,
            rejected: 0,
            rows_out,
        });
    }

    fn inserted(&self) -> Option<Arc<FileIntake>> {
        opened(&self.inserted)
    }

    /// The unchanged deliveries, to be judged as if they were new.
    fn judged_again(&self) -> Vec<Incoming> {
        let grown = |path: &str| {
            let mut added = self.added.iter();
            added.any(|incoming| &*incoming.delivery.name == path)
        };
        let judged_again = self.rest.iter().zip(&self.positions).map(|(rest, known)| {
            let mut incoming = rest.clone();
            if let (Some(set_aside), [part]) = (&known.set_aside, &known.parts[..])
                && set_aside.keeps_stored
            {
                incoming.delivery.from = Content::KeptStored(part.clone());
            }
            if !grown(&known.path) && known.hold().is_none() {
                incoming.judgement = judged(gate_of(self.gate, known));
            }
            incoming
        });
        judged_again.collect()
    }
}

fn opened(intake: &Mutex<Option<Arc<FileIntake>>>) -> Option<Arc<FileIntake>> {
    let intake = intake.lock();
    intake.unwrap_or_else(PoisonError::into_inner).clone()
}

/// The judgement of a new delivery.
pub(super) fn judged(gate: Gate) -> Judgement {
    Judgement::Judged {
        on_bad: gate.on_bad_file,
        min_good_rows: gate.min_good_rows,
    }
}

/// The judgement of a known delivery that is judged again: if it was accepted before, it is accepted again.
fn gate_of(gate: Gate, known: &Position) -> Gate {
    if known.set_aside.is_some() {
        return Gate {
            on_bad_file: OnBadFile::Quarantine,
            ..gate
        };
    }
    let had_few = known.rejected > 0 && known.rows < gate.min_good_rows;
    if had_few && gate.on_bad_file == OnBadFile::Stop {
        return Gate {
            min_good_rows: 0,
            ..gate
        };
    }
    gate
}

impl SourceChanges for FileChanges {
    fn notices(&self) -> Vec<String> {
        self.notices.clone()
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.records.is_empty()
    }

    fn open(
        &self,
        part: InputPart,
        _until: ReadUntil,
    ) -> Result<Option<Arc<dyn Reader>>, SourceError> {
        let incoming = match part {
            InputPart::Inserted => self.added.clone(),
            InputPart::Retracted => self.removed.clone(),
            InputPart::Unchanged => self.rest.clone(),
            InputPart::JudgedAgain => self.judged_again(),
        };
        if incoming.is_empty() {
            return Ok(None);
        }
        let intake = FileIntake::open(&self.source, &self.spec, incoming, Some(&self.store))?;
        let intake = Arc::new(intake);
        let remembered = match part {
            InputPart::Inserted => Some(&self.inserted),
            InputPart::JudgedAgain => Some(&self.judged_again),
            InputPart::Retracted | InputPart::Unchanged => None,
        };
        if let Some(remembered) = remembered {
            let mut remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
            *remembered = Some(Arc::clone(&intake));
        }
        Ok(Some(intake))
    }

    fn look_again(&self, spec: &Arc<SourceSpec>) -> Vec<Arc<dyn Reader>> {
        let once_more = |incoming: &[&Incoming], store| {
            let accepted = incoming.iter().map(|one| Incoming {
                judgement: match &one.judgement {
                    Judgement::Judged { .. } => Judgement::Accepted,
                    Judgement::SetAside(known) if known.hold.is_some() => Judgement::Accepted,
                    known => known.clone(),
                },
                ..(*one).clone()
            });
            let intake = FileIntake::open(&self.source, spec, accepted.collect(), store).ok()?;
            Some(Arc::new(intake) as Arc<dyn Reader>)
        };
        let is_kept = |one: &&Incoming| matches!(one.delivery.from, Content::Kept(_));
        let (kept, added): (Vec<_>, Vec<_>) = self.added.iter().partition(is_kept);
        let kept: Vec<&Incoming> = kept.into_iter().chain(&self.rest).collect();
        let readers = [once_more(&added, None), once_more(&kept, Some(&self.store))];
        readers.into_iter().flatten().collect()
    }

    fn judge_again(&self) -> Result<Option<Arc<dyn Reader>>, SourceError> {
        let mut incoming = self.judged_again();
        incoming.retain(|one| matches!(one.judgement, Judgement::Judged { .. }));
        if incoming.is_empty() {
            return Ok(None);
        }
        let intake = FileIntake::open(&self.source, &self.spec, incoming, Some(&self.store))?;
        Ok(Some(Arc::new(intake)))
    }

    fn hold(&mut self, deliveries: Vec<HeldDelivery>) {
        for delivery in deliveries {
            self.hold_kept(delivery);
        }
    }

    fn outcome(&self, counts: &EpochCounts) -> Result<SourceOutcome, SourceError> {
        self.conclude(counts)
    }

    fn sync(&self, outcome: &SourceOutcome) -> Result<(), SourceError> {
        self.store.sync(outcome.unsynced.iter().map(String::as_str))
    }
}

/// A delivery that is read from its stored content.
pub(super) fn kept(position: &Position) -> Incoming {
    Incoming {
        delivery: Delivery {
            name: position.path.as_str().into(),
            from: Content::Kept(position.parts.clone()),
            bytes: position.parts.iter().map(|part| part.bytes).sum(),
        },
        modified_ns: position.modified_ns,
        version: position.version.clone(),
        replaces: None,
        judgement: Judgement::of_known(position),
    }
}

/// The file of a position that is unchanged.
fn as_listed(position: &Position) -> ListedFile {
    ListedFile {
        path: position.path.as_str().into(),
        stamp: FileStamp {
            bytes: position.bytes,
            modified_ns: position.modified_ns,
            version: position.version.clone(),
        },
    }
}

/// The position of known content with its current path, time and version.
fn moved(old: Position, new: &ListedFile) -> Position {
    Position {
        path: new.path.display().to_string(),
        bytes: new.stamp.bytes,
        modified_ns: new.stamp.modified_ns,
        version: new.stamp.version.clone(),
        ..old
    }
}
