//! Deliveries of a source as they enter an epoch.
//!
//! 1. A delivery is inserted as a whole or not at all. If it was still being written while it was read, it is
//!    retracted in the same epoch by reading its stored content again, and the delivery that it would have replaced
//!    is inserted again.
//! 2. A bad delivery ([`verdict`]) stops the run or is set aside, and so is a delivery that breaks rules of the job
//!    ([`JudgeDeliveries`]). The rows that were read of it are retracted, and it becomes one row of the quarantine. The
//!    others are read as if it were not there.
//! 3. Rows of a source with a primary key have their place: the time and path of their file, and their number in it.

use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::RecordBatch;
use tidewater_contract::connector::Source;
use tidewater_contract::error::{SourceError, shown_path};
use tidewater_contract::hold::JudgeDeliveries;
use tidewater_contract::source::{
    Dealt, Decoded, NextPiece, Piece, Reader, RowChange, SetAsideDelivery, SourceSpec,
};
use tidewater_formats::options::{Gate, OnError};
use tidewater_formats::row_format::RowFormat;

use self::correction::{CorrectedDelivery, Correction};
use super::content_store::ContentStore;
use super::delivery::{Delivery, KeptPart};
use super::file_source::FileSource;
use super::list::{self, ListedFile};
use super::open::open;
use super::place::FilePlace;
use super::position::{Position, SetAside};
use super::reader::{FilePiece, FileReader, ReadDelivery};
use super::verdict::{self, DeliveryTally, Judgement};

mod conclude;
mod correction;

/// A delivery that is inserted or retracted.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    /// Where it is read from.
    pub delivery: Delivery,
    /// The time of its last modification.
    pub modified_ns: i64,
    /// Its version in its storage.
    pub version: Option<String>,
    /// The delivery that it replaces, which is retracted in the same epoch.
    pub replaces: Option<Position>,
    /// Whether it is judged, and what happens if it is bad.
    pub judgement: Judgement,
}

impl Incoming {
    /// A file that is delivered.
    pub(super) fn of(file: ListedFile, judgement: Judgement) -> Self {
        Self {
            modified_ns: file.stamp.modified_ns,
            version: file.stamp.version.clone(),
            delivery: Delivery::from(file),
            replaces: None,
            judgement,
        }
    }
}

/// A delivery that was set aside while it was read.
#[derive(Clone, Debug)]
pub(super) struct NewlySetAside {
    /// The index among the deliveries of the intake.
    pub index: usize,
    /// Why.
    pub set_aside: SetAside,
    /// Its newly stored content; `None` if it was stored before or nothing is stored.
    pub kept: Option<KeptBad>,
}

/// The stored content of a bad delivery.
#[derive(Clone, Debug)]
pub(super) struct KeptBad {
    /// The size of the stored file.
    pub bytes: u64,
    /// BLAKE3 of the stored file, in hex.
    pub hash: String,
    /// The parts in the content store.
    pub parts: Vec<KeptPart>,
}

/// Reads deliveries of one source.
pub(super) struct FileIntake {
    source: FileSource,
    spec: Arc<SourceSpec>,
    /// The spec for readers: rows have ordinals if they need their places.
    read_spec: SourceSpec,
    incoming: Vec<Incoming>,
    store: Option<Arc<ContentStore>>,
    /// The counts of each delivery.
    tallies: Vec<Arc<DeliveryTally>>,
    progress: Mutex<IntakeProgress>,
    /// The number of pieces that were handed out but are not decoded yet.
    open_pieces: Arc<AtomicUsize>,
    /// Decides which deliveries are held.
    judge: OnceLock<Arc<dyn JudgeDeliveries>>,
    outcome: Mutex<IntakeOutcome>,
}

/// The state of an intake.
struct IntakeProgress {
    /// The readers; the last one is being read. A reader ends at a delivery that it cannot read, and another one
    /// continues after it.
    readers: Vec<OpenReader>,
    /// Deliveries that were already set aside.
    known: Vec<usize>,
    /// The corrections after everything was read; the last one is next.
    corrections: Option<Vec<Correction>>,
}

