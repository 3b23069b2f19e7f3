//! Deliveries into deltas: what the source operators of a run ask for their next step.
//!
//! 1. A delivery is taken in whole or not at all: one that was still being written while it was read is taken back in
//!    the same epoch, by reading what was kept of it once more, and what it was to replace comes back.
//! 2. Rows read = rows that entered the graph + rows that were quarantined, each with its delivery's sign.
//! 3. An intake that is [cut](Cut) deals nothing that comes after the cut; what comes then is for the next epoch.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::file::sink::{TableShard, rejected_to_batch};
use tidewater_connectors::file::{Content, Delivery, Depot, Position, open};
use tidewater_connectors::source::{Decoded, Piece, Reader, SourceSpec, Taken};
use tidewater_operators::source::SourceStep;
use tidewater_operators::{Delta, Faults, Sign};

use super::Progress;
use super::balance::signed;
use super::graph::GraphSet;
use super::progress::Counters;
use crate::plan::primary_key;

/// A delivery that is taken in or back.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Where it is read from.
    pub delivery: Delivery,
    /// When it was last modified: what is later counts where rows have the same key.
    pub modified_ns: i64,
    /// What it takes the place of, which was taken back in the same epoch.
    pub replaces: Option<Position>,
}

/// Where an epoch of a stream that has no end is over.
pub struct Cut {
    /// Rows of all sources, about: what was begun is finished.
    pub rows_max: u64,
    /// Whether it is time, after so many rows.
    pub is_over: Box<dyn Fn(u64) -> bool + Send + Sync>,
    /// Rows so far.
    pub rows: AtomicU64,
}

impl Cut {
    fn is_reached(&self) -> bool {
        let rows = self.rows.load(Ordering::Relaxed);
        rows >= self.rows_max || (self.is_over)(rows)
    }
}

/// A reader that deals what comes until it is told that no more is wanted.
pub trait Endless: Reader {
    /// Nothing more is dealt.
    fn close(&self);
}

/// How rows enter an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Whether they are inserted or retracted.
    pub sign: Sign,
    /// The graphs that they enter.
    pub graphs: GraphSet,
    /// Whether rejected rows enter or leave the quarantine. They stay there where only a view is built anew.
    pub quarantines: bool,
}

/// Deliveries of one source that are taken in, or back, by all workers together.
pub struct Intake {
    /// The source.
    pub spec: Arc<SourceSpec>,
    /// Its rows as they enter the graph, their places beside them where it has a key.
    pub schema: SchemaRef,
    /// Whether rows are taken in or back.
    pub sign: Sign,
    /// The graphs that they enter.
    pub graphs: GraphSet,
    /// Whether rejected rows enter the quarantine, or leave it. They stay there where only a view is built anew.
    pub quarantines: bool,
    /// The deliveries, by the index that their reader knows them by; none of a stream, whose deliveries are its partitions.
    pub incoming: Vec<Incoming>,
    /// What was counted of each.
    pub counts: Vec<Count>,
    /// Rows that were read once more because a delivery changed while it was read: inserted ones, less retracted ones.
    pub undone: AtomicI64,
    /// What was taken in of those that were read where they lie; complete when the graph is done.
    pub taken: Mutex<Vec<Taken>>,
    depot: Option<Arc<Depot>>,
    reader: Arc<dyn Reader>,
    /// What to watch, and what to close then.
    cut: Option<(Arc<Cut>, Arc<dyn Endless>)>,
    phase: Mutex<Phase>,
    /// Pieces that were dealt and are not decoded yet.
    open_pieces: AtomicUsize,
}

/// Rows of a delivery.
#[derive(Default)]
pub struct Count {
    /// Decoded or rejected.
    pub read: AtomicU64,
    /// Rejected.
    pub rejected: AtomicU64,
    /// Taken back by what was decoded.
    pub retracted: AtomicU64,
}

/// What an intake deals.
enum Phase {
    /// The deliveries.
    Reading,
    /// Those to be taken back, then those that they were to replace.
    Undoing(Vec<Part>),
}

/// Some of the deliveries once more, from what was kept.
struct Part {
    sign: Sign,
    reader: Arc<dyn Reader>,
    /// Their indices among the intake's.
    indices: Vec<usize>,
    modified_ns: Vec<i64>,
}

/// A piece and how its rows count.
pub struct Open {
    piece: Box<dyn Piece>,
    sign: Sign,
    /// Index of its delivery; `None` when it is read once more.
    counted: Option<usize>,
    index: usize,
    modified_ns: i64,
}

enum Next {
    Piece(Open),
    /// Others have to decode first.
    Wait,
    Done,
}

