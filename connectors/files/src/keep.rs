//! Keeps the text of one delivery: its blocks are compressed by the workers that decode them, and written in order.
//!
//! 1. Frames are written in the order of their blocks, whatever the order in which they come.
//! 2. What came too early waits in memory; that is about as many blocks as there are workers.
//! 3. The file gets its name when the last frame is written; after an error it never does, and all hear of the error.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hasher;

use super::delivery::KeptPart;
use super::depot::{Depot, Unnamed};
use tidewater_contract::error::SourceError;

/// A delivery that is being kept.
pub(super) struct Keeping {
    name: Arc<str>,
    depot: Arc<Depot>,
    state: Mutex<KeepingState>,
}

/// Either is there, the other not.
struct KeepingState {
    writing: Option<Box<Writing>>,
    outcome: Option<Result<Kept, SourceError>>,
}

struct Writing {
    file: Unnamed,
    /// Hash of the text.
    text: Hasher,
    /// Hash of what came before the text and of the text.
    whole: Option<Hasher>,
    bytes: u64,
    /// Place of the frame that is written next.
    next: u64,
    waiting: BTreeMap<u64, Block>,
    /// How many blocks there are and how many lines, once known.
    end: Option<(u64, u64)>,
}

/// A block and its frames.
struct Block {
    text: Vec<u8>,
    frames: Vec<u8>,
}

/// What was kept of a delivery.
#[derive(Clone)]
pub(super) struct Kept {
    pub part: KeptPart,
    /// Hash of what came before the part and of the part.
    pub whole: String,
}

impl Keeping {
    /// Begins to keep the text of `name`; `before` is the hash of what comes before it, when anything does.
    pub(super) fn begin(
        depot: &Arc<Depot>,
        name: &Arc<str>,
        before: Option<Hasher>,
    ) -> Result<Self, SourceError> {
        let writing = Writing {
            file: depot.begin()?,
            text: Hasher::new(),
            whole: before,
            bytes: 0,
            next: 0,
            waiting: BTreeMap::new(),
            end: None,
        };
        Ok(Self {
            name: Arc::clone(name),
            depot: Arc::clone(depot),
            state: Mutex::new(KeepingState {
                writing: Some(Box::new(writing)),
                outcome: None,
            }),
        })
    }

    /// Keeps the block at `place`, from 0.
    pub(super) fn keep(&self, place: u64, text: Vec<u8>) -> Result<(), SourceError> {
        let frames = self.depot.frames(&text);
        let frames =
            frames.map_err(|error| SourceError::io("compress", Path::new(&*self.name), error))?;
        self.step(|writing| {
            writing.waiting.insert(place, Block { text, frames });
            writing.write_what_follows()
        })
    }

    /// Says that there are `blocks` blocks of `lines` lines.
    pub(super) fn end(&self, blocks: u64, lines: u64) -> Result<(), SourceError> {
        self.step(|writing| {
            writing.end = Some((blocks, lines));
            Ok(())
        })
    }

    /// What was kept.
    pub(super) fn kept(&self) -> Result<Kept, SourceError> {
        let not_ended = || Err(SourceError::file(&self.name, "was not read to its end"));
        self.lock().outcome.clone().unwrap_or_else(not_ended)
    }

    /// Writes on, and ends when all is written.
    fn step(
        &self,
        write: impl FnOnce(&mut Writing) -> Result<(), SourceError>,
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

impl Writing {
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
        // Nothing is kept of nothing.
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
