//! What the operators of all workers noted, into the state: each worker sends its entries part by part in the order of
//! their keys, and they are merged as they come in. No more is in memory than some chunks of each worker.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tidewater_operators::Faults;
use tidewater_operators::state::{Ledger, PartName, Update, give_all};
use tidewater_operators::varint::{put_bytes, put_signed, take_bytes, take_signed};

use crate::state::{Reading, StoreError, Writing};

/// Bytes of entries that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks of a worker that may wait.
const CHUNKS_MAX: usize = 8;

/// From a worker to who writes the state.
pub enum Message {
    /// The chunks of this part follow.
    Part(PartName),
    /// Entries in the order of their keys.
    Chunk(Vec<u8>),
    /// The part is complete.
    PartEnd,
    /// All parts are.
    End,
}

/// The two ends of a worker's channel.
pub fn channel() -> (SyncSender<Message>, Receiver<Message>) {
    sync_channel(CHUNKS_MAX)
}

/// A worker's ledger, which goes on from a snapshot; `keeps` says for which views. Without a snapshot nothing is found,
/// and what is noted is for whoever wants to keep it.
pub fn ledger(
    state: Option<&Arc<Reading>>,
    keeps: impl Fn(&str) -> bool + 'static,
    faults: &Faults,
) -> Ledger {
    let (state, faults) = (state.cloned(), faults.clone());
    Ledger::new(keeps, move |part| {
        let kept = state.as_ref().map(|state| state.part(part));
        faults.catch(part, kept.transpose()).flatten().flatten()
    })
}

/// Sends all that was noted. Errors mean that no one listens any more, who has a reason of their own.
pub fn send(ledger: &Ledger, to: &SyncSender<Message>) {
    for (name, notes) in ledger.take() {
        let _ = to.send(Message::Part(name));
        let mut chunk = Vec::new();
        give_all(&notes, &mut |key, update| {
            put_bytes(key, &mut chunk);
            match update {
                Update::Add(more) => {
                    chunk.push(b'+');
                    put_signed(i128::from(more), &mut chunk);
                }
                Update::Put(payload) => {
                    chunk.push(b'=');
                    put_bytes(payload, &mut chunk);
                }
                Update::Remove => chunk.push(b'-'),
            }
            if chunk.len() >= CHUNK_BYTES {
                let _ = to.send(Message::Chunk(std::mem::take(&mut chunk)));
            }
        });
        let _ = to.send(Message::Chunk(chunk));
        let _ = to.send(Message::PartEnd);
    }
    let _ = to.send(Message::End);
}

/// Writes what all workers send, and gives the names of all parts; `None` when a worker ended before it had sent all.
///
/// # Errors
/// When the state cannot be written.
pub fn receive(
    from: &[Receiver<Message>],
    writing: &Writing,
) -> Result<Option<Vec<PartName>>, StoreError> {
    let mut names = Vec::new();
    loop {
        let mut part = None;
        for worker in from {
            match worker.recv() {
                Ok(Message::Part(name)) => part = Some(name),
                Ok(Message::End) => {}
                _ => return Ok(None),
            }
        }
        let Some(part) = part else {
            return Ok(Some(names));
        };
        let mut incoming: Vec<Incoming<'_>> = from.iter().map(Incoming::new).collect();
        for incoming in &mut incoming {
            incoming.advance();
        }
        if incoming.iter().any(|incoming| incoming.has_entry) {
            writing.part(&part.name, |writer| {
                while let Some(at) = least(&incoming) {
                    writer.change(incoming[at].key(), incoming[at].update())?;
                    incoming[at].advance();
                }
                Ok(())
            })?;
        }
        if incoming.iter().any(|incoming| incoming.is_cut_short) {
            return Ok(None);
        }
        names.push(part);
    }
}

/// The worker whose next entry comes first.
fn least(incoming: &[Incoming<'_>]) -> Option<usize> {
    let waiting = incoming.iter().enumerate();
    let waiting = waiting.filter(|(_, incoming)| incoming.has_entry);
    waiting
        .min_by(|(_, a), (_, b)| a.key().cmp(b.key()))
        .map(|(at, _)| at)
}

/// The entries of one worker, one at a time; nothing of them is copied.
struct Incoming<'a> {
    from: &'a Receiver<Message>,
    chunk: Vec<u8>,
    next: usize,
    has_entry: bool,
    is_cut_short: bool,
    /// Where in the chunk the entry's key is, and its payload.
    key: Range<usize>,
    payload: Range<usize>,
    kind: u8,
    more: i64,
}

impl<'a> Incoming<'a> {
    fn new(from: &'a Receiver<Message>) -> Self {
        Self {
            from,
            chunk: Vec::new(),
            next: 0,
            has_entry: false,
            is_cut_short: false,
            key: 0..0,
            payload: 0..0,
            kind: 0,
            more: 0,
        }
    }

    fn key(&self) -> &[u8] {
        &self.chunk[self.key.clone()]
    }

    fn update(&self) -> Update<'_> {
        match self.kind {
            b'+' => Update::Add(self.more),
            b'=' => Update::Put(&self.chunk[self.payload.clone()]),
            _ => Update::Remove,
        }
    }

    fn advance(&mut self) {
        self.has_entry = false;
        while self.next == self.chunk.len() {
            match self.from.recv() {
                Ok(Message::Chunk(chunk)) => (self.chunk, self.next) = (chunk, 0),
                Ok(Message::PartEnd) => return,
                _ => {
                    self.is_cut_short = true;
                    return;
                }
            }
        }
        self.has_entry = self.read().is_some();
        self.is_cut_short = !self.has_entry;
    }

    fn read(&mut self) -> Option<()> {
        let whole = self.chunk.as_slice();
        let mut rest = whole.get(self.next..)?;
        let key = take_bytes(&mut rest)?;
        let key_end = whole.len() - rest.len();
        self.key = key_end - key.len()..key_end;
        let (&kind, after) = rest.split_first()?;
        (self.kind, rest) = (kind, after);
        match kind {
            b'+' => self.more = i64::try_from(take_signed(&mut rest)?).ok()?,
            b'=' => {
                let payload = take_bytes(&mut rest)?;
                let end = whole.len() - rest.len();
                self.payload = end - payload.len()..end;
            }
            _ => {}
        }
        self.next = whole.len() - rest.len();
        Some(())
    }
}