impl Intake {
    /// Opens deliveries. Files are kept in `depot` while they are read.
    ///
    /// # Errors
    /// When options are wrong, or files are not of the source's format.
    pub fn open(
        spec: Arc<SourceSpec>,
        schema: SchemaRef,
        entry: Entry,
        incoming: Vec<Incoming>,
        depot: Option<&Arc<Depot>>,
    ) -> Result<Self, SourceError> {
        let deliveries = incoming.iter().map(|incoming| incoming.delivery.clone());
        let reader = open(&spec, deliveries.collect(), depot)?;
        let intake = Self::of(spec, schema, entry, reader, incoming.len());
        Ok(Self {
            depot: depot.cloned(),
            incoming,
            ..intake
        })
    }

    /// Ends where `cut` says.
    pub fn until(self, cut: Arc<Cut>, reader: Arc<dyn Endless>) -> Self {
        Self {
            cut: Some((cut, reader)),
            ..self
        }
    }

    /// Rows that `reader` hands out of so many deliveries or partitions.
    pub fn of(
        spec: Arc<SourceSpec>,
        schema: SchemaRef,
        entry: Entry,
        reader: Arc<dyn Reader>,
        deliveries: usize,
    ) -> Self {
        Self {
            counts: (0..deliveries).map(|_| Count::default()).collect(),
            undone: AtomicI64::new(0),
            taken: Mutex::default(),
            depot: None,
            reader,
            cut: None,
            phase: Mutex::new(Phase::Reading),
            open_pieces: AtomicUsize::new(0),
            spec,
            schema,
            sign: entry.sign,
            graphs: entry.graphs,
            quarantines: entry.quarantines,
            incoming: Vec::new(),
        }
    }

    /// Bytes that it reads, for progress.
    pub fn bytes_total(&self) -> u64 {
        self.reader.bytes_total()
    }

    /// What the user should hear of.
    pub fn warnings(&self) -> Vec<String> {
        self.reader.warnings()
    }

    fn next(&self) -> Result<Next, SourceError> {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &mut *phase {
                Phase::Reading => {
                    if let Some((cut, reader)) = &self.cut
                        && cut.is_reached()
                    {
                        reader.close();
                    }
                    if let Some(dealt) = self.reader.next_piece()? {
                        self.open_pieces.fetch_add(1, Ordering::AcqRel);
                        return Ok(Next::Piece(Open {
                            piece: dealt.piece,
                            sign: self.sign,
                            counted: Some(dealt.delivery),
                            index: dealt.delivery,
                            modified_ns: self
                                .incoming
                                .get(dealt.delivery)
                                .map_or(0, |incoming| incoming.modified_ns),
                        }));
                    }
                    if self.open_pieces.load(Ordering::Acquire) > 0 {
                        return Ok(Next::Wait);
                    }
                    *phase = Phase::Undoing(self.undo()?);
                }
                Phase::Undoing(parts) => {
                    let Some(part) = parts.last() else {
                        return Ok(Next::Done);
                    };
                    let Some(dealt) = part.reader.next_piece()? else {
                        parts.pop();
                        continue;
                    };
                    self.open_pieces.fetch_add(1, Ordering::AcqRel);
                    return Ok(Next::Piece(Open {
                        piece: dealt.piece,
                        sign: part.sign,
                        counted: None,
                        index: part.indices[dealt.delivery],
                        modified_ns: part.modified_ns[dealt.delivery],
                    }));
                }
            }
        }
    }

    /// Learns what was taken in, and what of it has to be undone.
    fn undo(&self) -> Result<Vec<Part>, SourceError> {
        let taken = self.reader.taken()?;
        let unsettled: Vec<&Taken> = taken.iter().filter(|taken| !taken.settled).collect();
        let mut parts = Vec::new();
        if let Some(depot) = self.depot.as_ref().filter(|_| !unsettled.is_empty()) {
            let again = |index: usize, parts| Delivery {
                from: Content::Kept(parts),
                ..self.incoming[index].delivery.clone()
            };
            let back = unsettled.iter();
            let back = back.map(|taken| {
                (
                    taken.delivery,
                    None,
                    again(taken.delivery, taken.parts.clone()),
                )
            });
            let replaced = unsettled.iter().filter_map(|taken| {
                let old = self.incoming[taken.delivery].replaces.as_ref()?;
                let parts = again(taken.delivery, old.parts.clone());
                Some((taken.delivery, Some(old.modified_ns), parts))
            });
            parts.push(self.part(Sign::Plus, replaced.collect(), depot)?);
            parts.push(self.part(Sign::Minus, back.collect(), depot)?);
        }
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        Ok(parts)
    }

    fn part(
        &self,
        sign: Sign,
        deliveries: Vec<(usize, Option<i64>, Delivery)>,
        depot: &Arc<Depot>,
    ) -> Result<Part, SourceError> {
        let indices = deliveries.iter().map(|(index, _, _)| *index).collect();
        let modified = deliveries.iter();
        let modified = modified
            .map(|(index, then, _)| then.unwrap_or_else(|| self.incoming[*index].modified_ns));
        let modified_ns = modified.collect();
        let deliveries = deliveries.into_iter().map(|(_, _, delivery)| delivery);
        Ok(Part {
            sign,
            reader: open(&self.spec, deliveries.collect(), Some(depot))?,
            indices,
            modified_ns,
        })
    }

    /// The rows as they enter the graph.
    fn rows(
        &self,
        batch: RecordBatch,
        ordinals: Option<Vec<u64>>,
        open: &Open,
    ) -> Result<RecordBatch, SourceError> {
        // Messages tell their place themselves.
        let Some(incoming) = self.incoming.get(open.index) else {
            return Ok(batch);
        };
        let path = &incoming.delivery.name;
        primary_key::incoming(&self.schema, batch, ordinals, open.modified_ns, path)
            .map_err(|error| SourceError::file(path, error.to_string()))
    }
}

