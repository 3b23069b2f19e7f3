//! Deliveries of a source as they enter an epoch.
//!
//! 1. A delivery is inserted as a whole or not at all: one that was still being written while it was read is retracted in
//!    the same epoch, by reading its kept content once more, and the delivery that it was to replace comes back.
//! 2. Rows of a source with a primary key carry their place: when their file was modified, its path, their number in it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Dealt, Decoded, NextPiece, Piece, Reader, RowChange, SourceSpec};

use super::delivery::{Content, Delivery};
use super::depot::Depot;
use super::list::ListedFile;
use super::open;
use super::position::Position;
use super::reader::{FilePiece, FileReader, ReadDelivery};
use super::source::FileSource;

/// A delivery that is inserted or retracted.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    /// Where it is read from.
    pub delivery: Delivery,
    /// When it was last modified.
    pub modified_ns: i64,
    /// Its version in its storage.
    pub version: Option<String>,
    /// The delivery that it takes the place of, which the same epoch retracts.
    pub replaces: Option<Position>,
}

impl From<ListedFile> for Incoming {
    fn from(file: ListedFile) -> Self {
        Self {
            modified_ns: file.stamp.modified_ns,
            version: file.stamp.version.clone(),
            delivery: Delivery::from(file),
            replaces: None,
        }
    }
}

/// The columns that say where a row of a file comes from.
pub(super) fn place_fields() -> [FieldRef; 3] {
    [
        Field::new("modified", DataType::Int64, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("ordinal", DataType::UInt64, false),
    ]
    .map(Arc::new)
}

/// Reads deliveries of one source.
pub(super) struct FileIntake {
    spec: Arc<SourceSpec>,
    incoming: Vec<Incoming>,
    source: FileSource,
    depot: Option<Arc<Depot>>,
    reader: Arc<dyn FileReader>,
    phase: Mutex<Phase>,
    /// Pieces that were handed out and are not decoded yet.
    open_pieces: Arc<AtomicUsize>,
    read: Mutex<Vec<ReadDelivery>>,
}

/// What an intake hands out.
enum Phase {
    /// The deliveries.
    Reading,
    /// Those that are retracted again, then those that they were to replace.
    Undoing(Vec<Correction>),
}

/// Some of the deliveries once more, from kept content.
struct Correction {
    change: RowChange,
    reader: Arc<dyn FileReader>,
    /// Which delivery of the intake each of the reader's is, and when its content was modified.
    deliveries: Vec<CorrectedDelivery>,
}

#[derive(Clone, Copy)]
struct CorrectedDelivery {
    index: usize,
    modified_ns: i64,
}

impl FileIntake {
    /// Opens deliveries. Files are kept in `depot` while they are read.
    ///
    /// # Errors
    /// When options are wrong, or files are not of the source's format.
    pub(super) fn open(
        source: &FileSource,
        spec: &Arc<SourceSpec>,
        incoming: Vec<Incoming>,
        depot: Option<&Arc<Depot>>,
    ) -> Result<Self, SourceError> {
        let deliveries = incoming.iter().map(|incoming| incoming.delivery.clone());
        Ok(Self {
            reader: open(source, spec, deliveries.collect(), depot)?,
            spec: Arc::clone(spec),
            incoming,
            source: source.clone(),
            depot: depot.cloned(),
            phase: Mutex::new(Phase::Reading),
            open_pieces: Arc::default(),
            read: Mutex::default(),
        })
    }

    /// What was read of the deliveries that were read where they lie. Complete once all rows were read.
    pub(super) fn read_deliveries(&self) -> Vec<ReadDelivery> {
        self.read().clone()
    }

    fn read(&self) -> MutexGuard<'_, Vec<ReadDelivery>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn modified_ns(&self, delivery: usize) -> i64 {
        self.incoming
            .get(delivery)
            .map_or(0, |incoming| incoming.modified_ns)
    }

    /// A piece whose rows carry their places, and which counts as open until it is dropped.
    fn placed(&self, delivery: usize, modified_ns: i64, piece: Box<dyn Piece>) -> Box<dyn Piece> {
        self.open_pieces.fetch_add(1, Ordering::AcqRel);
        let path = self.incoming.get(delivery);
        Box::new(PlacedPiece {
            piece,
            place: FilePlace {
                modified_ns,
                path: path.map_or_else(|| "".into(), |one| Arc::clone(&one.delivery.name)),
            },
            open_pieces: Arc::clone(&self.open_pieces),
        })
    }

    fn next_in(&self, phase: &mut Phase) -> Result<NextPiece, SourceError> {
        loop {
            match phase {
                Phase::Reading => {
                    if let Some(FilePiece { delivery, piece }) = self.reader.next_piece()? {
                        let modified_ns = self.modified_ns(delivery);
                        let piece = self.placed(delivery, modified_ns, piece);
                        return Ok(NextPiece::Dealt(Dealt::new(delivery, piece)));
                    }
                    if self.open_pieces.load(Ordering::Acquire) > 0 {
                        return Ok(NextPiece::Wait);
                    }
                    *phase = Phase::Undoing(self.corrections()?);
                }
                Phase::Undoing(corrections) => {
                    let Some(correction) = corrections.last() else {
                        return Ok(NextPiece::Done);
                    };
                    if let Some(FilePiece { delivery, piece }) = correction.reader.next_piece()?
                        && let Some(corrected) = correction.deliveries.get(delivery)
                    {
                        return Ok(NextPiece::Dealt(Dealt {
                            delivery: corrected.index,
                            change: correction.change,
                            is_correction: true,
                            piece: self.placed(corrected.index, corrected.modified_ns, piece),
                        }));
                    }
                    corrections.pop();
                }
            }
        }
    }

    /// Learns what was read, and opens what has to be corrected.
    fn corrections(&self) -> Result<Vec<Correction>, SourceError> {
        let read = self.reader.read_deliveries()?;
        let unsettled: Vec<&ReadDelivery> = read.iter().filter(|read| !read.settled).collect();
        let mut corrections = Vec::new();
        if let Some(depot) = self.depot.as_ref().filter(|_| !unsettled.is_empty()) {
            let replaced = unsettled.iter().filter_map(|read| {
                let old = self.incoming.get(read.delivery)?.replaces.as_ref()?;
                let parts = Content::Kept(old.parts.clone());
                Some((read.delivery, old.modified_ns, parts))
            });
            let back = unsettled.iter().map(|read| {
                let parts = Content::Kept(read.parts.clone());
                (read.delivery, self.modified_ns(read.delivery), parts)
            });
            let (replaced, back) = (replaced.collect(), back.collect());
            corrections.push(self.correction(RowChange::Insert, replaced, depot)?);
            corrections.push(self.correction(RowChange::Retract, back, depot)?);
        }
        *self.read() = read;
        Ok(corrections)
    }

    fn correction(
        &self,
        change: RowChange,
        contents: Vec<(usize, i64, Content)>,
        depot: &Arc<Depot>,
    ) -> Result<Correction, SourceError> {
        let (mut corrected, mut deliveries) = (Vec::new(), Vec::new());
        for (index, modified_ns, from) in contents {
            if let Some(incoming) = self.incoming.get(index) {
                corrected.push(CorrectedDelivery { index, modified_ns });
                deliveries.push(Delivery {
                    from,
                    ..incoming.delivery.clone()
                });
            }
        }
        Ok(Correction {
            change,
            reader: open(&self.source, &self.spec, deliveries, Some(depot))?,
            deliveries: corrected,
        })
    }
}

