//! What the operators of all workers noted, into the state: each worker sends its updates part by part in pieces, in the
//! order of their keys, and these are merged as they come in. No more is in memory than some chunks of each worker.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tidewater_operators::Faults;
use tidewater_operators::state::{Ledger, PartName, give_all};

use crate::state::{Piece, Pieces, Reading, StoreError, Writing};

/// Bytes of pieces that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks of a worker that may wait.
const CHUNKS_MAX: usize = 8;

/// From a worker to who writes the state.
pub enum Message {
    /// The chunks of this part follow.
    Part(PartName),
    /// Updates in the order of their keys.
    Chunk(Vec<Piece>),
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
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        let mut pieces = Pieces::new(|piece: Piece| {
            bytes += piece.entries.len() + size_of::<Piece>();
            chunk.push(piece);
            if bytes >= CHUNK_BYTES {
                let _ = to.send(Message::Chunk(std::mem::take(&mut chunk)));
                bytes = 0;
            }
        });
        give_all(&notes, &mut pieces);
        pieces.finish();
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
        if incoming.iter().any(|incoming| incoming.piece.is_some()) {
            writing.part(&part.name, |writer| {
                while let Some(piece) = next(&mut incoming) {
                    writer.take(&piece)?;
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

/// The piece that comes first of all workers'.
fn next(incoming: &mut [Incoming<'_>]) -> Option<Piece> {
    let waiting = incoming.iter_mut();
    let waiting = waiting.filter(|incoming| incoming.piece.is_some());
    let first = waiting.min_by(|a, b| a.first().cmp(&b.first()));
    first?.advance()
}

/// The pieces of one worker, one at a time.
struct Incoming<'a> {
    from: &'a Receiver<Message>,
    chunk: std::vec::IntoIter<Piece>,
    piece: Option<Piece>,
    is_cut_short: bool,
}

impl<'a> Incoming<'a> {
    fn new(from: &'a Receiver<Message>) -> Self {
        Self {
            from,
            chunk: Vec::new().into_iter(),
            piece: None,
            is_cut_short: false,
        }
    }

    /// The first key of the piece that it stands at.
    fn first(&self) -> Option<&[u8]> {
        self.piece.as_ref().map(|piece| piece.first.as_slice())
    }

    /// Takes the piece that it stands at, and moves to the next.
    fn advance(&mut self) -> Option<Piece> {
        loop {
            if let Some(piece) = self.chunk.next() {
                return self.piece.replace(piece);
            }
            match self.from.recv() {
                Ok(Message::Chunk(chunk)) => self.chunk = chunk.into_iter(),
                Ok(Message::PartEnd) => return self.piece.take(),
                _ => {
                    self.is_cut_short = true;
                    return self.piece.take();
                }
            }
        }
    }
}
