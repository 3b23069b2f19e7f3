//! `exchange_rows`: encodes deltas as keyed rows, sends each to the worker that owns its key, and arranges them there.
//!
//! All arrangements have the type [`Arrangement`], so differential's machinery is compiled once. Rows leave a worker in
//! sorted and consolidated chunks, which the arrangement only has to merge.

use std::collections::VecDeque;
use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::OffsetList;
use differential_dataflow::trace::implementations::ord_neu::{
    OrdValBatch, OrdValBatcher, OrdValBuilder,
};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::rc_blanket_impls::RcBuilder;
use serde::{Deserialize, Serialize};
use timely::container::{ContainerBuilder, PushInto};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use crate::hash::hash;
use crate::plain::plain;
use crate::row::{EncodedRow, RowContainer};
use crate::row_codec::{KeyedCodec, valid_rows};
use crate::{Delta, DeltaStream, Faults};

/// A row's key and value, its epoch, and the change of its count.
pub type RowUpdate = ((EncodedRow, EncodedRow), u64, i64);

/// The layout of an arrangement's batches: packed keys and values.
pub type RowLayout = (RowContainer, RowContainer, Vec<u64>, Vec<i64>, OffsetList);

/// A batch of an arrangement.
pub type RowBatch = Rc<OrdValBatch<RowLayout>>;

/// Keyed rows, arranged.
pub type Arrangement<'scope> = Arranged<'scope, TraceAgent<Spine<RowBatch>>>;

type RowBatcher = OrdValBatcher<EncodedRow, EncodedRow, u64, i64>;
/// Builds batches of an arrangement.
pub type RowBuilder = RcBuilder<OrdValBuilder<RowLayout, Vec<RowUpdate>>>;

/// Rows of a full chunk.
const CHUNK_ROWS: usize = 4096;

/// Sorted and consolidated rows for one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowChunk {
    worker: u64,
    updates: Vec<RowUpdate>,
}

/// Encodes the rows of one input as keyed rows.
pub struct RowEncoder {
    /// Splits a row into key and value.
    pub codec: KeyedCodec,
    /// Precedes each value, to distinguish the inputs of one arrangement. May be empty.
    pub tag: &'static [u8],
    /// Rows with NULL in one of these columns are dropped.
    pub not_null: Vec<usize>,
}

impl RowEncoder {
    /// An encoder for the only input of an arrangement. Keeps all rows.
    pub fn untagged(codec: KeyedCodec) -> Self {
        Self {
            codec,
            tag: &[],
            not_null: Vec::new(),
        }
    }

    /// Passes each row's key and value to `visit`.
    fn encode(
        &self,
        batch: &RecordBatch,
        mut visit: impl FnMut(&[u8], EncodedRow),
    ) -> Result<(), ArrowError> {
        let batch = &plain(batch)?;
        let (keys, values) = self.codec.encode(batch)?;
        let valid = valid_rows(batch, &self.not_null)?;
        let mut tagged = self.tag.to_vec();
        for index in 0..batch.num_rows() {
            if valid.as_ref().is_some_and(|valid| valid.is_null(index)) {
                continue;
            }
            tagged.truncate(self.tag.len());
            tagged.extend_from_slice(values.get(index));
            visit(keys.get(index), EncodedRow::from(tagged.as_slice()));
        }
        Ok(())
    }
}

/// Encodes deltas into chunks for the workers that own the keys.
pub fn encode_rows<'scope>(
    stream: DeltaStream<'scope>,
    name: &str,
    encoder: RowEncoder,
    faults: Faults,
) -> Stream<'scope, u64, Vec<RowChunk>> {
    let operator = name.to_owned();
    let workers = stream.scope().peers();
    stream.unary(Pipeline, &format!("{name}: encode"), move |_, _| {
        let mut outgoing = RowChunks::new(workers);
        move |input, output| {
            input.for_each(|epoch, deltas| {
                let mut session = output.session(&epoch);
                for Delta { batch, sign } in deltas.drain(..) {
                    let encoded = encoder.encode(&batch, |key, value| {
                        let update = ((EncodedRow::from(key), value), *epoch.time(), sign.diff());
                        if let Some(chunk) = outgoing.push(hash(key), update) {
                            session.give(chunk);
                        }
                    });
                    faults.catch(&operator, encoded);
                }
                for chunk in outgoing.finish() {
                    session.give(chunk);
                }
            });
        }
    })
}

/// The chunks that are being filled, one for each worker.
struct RowChunks(Vec<RowChunk>);

impl RowChunks {
    fn new(workers: usize) -> Self {
        Self(
            (0..)
                .take(workers)
                .map(|worker| RowChunk {
                    worker,
                    updates: Vec::new(),
                })
                .collect(),
        )
    }

    /// Adds an update. Returns the chunk if that filled it.
    fn push(&mut self, hash: u64, update: RowUpdate) -> Option<RowChunk> {
        let worker = usize::try_from(hash % self.0.len() as u64).unwrap_or_default();
        let chunk = &mut self.0[worker];
        chunk.updates.push(update);
        if chunk.updates.len() < CHUNK_ROWS {
            None
        } else {
            chunk.take()
        }
    }

    /// The chunks that are not full.
    fn finish(&mut self) -> impl Iterator<Item = RowChunk> {
        self.0.iter_mut().filter_map(RowChunk::take)
    }
}

impl RowChunk {
    fn take(&mut self) -> Option<Self> {
        let mut updates = std::mem::take(&mut self.updates);
        consolidate_updates(&mut updates);
        if updates.is_empty() {
            None
        } else {
            Some(Self {
                worker: self.worker,
                updates,
            })
        }
    }
}

/// Exchanges chunks and arranges their rows.
pub fn arrange_rows<'scope>(
    stream: Stream<'scope, u64, Vec<RowChunk>>,
    name: &str,
) -> Arrangement<'scope> {
    let exchange = Exchange::new(|chunk: &RowChunk| chunk.worker);
    arrange_core::<_, _, Unpacker, RowBatcher, RowBuilder, _>(
        stream,
        exchange,
        &format!("{name}: arrange"),
    )
}

/// Unpacks the updates of chunks.
#[derive(Default)]
struct Unpacker {
    ready: VecDeque<Vec<RowUpdate>>,
    given: Vec<RowUpdate>,
}

impl PushInto<&mut Vec<RowChunk>> for Unpacker {
    fn push_into(&mut self, chunks: &mut Vec<RowChunk>) {
        self.ready
            .extend(chunks.drain(..).map(|chunk| chunk.updates));
    }
}

impl ContainerBuilder for Unpacker {
    type Container = Vec<RowUpdate>;

    fn extract(&mut self) -> Option<&mut Vec<RowUpdate>> {
        self.given = self.ready.pop_front()?;
        Some(&mut self.given)
    }

    fn finish(&mut self) -> Option<&mut Vec<RowUpdate>> {
        self.extract()
    }
}
