//! `per_key`: keyed operators. Joins, windows and tops are all functions from the rows of a key, before and after an epoch,
//! to changes of the output.
//!
//! Invariants:
//! 1. An operator's logic is called once for each key that an epoch changes, with the rows before and after the epoch.
//! 2. It emits the changes that the epoch causes, at the time of the epoch. The rows before the epoch determine what was
//!    emitted earlier, so no operator stores its output.
//! 3. Only batches of complete epochs arrive. A batch may hold several epochs; those of a key are processed in order.
//! 4. A pending batch holds the older batches that preceded it, so the trace may compact them. The stored rows of its keys
//!    are the oldest of these batches.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;

use arrow::error::ArrowError;
use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::{Capability, Concatenate};
use timely::progress::Antichain;

use crate::exchange_rows::{RowBatch, RowEncoder, arrange_rows, encode_rows};
use crate::key_rows::{KeyRows, Span};
use crate::row_codec::{RowBuffer, RowDecoder};
use crate::row_state::{BatchDelta, FirstRowDelta, Summarize, SummaryDelta, stored_rows};
use crate::state::StateHandle;
use crate::{Delta, DeltaStream, Faults, Sign};

/// Maximum rows of an output batch.
pub const BATCH_ROWS: usize = 8192;

/// After this many rows the operator yields, so that others consume what it emitted.
const YIELD_ROWS: usize = 16 * BATCH_ROWS;

/// An error in the rows of a key.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Rows do not fit their columns.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// An expression failed.
    #[error("{0}")]
    Expression(#[source] Box<dyn Error + Send + Sync>),
    /// A retraction without its insertion.
    #[error("a row was retracted more often than it was inserted")]
    NegativeCount,
}

/// The logic of a keyed operator: emits the changes of the output for one key and one epoch.
pub type KeyLogic = Box<dyn FnMut(&KeyRows<'_>, &mut RowChanges<'_>) -> Result<(), RowError>>;

/// The rows of a key that are stored in the state.
#[derive(Clone, Copy, Debug)]
pub enum StoredRows {
    /// All rows.
    All,
    /// The first row, for operators that never read another one. Rows must never be retracted.
    First,
    /// Other rows with the same effect.
    Summary(Summarize),
}

/// A keyed operator.
pub struct KeyedOperator {
    /// Splits the rows of each input into keys and values.
    pub encoders: Vec<RowEncoder>,
    /// Decodes the emitted rows.
    pub decoder: RowDecoder,
    /// The logic walks over at most this many rows of a key, before and after an epoch. Stored rows that an epoch cannot
    /// bring within reach are not read.
    pub reach: u64,
    /// The rows that are stored.
    pub stored: StoredRows,
    /// The results to compute.
    pub logic: KeyLogic,
}

