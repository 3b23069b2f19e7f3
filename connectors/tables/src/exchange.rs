//! Replaces a published directory by a staged one: in one step if the file system can exchange two names, else in
//! two. Both a whole publication and the steps of a commit use it.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;

/// The point between the two steps at which a test may end the process.
pub(crate) const BETWEEN: &str = "publish: between the halves of an exchange";

/// Exchanges two names in one step, or fails if the file system cannot.
pub(crate) type Exchange = fn(&Path, &Path) -> io::Result<()>;

/// Where the replaced content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldContent {
    /// Where the new content had been staged.
    Staged,
    /// Where old content is set aside.
    Aside,
}

/// Replaces the directory at `target` by the directory `staged`. The old one is moved to where the new one was. If
/// the file system cannot exchange the two, the old one is moved to `aside`, and a reader may find nothing between
/// the two renames.
///
/// # Errors
/// When the file system fails. The old directory is then in its place, unless the error is [`SinkError::RollBack`].
pub(crate) fn replace(
    staged: &Path,
    target: &Path,
    aside: &Path,
    exchange: Exchange,
) -> Result<OldContent, SinkError> {
    match exchange(staged, target) {
        Ok(()) => Ok(OldContent::Staged),
        Err(error) if is_unable(&error) => in_two_steps(staged, target, aside),
        Err(error) => Err(SinkError::io("put the new content at", target)(error)),
    }
}

fn in_two_steps(staged: &Path, target: &Path, aside: &Path) -> Result<OldContent, SinkError> {
    disk::rename(target, aside).map_err(SinkError::io("set the old content aside at", target))?;
    disk::crash_point(BETWEEN);
    let Err(error) = disk::rename(staged, target) else {
        return Ok(OldContent::Aside);
    };
    let cause = SinkError::io("put the new content at", target)(error);
    match disk::rename(aside, target) {
        Ok(()) => Err(cause),
        Err(source) => Err(SinkError::RollBack {
            path: target.to_path_buf(),
            kept: aside.to_path_buf(),
            cause: Box::new(cause),
            source,
        }),
    }
}

/// Whether the file system does not support the operation.
fn is_unable(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
    )
}
