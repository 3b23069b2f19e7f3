//! The state's directory: its format, and the lock that keeps other processes out.
//!
//! 1. The kernel releases a lock when its process ends, however it ends.
//! 2. A process that changes the state holds its lock exclusively. A reader needs no lock, unless the state has to be
//!    recovered first: then readers share the lock.
//! 3. A reader holds a shared lock on the file `FORMAT`. As long as there is one, no content is removed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tidewater_connectors::disk::{self, DiskFile};

use super::error::StoreError;
pub use super::layout::StateLayout;
use super::migrate::OLDEST_FORMAT;

/// The format that this version writes.
pub const FORMAT: u32 = 6;

/// A locked state directory.
#[derive(Debug)]
pub struct Directory {
    /// The paths in the directory.
    pub layout: StateLayout,
    /// Whether the directory holds a state.
    pub is_made: bool,
    /// Whether the state has an older format that this version migrates.
    pub is_outdated: bool,
    /// Kept open for its lock.
    _lock: Option<File>,
}

/// How long to wait for a process that uses a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// No longer than this.
    AtMost(Duration),
    /// Until it ends.
    Forever,
}

impl LockWait {
    /// Not at all.
    pub const NONE: Self = Self::AtMost(Duration::ZERO);
}

/// How often the lock is tried.
const PAUSE: Duration = Duration::from_millis(50);
/// The least time to wait for the lock, since a query for its [`writer`] holds it for an instant.
const GRACE: Duration = Duration::from_millis(100);

impl Directory {
    /// Locks the directory, and creates it if it does not exist. With `rebuild`, a state of an older version counts as
    /// none.
    ///
    /// # Errors
    /// When the directory is in use, holds something else, or was written by another version.
    pub fn open(path: &Path, wait: LockWait, rebuild: bool) -> Result<Self, StoreError> {
        disk::create_dir_all(path).map_err(StoreError::io("create the directory", path))?;
        let path = fs::canonicalize(path).map_err(StoreError::io("look up the directory", path))?;
        Self::locked(path, wait, rebuild, Hold::Alone)
    }

    /// The directory of an existing state, for reading without a lock.
    ///
    /// # Errors
    /// When there is no state, or its version cannot be read.
    pub fn unlocked(path: &Path) -> Result<Self, StoreError> {
        let layout = StateLayout::new(existing(path)?);
        check_content(layout.root())?;
        let format = check_format(&layout)?;
        Ok(Self {
            layout,
            is_made: format.is_some(),
            is_outdated: format.is_some_and(|format| format < FORMAT),
            _lock: None,
        })
    }

    /// The directory of an existing state, for reading, locked against changes. Several processes may read at a time.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when there is no state.
    pub fn for_reading(path: &Path) -> Result<Self, StoreError> {
        Self::locked(existing(path)?, LockWait::NONE, false, Hold::Shared)
    }

    fn locked(
        path: PathBuf,
        wait: LockWait,
        rebuild: bool,
        hold: Hold,
    ) -> Result<Self, StoreError> {
        let layout = StateLayout::new(path);
        check_content(layout.root())?;
        let lock = lock(&layout, wait, hold)?;
        let format = match check_format(&layout) {
            Err(StoreError::Version { found, .. }) if rebuild && found < FORMAT => None,
            Err(StoreError::Damaged { .. }) if rebuild => None,
            format => format?,
        };
        Ok(Self {
            layout,
            is_made: format.is_some(),
            is_outdated: format.is_some_and(|format| format < FORMAT),
            _lock: Some(lock),
        })
    }

    /// Records that the directory holds a state.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn made(&mut self) -> Result<(), StoreError> {
        let (new, path) = (self.layout.new_format(), self.layout.format());
        let write = || {
            disk::remove_file(&new)?;
            let mut file = DiskFile::create_new(&new)?;
            writeln!(file, "tidewater state, format {FORMAT}")?;
            file.sync()?;
            disk::rename(&new, &path)?;
            disk::sync(self.layout.root())
        };
        write().map_err(StoreError::io("write", &path))?;
        (self.is_made, self.is_outdated) = (true, false);
        Ok(())
    }
}

/// Protects a state's content: nothing is removed as long as the file is open.
///
/// # Errors
/// When the file system refuses.
pub fn read_content(layout: &StateLayout) -> Result<File, StoreError> {
    let path = layout.format();
    let file = File::open(&path).map_err(StoreError::io("open", &path))?;
    flock(&file, FlockOperation::LockShared)
        .map_err(|error| StoreError::io("lock", &path)(error.into()))?;
    Ok(file)
}

