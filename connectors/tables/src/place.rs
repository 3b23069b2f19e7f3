//! The directories of partitions, and the names of their files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::publish_step::PublishStep;
use super::publish_step::inode;
use super::staged_name::staged_name;
use tidewater_contract::disk::{self, DiskFile};
use tidewater_contract::sink::SinkError;

/// The directory of a partition, and those of its staged and its old content.
pub(super) struct PartitionPlace<'a> {
    pub staged: PathBuf,
    pub target: PathBuf,
    pub aside: PathBuf,
    pub root: &'a Path,
}

impl PartitionPlace<'_> {
    pub fn file(self, from: &str, to: &str) -> PublishStep {
        PublishStep::File {
            staged: self.staged.join(staged_name(from)),
            target: self.target.join(to),
            root: self.root.to_path_buf(),
        }
    }

    /// The step of the whole directory, after links to the files that stay are added.
    pub fn directory(self, stay: impl Iterator<Item = String>) -> Result<PublishStep, SinkError> {
        disk::create_dir_all(&self.staged)
            .map_err(SinkError::io("create the directory", &self.staged))?;
        for name in stay {
            let link = self.staged.join(staged_name(&name));
            link_or_copy(&self.target.join(&name), &link)
                .map_err(SinkError::io("give a file that stays the name", &link))?;
        }
        self.make_room_aside()?;
        let inode = inode(&self.staged)?.unwrap_or_default();
        Ok(PublishStep::Directory {
            staged: self.staged,
            target: self.target,
            aside: self.aside,
            inode,
            root: self.root.to_path_buf(),
        })
    }

    pub fn remove(self, exists: bool) -> Result<Option<PublishStep>, SinkError> {
        self.make_room_aside()?;
        Ok(exists.then(|| PublishStep::Remove {
            target: self.target,
            aside: self.aside,
            root: self.root.to_path_buf(),
        }))
    }

    fn make_room_aside(&self) -> Result<(), SinkError> {
        let Some(parent) = self.aside.parent() else {
            return Ok(());
        };
        disk::create_dir_all(parent).map_err(SinkError::io("create the directory", parent))
    }
}

/// Fails if a directory, or its parent, is not writable, so that the error comes before the commit.
pub(super) fn check_writable(directory: &Path) -> Result<(), SinkError> {
    for path in directory.ancestors().take(2) {
        access(path, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| SinkError::io("publish in", path)(error.into()))?;
    }
    Ok(())
}

/// Links a file that stays to a second name, or copies it if the file system has no hard links.
fn link_or_copy(file: &Path, name: &Path) -> io::Result<()> {
    match disk::hard_link(file, name) {
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK)
            ) =>
        {
            io::copy(&mut File::open(file)?, &mut DiskFile::create_new(name)?).map(drop)
        }
        result => result,
    }
}

/// The directory of a partition below `root`.
pub(super) fn below(root: &Path, partition: &Path) -> PathBuf {
    if partition.as_os_str().is_empty() {
        root.to_path_buf()
    } else {
        root.join(partition)
    }
}

/// The number in a data file's name.
pub(super) fn number(name: &str) -> u64 {
    let digits = name
        .strip_prefix("part-")
        .and_then(|rest| rest.split_once('.'));
    digits
        .and_then(|(digits, _)| digits.parse().ok())
        .unwrap_or(0)
}