impl Reader for FileIntake {
    fn next_piece(&self) -> Result<NextPiece, SourceError> {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        self.next_in(&mut phase)
    }

    fn deliveries(&self) -> usize {
        self.incoming.len()
    }

    fn bytes_total(&self) -> u64 {
        self.reader.bytes_total()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.reader.warnings();
        for read in self.read().iter().filter(|read| !read.settled) {
            let Some(incoming) = self.incoming.get(read.delivery) else {
                continue;
            };
            let name = &incoming.delivery.name;
            warnings.push(if self.depot.is_none() {
                format!(
                    "{name} was written to while it was read: what was taken in may be neither its old nor its new content; \
                     run again when it is complete"
                )
            } else {
                format!("{name} is still being written: it is left for the next run")
            });
        }
        warnings
    }
}

/// Where rows of a piece come from.
struct FilePlace {
    modified_ns: i64,
    path: Arc<str>,
}

/// A piece whose rows carry their places.
struct PlacedPiece {
    piece: Box<dyn Piece>,
    place: FilePlace,
    open_pieces: Arc<AtomicUsize>,
}

impl Iterator for PlacedPiece {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.piece.next()?;
        Some(decoded.and_then(|decoded| self.place.of(decoded)))
    }
}

impl Drop for PlacedPiece {
    fn drop(&mut self) {
        self.open_pieces.fetch_sub(1, Ordering::AcqRel);
    }
}

impl FilePlace {
    fn of(&self, mut decoded: Decoded) -> Result<Decoded, SourceError> {
        if let Some(ordinals) = decoded.ordinals.take() {
            let placed = self.columns(&decoded.batch, ordinals);
            decoded.batch =
                placed.map_err(|error| SourceError::file(&self.path, error.to_string()))?;
        }
        Ok(decoded)
    }

    /// The rows with their places. Texts stay dictionaries where they are.
    fn columns(&self, rows: &RecordBatch, ordinals: Vec<u64>) -> Result<RecordBatch, ArrowError> {
        let number = rows.num_rows();
        let paths = std::iter::repeat_n(&self.path, number);
        let places: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(vec![self.modified_ns; number])),
            Arc::new(StringArray::from_iter_values(paths)),
            Arc::new(UInt64Array::from(ordinals)),
        ];
        let mut columns = rows.columns().to_vec();
        columns.extend(places);
        let fields = rows.schema_ref().fields().iter().cloned();
        let fields: Vec<FieldRef> = fields.chain(place_fields()).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}
