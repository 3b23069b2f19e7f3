//! A staged directory takes the place of a published one: in one step where the file system can exchange two names, else
//! in two. Publishing as a whole and the swaps of a commit both go through here.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;

/// Where a test may end the process between the two steps.
pub(crate) const BETWEEN: &str = "publish: between the halves of an exchange";

/// Exchanges two names in one step, or says that it cannot.
pub(crate) type Exchange = fn(&Path, &Path) -> io::Result<()>;

/// Where the content is that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldContent {
    /// Where the new content was staged.
    Staged,
    /// Where it was set aside.
    Aside,
}

/// Replaces the directory at `target` by the one that is `staged`; the old one is moved to where the new one was, or to
/// `aside` where the file system cannot exchange the two. A reader may then find nothing between two renames.
///
/// # Errors
/// When the file system refuses. The old directory is then in its place, unless the error is [`SinkError::RollBack`].
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

/// Whether the file system has no such operation.
fn is_unable(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
    )
}
