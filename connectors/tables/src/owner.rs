//! The owner of a published table, recorded in its mark: the entry `_tidewater` of the table's directory.
//!
//! ```text
//! out/by_day/_tidewater/job sales
//!                       view by_day
//!                       state 3f2a9c01d4e5b677         not of a run without a state
//!                       commit 12 at 1764456000        the same
//! ```
//!
//! 1. The mark is a directory of empty directories, whose names are its content. Polars refuses a directory with a
//!    second kind of file, and DuckDB reads every file that a glob finds, but readers ignore directories without
//!    files.
//! 2. The mark is published with the table, by the same rename or by a step of the same commit. It names the last commit
//!    that changed the table. A crash may leave the mark of an earlier commit, which is valid too.
//! 3. A table without a mark was published by an older version, or by another program.

use std::fs;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;

use super::hive::{escape, unescape};
use super::quarantine::own_ending;
use tidewater_contract::disk;
use tidewater_contract::sink::{SinkError, TableSpec};

/// The name of a mark in its table's directory.
pub(super) const MARK: &str = "_tidewater";
/// The name of a mark while it is written into the directory of a published table.
pub(super) const NEW_MARK: &str = "_tidewater.new";

/// The most characters of a name in a mark. A longer name is cut and followed by a hash.
const NAME_MAX: usize = 48;

/// Who published a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOwner {
    job: String,
    view: String,
    /// The commit that changed the table last; `None` for a run without a state.
    pub commit: Option<OwnerCommit>,
}

/// A commit of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerCommit {
    /// The state's id.
    pub state: String,
    /// Its epoch.
    pub epoch: u64,
    /// When it was committed, in seconds since 1970.
    pub committed_at: u64,
}

impl OwnerCommit {
    /// The name of its entry in a mark.
    fn name(&self) -> String {
        format!("commit {} at {}", self.epoch, self.committed_at)
    }
}

impl TableOwner {
    /// The owner of a view's table.
    pub fn new(job: &str, view: &str, commit: Option<OwnerCommit>) -> Self {
        Self {
            job: fitting(job),
            view: fitting(view),
            commit,
        }
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The view's name.
    pub fn view(&self) -> &str {
        &self.view
    }

    /// Whether the same job published the same view.
    pub fn is_same_job(&self, other: &Self) -> bool {
        (&self.job, &self.view) == (&other.job, &other.view)
    }

    /// The owner of the table in a directory; `None` if there is no readable mark.
    ///
    /// # Errors
    /// When the mark cannot be listed.
    pub fn of(table: &Path) -> Result<Option<Self>, SinkError> {
        let mark = table.join(MARK);
        let entries = match fs::read_dir(&mark) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => Err(error),
        };
        let entries = entries.map_err(SinkError::io("list the directory", &mark))?;
        let names = entries
            .iter()
            .map(|entry| unescape(&entry.file_name().to_string_lossy()));
        Ok(Self::parse(&names.collect::<Vec<_>>()))
    }

    fn parse(names: &[String]) -> Option<Self> {
        let value = |key: &str| {
            names
                .iter()
                .find_map(|name| name.strip_prefix(key)?.strip_prefix(' '))
        };
        let commit = value("state").zip(value("commit"));
        let commit = commit.map(|(state, commit)| {
            let (epoch, committed_at) = commit.split_once(" at ")?;
            Some(OwnerCommit {
                state: state.to_owned(),
                epoch: epoch.parse().ok()?,
                committed_at: committed_at.parse().ok()?,
            })
        });
        Some(Self {
            job: value("job")?.to_owned(),
            view: value("view")?.to_owned(),
            commit: match commit {
                None => None,
                Some(commit) => Some(commit?),
            },
        })
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec![format!("job {}", self.job), format!("view {}", self.view)];
        if let Some(commit) = &self.commit {
            names.push(format!("state {}", commit.state));
            names.push(commit.name());
        }
        names
    }

    /// The entries of the commit before and of this commit in the mark of a table; `None` if the table has another
    /// mark, which must be replaced as a whole.
    pub(super) fn next_entry(&self, table: &Path) -> Result<Option<(PathBuf, PathBuf)>, SinkError> {
        let Some(before) = Self::of(table)? else {
            return Ok(None);
        };
        let state = |owner: &Self| owner.commit.as_ref().map(|commit| commit.state.clone());
        let is_next = self.is_same_job(&before) && state(self) == state(&before);
        let entry = |owner: &Self| {
            let commit = owner.commit.as_ref()?;
            Some(table.join(MARK).join(escape(&commit.name())))
        };
        let entries = entry(&before).zip(entry(self));
        Ok(entries.filter(|(before, after)| is_next && before != after))
    }

    /// Writes the mark into the directory of a staged table.
    pub(super) fn stage(&self, table: &Path) -> Result<PathBuf, SinkError> {
        self.make(table.join(MARK))
    }

    fn make(&self, mark: PathBuf) -> Result<PathBuf, SinkError> {
        let failed = || SinkError::io("create the directory", &mark);
        disk::create_dir_all(&mark).map_err(failed())?;
        for name in self.names() {
            disk::create_dir(&mark.join(escape(&name))).map_err(failed())?;
        }
        Ok(mark)
    }

