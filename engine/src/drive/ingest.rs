//! Turns rows of sources into deltas, one step at a time, for the source operators.
//!
//! 1. Rows read = rows that entered the graph + rows that were quarantined, each with its sign.
//! 2. An intake with a [`Barrier`] returns no rows after the barrier. Those are for the next epoch.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use tidewater_connectors::connector::DeliveryCounts;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::file::sink::{TableShard, rejected_to_batch};
use tidewater_connectors::hold::HeldDelivery;
use tidewater_connectors::source::{
    Decoded, NextPiece, Piece, Reader, Rejected, RowChange, RowPlaces, SetAsideDelivery,
};
use tidewater_operators::source::SourceStep;
use tidewater_operators::{Delta, Faults, Sign};

use super::Progress;
use super::graph_set::GraphSet;
use super::hold::held_by;
use super::progress::Counters;
use super::row_counts::signed;

/// The point at which an epoch of streams ends.
pub struct Barrier {
    /// Approximate limit for the rows of all sources. Pieces that were begun are finished.
    pub rows_max: u64,
    /// Whether the epoch ends now, after this many rows.
    pub is_over: Box<dyn Fn(u64) -> bool + Send + Sync>,
    /// Rows so far.
    pub rows: AtomicU64,
}

impl Barrier {
    fn is_reached(&self) -> bool {
        let rows = self.rows.load(Ordering::Relaxed);
        rows >= self.rows_max || (self.is_over)(rows)
    }
}

/// How rows enter an epoch.
#[derive(Clone, Copy, Debug)]
pub struct RowRouting {
    /// Whether they are inserted or retracted.
    pub sign: Sign,
    /// The graphs that the rows enter.
    pub graphs: GraphSet,
    /// Whether rejected rows enter or leave the quarantine. They do not if rows are read only to rebuild a view.
    pub quarantines: bool,
}

/// Rows of one source that all workers read together.
pub struct Intake {
    /// The source's name.
    pub source: Arc<str>,
    /// How the rows enter the epoch.
    pub routing: RowRouting,
    /// Rows of each delivery.
    pub counts: Vec<DeliveryCount>,
    /// The rejected row that is first in its file.
    first_rejected: Mutex<Option<Rejected>>,
    /// The batches that were decoded last, for sources that give the places of rows.
    recent: Mutex<VecDeque<(RecordBatch, RowPlaces)>>,
    reader: Arc<dyn Reader>,
    barrier: Option<Arc<Barrier>>,
}

/// The number of batches whose places a source remembers.
const RECENT_BATCHES: usize = 16;

/// The rows of a delivery: those that were read, minus those that its reader retracted.
#[derive(Default)]
pub struct DeliveryCount {
    /// Rows decoded or rejected.
    pub read: AtomicI64,
    /// Rows rejected.
    pub rejected: AtomicI64,
}

impl DeliveryCount {
    fn add(&self, change: RowChange, read: u64, rejected: u64) {
        let sign = match change {
            RowChange::Insert => 1,
            RowChange::Retract => -1,
        };
        let add = |counter: &AtomicI64, rows: u64| {
            counter.fetch_add(sign * signed(rows), Ordering::Relaxed);
        };
        add(&self.read, read);
        add(&self.rejected, rejected);
    }
}

/// A piece and how its rows count.
pub struct OpenPiece {
    piece: Box<dyn Piece>,
    sign: Sign,
    /// The index of its delivery.
    delivery: usize,
    /// Whether its rows are inserted or retracted.
    change: RowChange,
    is_correction: bool,
}

impl Intake {
    /// An intake of the rows from `reader`, up to the barrier if there is one.
    pub fn new(
        source: &str,
        routing: RowRouting,
        reader: Arc<dyn Reader>,
        barrier: Option<Arc<Barrier>>,
    ) -> Self {
        Self {
            source: source.into(),
            routing,
            counts: (0..reader.deliveries())
                .map(|_| DeliveryCount::default())
                .collect(),
            first_rejected: Mutex::default(),
            recent: Mutex::default(),
            reader,
            barrier,
        }
    }

    /// Number of bytes to read, for progress.
    pub fn bytes_total(&self) -> u64 {
        self.reader.bytes_total()
    }

    /// Messages for the user. Complete once everything is read.
    pub fn warnings(&self) -> Vec<String> {
        self.reader.warnings()
    }

    /// Deliveries that were set aside. Complete after everything was read.
    pub fn set_aside(&self) -> Vec<SetAsideDelivery> {
        self.reader.set_aside()
    }

    /// Deliveries that are held. Complete after everything was read.
    pub fn held(&self) -> Vec<HeldDelivery> {
        held_by(&*self.reader)
    }

    /// Rows of each delivery.
    pub fn delivery_counts(&self) -> Vec<DeliveryCounts> {
        let load = |rows: &AtomicI64| u64::try_from(rows.load(Ordering::Relaxed)).unwrap_or(0);
        let counts = self.counts.iter().map(|count| DeliveryCounts {
            read: load(&count.read),
            rejected: load(&count.rejected),
        });
        counts.collect()
    }

