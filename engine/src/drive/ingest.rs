//! Pieces of files into deltas: what the source operators of a run ask for their next step.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidewater_connectors::file::sink::{TableShard, rejected_to_batch};
use tidewater_connectors::source::{Decoded, Piece, Reader};
use tidewater_operators::source::Step;
use tidewater_operators::{Delta, Faults};

use super::Progress;
use super::progress::Counters;

/// A source of a run, shared by all workers.
pub struct Intake {
    /// The source's name.
    pub name: String,
    /// Deals out its pieces.
    pub reader: Arc<dyn Reader>,
    /// Rows decoded or rejected so far.
    pub rows_read: AtomicU64,
    /// Rows rejected so far.
    pub rows_rejected: AtomicU64,
}

/// One worker's share of a source.
pub struct Share {
    /// The source.
    pub intake: Arc<Intake>,
    /// The worker's shard of the quarantine; `None` once it is closed.
    pub quarantine: Rc<RefCell<Option<TableShard>>>,
    /// For the user.
    pub progress: Progress,
    /// Where errors go.
    pub faults: Faults,
    /// What the worker is decoding.
    pub piece: Option<Box<dyn Piece>>,
}

impl Share {
    /// The next batch of rows. An error ends the source; the run ends with the fault.
    pub fn step(&mut self) -> Step {
        loop {
            if self.piece.is_none() {
                match self
                    .faults
                    .catch(&self.intake.name, self.intake.reader.next_piece())
                {
                    Some(Some(piece)) => self.piece = Some(piece),
                    Some(None) | None => return Step::Done,
                }
            }
            match self.piece.as_mut().and_then(Iterator::next) {
                None => self.piece = None,
                Some(decoded) => match self.faults.catch(&self.intake.name, decoded) {
                    Some(decoded) => return self.take(decoded),
                    None => return Step::Done,
                },
            }
        }
    }

    fn take(&self, decoded: Decoded) -> Step {
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let rejected = count(decoded.rejected.len());
        let rows = count(decoded.batch.num_rows()) + rejected;
        self.intake.rows_read.fetch_add(rows, Ordering::Relaxed);
        Counters::add(&self.progress.rows_read, rows);
        Counters::add(&self.progress.bytes_read, decoded.bytes);
        if rejected > 0 {
            self.intake
                .rows_rejected
                .fetch_add(rejected, Ordering::Relaxed);
            Counters::add(&self.progress.rows_rejected, rejected);
            let batch = self
                .faults
                .catch("quarantine", rejected_to_batch(&decoded.rejected));
            if let (Some(batch), Some(shard)) = (batch, self.quarantine.borrow_mut().as_mut()) {
                self.faults.catch("quarantine", shard.push(&batch, 1));
            }
        }
        if decoded.batch.num_rows() == 0 {
            Step::Emit(Vec::new())
        } else {
            Step::Emit(vec![Delta::plus(decoded.batch)])
        }
    }
}