/// A reader of some of the deliveries.
struct OpenReader {
    reader: Arc<dyn FileReader>,
    /// For each delivery of the reader, its index in the intake.
    deliveries: Vec<usize>,
}

/// The result, after everything was read.
#[derive(Default)]
struct IntakeOutcome {
    read: Vec<ReadDelivery>,
    set_aside: Vec<NewlySetAside>,
    warnings: Vec<String>,
}

impl FileIntake {
    /// Opens deliveries. The content of files is stored in `store` while they are read.
    ///
    /// # Errors
    /// When options are invalid, or files are not of the source's format.
    pub(super) fn open(
        source: &FileSource,
        spec: &Arc<SourceSpec>,
        incoming: Vec<Incoming>,
        store: Option<&Arc<ContentStore>>,
    ) -> Result<Self, SourceError> {
        let is_known = |at: &usize| {
            let one = incoming.get(*at);
            one.is_some_and(|one| matches!(one.judgement, Judgement::SetAside(_)))
        };
        let (known, judged) = (0..incoming.len()).partition(is_known);
        let tells_places = Gate::parse(&spec.options)?.on_error == OnError::Quarantine;
        let intake = Self {
            source: source.clone(),
            spec: Arc::clone(spec),
            read_spec: SourceSpec {
                ordinals: spec.ordinals || tells_places,
                ..spec.as_ref().clone()
            },
            tallies: incoming.iter().map(|_| Arc::default()).collect(),
            incoming,
            store: store.cloned(),
            progress: Mutex::new(IntakeProgress {
                readers: Vec::new(),
                known,
                corrections: None,
            }),
            open_pieces: Arc::default(),
            judge: OnceLock::new(),
            outcome: Mutex::default(),
        };
        let first = intake.reader(judged)?;
        lock(&intake.progress).readers.push(first);
        Ok(intake)
    }

    /// The deliveries that were read from their files and not set aside. Complete after all rows were read.
    pub(super) fn read_deliveries(&self) -> Vec<ReadDelivery> {
        lock(&self.outcome).read.clone()
    }

    /// The deliveries that were set aside. Complete after all rows were read.
    pub(super) fn newly_set_aside(&self) -> Vec<NewlySetAside> {
        lock(&self.outcome).set_aside.clone()
    }

    /// A reader of some of the deliveries. Deliveries whose names show another format are set aside, if allowed.
    fn reader(&self, mut deliveries: Vec<usize>) -> Result<OpenReader, SourceError> {
        let format = RowFormat::of(self.spec.format);
        deliveries.retain(|&at| {
            let Some(incoming) = self.incoming.get(at) else {
                return false;
            };
            if !incoming.judgement.sets_aside() {
                return true;
            }
            let named = list::of_format(format, [&incoming.delivery.name]);
            named.map_err(|error| self.fail(at, error)).is_ok()
        });
        let contents = deliveries.iter().filter_map(|&at| self.incoming.get(at));
        let contents = contents.map(|incoming| incoming.delivery.clone()).collect();
        let reader = open(&self.source, &self.read_spec, contents, self.store.as_ref())?;
        Ok(OpenReader { reader, deliveries })
    }

    fn fail(&self, delivery: usize, error: SourceError) {
        if let Some(tally) = self.tallies.get(delivery) {
            tally.fail(error);
        }
    }

    fn modified_ns(&self, delivery: usize) -> i64 {
        let incoming = self.incoming.get(delivery);
        incoming.map_or(0, |incoming| incoming.modified_ns)
    }

    /// A piece whose rows have their places. It counts as open until it is dropped.
    fn placed(
        &self,
        delivery: CorrectedDelivery,
        tally: Option<&Arc<DeliveryTally>>,
        piece: Box<dyn Piece>,
    ) -> Box<dyn Piece> {
        self.open_pieces.fetch_add(1, Ordering::AcqRel);
        let incoming = self.incoming.get(delivery.index);
        let path = incoming.map_or_else(|| "".into(), |one| Arc::clone(&one.delivery.name));
        Box::new(PlacedPiece {
            piece,
            judged: tally.zip(incoming).map(|(tally, incoming)| JudgedPiece {
                steps: tally.begin_piece(),
                tally: Arc::clone(tally),
                judgement: incoming.judgement.clone(),
            }),
            place: FilePlace {
                modified_ns: delivery.modified_ns,
                path,
                is_column: self.spec.ordinals,
            },
            open_pieces: Arc::clone(&self.open_pieces),
        })
    }

