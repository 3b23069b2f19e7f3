//! `per_key`: what the changes of a key's rows change in the output, for keyed operators of any kind.
//!
//! Invariants:
//! 1. An operator's logic sees each key that an epoch touches once for that epoch, with the rows before and after it.
//! 2. What it emits is what the epoch changes, and is sent at the epoch's time. So no operator keeps what it emitted:
//!    the rows before tell.
//! 3. Only batches of complete epochs arrive here; one batch may hold several epochs, a key's are taken in order.
//! 4. Batches wait with the older ones they were found with, so the trace is let go of as they arrive. What the state
//!    keeps for the keys of a batch is the oldest of them.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;

use arrow::error::ArrowError;
use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use crate::exchange_rows::{Arrangement, RowBatch};
use crate::group::{Group, Span};
use crate::kept_rows::{NotedBatch, NotedFirst, recall};
use crate::row_codec::{RowBuffer, RowDecoder};
use crate::state::Part;
use crate::{Delta, Faults, Sign};

/// Rows of an output batch at most.
pub const BATCH_ROWS: usize = 8192;

/// After this many rows others get their turn, so that they use up what was emitted.
const TURN_ROWS: usize = 16 * BATCH_ROWS;

/// What can go wrong with the rows of a key.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Rows do not fit their columns.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// An expression failed.
    #[error("{0}")]
    Expression(#[source] Box<dyn Error + Send + Sync>),
    /// Retractions without their insertions.
    #[error("a row was taken back more often than it was taken in")]
    Negative,
}

/// What a keyed operator does with a group that changed.
pub type Logic = Box<dyn FnMut(&Group<'_>, &mut Changes<'_>) -> Result<(), RowError>>;

/// What the state keeps of a key's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// All of them.
    All,
    /// The first, for operators that never look at another one. No row is ever taken back.
    First,
}

/// Renders a keyed operator over an arrangement. Its logic walks over no more than `reach` rows of a key before and
/// after an epoch: no more than the epoch can bring within reach are looked up in `part`, which keeps what it `keeps`.
pub fn per_key<'scope>(
    arrangement: Arrangement<'scope>,
    name: &str,
    decoder: RowDecoder,
    faults: Faults,
    part: Part,
    (reach, keeps): (u64, Keeps),
    mut logic: Logic,
) -> Stream<'scope, u64, Vec<Delta>> {
    let (stream, mut trace) = (arrangement.stream, arrangement.trace);
    let scope = stream.scope();
    let operator = name.to_owned();
    stream.unary_frontier(Pipeline, name, move |_, info| {
        let activator = scope.activator_for(info.address);
        let mut outbox = Outbox {
            decoder,
            pending: BTreeMap::new(),
            ready: Vec::new(),
            failed: None,
        };
        let mut waiting: VecDeque<Work> = VecDeque::new();
        let mut upper = Antichain::from_elem(0);
        move |(input, _), output| {
            input.for_each(|capability, batches| {
                for batch in batches.drain(..).filter(|batch| !batch.is_empty()) {
                    upper.clone_from(batch.upper());
                    match trace.batches_through(batch.lower().borrow()) {
                        Some(mut old) => {
                            let kept = part.kept().map(|kept| recall(kept, &old, &batch, reach));
                            if let Some(Some(kept)) = faults.catch(&operator, kept.transpose()) {
                                old.insert(0, kept);
                            }
                            part.note(|| match keeps {
                                Keeps::All => Box::new(NotedBatch(batch.clone())),
                                Keeps::First => Box::new(NotedFirst::new(&old, &batch)),
                            });
                            waiting.push_back(Work::new(capability.retain(0), old, batch));
                        }
                        None => {
                            faults
                                .raise(&operator, "earlier rows are gone: a defect of the engine");
                        }
                    }
                }
            });
            trace.advance_upper(&mut upper);
            trace.set_logical_compaction(upper.borrow());
            trace.set_physical_compaction(upper.borrow());

            let mut turn = 0;
            while turn < TURN_ROWS
                && let Some(work) = waiting.front_mut()
            {
                let done = work.step(&mut logic, &mut outbox).unwrap_or_else(|error| {
                    faults.raise(&operator, error);
                    false
                });
                for (epoch, delta) in outbox.ready.drain(..) {
                    turn += delta.batch.num_rows();
                    output.session(&work.capability.delayed(&epoch)).give(delta);
                }
                if done {
                    waiting.pop_front();
                }
                // A raised fault ends the run: what is left is of no use to anyone.
                if faults.raised() {
                    waiting.clear();
                }
            }
            if !waiting.is_empty() {
                activator.activate();
            }
        }
    })
}

