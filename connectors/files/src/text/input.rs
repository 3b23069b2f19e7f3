//! The text of one delivery, from its file or from the content store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hasher;
use memchr::memchr;

use crate::content_store::{ContentStore, KeptText, given, settled};
use crate::delivery::{Content, Delivery};
use crate::keep::Keeping;
use crate::position::old_part_changed;
use crate::reader::ReadDelivery;
use crate::storage::{FileStamp, Storage, hash_prefix};
use crate::stored::Stored;
use tidewater_contract::error::SourceError;
use tidewater_formats::options::{Compression, OnChange};

/// The number of bytes that are searched at a time for a line end.
const LOOK_BYTES: usize = 256 << 10;

/// The declarations about a source's files that apply to all formats.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub compression: Compression,
    pub on_change: OnChange,
}

/// A delivery that is being read.
pub(super) struct Input {
    pub(super) name: Arc<str>,
    pub(super) ended: bool,
    text: Text,
}

enum Text {
    Stored(Box<StoredText>),
    Kept(Box<KeptText>),
}

/// Text that is read from its file.
struct StoredText {
    path: PathBuf,
    bytes: Stored,
    /// When it was opened.
    before: FileStamp,
    store: Option<Arc<ContentStore>>,
    /// The hash of the old part, for a tail that is stored.
    old_part: Option<Hasher>,
}

impl Input {
    pub(super) fn open(
        delivery: &Delivery,
        rules: Rules,
        storage: &dyn Storage,
        store: Option<&Arc<ContentStore>>,
    ) -> Result<Self, SourceError> {
        let stored = |path: &Path| open_stored(storage, path, delivery, rules, store);
        let text = match &delivery.from {
            Content::File(path) => Text::Stored(stored(path)?),
            Content::KeptStored(_) => Text::Stored(stored(Path::new(&*delivery.name))?),
            Content::Tail {
                path, after, hash, ..
            } => {
                let mut stored = stored(path)?;
                stored.check_old_part(&delivery.name, *after, hash)?;
                Text::Stored(stored)
            }
            Content::Kept(parts) => {
                let (store, name) = (given(store, &delivery.name)?, Arc::clone(&delivery.name));
                Text::Kept(Box::new(KeptText::new(store, name, parts.clone())))
            }
        };
        Ok(Self {
            name: Arc::clone(&delivery.name),
            ended: false,
            text,
        })
    }

    /// Whether it is read from its file.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self.text, Text::Stored(_))
    }

    /// Whether it is read from a compressed file.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(&self.text, Text::Stored(stored) if stored.bytes.is_compressed())
    }

    /// Begins to store its text, if there is a content store.
    pub(super) fn keeping(&mut self) -> Result<Option<Arc<Keeping>>, SourceError> {
        let Text::Stored(stored) = &mut self.text else {
            return Ok(None);
        };
        let Some(store) = &stored.store else {
            return Ok(None);
        };
        let keeping = Keeping::begin(store, &self.name, stored.old_part.take())?;
        Ok(Some(Arc::new(keeping)))
    }

    /// Reads until `bytes` has `target` bytes, or the text ends.
    pub(super) fn fill(&mut self, bytes: &mut Vec<u8>, target: usize) -> Result<(), SourceError> {
        let wanted = target.saturating_sub(bytes.len());
        if wanted == 0 || self.ended {
            return Ok(());
        }
        let more = match &mut self.text {
            Text::Stored(stored) => stored.fill(&self.name, bytes, wanted)?,
            Text::Kept(kept) => kept.fill(bytes, wanted)?,
        };
        self.ended = !more;
        Ok(())
    }

    /// The number of stored bytes read so far, with read-ahead.
    pub(super) fn stored_bytes(&self) -> u64 {
        match &self.text {
            Text::Stored(stored) => stored.bytes.stored_bytes(),
            Text::Kept(kept) => kept.stored_bytes(),
        }
    }

    /// A warning for the user, after everything was read.
    pub(super) fn warning(&self) -> Option<&'static str> {
        match &self.text {
            Text::Stored(stored) => stored.bytes.warning(),
            Text::Kept(_) => None,
        }
    }

    /// Continues at a byte of the file.
    pub(super) fn go_to(&mut self, byte: u64) {
        if let Text::Stored(stored) = &mut self.text {
            stored.bytes.seek(byte);
        }
        self.ended = false;
    }

    /// Whether a line end follows what was read.
    pub(super) fn has_line_end_ahead(&self) -> Result<bool, SourceError> {
        let Text::Stored(stored) = &self.text else {
            return Ok(false);
        };
        stored
            .has_line_end_ahead()
            .map_err(|error| SourceError::io("read", &stored.path, error))
    }

    /// The record of what was read, without its stored parts. Of an appended file, these are the first `appended`
    /// bytes. `None` for stored content.
    pub(super) fn taken(
        &self,
        delivery: usize,
        appended: Option<u64>,
    ) -> Result<Option<ReadDelivery>, SourceError> {
        let Text::Stored(stored) = &self.text else {
            return Ok(None);
        };
        let after = stored
            .bytes
            .stamp()
            .map_err(|error| SourceError::io("read", &stored.path, error))?;
        let bytes = appended.unwrap_or_else(|| stored.bytes.stored_bytes());
        let settled = if appended.is_some() {
            // The file may grow. The next run checks the old part by its hash.
            after.bytes >= bytes
        } else {
            settled(&stored.before, &after, bytes)
        };
        Ok(Some(ReadDelivery {
            delivery,
            bytes,
            hash: stored.bytes.hash().unwrap_or_default(),
            parts: Vec::new(),
            settled,
        }))
    }
}

