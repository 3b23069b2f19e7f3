//! The directories in which tables are written before they are published: `_staging-<pid>-<n>/` beside them, on the
//! same file system.
//!
//! 1. The owner of a staging directory holds an exclusive lock on its file `lock` for as long as it lives. The file
//!    gets that name only after it is locked. So a `lock` that can be locked belongs to a dead process, and the next
//!    [`Staging::open`] beside it removes its directory.
//! 2. A staging directory without a `lock` is being created, unless the process in its name is dead.
//! 3. Dropping a [`Staging`] removes its directories, unless they were [kept](Staging::keep).
//!
//! Staged files of a state may have to outlive their process. They are in `_tidewater-<owner>/<epoch>/` instead.
//! These directories have no lock of their own, since only the process that holds the state's lock writes to them.
//! Only [`Staging::clean`] and the same owner's next [`Staging::for_state`] of the same epoch remove them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::target;
use tidewater_contract::disk::{self, DiskFile};
use tidewater_contract::sink::SinkError;

const PREFIX: &str = "_staging-";
const STATE_PREFIX: &str = "_tidewater-";
const LOCK: &str = "lock";
const NEW_LOCK: &str = "lock.new";

/// The directories in which one run's tables are staged, one beside each group of tables.
#[derive(Debug)]
pub struct Staging {
    /// The staging directories by the parent directory of their tables.
    places: BTreeMap<PathBuf, StagingPlace>,
    /// The table directories as given, with their resolved paths.
    targets: BTreeMap<PathBuf, PathBuf>,
}

#[derive(Debug)]
struct StagingPlace {
    directory: PathBuf,
    /// Held open for its lock; `None` if the state's lock is used.
    _lock: Option<DiskFile>,
}