/// One worker's share of an intake.
pub struct Share {
    /// The deliveries.
    pub intake: Arc<Intake>,
    /// The worker's shard of the quarantine; `None` once it is closed.
    pub quarantine: Rc<RefCell<Option<TableShard>>>,
    /// For the user.
    pub progress: Progress,
    /// Where errors go.
    pub faults: Faults,
    /// What the worker is decoding.
    pub open: Option<Open>,
}

impl Share {
    /// The next batch of rows. An error ends the source; the run ends with the fault.
    pub fn step(&mut self) -> SourceStep {
        let name = self.intake.spec.name.clone();
        loop {
            if self.open.is_none() {
                match self.faults.catch(&name, self.intake.next()) {
                    Some(Next::Piece(open)) => self.open = Some(open),
                    Some(Next::Wait) => return SourceStep::Emit(Vec::new()),
                    Some(Next::Done) | None => return SourceStep::Done,
                }
            }
            match self.open.as_mut().and_then(|open| open.piece.next()) {
                None => {
                    self.open = None;
                    self.intake.open_pieces.fetch_sub(1, Ordering::AcqRel);
                    // An empty piece: what was emitted is worked off while nothing comes.
                    if self.intake.cut.is_some() {
                        return SourceStep::Emit(Vec::new());
                    }
                }
                Some(decoded) => {
                    let taken = decoded.and_then(|decoded| self.take(decoded));
                    return self.faults.catch(&name, taken).unwrap_or(SourceStep::Done);
                }
            }
        }
    }

    fn take(&self, decoded: Decoded) -> Result<SourceStep, SourceError> {
        let Some(open) = &self.open else {
            return Ok(SourceStep::Done);
        };
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let rejected = count(decoded.rejected.len());
        let retracted = count(decoded.retracted.as_ref().map_or(0, RecordBatch::num_rows));
        let rows = count(decoded.batch.num_rows()) + retracted + rejected;
        if let Some(delivery) = open.counted {
            let counts = &self.intake.counts[delivery];
            counts.read.fetch_add(rows, Ordering::Relaxed);
            counts.rejected.fetch_add(rejected, Ordering::Relaxed);
            counts.retracted.fetch_add(retracted, Ordering::Relaxed);
            if let Some((cut, _)) = &self.intake.cut {
                cut.rows.fetch_add(rows, Ordering::Relaxed);
            }
            Counters::add(&self.progress.rows_read, rows);
            Counters::add(&self.progress.bytes_read, decoded.bytes);
            Counters::add(&self.progress.rows_rejected, rejected);
        } else {
            let quarantined = if self.intake.quarantines { rejected } else { 0 };
            let net = signed(count(decoded.batch.num_rows()) + quarantined) - signed(retracted);
            let undone = &self.intake.undone;
            undone.fetch_add(net * open.sign.diff(), Ordering::Relaxed);
        }
        if rejected > 0 && self.intake.quarantines {
            let batch = self
                .faults
                .catch("quarantine", rejected_to_batch(&decoded.rejected));
            if let (Some(batch), Some(shard)) = (batch, self.quarantine.borrow_mut().as_mut()) {
                self.faults
                    .catch("quarantine", shard.push(&batch, open.sign.diff()));
            }
        }
        let Decoded {
            batch,
            retracted,
            ordinals,
            ..
        } = decoded;
        let mut deltas = Vec::new();
        if let Some(batch) = retracted.filter(|batch| batch.num_rows() > 0) {
            let sign = open.sign.opposite();
            deltas.push(Delta { batch, sign });
        }
        if batch.num_rows() > 0 {
            let batch = self.intake.rows(batch, ordinals, open)?;
            let sign = open.sign;
            deltas.push(Delta { batch, sign });
        }
        Ok(SourceStep::Emit(deltas))
    }
}