    /// The quarantine row of a delivery that is set aside.
    fn row(&self, delivery: usize, set_aside: &SetAside) -> Box<dyn Piece> {
        let name = self.incoming.get(delivery);
        let name = name.map_or_else(|| "".into(), |one| Arc::clone(&one.delivery.name));
        let rejected = verdict::row_of(&self.spec.name, &name, set_aside);
        Box::new(iter::once(Ok(Decoded {
            batch: RecordBatch::new_empty(self.source.decoded_schema(&self.spec)),
            rejected: vec![rejected],
            ordinals: None,
            places: None,
            bytes: 0,
        })))
    }

    fn next_in(&self, progress: &mut IntakeProgress) -> Result<NextPiece, SourceError> {
        if let Some(index) = progress.known.pop()
            && let Some(Judgement::SetAside(set_aside)) =
                self.incoming.get(index).map(|incoming| &incoming.judgement)
        {
            return Ok(NextPiece::Dealt(Dealt::new(
                index,
                self.row(index, set_aside),
            )));
        }
        if progress.corrections.is_none() {
            if let Some(dealt) = self.next_read(progress)? {
                return Ok(NextPiece::Dealt(dealt));
            }
            if self.open_pieces.load(Ordering::Acquire) > 0 {
                return Ok(NextPiece::Wait);
            }
        }
        let corrections = match progress.corrections.take() {
            Some(corrections) => corrections,
            None => self.conclude(&progress.readers)?,
        };
        self.next_correction(progress.corrections.insert(corrections))
    }

    /// The next piece that is read for the first time.
    fn next_read(&self, progress: &mut IntakeProgress) -> Result<Option<Dealt>, SourceError> {
        while let Some(open) = progress.readers.last() {
            match open.reader.next_piece() {
                Ok(Some(FilePiece { delivery, piece })) => {
                    let index = open.deliveries.get(delivery).copied().unwrap_or(delivery);
                    let tally = self.tallies.get(index);
                    let modified_ns = self.modified_ns(index);
                    let placed = CorrectedDelivery { index, modified_ns };
                    let piece = self.placed(placed, tally, piece);
                    return Ok(Some(Dealt::new(index, piece)));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    let rest = self.pass_over(&open.deliveries, error)?;
                    progress.readers.push(self.reader(rest)?);
                }
            }
        }
        Ok(None)
    }

    /// The deliveries after the unreadable one, if that one may be set aside.
    fn pass_over(&self, read: &[usize], error: SourceError) -> Result<Vec<usize>, SourceError> {
        let bad = error.bad_file().cloned();
        let at = bad.and_then(|bad| {
            let name = |at: usize| Some(&self.incoming.get(at)?.delivery.name);
            read.iter().position(|&at| name(at) == Some(&bad))
        });
        let found = at.and_then(|at| Some((at, *read.get(at)?)));
        let Some((at, index)) = found.filter(|(_, index)| self.sets_aside(*index)) else {
            return Err(error);
        };
        self.fail(index, error);
        Ok(read.get(at + 1..).unwrap_or_default().to_vec())
    }

    fn sets_aside(&self, delivery: usize) -> bool {
        let incoming = self.incoming.get(delivery);
        incoming.is_some_and(|incoming| incoming.judgement.sets_aside())
    }

