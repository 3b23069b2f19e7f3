//! Rows of sources into deltas: what the source operators of a run ask for their next step.
//!
//! 1. Rows read = rows that entered the graph + rows that were quarantined, each with its sign.
//! 2. An intake with a [`Barrier`] hands out nothing that comes after the barrier; those rows are for the next epoch.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use tidewater_connectors::connector::DeliveryCounts;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::file::sink::{TableShard, rejected_to_batch};
use tidewater_connectors::source::{Decoded, NextPiece, Piece, Reader, RowChange};
use tidewater_operators::source::SourceStep;
use tidewater_operators::{Delta, Faults, Sign};

use super::Progress;
use super::balance::signed;
use super::graph::GraphSet;
use super::progress::Counters;

/// Where an epoch of streams ends.
pub struct Barrier {
    /// Rows of all sources, about: what was begun is finished.
    pub rows_max: u64,
    /// Whether it is time, after so many rows.
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
pub struct Entry {
    /// Whether they are inserted or retracted.
    pub sign: Sign,
    /// The graphs that they enter.
    pub graphs: GraphSet,
    /// Whether rejected rows enter or leave the quarantine. They stay there where only a view is built anew.
    pub quarantines: bool,
}

/// Rows of one source that all workers read together.
pub struct Intake {
    /// The source's name.
    pub source: Arc<str>,
    /// Whether rows are inserted or retracted.
    pub sign: Sign,
    /// The graphs that they enter.
    pub graphs: GraphSet,
    /// Whether rejected rows enter or leave the quarantine. They stay there where only a view is built anew.
    pub quarantines: bool,
    /// Rows of each delivery.
    pub counts: Vec<Count>,
    /// Rows that were read once more because a delivery changed while it was read: inserted ones, less retracted ones.
    pub undone: AtomicI64,
    reader: Arc<dyn Reader>,
    barrier: Option<Arc<Barrier>>,
}

/// Rows of a delivery.
#[derive(Default)]
pub struct Count {
    /// Decoded or rejected.
    pub read: AtomicU64,
    /// Rejected.
    pub rejected: AtomicU64,
    /// Retracted by what was decoded.
    pub retracted: AtomicU64,
}

/// A piece and how its rows count.
pub struct Open {
    piece: Box<dyn Piece>,
    sign: Sign,
    /// Index of its delivery; `None` when it is read once more.
    counted: Option<usize>,
}

impl Intake {
    /// Rows that `reader` hands out, until the barrier if there is one.
    pub fn new(
        source: &str,
        entry: Entry,
        reader: Arc<dyn Reader>,
        barrier: Option<Arc<Barrier>>,
    ) -> Self {
        Self {
            source: source.into(),
            sign: entry.sign,
            graphs: entry.graphs,
            quarantines: entry.quarantines,
            counts: (0..reader.deliveries()).map(|_| Count::default()).collect(),
            undone: AtomicI64::new(0),
            reader,
            barrier,
        }
    }

    /// Bytes that it reads, for progress.
    pub fn bytes_total(&self) -> u64 {
        self.reader.bytes_total()
    }

    /// Messages for the user, complete once all is read.
    pub fn warnings(&self) -> Vec<String> {
        self.reader.warnings()
    }

    /// Rows of each delivery.
    pub fn delivery_counts(&self) -> Vec<DeliveryCounts> {
        let counts = self.counts.iter().map(|count| DeliveryCounts {
            read: count.read.load(Ordering::Relaxed),
            rejected: count.rejected.load(Ordering::Relaxed),
        });
        counts.collect()
    }

    fn next(&self) -> Result<NextPiece, SourceError> {
        if let Some(barrier) = &self.barrier
            && barrier.is_reached()
        {
            self.reader.close();
        }
        self.reader.next_piece()
    }

    /// The sign of a change of the reader's.
    fn sign(&self, change: RowChange) -> Sign {
        match change {
            RowChange::Insert => self.sign,
            RowChange::Retract => self.sign.opposite(),
        }
    }
}

/// One worker's part of an intake.
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
        let name = Arc::clone(&self.intake.source);
        loop {
            if self.open.is_none() {
                match self.faults.catch(&name, self.intake.next()) {
                    Some(NextPiece::Dealt(dealt)) => {
                        self.open = Some(Open {
                            piece: dealt.piece,
                            sign: self.intake.sign(dealt.change),
                            counted: (!dealt.is_correction).then_some(dealt.delivery),
                        });
                    }
                    Some(NextPiece::Wait) => return SourceStep::Emit(Vec::new()),
                    Some(NextPiece::Done) | None => return SourceStep::Done,
                }
            }
            match self.open.as_mut().and_then(|open| open.piece.next()) {
                None => {
                    self.open = None;
                    // Emitted rows are worked off while nothing comes.
                    if self.intake.barrier.is_some() {
                        return SourceStep::Emit(Vec::new());
                    }
                }
                Some(decoded) => {
                    let entered = decoded.map(|decoded| self.enter(decoded));
                    return self
                        .faults
                        .catch(&name, entered)
                        .unwrap_or(SourceStep::Done);
                }
            }
        }
    }

    fn enter(&self, decoded: Decoded) -> SourceStep {
        let Some(open) = &self.open else {
            return SourceStep::Done;
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
            if let Some(barrier) = &self.intake.barrier {
                barrier.rows.fetch_add(rows, Ordering::Relaxed);
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
            batch, retracted, ..
        } = decoded;
        let mut deltas = Vec::new();
        if let Some(batch) = retracted.filter(|batch| batch.num_rows() > 0) {
            let sign = open.sign.opposite();
            deltas.push(Delta { batch, sign });
        }
        if batch.num_rows() > 0 {
            let sign = open.sign;
            deltas.push(Delta { batch, sign });
        }
        SourceStep::Emit(deltas)
    }
}