impl Staging {
    /// Checks the directories of `tables`, removes what dead runs left beside them, and creates staging directories.
    /// Missing parent directories are created.
    ///
    /// # Errors
    /// When a table's directory has anything but a table (see [`publish`](super::publish)), two tables overlap, or a
    /// directory cannot be created.
    pub fn open<'a>(tables: impl IntoIterator<Item = &'a Path>) -> Result<Self, SinkError> {
        let mut staging = Self::resolve(tables)?;
        staging
            .targets
            .values()
            .try_for_each(|target| target::check(target))?;
        for target in staging.targets.values() {
            let parent = target::parent(target)?.to_path_buf();
            if let Entry::Vacant(vacant) = staging.places.entry(parent) {
                remove_stale(vacant.key())?;
                let place = StagingPlace::create(vacant.key())?;
                vacant.insert(place);
            }
        }
        Ok(staging)
    }

    /// A staging of one epoch of the state `owner`, beside `tables` and their shadows. Whatever was staged there
    /// before is removed. `owner` is part of a directory's name.
    ///
    /// # Errors
    /// When two tables overlap, or a directory cannot be created.
    pub fn for_state<'a>(
        tables: impl IntoIterator<Item = &'a Path>,
        owner: &str,
        epoch: u64,
    ) -> Result<Self, SinkError> {
        let mut staging = Self::resolve(tables)?;
        for target in staging.targets.values() {
            let parent = target::parent(target)?.to_path_buf();
            if let Entry::Vacant(vacant) = staging.places.entry(parent) {
                let directory = owned(vacant.key(), owner).join(epoch.to_string());
                let place = StagingPlace::for_state(directory)?;
                vacant.insert(place);
            }
        }
        Ok(staging)
    }

    /// Whether something is staged for an epoch of the state `owner` beside `tables` (and shadows).
    ///
    /// # Errors
    /// When a table's directory cannot be resolved.
    pub fn is_staged<'a>(
        tables: impl IntoIterator<Item = &'a Path>,
        owner: &str,
        epoch: u64,
    ) -> Result<bool, SinkError> {
        for table in tables {
            let parent = target::parent(&target::resolve(table)?)?.to_path_buf();
            if owned(&parent, owner).join(epoch.to_string()).exists() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes everything that was staged for the state `owner` beside `tables` (and shadows). Must not be called
    /// while a commit has steps to apply, since they need the staged files.
    ///
    /// # Errors
    /// When a directory cannot be removed.
    pub fn clean<'a>(
        tables: impl IntoIterator<Item = &'a Path>,
        owner: &str,
    ) -> Result<(), SinkError> {
        let parents: BTreeSet<PathBuf> = tables
            .into_iter()
            .map(|table| Ok(target::parent(&target::resolve(table)?)?.to_path_buf()))
            .collect::<Result<_, SinkError>>()?;
        parents.iter().try_for_each(|parent| {
            let directory = owned(parent, owner);
            disk::remove_dir_all(&directory)
                .map_err(SinkError::io("remove what was staged in", &directory))
        })
    }

    /// Resolves the tables' directories and checks that none is in another.
    fn resolve<'a>(tables: impl IntoIterator<Item = &'a Path>) -> Result<Self, SinkError> {
        let mut staging = Self {
            places: BTreeMap::new(),
            targets: BTreeMap::new(),
        };
        for table in tables {
            let resolved = target::resolve(table)?;
            let overlaps =
                |other: &&PathBuf| resolved.starts_with(other) || other.starts_with(&resolved);
            if let Some(first) = staging.targets.values().find(overlaps).cloned() {
                return Err(SinkError::OverlappingTargets {
                    first,
                    second: table.to_path_buf(),
                });
            }
            staging.targets.insert(table.to_path_buf(), resolved);
        }
        Ok(staging)
    }

    /// The resolved directory of `table`.
    pub(super) fn target(&self, table: &Path) -> Result<&Path, SinkError> {
        let unknown = || SinkError::InvalidTarget {
            path: table.to_path_buf(),
            reason: "it was not among the tables that this run announced",
        };
        self.targets
            .get(table)
            .map(PathBuf::as_path)
            .ok_or_else(unknown)
    }

    /// The staging directory beside `table`.
    pub(super) fn directory_beside(&self, table: &Path) -> Result<&Path, SinkError> {
        let target = self.target(table)?;
        let place = self.places.get(target::parent(target)?);
        place
            .map(|place| place.directory.as_path())
            .ok_or_else(|| SinkError::InvalidTarget {
                path: table.to_path_buf(),
                reason: "nothing is staged beside it",
            })
    }

    /// The directory in which the new content of `table` is written.
    pub(super) fn staged(&self, table: &Path) -> Result<PathBuf, SinkError> {
        let name = self
            .target(table)?
            .file_name()
            .unwrap_or_default()
            .to_owned();
        Ok(self.directory_beside(table)?.join("new").join(name))
    }

    /// The directory for the old content of `table` until publishing ends, if it cannot be exchanged in one step.
    pub(super) fn set_aside(&self, table: &Path) -> Result<PathBuf, SinkError> {
        let name = self
            .target(table)?
            .file_name()
            .unwrap_or_default()
            .to_owned();
        Ok(self.directory_beside(table)?.join("old").join(name))
    }

    /// The staging directories.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.places.values().map(|place| place.directory.as_path())
    }

    /// The staging directories, which are removed when this is dropped.
    pub fn places(&self) -> Vec<PathBuf> {
        self.directories().map(Path::to_path_buf).collect()
    }

    /// The parent directories of the tables.
    pub(super) fn parents(&self) -> impl Iterator<Item = &Path> {
        self.places.keys().map(PathBuf::as_path)
    }

    /// Leaves the directories in place when this value is dropped, because their content is still needed.
    pub fn keep(&mut self) {
        self.places.clear();
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove_staged(&self.places());
    }
}

/// Removes staging directories (see [`Staging::places`]).
pub fn remove_staged(places: &[PathBuf]) {
    for place in places {
        if let Err(error) = disk::remove_dir_all(place) {
            tracing::warn!(path = %place.display(), %error, "left for the next run to remove");
        }
        let owned = place.parent().filter(|owned| {
            let name = owned.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(STATE_PREFIX)
        });
        if let Some(owned) = owned {
            // Another epoch may have files there.
            let _ = disk::remove_empty_dir(owned);
        }
    }
}