/// Renders a keyed operator over its inputs: their rows are exchanged and arranged by key, and the logic is called for
/// each key that changes. An operator that could not be built is a fault, and nothing is emitted.
pub fn per_key<'scope>(
    inputs: Vec<DeltaStream<'scope>>,
    name: &str,
    operator: Result<KeyedOperator, ArrowError>,
    state: StateHandle,
    faults: Faults,
) -> DeltaStream<'scope> {
    let scope = inputs[0].scope();
    let Some(operator) = faults.catch(name, operator) else {
        return empty(scope);
    };
    let chunks = inputs.into_iter().zip(operator.encoders);
    let chunks = chunks.map(|(stream, encoder)| encode_rows(stream, name, encoder, faults.clone()));
    let arrangement = arrange_rows(scope.concatenate(chunks.collect::<Vec<_>>()), name);
    let (stream, mut trace) = (arrangement.stream, arrangement.trace);
    let (name, mut logic) = (name.to_owned(), operator.logic);
    stream.unary_frontier(Pipeline, &name.clone(), move |_, info| {
        let activator = scope.activator_for(info.address);
        let mut outbox = Outbox::new(operator.decoder);
        let mut pending: VecDeque<PendingBatch> = VecDeque::new();
        let mut upper = Antichain::from_elem(0);
        move |(input, _), output| {
            input.for_each(|capability, batches| {
                for batch in batches.drain(..).filter(|batch| !batch.is_empty()) {
                    upper.clone_from(batch.upper());
                    let Some(mut old) = trace.batches_through(batch.lower().borrow()) else {
                        faults.raise(&name, "earlier rows are gone: a defect of the engine");
                        continue;
                    };
                    let rows = state
                        .stored()
                        .map(|entries| stored_rows(entries, &old, &batch, operator.reach));
                    if let Some(Some(rows)) = faults.catch(&name, rows.transpose()) {
                        old.insert(0, rows);
                    }
                    state.record(|| match operator.stored {
                        StoredRows::All => Box::new(BatchDelta(batch.clone())),
                        StoredRows::First => Box::new(FirstRowDelta::new(&old, &batch)),
                        StoredRows::Summary(summarize) => {
                            Box::new(SummaryDelta::new(&old, &batch, summarize))
                        }
                    });
                    pending.push_back(PendingBatch::new(capability.retain(0), old, batch));
                }
            });
            trace.advance_upper(&mut upper);
            trace.set_logical_compaction(upper.borrow());
            trace.set_physical_compaction(upper.borrow());

            let mut emitted = 0;
            while emitted < YIELD_ROWS
                && let Some(batch) = pending.front_mut()
            {
                let done = batch.step(&mut logic, &mut outbox).unwrap_or_else(|error| {
                    faults.raise(&name, error);
                    false
                });
                for (epoch, delta) in outbox.ready.drain(..) {
                    emitted += delta.batch.num_rows();
                    output
                        .session(&batch.capability.delayed(&epoch))
                        .give(delta);
                }
                if done {
                    pending.pop_front();
                }
                // A fault ends the run, so the remaining batches are not needed.
                if faults.raised() {
                    pending.clear();
                }
            }
            if !pending.is_empty() {
                activator.activate();
            }
        }
    })
}

/// A batch whose keys are being processed.
struct PendingBatch {
    capability: Capability<u64>,
    /// Earlier batches, each with the position of its first key that is not less than the current one.
    old: Vec<(RowBatch, usize)>,
    fresh: RowBatch,
    /// Index of the current key in `fresh`.
    key: usize,
    epochs: Vec<u64>,
}

impl PendingBatch {
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

    /// Processes keys until an output batch is ready. Returns whether all keys are done.
    fn step(&mut self, logic: &mut KeyLogic, outbox: &mut Outbox) -> Result<bool, RowError> {
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
                let rows = KeyRows {
                    key,
                    epoch,
                    old: &old,
                    fresh,
                };
                logic(&rows, &mut RowChanges { epoch, outbox })?;
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

/// Collects the changes of the output for one key and one epoch.
pub struct RowChanges<'a> {
    epoch: u64,
    outbox: &'a mut Outbox,
}

impl RowChanges<'_> {
    /// Adds `diff` copies of a row, whose bytes are the concatenation of `parts`.
    pub fn push(&mut self, parts: &[&[u8]], diff: i64) {
        let Some(sign) = Sign::of(diff) else { return };
        let mut copies = diff.unsigned_abs();
        while copies > 0 {
            let rows = self.outbox.pending.entry((self.epoch, sign)).or_default();
            let room = usize::try_from(copies)
                .unwrap_or(BATCH_ROWS)
                .min(BATCH_ROWS - rows.len());
            rows.push(parts, room);
            copies -= room as u64;
            if rows.len() == BATCH_ROWS {
                let full = std::mem::take(rows);
                self.outbox.finish(self.epoch, sign, &full);
            }
        }
    }
}

/// The output rows that were not sent yet.
struct Outbox {
    decoder: RowDecoder,
    pending: BTreeMap<(u64, Sign), RowBuffer>,
    ready: Vec<(u64, Delta)>,
    failed: Option<ArrowError>,
}

impl Outbox {
    fn new(decoder: RowDecoder) -> Self {
        Self {
            decoder,
            pending: BTreeMap::new(),
            ready: Vec::new(),
            failed: None,
        }
    }

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
