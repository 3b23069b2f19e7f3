//! Pieces: neighbouring updates of a part, on their way from a worker to the store, encoded as blocks have their entries.
//!
//! The worker does what it can: where the part was empty, a block is put together of pieces as they are.
//!
//! 1. Updates are in ascending order of their keys, each key once, all of one kind.
//! 2. Between those of a piece no other worker has any.

use tidewater_operators::state::{EntryUpdate, StateEntry, StateVisitor};

use super::block::BlockWriter;

/// Bytes of a piece, about: four make a block.
const PIECE_BYTES: usize = 450;

/// What updates do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They add their counts.
    Add,
    /// They set them.
    Count,
    /// They put their payloads.
    Put,
    /// They remove.
    Remove,
}

/// Some updates.
#[derive(Debug)]
pub struct Piece {
    /// What they do.
    pub kind: Kind,
    /// The first key.
    pub first: Vec<u8>,
    /// The last key.
    pub last: Vec<u8>,
    /// The updates as entries of a block that begins with them.
    pub entries: Vec<u8>,
    /// Whether one of them counts less than nothing.
    pub is_negative: bool,
}

/// Cuts updates into pieces and hands them on.
pub struct Pieces<F> {
    writer: BlockWriter,
    /// What is known of the piece that is being written; none before its first update.
    open: Option<Piece>,
    hand: F,
}

impl<F: FnMut(Piece)> Pieces<F> {
    /// Hands pieces to `hand`.
    pub fn new(hand: F) -> Self {
        Self {
            writer: BlockWriter::default(),
            open: None,
            hand,
        }
    }

    /// Hands on what is left.
    pub fn finish(mut self) {
        self.cut();
    }

    fn cut(&mut self) {
        if let Some(mut piece) = self.open.take() {
            (piece.entries, piece.last) = self.writer.take();
            (self.hand)(piece);
        }
    }
}

impl<F: FnMut(Piece)> StateVisitor for Pieces<F> {
    fn begin_run(&mut self) {
        self.cut();
    }

    fn update(&mut self, key: &[u8], update: EntryUpdate<'_>) {
        let (kind, count, payload): (Kind, i64, &[u8]) = match update {
            EntryUpdate::Add(more) => (Kind::Add, more, &[]),
            EntryUpdate::Count(count) => (Kind::Count, count, &[]),
            EntryUpdate::Put(payload) => (Kind::Put, 1, payload),
            EntryUpdate::Remove => (Kind::Remove, 0, &[]),
        };
        let goes_on = |piece: &Piece| piece.kind == kind && self.writer.bytes() < PIECE_BYTES;
        if !self.open.as_ref().is_some_and(goes_on) {
            self.cut();
        }
        let piece = self.open.get_or_insert_with(|| Piece {
            kind,
            first: key.to_vec(),
            last: Vec::new(),
            entries: Vec::new(),
            is_negative: false,
        });
        piece.is_negative |= count < 0;
        self.writer.push(StateEntry {
            key,
            count,
            payload,
        });
    }
}