    /// Whether it is read up to a barrier.
    pub fn is_followed(&self) -> bool {
        self.barrier.is_some()
    }

    /// The rejected row that is first in its file.
    pub fn first_rejected(&self) -> Option<Rejected> {
        let first = self.first_rejected.lock();
        first.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_rejected(&self, rejected: &[Rejected]) {
        if rejected.is_empty() {
            return;
        }
        let mut first = self
            .first_rejected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let place = |row: &&Rejected| (Arc::clone(&row.file), row.line, row.byte_offset);
        let earliest = first
            .iter()
            .chain(rejected.first())
            .min_by_key(place)
            .cloned();
        *first = earliest;
    }

    /// The batches that were decoded last with the places of their rows, if the source gives them.
    pub fn recent(&self) -> Vec<(RecordBatch, RowPlaces)> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }

    fn remember(&self, batch: &RecordBatch, places: RowPlaces) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back((batch.clone(), places));
        if recent.len() > RECENT_BATCHES {
            recent.pop_front();
        }
    }

    fn next(&self) -> Result<NextPiece, SourceError> {
        if let Some(barrier) = &self.barrier
            && barrier.is_reached()
        {
            self.reader.close();
        }
        self.reader.next_piece()
    }

    /// The sign of a reader's change.
    fn sign(&self, change: RowChange) -> Sign {
        match change {
            RowChange::Insert => self.routing.sign,
            RowChange::Retract => self.routing.sign.opposite(),
        }
    }
}

/// One worker's part of an intake.
pub struct WorkerIntake {
    /// The deliveries.
    pub intake: Arc<Intake>,
    /// The worker's shard of the quarantine; `None` once it is closed.
    pub quarantine: Rc<RefCell<Option<TableShard>>>,
    /// For the user.
    pub progress: Progress,
    /// Where errors go.
    pub faults: Faults,
    /// The piece that the worker is decoding.
    pub open: Option<OpenPiece>,
}

impl WorkerIntake {
    /// The next batch of rows. An error ends the source and becomes a fault, which ends the run.
    pub fn step(&mut self) -> SourceStep {
        loop {
            if self.open.is_none() {
                match self.catch(self.intake.next()) {
                    Some(NextPiece::Dealt(dealt)) => {
                        self.open = Some(OpenPiece {
                            piece: dealt.piece,
                            sign: self.intake.sign(dealt.change),
                            delivery: dealt.delivery,
                            change: dealt.change,
                            is_correction: dealt.is_correction,
                        });
                    }
                    Some(NextPiece::Wait) => return SourceStep::Emit(Vec::new()),
                    Some(NextPiece::Done) | None => return SourceStep::Done,
                }
            }
            match self.open.as_mut().and_then(|open| open.piece.next()) {
                None => {
                    self.open = None;
                    // While no rows arrive, the graph processes those that were emitted.
                    if self.intake.barrier.is_some() {
                        return SourceStep::Emit(Vec::new());
                    }
                }
                Some(decoded) => {
                    let entered = decoded.map(|decoded| self.enter(decoded));
                    return self.catch(entered).unwrap_or(SourceStep::Done);
                }
            }
        }
    }

    /// The value, or `None` after recording the error that the source cannot be read or is refused.
    fn catch<T>(&self, result: Result<T, SourceError>) -> Option<T> {
        let name = || format!("source {}", self.intake.source);
        match result {
            Ok(value) => Some(value),
            Err(SourceError::Refused(reason)) => {
                self.faults.refuse(&name(), reason);
                None
            }
            Err(error) => {
                self.faults.raise(&name(), error);
                None
            }
        }
    }

    fn enter(&self, decoded: Decoded) -> SourceStep {
        let Some(open) = &self.open else {
            return SourceStep::Done;
        };
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let rejected = count(decoded.rejected.len());
        let rows = count(decoded.batch.num_rows()) + rejected;
        let counts = &self.intake.counts[open.delivery];
        counts.add(open.change, rows, rejected);
        if !open.is_correction {
            if let Some(barrier) = &self.intake.barrier {
                barrier.rows.fetch_add(rows, Ordering::Relaxed);
            }
            Counters::add(&self.progress.rows_read, rows);
            Counters::add(&self.progress.bytes_read, decoded.bytes);
            Counters::add(&self.progress.rows_rejected, rejected);
        }
        self.intake.note_rejected(&decoded.rejected);
        if rejected > 0 && self.intake.routing.quarantines {
            let batch = self
                .faults
                .catch("quarantine", rejected_to_batch(&decoded.rejected));
            if let (Some(batch), Some(shard)) = (batch, self.quarantine.borrow_mut().as_mut()) {
                self.faults
                    .catch("quarantine", shard.push(&batch, open.sign.diff()));
            }
        }
        let (batch, sign) = (decoded.batch, open.sign);
        if let Some(places) = decoded.places {
            self.intake.remember(&batch, places);
        }
        let delta = (batch.num_rows() > 0).then_some(Delta { batch, sign });
        SourceStep::Emit(delta.into_iter().collect())
    }
}
