//! How far a source has been taken in, and what has changed since.
//!
//! 1. Every listed file and every position is in exactly one change.
//! 2. A file is read only when its stamp leaves its content in doubt: the same size, time and version are the same content.
//!    Where only the version differs (a link was made, rights were changed), the content decides.
//! 3. A path that is new is the content of a path that is gone only when it is that content, byte for byte.
//! 4. The changes are in order of path, whatever the order of the positions.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::delivery::KeptPart;
use super::list::ListedFile;
use super::storage::{Storage, hash_prefix};
use tidewater_contract::error::SourceError;
use tidewater_formats::options::OnChange;

/// A delivery that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its path as listed.
    pub path: String,
    /// Bytes of the stored file that are taken in, from its beginning.
    pub bytes: u64,
    /// When the file was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// The file's [version](super::storage::FileStamp::version) in its storage. `None` where there is none, or where an
    /// earlier Tidewater read the file: size and time alone tell then, and the version is noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// BLAKE3 of these bytes, in hex.
    pub hash: String,
    /// What was kept of it, in order.
    pub parts: Vec<KeptPart>,
    /// Rows taken in.
    pub rows: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Why none of its rows count, where it is set aside as a whole; it is one rejected row then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<SetAside>,
}

/// Why a delivery is set aside as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The column at fault, where a single one is.
    pub column: Option<String>,
    /// What is wrong with it, in a sentence.
    pub reason: String,
    /// Whether what is kept is the file as it was stored. Otherwise it is what is kept of any delivery.
    pub keeps_stored: bool,
}

/// How files are compared with what was taken in.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompareRules {
    /// What may become of a file.
    pub on_change: OnChange,
    /// Whether the content of all files is compared, whatever their stamps tell.
    pub rehash: bool,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there for the first time.
    New(ListedFile),
    /// It is as it was: its position as it is now, of which the version may be another.
    Unchanged(Position),
    /// It was written again with the same content.
    Touched {
        /// As it was taken in.
        old: Position,
        /// As it is.
        new: ListedFile,
    },
    /// It has another content.
    Replaced {
        /// As it was taken in.
        old: Position,
        /// As it is.
        new: ListedFile,
    },
    /// Its content is the old one, and more.
    Appended {
        /// As it was taken in.
        old: Position,
        /// As it is.
        new: ListedFile,
    },
    /// Its content is there under another path, and its old path is gone.
    Renamed {
        /// As it was taken in.
        old: Position,
        /// As it is.
        new: ListedFile,
    },
    /// It is gone.
    Withdrawn(Position),
}

impl Change {
    /// The path that the change is ordered by: the present one, or that of what is gone.
    fn path(&self) -> &Path {
        match self {
            Self::Unchanged(old) | Self::Withdrawn(old) => Path::new(&old.path),
            Self::New(new)
            | Self::Touched { new, .. }
            | Self::Replaced { new, .. }
            | Self::Appended { new, .. }
            | Self::Renamed { new, .. } => &new.path,
        }
    }
}

/// Compares the files that `source` is `listed` with now with those `known` to be taken in: what changed, in order of
/// path. A path is listed and known once at most.
///
/// # Errors
/// When a file changed in a way that the rules do not allow, cannot be read, or has a name that is not UTF-8.
pub fn compare(
    storage: &dyn Storage,
    source: &str,
    mut listed: Vec<ListedFile>,
    known: Vec<Position>,
    rules: CompareRules,
) -> Result<Vec<Change>, SourceError> {
    listed.sort();
    let mut gone: BTreeMap<String, Position> = known
        .into_iter()
        .map(|position| (position.path.clone(), position))
        .collect();
    let (mut changes, mut new_paths) = (Vec::with_capacity(listed.len()), Vec::new());
    for new in listed {
        let Some(path) = new.path.to_str() else {
            let message = "its name is not UTF-8, and could not be told from others; rename it";
            return Err(SourceError::file(&new.name(), message));
        };
        match gone.remove(path) {
            Some(old) => changes.push(compare_file(storage, source, old, new, rules)?),
            None => new_paths.push(new),
        }
    }
    changes.extend(renamed_or_new(storage, new_paths, gone)?);
    changes.sort_by(|one, other| one.path().cmp(other.path()));
    Ok(changes)
}