    fn next_correction(&self, corrections: &mut Vec<Correction>) -> Result<NextPiece, SourceError> {
        while let Some(correction) = corrections.last_mut() {
            let next = match correction {
                Correction::Kept {
                    change,
                    reader,
                    deliveries,
                } => {
                    let piece = reader.next_piece()?;
                    piece.and_then(|FilePiece { delivery, piece }| {
                        let delivery = *deliveries.get(delivery)?;
                        let piece = self.placed(delivery, None, piece);
                        Some((delivery.index, *change, piece))
                    })
                }
                Correction::Undone(undone) => {
                    let piece = undone.next_piece()?;
                    let delivery = undone.delivery;
                    piece.map(|piece| {
                        let piece = self.placed(delivery, None, piece);
                        (delivery.index, RowChange::Retract, piece)
                    })
                }
                Correction::SetAside { index, set_aside } => {
                    let dealt = (*index, RowChange::Insert, self.row(*index, set_aside));
                    corrections.pop();
                    Some(dealt)
                }
            };
            match next {
                Some((delivery, change, piece)) => {
                    return Ok(NextPiece::Dealt(Dealt {
                        delivery,
                        change,
                        is_correction: true,
                        piece,
                    }));
                }
                None => {
                    corrections.pop();
                }
            }
        }
        Ok(NextPiece::Done)
    }
}

impl Reader for FileIntake {
    fn next_piece(&self) -> Result<NextPiece, SourceError> {
        self.next_in(&mut lock(&self.progress))
    }

    fn deliveries(&self) -> usize {
        self.incoming.len()
    }

    fn bytes_total(&self) -> u64 {
        let judged = self.incoming.iter();
        let judged = judged.filter(|one| !matches!(one.judgement, Judgement::SetAside(_)));
        judged.map(|one| one.delivery.bytes).sum()
    }

    fn warnings(&self) -> Vec<String> {
        let outcome = lock(&self.outcome);
        let mut warnings = outcome.warnings.clone();
        for read in outcome.read.iter().filter(|read| !read.settled) {
            let Some(incoming) = self.incoming.get(read.delivery) else {
                continue;
            };
            let name = shown_path(&incoming.delivery.name);
            warnings.push(if self.store.is_none() {
                format!(
                    "{name} was written to while it was read: its rows may be neither those of the old nor of the new content; \
                     run again when it is complete"
                )
            } else {
                format!("{name} is still being written: it is left for the next run")
            });
        }
        warnings
    }

    fn set_aside(&self) -> Vec<SetAsideDelivery> {
        let outcome = lock(&self.outcome);
        let set_aside = outcome.set_aside.iter().filter_map(|one| {
            Some(SetAsideDelivery {
                name: self.incoming.get(one.index)?.delivery.name.to_string(),
                reason: one.set_aside.reason.clone(),
                hold: one.set_aside.hold.clone(),
            })
        });
        set_aside.collect()
    }

    fn judged_by(&self, judge: Arc<dyn JudgeDeliveries>) {
        // The first judge counts.
        let _ = self.judge.set(judge);
    }
}

/// A piece whose rows have their places.
struct PlacedPiece {
    piece: Box<dyn Piece>,
    /// Set for a piece that is read for the first time.
    judged: Option<JudgedPiece>,
    place: FilePlace,
    open_pieces: Arc<AtomicUsize>,
}

/// The records that a piece updates for its delivery.
struct JudgedPiece {
    tally: Arc<DeliveryTally>,
    /// The number of decoded steps.
    steps: Arc<AtomicUsize>,
    judgement: Judgement,
}

impl Iterator for PlacedPiece {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.piece.next()?;
        let decoded = decoded.and_then(|decoded| self.place.of(decoded));
        match (&self.judged, &decoded) {
            (Some(judged), Ok(decoded)) => {
                judged.tally.add(decoded, judged.judgement.min_good_rows());
                judged.steps.fetch_add(1, Ordering::AcqRel);
            }
            // The rows that were read of a bad delivery are retracted, and the rest is not read.
            (Some(judged), Err(error))
                if judged.judgement.sets_aside() && error.bad_file().is_some() =>
            {
                judged.tally.fail(error.clone());
                return None;
            }
            _ => {}
        }
        Some(decoded)
    }
}

impl Drop for PlacedPiece {
    fn drop(&mut self) {
        self.open_pieces.fetch_sub(1, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