/// A batch whose keys are being gone through.
struct Work {
    capability: Capability<u64>,
    /// Earlier batches, and the position in each before which all keys are less than the current one.
    old: Vec<(RowBatch, usize)>,
    fresh: RowBatch,
    /// Number of the current key in `fresh`.
    key: usize,
    epochs: Vec<u64>,
}

impl Work {
    fn new(capability: Capability<u64>, old: Vec<RowBatch>, fresh: RowBatch) -> Self {
        let old = old.into_iter().map(|batch| (batch, 0)).collect();
        Self {
            capability,
            old,
            fresh,
            key: 0,
            epochs: Vec::new(),
        }
    }

    /// Goes through keys until there is something to send. Whether the batch is done with.
    fn step(&mut self, logic: &mut Logic, outbox: &mut Outbox) -> Result<bool, RowError> {
        while let Some(key) = self.fresh.storage.keys.get(self.key) {
            let mut old = Vec::with_capacity(self.old.len());
            for (batch, at) in &mut self.old {
                let keys = &batch.storage.keys;
                *at += keys.advance(*at, keys.len(), |other| other < key);
                if keys.get(*at) == Some(key) {
                    old.push(Span::new(batch, *at));
                }
            }
            let fresh = Span::new(&self.fresh, self.key);
            fresh.epochs(&mut self.epochs);
            for &epoch in &self.epochs {
                logic(
                    &Group {
                        key,
                        epoch,
                        old: &old,
                        fresh,
                    },
                    &mut Changes { epoch, outbox },
                )?;
            }
            self.key += 1;
            if outbox.failed.is_some() || !outbox.ready.is_empty() {
                break;
            }
        }
        let done = self.key >= self.fresh.storage.keys.len();
        if done {
            outbox.flush();
        }
        outbox
            .failed
            .take()
            .map_or(Ok(done), |error| Err(error.into()))
    }
}

/// Where an operator's logic puts what an epoch changes.
pub struct Changes<'a> {
    epoch: u64,
    outbox: &'a mut Outbox,
}

impl Changes<'_> {
    /// The row that the parts make together is there `diff` times more.
    pub fn push(&mut self, parts: &[&[u8]], diff: i64) {
        let Some(sign) = Sign::of(diff) else { return };
        let mut copies = diff.unsigned_abs();
        while copies > 0 {
            let rows = self.outbox.pending.entry((self.epoch, sign)).or_default();
            let room = usize::try_from(copies)
                .unwrap_or(BATCH_ROWS)
                .min(BATCH_ROWS - rows.len());
            rows.push(parts, room);
            copies -= u64::try_from(room).unwrap_or(copies);
            if rows.len() == BATCH_ROWS {
                let full = std::mem::take(rows);
                self.outbox.finish(self.epoch, sign, &full);
            }
        }
    }
}

/// Rows on their way out.
struct Outbox {
    decoder: RowDecoder,
    pending: BTreeMap<(u64, Sign), RowBuffer>,
    ready: Vec<(u64, Delta)>,
    failed: Option<ArrowError>,
}

impl Outbox {
    fn finish(&mut self, epoch: u64, sign: Sign, rows: &RowBuffer) {
        match self.decoder.decode(rows) {
            Ok(batch) => self.ready.push((epoch, Delta { batch, sign })),
            Err(error) => self.failed = Some(error),
        }
    }

    fn flush(&mut self) {
        for ((epoch, sign), rows) in std::mem::take(&mut self.pending) {
            if !rows.is_empty() {
                self.finish(epoch, sign, &rows);
            }
        }
    }
}