/// What became of a file that is where it was.
fn compare_file(
    storage: &dyn Storage,
    source: &str,
    old: Position,
    new: ListedFile,
    rules: CompareRules,
) -> Result<Change, SourceError> {
    let bytes = new.stamp.bytes;
    let looks_same = (bytes, new.stamp.modified_ns) == (old.bytes, old.modified_ns);
    let is_other_version = old.version.is_some() && old.version != new.stamp.version;
    let unchanged = |old| {
        let version = new.stamp.version.clone();
        Ok(Change::Unchanged(Position { version, ..old }))
    };
    if looks_same && !is_other_version && !rules.rehash {
        return unchanged(old);
    }
    // Nothing of a file that is set aside was read that it would have to keep.
    let on_change = match old.set_aside {
        Some(_) => OnChange::Replace,
        None => rules.on_change,
    };
    let holds_old = bytes >= old.bytes
        && (on_change == OnChange::Append || bytes == old.bytes)
        && { hash_of(storage, &new, old.bytes)? == old.hash };
    if holds_old && looks_same {
        return unchanged(old);
    }
    match on_change {
        _ if holds_old && bytes == old.bytes => Ok(Change::Touched { old, new }),
        OnChange::Replace => Ok(Change::Replaced { old, new }),
        OnChange::Append if holds_old => Ok(Change::Appended { old, new }),
        OnChange::Append => Err(old_part_changed(&new.name(), old.bytes, bytes)),
        OnChange::Fail => {
            let message = format!(
                "has another content than was taken in ({} bytes, now {bytes}), and source '{source}' is declared with \
                 on_change 'fail'; restore the file, or declare 'replace'",
                old.bytes
            );
            Err(SourceError::file(&new.name(), message))
        }
    }
}

/// The error of a file that is appended to, whose first `old_bytes` bytes are not what was taken in.
pub(super) fn old_part_changed(name: &Arc<str>, old_bytes: u64, bytes: u64) -> SourceError {
    let how = if bytes < old_bytes {
        format!("is shorter than the {old_bytes} bytes that were taken in: it has {bytes}")
    } else {
        format!("differs within the first {old_bytes} bytes, which were taken in")
    };
    let message = format!(
        "{how}; with on_change 'append' a file may only grow: restore it, or declare 'replace'"
    );
    SourceError::file(name, message)
}

/// What became of the files at new paths, and of the deliveries whose paths are gone.
fn renamed_or_new(
    storage: &dyn Storage,
    new_paths: Vec<ListedFile>,
    gone: BTreeMap<String, Position>,
) -> Result<Vec<Change>, SourceError> {
    let mut by_content: BTreeMap<u64, BTreeMap<String, VecDeque<Position>>> = BTreeMap::new();
    for old in gone.into_values() {
        let of_size = by_content.entry(old.bytes).or_default();
        of_size.entry(old.hash.clone()).or_default().push_back(old);
    }
    let mut changes = Vec::with_capacity(new_paths.len());
    for new in new_paths {
        let old = match by_content.get_mut(&new.stamp.bytes) {
            Some(of_size) => of_size
                .get_mut(&hash_of(storage, &new, new.stamp.bytes)?)
                .and_then(VecDeque::pop_front),
            None => None,
        };
        changes.push(match old {
            Some(old) => Change::Renamed { old, new },
            None => Change::New(new),
        });
    }
    let left = by_content.into_values().flat_map(BTreeMap::into_values);
    changes.extend(left.flatten().map(Change::Withdrawn));
    Ok(changes)
}

/// BLAKE3 of the first `bytes` of a file, in hex.
fn hash_of(storage: &dyn Storage, file: &ListedFile, bytes: u64) -> Result<String, SourceError> {
    let open = storage.open(&file.path);
    let open = open.map_err(|error| SourceError::io("open", &file.path, error))?;
    let hasher = hash_prefix(&*open, &file.path, bytes)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests;
