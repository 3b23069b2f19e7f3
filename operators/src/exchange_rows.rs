//! `exchange_rows`: deltas into keyed rows, each on the worker that owns its key, arranged.
//!
//! There is one kind of arrangement, [`Arrangement`], and so one compilation of differential's machinery. Rows leave
//! a worker in sorted and consolidated chunks, so that what is arranged has only to be merged.

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
use crate::row::{Row, RowContainer};
use crate::row_codec::KeyedCodec;
use crate::{Delta, Faults};

/// A row's key and value, its epoch, and how often it is taken in or back.
pub type Update = ((Row, Row), u64, i64);

/// The layout of an arrangement's batches: keys and values packed.
pub type RowLayout = (RowContainer, RowContainer, Vec<u64>, Vec<i64>, OffsetList);

/// A batch of an arrangement.
pub type RowBatch = Rc<OrdValBatch<RowLayout>>;

/// Keyed rows, arranged.
pub type Arrangement<'scope> = Arranged<'scope, TraceAgent<Spine<RowBatch>>>;

type RowBatcher = OrdValBatcher<Row, Row, u64, i64>;
/// Builds batches of an arrangement.
pub type RowBuilder = RcBuilder<OrdValBuilder<RowLayout, Vec<Update>>>;

/// A chunk is sent when it has this many rows.
const CHUNK_ROWS: usize = 4096;

/// Sorted and consolidated rows, all for one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chunk {
    worker: u64,
    updates: Vec<Update>,
}

/// How the rows of one input become keyed rows.
pub struct RowEncoder {
    /// The cut into key and value.
    pub codec: KeyedCodec,
    /// Put before each value, to tell apart the inputs of one arrangement. May be empty.
    pub tag: &'static [u8],
    /// Whether rows with a NULL in their key are left out.
    pub drop_null_keys: bool,
}

impl RowEncoder {
    /// Hands each row's key and value to `give`.
    fn encode(
        &self,
        batch: &RecordBatch,
        mut give: impl FnMut(&[u8], Row),
    ) -> Result<(), ArrowError> {
        let batch = &plain(batch)?;
        let (keys, values) = self.codec.encode(batch)?;
        let kept = if self.drop_null_keys {
            self.codec.keys_without_null(batch)?
        } else {
            None
        };
        let mut tagged = self.tag.to_vec();
        for index in 0..batch.num_rows() {
            if kept.as_ref().is_some_and(|kept| kept.is_null(index)) {
                continue;
            }
            tagged.truncate(self.tag.len());
            tagged.extend_from_slice(values.get(index));
            give(keys.get(index), Row::from(tagged.as_slice()));
        }
        Ok(())
    }
}

/// Encodes deltas into chunks for the workers that own the keys.
pub fn encode_rows<'scope>(
    stream: Stream<'scope, u64, Vec<Delta>>,
    name: &str,
    encoder: RowEncoder,
    faults: Faults,
) -> Stream<'scope, u64, Vec<Chunk>> {
    let operator = name.to_owned();
    let workers = stream.scope().peers();
    stream.unary(Pipeline, &format!("{name}: encode"), move |_, _| {
        let mut outgoing = Outgoing::new(workers);
        move |input, output| {
            input.for_each(|epoch, deltas| {
                let mut session = output.session(&epoch);
                for Delta { batch, sign } in deltas.drain(..) {
                    let encoded = encoder.encode(&batch, |key, value| {
                        let update = ((Row::from(key), value), *epoch.time(), sign.diff());
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

/// The chunks being filled, one a worker.
struct Outgoing(Vec<Chunk>);

impl Outgoing {
    fn new(workers: usize) -> Self {
        Self(
            (0..)
                .take(workers)
                .map(|worker| Chunk {
                    worker,
                    updates: Vec::new(),
                })
                .collect(),
        )
    }

    /// Takes an update, and gives back the chunk that it filled.
    fn push(&mut self, hash: u64, update: Update) -> Option<Chunk> {
        let worker = match u64::try_from(self.0.len()) {
            Ok(workers) => usize::try_from(hash % workers).unwrap_or_default(),
            Err(_) => 0,
        };
        let chunk = &mut self.0[worker];
        chunk.updates.push(update);
        if chunk.updates.len() < CHUNK_ROWS {
            None
        } else {
            chunk.take()
        }
    }

    /// What is left.
    fn finish(&mut self) -> impl Iterator<Item = Chunk> {
        self.0.iter_mut().filter_map(Chunk::take)
    }
}

impl Chunk {
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

/// Exchanges and arranges.
pub fn arrange_rows<'scope>(
    stream: Stream<'scope, u64, Vec<Chunk>>,
    name: &str,
) -> Arrangement<'scope> {
    let exchange = Exchange::new(|chunk: &Chunk| chunk.worker);
    arrange_core::<_, _, Unpacker, RowBatcher, RowBuilder, _>(
        stream,
        exchange,
        &format!("{name}: arrange"),
    )
}

/// Takes the updates out of chunks.
#[derive(Default)]
struct Unpacker {
    ready: VecDeque<Vec<Update>>,
    given: Vec<Update>,
}

impl PushInto<&mut Vec<Chunk>> for Unpacker {
    fn push_into(&mut self, chunks: &mut Vec<Chunk>) {
        self.ready
            .extend(chunks.drain(..).map(|chunk| chunk.updates));
    }
}

impl ContainerBuilder for Unpacker {
    type Container = Vec<Update>;

    fn extract(&mut self) -> Option<&mut Vec<Update>> {
        self.given = self.ready.pop_front()?;
        Some(&mut self.given)
    }

    fn finish(&mut self) -> Option<&mut Vec<Update>> {
        self.extract()
    }
}
