//! What a commit still has to do to the published directories, in a form that outlives the process.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable::sync_directories;
use super::exchange::{BETWEEN, Exchange, OldContent, replace};
use super::staged_name::finish_names;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;

/// Where [`apply_swaps`] can be cut short, for tests.
pub const CRASH_POINTS: &[&str] = &[BEFORE, BETWEEN, SWAPPED, DONE];

const BEFORE: &str = "publish: before a swap";
const SWAPPED: &str = "publish: before the swaps are durable";
const DONE: &str = "publish: after the last swap";

/// One step from what is published to what was staged. Each can be taken again when it was taken already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Swap {
    /// A file comes to its place, over the one that is there.
    File {
        /// Where it was staged.
        staged: PathBuf,
        /// Its place.
        target: PathBuf,
        /// The table's directory.
        root: PathBuf,
    },
    /// A directory comes to its place; the one that is there goes to where it was staged.
    Directory {
        /// Where it was staged.
        staged: PathBuf,
        /// Its place.
        target: PathBuf,
        /// Where the old one goes when the two cannot be exchanged in one step.
        aside: PathBuf,
        /// The inode of the staged directory: tells it from the old one.
        inode: u64,
        /// The table's directory.
        root: PathBuf,
    },
    /// A partition goes, and so do the directories above it that are left empty.
    Remove {
        /// Its place.
        target: PathBuf,
        /// Where it goes.
        aside: PathBuf,
        /// The table's directory, which stays.
        root: PathBuf,
    },
    /// A table that is published elsewhere now goes, with its directory.
    Discard {
        /// Its directory.
        target: PathBuf,
    },
}

impl Swap {
    fn places(&self) -> (&Path, &Path) {
        match self {
            Self::File { target, root, .. }
            | Self::Directory { target, root, .. }
            | Self::Remove { target, root, .. } => (target, root),
            Self::Discard { target } => (target, target),
        }
    }

    /// Whether the whole content of a directory comes by this step.
    pub(super) fn replaces(&self, directory: &Path) -> bool {
        matches!(self, Self::Directory { target, .. } if target == directory)
    }

    /// Does it; the directories where files got their names are added to `named`.
    fn apply(&self, exchange: Exchange, named: &mut BTreeSet<PathBuf>) -> Result<(), SinkError> {
        match self {
            Self::File { staged, target, .. } => put_file(staged, target),
            Self::Directory {
                staged,
                target,
                aside,
                inode,
                ..
            } => {
                if let Some(at) = place_of(staged, target, *inode)? {
                    finish_names(at, None, named)?;
                }
                put_directory(staged, target, aside, *inode, exchange)
            }
            Self::Remove {
                target,
                aside,
                root,
            } => remove(target, aside, root),
            Self::Discard { target } => remove_old(target),
        }
    }
}

/// Brings what was staged to its places, in order, and makes that durable. May be called again after it was cut short
/// at any point, and after it was done, as long as what was staged is not [cleaned](crate::Staging::clean) away
/// before it was done once.
///
/// # Errors
/// When the file system refuses, or something that was staged is gone. Swaps before it are applied then; call again
/// when the cause is removed.
pub fn apply_swaps(swaps: &[Swap]) -> Result<(), SinkError> {
    apply_with(swaps, disk::exchange)
}

pub(crate) fn apply_with(swaps: &[Swap], exchange: Exchange) -> Result<(), SinkError> {
    let mut changed = BTreeSet::new();
    for swap in swaps {
        disk::crash_point(BEFORE);
        swap.apply(exchange, &mut changed)?;
        let (target, root) = swap.places();
        let above = target.ancestors().skip(1);
        let beside = root.parent().unwrap_or(root);
        changed.extend(
            above
                .take_while(|path| path.starts_with(beside))
                .map(Path::to_path_buf),
        );
    }
    disk::crash_point(SWAPPED);
    sync_directories(&changed)?;
    disk::crash_point(DONE);
    Ok(())
}

fn put_file(staged: &Path, target: &Path) -> Result<(), SinkError> {
    if inode(staged)?.is_some() {
        if let Some(parent) = target.parent() {
            disk::create_dir_all(parent).map_err(SinkError::io("create the directory", parent))?;
        }
        return disk::rename(staged, target).map_err(SinkError::io("put the new file at", target));
    }
    there_or_gone(staged, target)
}

/// Nothing is staged: it came to its place before.
fn there_or_gone(staged: &Path, target: &Path) -> Result<(), SinkError> {
    if inode(target)?.is_some() {
        return Ok(());
    }
    Err(SinkError::StagedGone {
        target: target.to_path_buf(),
        staged: staged.to_path_buf(),
    })
}

/// Where a staged directory is, which may have come to its place before.
fn place_of<'a>(
    staged: &'a Path,
    target: &'a Path,
    new: u64,
) -> Result<Option<&'a Path>, SinkError> {
    for at in [target, staged] {
        if inode(at)? == Some(new) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn put_directory(
    staged: &Path,
    target: &Path,
    aside: &Path,
    new: u64,
    exchange: Exchange,
) -> Result<(), SinkError> {
    let there = inode(target)?;
    if there == Some(new) {
        return Ok(());
    }
    match inode(staged)? {
        None => return there_or_gone(staged, target),
        Some(inode) if inode != new => {
            return Err(SinkError::InvalidTarget {
                path: target.to_path_buf(),
                reason: "it was copied or replaced while a commit waited for it, run with --rebuild",
            });
        }
        Some(_) => {}
    }
    if there.is_some() {
        let old = match replace(staged, target, aside, exchange)? {
            OldContent::Staged => staged,
            OldContent::Aside => aside,
        };
        return remove_old(old);
    }
    if let Some(parent) = target.parent() {
        disk::create_dir_all(parent).map_err(SinkError::io("create the directory", parent))?;
    }
    disk::rename(staged, target).map_err(SinkError::io("put the new content at", target))
}

fn remove(target: &Path, aside: &Path, root: &Path) -> Result<(), SinkError> {
    if inode(target)?.is_some() {
        disk::rename(target, aside).map_err(SinkError::io("take away", target))?;
        remove_old(aside)?;
    }
    for above in target.ancestors().skip(1) {
        if above == root || !above.starts_with(root) {
            break;
        }
        disk::remove_empty_dir(above).map_err(SinkError::io("take away", above))?;
    }
    Ok(())
}

/// Removes what was replaced at once: it has the names of published files.
fn remove_old(directory: &Path) -> Result<(), SinkError> {
    disk::remove_dir_all(directory).map_err(SinkError::io("remove", directory))
}

/// The inode behind a name, `None` where there is none.
pub(super) fn inode(path: &Path) -> Result<Option<u64>, SinkError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SinkError::io("look up", path)(error)),
    }
}
