//! Stores the text of one delivery. The workers that decode its blocks compress them, and the frames are written in
//! order.
//!
//! 1. Frames are written in the order of their blocks, in whatever order they arrive.
//! 2. Frames that arrive early wait in memory. There are about as many of them as workers.
//! 3. The file gets its name when the last frame is written. After an error it gets none, and every caller gets the
//!    error.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hasher;

use super::content_store::{ContentStore, Unnamed};
use super::delivery::KeptPart;
use tidewater_contract::error::SourceError;

/// A delivery whose content is being stored.
pub(super) struct Keeping {
    name: Arc<str>,
    store: Arc<ContentStore>,
    state: Mutex<KeepingState>,
}

/// Exactly one of the two is set.
struct KeepingState {
    writing: Option<Box<ContentWriter>>,
    outcome: Option<Result<Kept, SourceError>>,
}

struct ContentWriter {
    file: Unnamed,
    /// The hash of the text.
    text: Hasher,
    /// The hash of the old part and the text together, if there is an old part.
    whole: Option<Hasher>,
    bytes: u64,
    /// The index of the block whose frames are written next.
    next: u64,
    waiting: BTreeMap<u64, Block>,
    /// The numbers of blocks and of lines, once known.
    end: Option<(u64, u64)>,
}

/// A block and its frames.
struct Block {
    text: Vec<u8>,
    frames: Vec<u8>,
}

/// The stored content of a delivery.
#[derive(Clone)]
pub(super) struct Kept {
    pub part: KeptPart,
    /// The hash of the old part and this part together.
    pub whole: String,
}

impl Keeping {
    /// Begins to store the text of `name`. `before` is the hash of the old part, if there is one.
    pub(super) fn begin(
        store: &Arc<ContentStore>,
        name: &Arc<str>,
        before: Option<Hasher>,
    ) -> Result<Self, SourceError> {
        let writing = ContentWriter {
            file: store.begin()?,
            text: Hasher::new(),
            whole: before,
            bytes: 0,
            next: 0,
            waiting: BTreeMap::new(),
            end: None,
        };
        Ok(Self {
            name: Arc::clone(name),
            store: Arc::clone(store),
            state: Mutex::new(KeepingState {
                writing: Some(Box::new(writing)),
                outcome: None,
            }),
        })
    }

    /// Stores the block with index `place`, from 0.
    pub(super) fn keep(&self, place: u64, text: Vec<u8>) -> Result<(), SourceError> {
        let frames = self.store.frames(&text);
        let frames =
            frames.map_err(|error| SourceError::io("compress", Path::new(&*self.name), error))?;
        self.step(|writing| {
            writing.waiting.insert(place, Block { text, frames });
            writing.write_what_follows()
        })
    }

    /// Sets the total numbers of blocks and lines.
    pub(super) fn end(&self, blocks: u64, lines: u64) -> Result<(), SourceError> {
        self.step(|writing| {
            writing.end = Some((blocks, lines));
            Ok(())
        })
    }

    /// The stored content.
    pub(super) fn kept(&self) -> Result<Kept, SourceError> {
        let not_ended = || Err(SourceError::file(&self.name, "was not read to its end"));
        self.lock().outcome.clone().unwrap_or_else(not_ended)
    }

    /// Writes the frames whose turn it is, and ends after the last.
    fn step(
        &self,
        write: impl FnOnce(&mut ContentWriter) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut state = self.lock();
        let outcome = match (state.writing.take(), &state.outcome) {
            (Some(mut writing), _) => match write(&mut writing) {
                Ok(()) if !writing.is_done() => {
                    state.writing = Some(writing);
                    return Ok(());
                }
                Ok(()) => writing.name(),
                Err(error) => Err(error),
            },
            (None, Some(Err(error))) => return Err(error.clone()),
            (None, _) => return Ok(()),
        };
        let told = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        state.outcome = Some(outcome);
        told
    }

    fn lock(&self) -> MutexGuard<'_, KeepingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContentWriter {
    fn write_what_follows(&mut self) -> Result<(), SourceError> {
        while let Some(block) = self.waiting.remove(&self.next) {
            self.text.update(&block.text);
            if let Some(whole) = &mut self.whole {
                whole.update(&block.text);
            }
            self.bytes += u64::try_from(block.text.len()).unwrap_or(0);
            self.file.write(&block.frames)?;
            self.next += 1;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.end.is_some_and(|(blocks, _)| blocks == self.next)
    }

    fn name(self) -> Result<Kept, SourceError> {
        let hash = self.text.finalize().to_hex().to_string();
        let whole = self.whole.map_or_else(
            || hash.clone(),
            |whole| whole.finalize().to_hex().to_string(),
        );
        let stored_bytes = self.file.bytes();
        // Empty content is not stored.
        if self.bytes > 0 {
            self.file.name_text(&hash)?;
        }
        Ok(Kept {
            part: KeptPart {
                hash,
                bytes: self.bytes,
                stored_bytes,
                lines: self.end.map_or(0, |(_, lines)| lines),
            },
            whole,
        })
    }
}