fn open_stored(
    storage: &dyn Storage,
    path: &Path,
    delivery: &Delivery,
    rules: Rules,
    store: Option<&Arc<ContentStore>>,
) -> Result<Box<StoredText>, SourceError> {
    let refused = |error| SourceError::io("open", path, error);
    let file = match &delivery.from {
        Content::KeptStored(part) => given(store, &delivery.name)?.whole(&delivery.name, part)?,
        _ => storage.open(path).map_err(refused)?,
    };
    let opened = Stored::open(file, &delivery.name, rules.compression, store.is_some());
    let bytes = opened.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => SourceError::file(&delivery.name, error.to_string()),
        _ => refused(error),
    })?;
    let grows =
        rules.on_change == OnChange::Append || matches!(delivery.from, Content::Tail { .. });
    if grows && bytes.is_compressed() {
        let message = "is compressed, and cannot be appended to; deliver it uncompressed, or declare on_change 'replace'";
        return Err(SourceError::file(&delivery.name, message));
    }
    Ok(Box::new(StoredText {
        path: path.to_owned(),
        before: bytes.stamp().map_err(refused)?,
        bytes,
        store: store.cloned(),
        old_part: None,
    }))
}

impl StoredText {
    /// Checks that the old part is unchanged, as far as no extra read is needed.
    fn check_old_part(
        &mut self,
        name: &Arc<str>,
        after: u64,
        hash: &str,
    ) -> Result<(), SourceError> {
        if self.before.bytes < after {
            return Err(old_part_changed(name, after, self.before.bytes));
        }
        if self.store.is_none() {
            return Ok(());
        }
        let hasher = hash_prefix(self.bytes.file(), &self.path, after)?;
        if hasher.finalize().to_hex().as_str() != hash {
            return Err(old_part_changed(name, after, self.before.bytes));
        }
        self.old_part = Some(hasher);
        Ok(())
    }

    fn fill(
        &mut self,
        name: &Arc<str>,
        bytes: &mut Vec<u8>,
        wanted: usize,
    ) -> Result<bool, SourceError> {
        self.bytes.fill(bytes, wanted).map_err(|error| {
            if self.bytes.is_damage(&error) {
                SourceError::Corrupt {
                    file: Arc::clone(name),
                    byte_offset: self.bytes.stored_bytes(),
                    message: error.to_string(),
                }
            } else {
                SourceError::io("read", &self.path, error)
            }
        })
    }

    fn has_line_end_ahead(&self) -> io::Result<bool> {
        let mut at = self.bytes.position();
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            let read = self.bytes.file().read_range(at, LOOK_BYTES, &mut chunk)?;
            if read == 0 || memchr(b'\n', &chunk).is_some() {
                return Ok(read > 0);
            }
            at += u64::try_from(read).unwrap_or(u64::MAX);
        }
    }
}