    /// Writes the mark into the directory of a published table that has none.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn mark(&self, table: &Path) -> Result<(), SinkError> {
        let new = table.join(NEW_MARK);
        disk::remove_dir_all(&new).map_err(SinkError::io("remove", &new))?;
        let new = self.make(new)?;
        let mark = table.join(MARK);
        disk::rename(&new, &mark).map_err(SinkError::io("mark", table))
    }
}

/// Whether an entry of a table's directory is its mark or an unfinished one.
pub(super) fn is_mark(name: &str) -> bool {
    name == MARK || name == NEW_MARK
}

/// Whether an older version may have published a table without a mark by this declaration: its files have the
/// declared format, and its partitions the declared columns. An absent or empty directory passes.
///
/// # Errors
/// When a directory cannot be listed.
pub fn looks_like(spec: &TableSpec) -> Result<bool, SinkError> {
    let mut directory = spec.path.clone();
    let partitions = spec.partition_by.iter();
    let mut columns = partitions.map(|&column| escape(spec.schema.field(column).name()));
    loop {
        let Some((name, is_directory)) = first_entry(&directory)? else {
            return Ok(true);
        };
        if !is_directory {
            let extension = Path::new(&name).extension().unwrap_or_default();
            let ending = own_ending(spec).unwrap_or(spec.encoding.extension());
            return Ok(columns.next().is_none() && extension == ending);
        }
        let of_column = name.split_once('=').map(|(column, _)| column.to_owned());
        if of_column.is_none() || of_column != columns.next() {
            return Ok(false);
        }
        directory.push(name);
    }
}

/// The first data file or partition of a directory by name, and whether it is a directory.
fn first_entry(directory: &Path) -> Result<Option<(String, bool)>, SinkError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => Err(error),
    };
    let entries = entries.map_err(SinkError::io("list the directory", directory))?;
    let named = entries.into_iter().map(|entry| {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        (
            entry.file_name().to_string_lossy().into_owned(),
            is_directory,
        )
    });
    Ok(named
        .filter(|(name, _)| !name.starts_with(['_', '.']))
        .min())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A unique form of a name that fits into the name of a directory.
fn fitting(name: &str) -> String {
    let Some((end, _)) = name.char_indices().nth(NAME_MAX) else {
        return name.to_owned();
    };
    let mut hash = XxHash3_64::new();
    hash.write(name.as_bytes());
    format!("{}…{:016x}", &name[..end], hash.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use tempfile::tempdir;
    use tidewater_contract::sink::Encoding;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "marks may have none")]
    fn commit(epoch: u64) -> Option<OwnerCommit> {
        Some(OwnerCommit {
            state: "0123456789abcdef".to_owned(),
            epoch,
            committed_at: 1_764_456_000,
        })
    }

    #[test]
    fn marks_say_what_was_marked() {
        let long = "가".repeat(300);
        for (job, view) in [
            ("sales", "by_day"),
            ("a/b=c %41\n", "Größe \"x\""),
            (&long, &long),
        ] {
            for commit in [None, commit(12)] {
                let table = tempdir().unwrap();
                let owner = TableOwner::new(job, view, commit);
                assert_eq!(TableOwner::of(table.path()).unwrap(), None);
                owner.mark(table.path()).unwrap();
                assert_eq!(TableOwner::of(table.path()).unwrap(), Some(owner));
            }
        }
        let other = format!("{}나", "가".repeat(299));
        assert_ne!(
            TableOwner::new(&long, "v", None),
            TableOwner::new(&other, "v", None)
        );
    }

    #[test]
    fn a_mark_that_is_no_mark_is_none() {
        for names in [
            &[][..],
            &["job sales"],
            &["job s", "view v", "state 1", "commit x at 2"],
        ] {
            let table = tempdir().unwrap();
            fs::create_dir(table.path().join(MARK)).unwrap();
            for name in names {
                fs::create_dir(table.path().join(MARK).join(name)).unwrap();
            }
            assert_eq!(TableOwner::of(table.path()).unwrap(), None, "{names:?}");
        }
    }

    #[test]
    fn an_unmarked_table_may_be_of_a_declaration() {
        let cases: &[(&[&str], &[usize], bool)] = &[
            (&[], &[0], true),
            (&["day=1/part-00000.parquet"], &[0], true),
            (&["day=1/part-00000.parquet", "_SUCCESS"], &[0], true),
            (&["region=1/part-00000.parquet"], &[0], false),
            (&["day=1/region=2/part-00000.parquet"], &[0], false),
            (&["day=1/region=2/part-00000.parquet"], &[0, 1], true),
            (&["part-00000.parquet"], &[0], false),
            (&["part-00000.parquet"], &[], true),
            (&["part-00000.csv"], &[], false),
            (&["day=1/part-00000.parquet"], &[], false),
        ];
        for (files, partition_by, expected) in cases {
            let root = tempdir().unwrap();
            for file in *files {
                let file = root.path().join("t").join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
            let fields = ["day", "region", "n"].map(|name| Field::new(name, DataType::Int64, true));
            let spec = TableSpec {
                name: "t".into(),
                path: root.path().join("t"),
                schema: Arc::new(Schema::new(fields.to_vec())),
                partition_by: partition_by.to_vec(),
                order_by: vec![],
                encoding: Encoding::default(),
            };
            assert_eq!(
                looks_like(&spec).unwrap(),
                *expected,
                "{files:?} {partition_by:?}"
            );
        }
    }
}
