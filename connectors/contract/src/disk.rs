//! The file system, for everything durable. All durable writes, syncs, renames, links and removals go through this
//! module.
//!
//! Tests make any of these operations fail, or abort the process at a named point. They show that a run that is cut
//! short leaves nothing half done. A debug build reads what to inject from `TIDEWATER_INJECT`. A release build
//! contains none of this.
//!
//! | `TIDEWATER_INJECT` | what happens |
//! |---|---|
//! | `abort:NAME` | the process ends at the [`crash_point`] of that name |
//! | `fail:OPERATION:N:EIO`, `…:ENOSPC`, `…:ENOTSUP` | the *n*-th operation of the kind, from 1, fails with that error |
//! | `fail:write:N:SHORT` | the *n*-th write writes half, the next fails with `ENOSPC` |
//! | `trace` | every operation is printed on standard error |

#![expect(
    clippy::disallowed_methods,
    reason = "the one place that changes the file system"
)]

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// An operation on the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file or directory is created.
    Create,
    /// Bytes are written.
    Write,
    /// A file or directory is made durable.
    Sync,
    /// A name is changed.
    Rename,
    /// Two names are exchanged.
    Exchange,
    /// A file gets a second name.
    Link,
    /// A name is removed.
    Remove,
}

/// A place where a test may end the process. Does nothing in a release build.
pub fn crash_point(name: &'static str) {
    inject::point(name);
}

/// A file that is being written.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
}

impl DiskFile {
    /// Creates a file that must not exist yet.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create_new(path: &Path) -> io::Result<Self> {
        inject::before(Operation::Create, path)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Opens a file to change it. Creates it if it does not exist.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        inject::before(Operation::Create, path)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// The open file, for operations that do not change it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the file's length.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_len(&self, bytes: u64) -> io::Result<()> {
        inject::before(Operation::Write, &self.path)?;
        self.file.set_len(bytes)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When the system refuses. Some of the bytes may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let allowed = inject::writable(&self.path, bytes.len())?;
        self.file
            .write_all_at(bytes.get(..allowed).unwrap_or_default(), offset)?;
        if allowed < bytes.len() {
            return Err(io::Error::from(rustix::io::Errno::NOSPC));
        }
        Ok(())
    }

    /// Makes the file's content durable.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> io::Result<()> {
        inject::before(Operation::Sync, &self.path)?;
        self.file.sync_data()
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let allowed = inject::writable(&self.path, bytes.len())?;
        self.file.write(bytes.get(..allowed).unwrap_or_default())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for DiskFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for DiskFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Creates a directory. Its parent must exist.
///
/// # Errors
/// When the system refuses.
pub fn create_dir(path: &Path) -> io::Result<()> {
    inject::before(Operation::Create, path)?;
    fs::create_dir(path)
}

/// Creates a directory and its missing parents.
///
/// # Errors
/// When the system refuses.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    inject::before(Operation::Create, path)?;
    fs::create_dir_all(path)
}

/// Renames a file. A file at `to` is replaced atomically.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    inject::before(Operation::Rename, to)?;
    fs::rename(from, to)
}

/// Exchanges two names atomically.
///
/// # Errors
/// When the system refuses, or the file system does not support it (`EINVAL`, `ENOSYS`, `ENOTSUP`).
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    inject::before(Operation::Exchange, other)?;
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Gives a file a second name.
///
/// # Errors
/// When the system refuses.
pub fn hard_link(file: &Path, name: &Path) -> io::Result<()> {
    inject::before(Operation::Link, name)?;
    fs::hard_link(file, name)
}

/// Removes a file. No error if it does not exist.
///
/// # Errors
/// When the system refuses.
pub fn remove_file(path: &Path) -> io::Result<()> {
    inject::before(Operation::Remove, path)?;
    absent_is_fine(fs::remove_file(path))
}

/// Removes a directory and everything in it. No error if it does not exist.
///
/// # Errors
/// When the system refuses.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    inject::before(Operation::Remove, path)?;
    absent_is_fine(fs::remove_dir_all(path))
}

