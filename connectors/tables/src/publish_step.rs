//! The remaining steps of a commit on the published directories, in a form that outlives the process.

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

/// Points at which tests can interrupt [`apply_steps`].
pub const CRASH_POINTS: &[&str] = &[BEFORE, BETWEEN, APPLIED, DONE];

const BEFORE: &str = "publish: before a step";
const APPLIED: &str = "publish: before the steps are durable";
const DONE: &str = "publish: after the last step";

/// One step that publishes staged files. It can be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublishStep {
    /// Moves a file to its place, replacing an existing one.
    File {
        /// Where it was staged.
        staged: PathBuf,
        /// Its place.
        target: PathBuf,
        /// The table's directory.
        root: PathBuf,
    },
    /// Moves a directory to its place. An existing one is moved to where the new one was staged.
    Directory {
        /// Where it was staged.
        staged: PathBuf,
        /// Its place.
        target: PathBuf,
        /// Where the old one is moved if the two cannot be exchanged in one step.
        aside: PathBuf,
        /// The inode of the staged directory, which distinguishes it from the old one.
        inode: u64,
        /// The table's directory.
        root: PathBuf,
    },
    /// Removes a partition, and the directories above it that become empty.
    Remove {
        /// Its place.
        target: PathBuf,
        /// Where it is moved.
        aside: PathBuf,
        /// The table's directory, which stays.
        root: PathBuf,
    },
    /// Renames the entry of a mark that names the last commit. A mark of an earlier commit is valid too, so the new name
    /// need not be durable.
    Mark {
        /// The entry of the commit before.
        before: PathBuf,
        /// The entry of this commit.
        after: PathBuf,
    },
    /// Removes a table that is now published elsewhere, with its directory.
    Discard {
        /// Its directory.
        target: PathBuf,
    },
}

impl PublishStep {
    /// The place that the step changes durably, and the table's directory.
    fn places(&self) -> Option<(&Path, &Path)> {
        match self {
            Self::File { target, root, .. }
            | Self::Directory { target, root, .. }
            | Self::Remove { target, root, .. } => Some((target, root)),
            Self::Discard { target } => Some((target, target)),
            Self::Mark { .. } => None,
        }
    }

    /// Whether this step replaces the whole content of a directory.
    pub(super) fn replaces(&self, directory: &Path) -> bool {
        matches!(self, Self::Directory { target, .. } if target == directory)
    }

    /// Applies the step. Directories in which files got their final names are added to `named`.
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
            Self::Mark { before, after } => rename_mark(before, after),
            Self::Discard { target } => remove_old(target),
        }
    }
}

/// Moves all staged files to their places, in order, and makes that durable. It can be repeated after it was
/// interrupted at any point, and after it succeeded. The staged files must not be [cleaned](crate::Staging::clean)
/// away before it has succeeded once.
///
/// # Errors
/// When the file system fails, or a staged file is gone. The steps before it are applied then. Call it again when the
/// cause is removed.
pub fn apply_steps(steps: &[PublishStep]) -> Result<(), SinkError> {
    apply_with(steps, disk::exchange)
}

pub(crate) fn apply_with(steps: &[PublishStep], exchange: Exchange) -> Result<(), SinkError> {
    let mut changed = BTreeSet::new();
    for step in steps {
        disk::crash_point(BEFORE);
        step.apply(exchange, &mut changed)?;
        let Some((target, root)) = step.places() else {
            continue;
        };
        let above = target.ancestors().skip(1);
        let beside = root.parent().unwrap_or(root);
        changed.extend(
            above
                .take_while(|path| path.starts_with(beside))
                .map(Path::to_path_buf),
        );
    }
    disk::crash_point(APPLIED);
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

/// A mark that someone removed meanwhile is written again by the next run.
fn rename_mark(before: &Path, after: &Path) -> Result<(), SinkError> {
    match inode(before)? {
        Some(_) => disk::rename(before, after).map_err(SinkError::io("mark", after)),
        None => Ok(()),
    }
}

/// Checks, if nothing is staged, that it was already moved to its place.
fn there_or_gone(staged: &Path, target: &Path) -> Result<(), SinkError> {
    if inode(target)?.is_some() {
        return Ok(());
    }
    Err(SinkError::StagedGone {
        target: target.to_path_buf(),
        staged: staged.to_path_buf(),
    })
}

/// The current path of a staged directory, which may already be in its place.
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

/// Removes replaced content at once, since its files have the names of published files.
fn remove_old(directory: &Path) -> Result<(), SinkError> {
    disk::remove_dir_all(directory).map_err(SinkError::io("remove", directory))
}

/// The inode of a path; `None` if it does not exist.
pub(super) fn inode(path: &Path) -> Result<Option<u64>, SinkError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SinkError::io("look up", path)(error)),
    }
}
