//! Writes the updates of all workers' operators to the state. Each worker sends its updates in batches, part by part,
//! in the order of keys. State writers merge the batches as they arrive ([`BatchMerge`]). Memory holds only a few chunks of each
//! worker.
//!
//! Workers and state writers cannot deadlock:
//!
//! 1. All workers assign the parts to the state writers in the same order, round robin.
//! 2. A worker sends its parts in that order, and a state writer receives its parts in that order.
//! 3. Consider the earliest part that is not complete. Every worker has sent all earlier parts, so each worker has
//!    sent this part or is sending it. Its state writer has received all earlier parts, so it is receiving this one.
//!    Therefore this part always makes progress.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tidewater_operators::Faults;
use tidewater_operators::state::{StateName, StateRegistry, visit_merged};

use crate::state::{
    BatchMerge, StateSnapshot, StateTransaction, StoreError, UpdateBatch, UpdateBatches, panic,
};

/// Size of a chunk.
const CHUNK_BYTES: usize = 64 << 10;
/// Most chunks of a worker that wait in a channel.
const CHUNKS_MAX: usize = 8;

/// A message from a worker to a state writer.
enum WriterMessage {
    /// The chunks of this part follow.
    Part(StateName),
    /// Updates in the order of their keys.
    Chunk(Vec<UpdateBatch>),
    /// The part is complete.
    PartEnd,
    /// All parts are complete.
    End,
}

/// A worker's sending ends, one for each state writer.
pub struct UpdateSenders(Vec<SyncSender<WriterMessage>>);

/// The receiving ends of all state writers: for each of them, one from every worker.
pub struct StateWriters(Vec<Vec<Receiver<WriterMessage>>>);

/// Channels between workers and as many state writers.
pub fn channels(workers: usize) -> (Vec<UpdateSenders>, StateWriters) {
    let mut writers: Vec<Vec<Receiver<WriterMessage>>> = (0..workers).map(|_| Vec::new()).collect();
    let senders_of = |_| {
        let channels = writers.iter_mut().map(|receivers| {
            let (sender, receiver) = sync_channel(CHUNKS_MAX);
            receivers.push(receiver);
            sender
        });
        UpdateSenders(channels.collect())
    };
    let senders = (0..workers).map(senders_of).collect();
    (senders, StateWriters(writers))
}

/// A worker's registry that continues from a snapshot. `keeps` selects the views whose state is kept. Without a
/// snapshot, there are no stored entries.
pub fn registry(
    state: Option<&Arc<StateSnapshot>>,
    keeps: impl Fn(&str) -> bool + 'static,
    faults: &Faults,
) -> StateRegistry {
    let (state, faults) = (state.cloned(), faults.clone());
    StateRegistry::new(keeps, move |part| {
        let written = state.as_ref().map(|state| state.part(part));
        faults.catch(part, written.transpose()).flatten().flatten()
    })
}

/// Sends all that was noted. Errors mean that no one listens any more, who has a reason of their own.
pub fn send(registry: &StateRegistry, to: &UpdateSenders) {
    for ((name, deltas), to) in registry.take_deltas().into_iter().zip(to.0.iter().cycle()) {
        let _ = to.send(WriterMessage::Part(name));
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        let mut batches = UpdateBatches::new(|batch: UpdateBatch| {
            bytes += batch.entries.len() + size_of::<UpdateBatch>();
            chunk.push(batch);
            if bytes >= CHUNK_BYTES {
                let _ = to.send(WriterMessage::Chunk(std::mem::take(&mut chunk)));
                bytes = 0;
            }
        });
        visit_merged(&deltas, &mut batches);
        batches.finish();
        let _ = to.send(WriterMessage::Chunk(chunk));
        let _ = to.send(WriterMessage::PartEnd);
    }
    for to in &to.0 {
        let _ = to.send(WriterMessage::End);
    }
}

impl StateWriters {
    /// Writes the updates of all workers, and returns the names of all parts. `None` if a worker ended before it had
    /// sent everything.
    ///
    /// # Errors
    /// When the state cannot be written. Nothing more is received then.
    pub fn receive(
        &mut self,
        transaction: &StateTransaction,
    ) -> Result<Option<Vec<StateName>>, StoreError> {
        let write = |receivers: &mut Vec<Receiver<WriterMessage>>| {
            let written = panic::guarded(|| receive(receivers, transaction));
            if !matches!(written, Ok(Some(_))) {
                // Workers that are still sending must not wait for a receiver.
                receivers.clear();
            }
            written
        };
        let Some((first, others)) = self.0.split_first_mut() else {
            return Ok(None);
        };
        let written = thread::scope(|scope| {
            let others = others.iter_mut();
            let others: Vec<_> = others
                .map(|receivers| scope.spawn(move || write(receivers)))
                .collect();
            let first = write(first);
            let others = others.into_iter().map(|writer| {
                writer
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            std::iter::once(first).chain(others).collect::<Vec<_>>()
        });
        let written = written.into_iter().collect::<Result<Option<Vec<_>>, _>>()?;
        Ok(written.map(in_turn))
    }
}

/// Merges lists that were assigned round robin, back into the original order.
fn in_turn(dealt: Vec<Vec<StateName>>) -> Vec<StateName> {
    let mut dealt: Vec<_> = dealt.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(dealt.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

/// Writes the parts of one state writer. Returns `None` if a worker ended early, or if the writer failed before and
/// has no channels any more.
fn receive(
    from: &[Receiver<WriterMessage>],
    transaction: &StateTransaction,
) -> Result<Option<Vec<StateName>>, StoreError> {
    if from.is_empty() {
        return Ok(None);
    }
    let mut names = Vec::new();
    loop {
        let mut part = None;
        for worker in from {
            match worker.recv() {
                Ok(WriterMessage::Part(name)) => part = Some(name),
                Ok(WriterMessage::End) => {}
                _ => return Ok(None),
            }
        }
        let Some(part) = part else {
            return Ok(Some(names));
        };
        let mut updates: Vec<WorkerUpdates<'_>> = from.iter().map(WorkerUpdates::new).collect();
        let mut merge = BatchMerge::new(&mut updates);
        if !merge.is_empty() {
            transaction.part(&part.name, |writer| merge.write(writer))?;
        }
        if updates.iter().any(|updates| updates.is_cut_short) {
            return Ok(None);
        }
        names.push(part);
    }
}

/// The batches of one worker's part.
struct WorkerUpdates<'a> {
    from: &'a Receiver<WriterMessage>,
    chunk: std::vec::IntoIter<UpdateBatch>,
    is_complete: bool,
    is_cut_short: bool,
}

impl<'a> WorkerUpdates<'a> {
    fn new(from: &'a Receiver<WriterMessage>) -> Self {
        Self {
            from,
            chunk: Vec::new().into_iter(),
            is_complete: false,
            is_cut_short: false,
        }
    }
}

impl Iterator for WorkerUpdates<'_> {
    type Item = UpdateBatch;

    fn next(&mut self) -> Option<UpdateBatch> {
        loop {
            if let Some(batch) = self.chunk.next() {
                return Some(batch);
            }
            if self.is_complete || self.is_cut_short {
                return None;
            }
            match self.from.recv() {
                Ok(WriterMessage::Chunk(chunk)) => self.chunk = chunk.into_iter(),
                Ok(WriterMessage::PartEnd) => self.is_complete = true,
                _ => self.is_cut_short = true,
            }
        }
    }
}
