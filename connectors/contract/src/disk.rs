//! The file system as everything durable sees it: what is written, synced, renamed and linked goes through here.
//!
//! Tests make any of these operations fail, or end the process at a named point, to show that a run that is cut short
//! leaves nothing half done. A debug build reads what to do from `TIDEWATER_INJECT`; a release build has none of it.
//!
//! | `TIDEWATER_INJECT` | what happens |
//! |---|---|
//! | `abort:NAME` | the process ends at the [`crash_point`] of that name |
//! | `fail:OPERATION:N:EIO`, `…:ENOSPC`, `…:ENOTSUP` | the *n*-th operation of the kind, from 1, fails with that error |
//! | `fail:write:N:SHORT` | the *n*-th write writes half, the next fails with `ENOSPC` |
//! | `trace` | every operation is told on standard error |

#![expect(
    clippy::disallowed_methods,
    reason = "the one place that changes the file system"
)]

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What is done to the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file or directory is made.
    Create,
    /// Bytes are written.
    Write,
    /// A file or directory is made durable.
    Sync,
    /// A name is moved.
    Rename,
    /// Two names are exchanged.
    Exchange,
    /// A second name is given.
    Link,
    /// A name is taken away.
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
    /// Makes a file that must not be there yet.
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

    /// Opens a file to change it; made when it is not there.
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

    /// The open file, for what does not change it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets its length.
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
    /// When the system refuses; some of the bytes may have been written.
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

    /// Makes its content durable.
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

/// Makes a directory; its parent must be there.
///
/// # Errors
/// When the system refuses.
pub fn create_dir(path: &Path) -> io::Result<()> {
    inject::before(Operation::Create, path)?;
    fs::create_dir(path)
}

/// Makes a directory and those above it that are missing.
///
/// # Errors
/// When the system refuses.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    inject::before(Operation::Create, path)?;
    fs::create_dir_all(path)
}

/// Moves a name; a file at `to` is replaced in one step.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    inject::before(Operation::Rename, to)?;
    fs::rename(from, to)
}

/// Exchanges two names in one step.
///
/// # Errors
/// When the system refuses, or its file system cannot do so (`EINVAL`, `ENOSYS`, `ENOTSUP`).
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

/// Removes a file; no error when it is not there.
///
/// # Errors
/// When the system refuses.
pub fn remove_file(path: &Path) -> io::Result<()> {
    inject::before(Operation::Remove, path)?;
    absent_is_fine(fs::remove_file(path))
}

/// Removes a directory and all below it; no error when it is not there.
///
/// # Errors
/// When the system refuses.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    inject::before(Operation::Remove, path)?;
    absent_is_fine(fs::remove_dir_all(path))
}

/// Removes a directory that holds nothing; no error when it is not there or holds something.
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