impl StagingPlace {
    fn create(parent: &Path) -> Result<Self, SinkError> {
        let pid = std::process::id();
        for number in 0_u32.. {
            let directory = parent.join(format!("{PREFIX}{pid}-{number}"));
            match disk::create_dir(&directory) {
                Ok(()) => return Self::lock(directory),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(SinkError::io("create the directory", &directory)(error)),
            }
        }
        Err(SinkError::InvalidTarget {
            path: parent.to_path_buf(),
            reason: "it is full of staging directories",
        })
    }

    fn lock(directory: PathBuf) -> Result<Self, SinkError> {
        let unnamed = directory.join(NEW_LOCK);
        let file = DiskFile::create_new(&unnamed)
            .map_err(SinkError::io("create the lock file", &unnamed))?;
        flock(file.file(), FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| SinkError::io("lock the file", &unnamed)(error.into()))?;
        disk::rename(&unnamed, &directory.join(LOCK))
            .map_err(SinkError::io("name the lock file", &unnamed))?;
        Self::furnish(directory, Some(file))
    }

    fn for_state(directory: PathBuf) -> Result<Self, SinkError> {
        disk::remove_dir_all(&directory)
            .and_then(|()| disk::create_dir_all(&directory))
            .map_err(SinkError::io("create the directory", &directory))?;
        Self::furnish(directory, None)
    }

    fn furnish(directory: PathBuf, lock: Option<DiskFile>) -> Result<Self, SinkError> {
        for name in ["new", "old"] {
            let path = directory.join(name);
            disk::create_dir(&path).map_err(SinkError::io("create the directory", &path))?;
        }
        Ok(Self {
            directory,
            _lock: lock,
        })
    }
}

/// The directory in which a state's epochs are staged beside the tables in `parent`.
fn owned(parent: &Path, owner: &str) -> PathBuf {
    parent.join(format!("{STATE_PREFIX}{owner}"))
}

/// Removes the staging directories of dead owners in `parent`.
fn remove_stale(parent: &Path) -> Result<(), SinkError> {
    for entry in fs::read_dir(parent).map_err(SinkError::io("list the directory", parent))? {
        let entry = entry.map_err(SinkError::io("list the directory", parent))?;
        let name = entry.file_name();
        let Some(owner) = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(owner)
        else {
            continue;
        };
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory
            && holds_only_ours(&path)?
            && let Some(_claim) = claim(&path, owner)?
        {
            tracing::info!(path = %path.display(), "removing what a run that died left behind");
            disk::remove_dir_all(&path)
                .map_err(SinkError::io("remove the leftover of a dead run,", &path))?;
        }
    }
    Ok(())
}

/// Whether a directory has only what [`StagingPlace::create`] puts there.
fn holds_only_ours(directory: &Path) -> Result<bool, SinkError> {
    match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => Ok(entries.iter().all(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| [LOCK, NEW_LOCK, "new", "old"].contains(&name))
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(SinkError::io("list the directory", directory)(error)),
    }
}

/// The process in `<pid>-<n>`.
fn owner(name: &str) -> Option<Pid> {
    let (pid, number) = name.split_once('-')?;
    number.parse::<u32>().ok()?;
    Pid::from_raw(pid.parse().ok().filter(|pid| *pid > 0)?)
}

/// A lock that is held while the directory of a dead owner is removed, so that no other process removes it too.
struct Claim {
    /// `None` if the owner died before it had a lock.
    _lock: Option<File>,
}

/// Claims a staging directory whose owner is dead; `None` if it lives.
fn claim(directory: &Path, owner: Pid) -> Result<Option<Claim>, SinkError> {
    let path = directory.join(LOCK);
    match File::open(&path) {
        Ok(lock) => {
            let free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            Ok(free.then_some(Claim { _lock: Some(lock) }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dead = test_kill_process(owner) == Err(Errno::SRCH);
            Ok(dead.then_some(Claim { _lock: None }))
        }
        Err(error) => Err(SinkError::io("open the lock file", &path)(error)),
    }
}