/// Removes an empty directory. No error if it does not exist or is not empty.
///
/// # Errors
/// When the system refuses.
pub fn remove_empty_dir(path: &Path) -> io::Result<()> {
    inject::before(Operation::Remove, path)?;
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => absent_is_fine(result),
    }
}

/// Makes everything on the file system that holds `path` durable.
///
/// # Errors
/// When the system refuses.
#[cfg(target_os = "linux")]
pub fn sync_file_system(path: &Path) -> io::Result<()> {
    inject::before(Operation::Sync, path)?;
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

/// Makes a file's content, or a directory's names, durable.
///
/// # Errors
/// When the system refuses.
pub fn sync(path: &Path) -> io::Result<()> {
    inject::before(Operation::Sync, path)?;
    File::open(path)?.sync_all()
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(not(debug_assertions))]
mod inject {
    use super::{Operation, Path, io};

    #[inline]
    pub fn point(_name: &'static str) {}

    #[inline]
    pub fn before(_operation: Operation, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub fn writable(_path: &Path, bytes: usize) -> io::Result<usize> {
        Ok(bytes)
    }
}

#[cfg(debug_assertions)]
mod inject {
    use std::env;
    use std::path::Path;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Operation, io};

    enum Plan {
        Nothing,
        Trace,
        Abort(String),
        Fail {
            operation: String,
            number: u64,
            short: bool,
            error: rustix::io::Errno,
        },
    }

    static PLAN: LazyLock<Plan> =
        LazyLock::new(|| parse(&env::var("TIDEWATER_INJECT").unwrap_or_default()));
    static SEEN: AtomicU64 = AtomicU64::new(0);

    fn parse(text: &str) -> Plan {
        let words: Vec<&str> = text.splitn(2, ':').collect();
        match words.as_slice() {
            ["trace"] => Plan::Trace,
            ["abort", point] => Plan::Abort((*point).to_owned()),
            ["fail", what] => {
                let words: Vec<&str> = what.split(':').collect();
                let [operation, number, error] = words.as_slice() else {
                    return Plan::Nothing;
                };
                Plan::Fail {
                    operation: (*operation).to_owned(),
                    number: number.parse().unwrap_or(1),
                    short: *error == "SHORT",
                    error: match *error {
                        "EIO" => rustix::io::Errno::IO,
                        "ENOTSUP" => rustix::io::Errno::NOTSUP,
                        _ => rustix::io::Errno::NOSPC,
                    },
                }
            }
            _ => Plan::Nothing,
        }
    }

    pub fn point(name: &'static str) {
        match &*PLAN {
            Plan::Trace => eprintln!("inject: point {name}"),
            Plan::Abort(point) if point == name => std::process::abort(),
            _ => {}
        }
    }

    /// Whether the operation is the one that fails; and whether it is one that comes after it.
    fn met(operation: Operation, path: &Path) -> Option<(bool, bool, rustix::io::Errno)> {
        let word = format!("{operation:?}").to_lowercase();
        match &*PLAN {
            Plan::Trace => eprintln!("inject: {word} {}", path.display()),
            Plan::Fail {
                operation,
                number,
                short,
                error,
            } if *operation == word => {
                let seen = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
                if seen == *number {
                    return Some((true, *short, *error));
                }
                // A full disk stays full for the write that follows a short one.
                if *short && seen == *number + 1 {
                    return Some((true, false, *error));
                }
            }
            _ => {}
        }
        None
    }

    pub fn before(operation: Operation, path: &Path) -> io::Result<()> {
        match met(operation, path) {
            Some((true, _, error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub fn writable(path: &Path, bytes: usize) -> io::Result<usize> {
        match met(Operation::Write, path) {
            Some((true, true, _)) => Ok(bytes / 2),
            Some((true, false, error)) => Err(error.into()),
            _ => Ok(bytes),
        }
    }
}