/// Whether a reader protects a state's content.
pub fn is_read(layout: &StateLayout) -> bool {
    let file = File::open(layout.format());
    file.is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

/// The process that is changing a state, if there is one.
pub fn writer(layout: &StateLayout) -> Option<String> {
    let file = File::open(layout.lock()).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Some(owner(&file)),
        _ => None,
    }
}

fn existing(path: &Path) -> Result<PathBuf, StoreError> {
    if !StateLayout::new(path.to_owned()).format().exists() {
        return Err(StoreError::Absent(path.to_owned()));
    }
    fs::canonicalize(path).map_err(StoreError::io("look up the directory", path))
}

fn check_content(path: &Path) -> Result<(), StoreError> {
    let list = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = list.map_err(StoreError::io("list the directory", path))?;
    let mut names: Vec<String> = entries
        .iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    match names
        .into_iter()
        .find(|name| !StateLayout::NAMES.contains(&name.as_str()))
    {
        Some(entry) => Err(StoreError::Foreign {
            path: path.to_owned(),
            entry,
        }),
        None => Ok(()),
    }
}

/// How a state is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Exclusively, to change the state.
    Alone,
    /// Shared, to read the state.
    Shared,
}

impl Hold {
    /// The lock operations without waiting and with waiting.
    fn operations(self) -> (FlockOperation, FlockOperation) {
        match self {
            Self::Alone => (
                FlockOperation::NonBlockingLockExclusive,
                FlockOperation::LockExclusive,
            ),
            Self::Shared => (
                FlockOperation::NonBlockingLockShared,
                FlockOperation::LockShared,
            ),
        }
    }
}

/// The process that wrote its name into a lock.
fn owner(mut lock: &File) -> String {
    let mut owner = String::new();
    let _ = lock.read_to_string(&mut owner);
    match owner.trim() {
        "" => "another process".to_owned(),
        owner => owner.to_owned(),
    }
}

fn lock(layout: &StateLayout, wait: LockWait, hold: Hold) -> Result<File, StoreError> {
    let path = layout.lock();
    let failed = || StoreError::io("lock", &path);
    let (at_once, waiting) = hold.operations();
    let opened = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let (mut file, may_write) = match opened {
        Ok(file) => (file, true),
        // A reader may lack the permission to write.
        Err(_) if hold == Hold::Shared => (File::open(&path).map_err(failed())?, false),
        Err(error) => return Err(failed()(error)),
    };
    let mut waited = Duration::ZERO;
    loop {
        match (flock(&file, at_once), wait) {
            (Ok(()), _) => break,
            (Err(rustix::io::Errno::WOULDBLOCK), LockWait::Forever) => {
                flock(&file, waiting).map_err(|error| failed()(error.into()))?;
                break;
            }
            (Err(rustix::io::Errno::WOULDBLOCK), LockWait::AtMost(most))
                if waited < most.max(GRACE) =>
            {
                thread::sleep(PAUSE);
                waited += PAUSE;
            }
            (Err(rustix::io::Errno::WOULDBLOCK), LockWait::AtMost(_)) => {
                return Err(StoreError::InUse {
                    path: layout.root().to_owned(),
                    owner: owner(&file),
                });
            }
            (Err(error), _) => return Err(failed()(error.into())),
        }
    }
    if !may_write {
        return Ok(file);
    }
    // Shown to others who find the state locked.
    file.set_len(0)
        .and_then(|()| write!(file, "process {}", std::process::id()))
        .map_err(failed())?;
    Ok(file)
}

/// The format of the existing state, if this version can read it; `None` if there is no state.
fn check_format(layout: &StateLayout) -> Result<Option<u32>, StoreError> {
    let path = layout.format();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let number = text.trim().rsplit(' ').next().and_then(|n| n.parse().ok());
    let Some(found) = number else {
        return Err(StoreError::damaged(super::error::Damage::Record(
            path.display().to_string(),
        )));
    };
    if (OLDEST_FORMAT..=FORMAT).contains(&found) {
        return Ok(Some(found));
    }
    Err(StoreError::Version {
        path: layout.root().to_owned(),
        found,
        known: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        advice: if found > FORMAT {
            "run it with the version that made it, or a later one"
        } else {
            "`tidewater run JOB --state DIR --rebuild` reads everything again and rebuilds it"
        },
    })
}
