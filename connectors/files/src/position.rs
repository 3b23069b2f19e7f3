//! The part of a source that has been read, and the changes since then.
//!
//! 1. Each listed file and each position is in exactly one change.
//! 2. A file is read only if its stamp differs: the same size, time and version mean the same content. If only the
//!    version differs, because a link was made or permissions were changed, the content decides.
//! 3. A new path counts as the renamed file of a removed path only if its content is the same, byte for byte.
//! 4. The changes are in order of path, whatever the order of the positions.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::delivery::KeptPart;
use super::list::{ListedFile, name_is_not_utf8};
use super::storage::{Storage, hash_prefix};
use tidewater_contract::error::SourceError;
use tidewater_contract::hold::HoldReason;
use tidewater_formats::options::OnChange;

/// A delivery that was read and committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its path as listed.
    pub path: String,
    /// The number of bytes of the stored file that were read, from its beginning.
    pub bytes: u64,
    /// When the file was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// The file's [version](super::storage::FileStamp::version) in its storage. `None` if it has none, or if an
    /// earlier Tidewater read the file. Then only size and time are compared, and the version is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// BLAKE3 of these bytes, in hex.
    pub hash: String,
    /// Its stored parts, in order.
    pub parts: Vec<KeptPart>,
    /// The number of accepted rows.
    pub rows: u64,
    /// The number of rejected rows.
    pub rejected: u64,
    /// Why the file is set aside, if it is. It counts as one rejected row then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<SetAside>,
}

/// Why a delivery is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The column at fault, if it is a single one.
    pub column: Option<String>,
    /// The fault, as a sentence.
    pub reason: String,
    /// Whether the content store has the stored file as it is. Otherwise it has the same as for any delivery.
    pub keeps_stored: bool,
    /// The rules of the job that it breaks, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldReason>,
}

impl Position {
    /// The rules that the delivery breaks, if it is held.
    pub fn hold(&self) -> Option<&HoldReason> {
        self.set_aside.as_ref()?.hold.as_ref()
    }
}

impl SetAside {
    /// A delivery that breaks rules of the job.
    pub fn held(hold: HoldReason) -> Self {
        Self {
            column: None,
            reason: hold.reason(),
            keeps_stored: false,
            hold: Some(hold),
        }
    }
}

/// How files are compared with the positions.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompareRules {
    /// Which changes of a file are allowed.
    pub on_change: OnChange,
    /// Whether the content of all files is compared, even if their stamps are the same.
    pub rehash: bool,
}

/// A change of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file is new.
    New(ListedFile),
    /// The content is unchanged. The position is the current one, whose version may be new.
    Unchanged(Position),
    /// The file was written again with the same content.
    Touched {
        /// The position.
        old: Position,
        /// The current file.
        new: ListedFile,
    },
    /// The content is different.
    Replaced {
        /// The position.
        old: Position,
        /// The current file.
        new: ListedFile,
    },
    /// More was added to the old content.
    Appended {
        /// The position.
        old: Position,
        /// The current file.
        new: ListedFile,
    },
    /// The content has a new path, and the old path no longer exists.
    Renamed {
        /// The position.
        old: Position,
        /// The current file.
        new: ListedFile,
    },
    /// The file no longer exists.
    Withdrawn(Position),
}

impl Change {
    /// The path by which changes are ordered: the current one, or the old one of a removed file.
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

/// Compares the files that are now `listed` for `source` with the `known` positions. Returns the changes in order of
/// path. Each list has a path at most once.
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
            return Err(name_is_not_utf8(&new.path));
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

/// The change of a file whose path is known.
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
    // No rows of a file that is set aside were inserted, so any change is allowed.
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
                "has changed since it was read ({} bytes then, now {bytes}), and source '{source}' is declared with \
                 on_change 'fail'; restore the file, or declare 'replace'",
                old.bytes
            );
            Err(SourceError::file(&new.name(), message))
        }
    }
}

/// The error for a file that may only be appended to, but whose first `old_bytes` bytes have changed.
pub(super) fn old_part_changed(name: &Arc<str>, old_bytes: u64, bytes: u64) -> SourceError {
    let how = if bytes < old_bytes {
        format!("is shorter than the {old_bytes} bytes that were read before: it has {bytes}")
    } else {
        format!("differs within the first {old_bytes} bytes, which were read before")
    };
    let message = format!(
        "{how}; with on_change 'append' a file may only grow: restore it, or declare 'replace'"
    );
    SourceError::file(name, message)
}

/// The changes of files at new paths and of positions without a file.
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
