//! Reads published tables as their readers do: from the files that are there, with partition columns added from
//! paths.
//!
//! 1. Files that others put there are read too. [`FoundFile::fault`] says how a file differs from the last commit.
//! 2. Rows are returned as they are stored, so that changes by other programs are visible.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::basic::Compression;
use twox_hash::XxHash3_64;

use super::hive::{NULL_NAME, partition_path, unescape, with_partition_columns};
use super::layout::Layout;
use super::manifest::{PublishedFile, PublishedPartition};
use super::run::KeptFile;
use tidewater_contract::sink::{EncodeError, Encoding, SinkError, TableSpec};
use tidewater_formats::parquet::encode::{ParquetWriteOptions, read_all, read_back};

/// A table whose files are read.
pub struct PublishedTable {
    layout: Layout,
    /// The directory of the Parquet copies of a text table.
    shadow: Option<PathBuf>,
}

/// A data file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path below the table's directory.
    pub path: PathBuf,
    /// How it differs from what the last commit published; `None` if it does not.
    pub fault: Option<FileFault>,
}

/// The fault of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// It was published but is missing.
    Missing,
    /// It was not published.
    Foreign,
    /// Its bytes are not those that were published.
    Changed,
}

impl FileFault {
    /// A description of the fault.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Foreign => "was not published by this job",
            Self::Changed => "has other bytes than were published",
        }
    }
}

impl PublishedTable {
    /// A table, with its shadow if it is a text table.
    ///
    /// # Errors
    /// When the spec is invalid.
    pub fn new(spec: Arc<TableSpec>, shadow: Option<PathBuf>) -> Result<Self, SinkError> {
        Ok(Self {
            layout: Layout::new(spec)?,
            shadow,
        })
    }

    /// Its columns in their stored types.
    pub fn schema(&self) -> &SchemaRef {
        &self.layout.stored
    }

    /// Converts `batch`, which has the table's columns in order, to the stored types and values.
    ///
    /// # Errors
    /// When columns have other types than the table's.
    pub fn to_stored(&self, batch: &RecordBatch) -> Result<RecordBatch, SinkError> {
        self.layout.to_stored(batch)
    }

    /// The data files that are there or should be, in order of path, compared with the `published` ones of each
    /// partition.
    ///
    /// # Errors
    /// When a directory cannot be listed, or a file cannot be read.
    pub fn files(
        &self,
        published: &BTreeMap<String, PublishedPartition>,
    ) -> Result<Vec<FoundFile>, SinkError> {
        let root = &self.layout.spec.path;
        let mut known: BTreeMap<PathBuf, &PublishedFile> = BTreeMap::new();
        for (partition, content) in published {
            for file in &content.files {
                known.insert(Path::new(partition).join(&file.name), file);
            }
        }
        let mut found = BTreeSet::new();
        list(root, Path::new(""), &mut found)?;
        let mut files = Vec::new();
        for path in found {
            let fault = match known.remove(&path) {
                None => Some(FileFault::Foreign),
                Some(file) if !is_as_published(&root.join(&path), file.bytes, file.checksum)? => {
                    Some(FileFault::Changed)
                }
                Some(file) => self.shadow_fault(&path, file)?,
            };
            files.push(FoundFile { path, fault });
        }
        files.extend(known.into_keys().map(|path| FoundFile {
            path,
            fault: Some(FileFault::Missing),
        }));
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    fn shadow_fault(
        &self,
        path: &Path,
        file: &PublishedFile,
    ) -> Result<Option<FileFault>, SinkError> {
        let (Some(root), Some(shadow)) = (&self.shadow, &file.shadow) else {
            return Ok(None);
        };
        let path = parquet_path(root, path);
        if !path.exists() {
            return Ok(Some(FileFault::Missing));
        }
        let same = is_as_published(&path, shadow.bytes, shadow.checksum)?;
        Ok((!same).then_some(FileFault::Changed))
    }

    /// Passes the rows of an existing file to `take`. For a text table, these are the rows of the Parquet copy.
    ///
    /// # Errors
    /// When the file or its partition does not belong to this table, or `take` fails.
    pub fn read<E: From<SinkError>>(
        &self,
        path: &Path,
        mut take: impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let spec = &self.layout.spec;
        let (place, exact) = match (&spec.encoding, &self.shadow) {
            (Encoding::Parquet { .. }, _) | (_, None) => (spec.path.join(path), false),
            (_, Some(shadow)) => (parquet_path(shadow, path), true),
        };
        let file = KeptFile {
            table: Arc::clone(&spec.name),
            path: place,
            options: ParquetWriteOptions {
                compression: Compression::UNCOMPRESSED,
                row_group_rows: usize::MAX,
                exact,
            },
        };
        let failed = |error: ArrowError| file.error(EncodeError::from(error));
        let values = self.partition_values(path, &file)?;
        let (opened, groups) = file.open(&self.layout.file)?;
        let batches = read_back(opened, &groups, None).map_err(|error| file.error(error))?;
        for batch in batches {
            let batch = batch.map_err(failed)?;
            take(with_partition_columns(&self.layout, &values, &batch).map_err(failed)?)?;
        }
        Ok(())
    }

    /// The values of the partition columns in a file's path, one row of each.
    fn partition_values(&self, path: &Path, file: &KeptFile) -> Result<Vec<ArrayRef>, SinkError> {
        let partition = path.parent().unwrap_or(Path::new(""));
        let foreign = || SinkError::Changed {
            table: Arc::clone(&self.layout.spec.name),
            path: file.path.clone(),
            fault: "is in no partition of this table",
        };
        let folders: Vec<_> = partition.components().collect();
        if folders.len() != self.layout.spec.partition_by.len() {
            return Err(foreign());
        }
        let mut values = Vec::new();
        for (&column, folder) in self.layout.spec.partition_by.iter().zip(folders) {
            let name = folder
                .as_os_str()
                .to_str()
                .and_then(|name| name.split_once('='));
            let (_, value) = name.ok_or_else(foreign)?;
            let data_type = self.layout.stored.field(column).data_type();
            values.push(if value == NULL_NAME {
                new_null_array(data_type, 1)
            } else {
                let text: ArrayRef = Arc::new(StringArray::from(vec![unescape(value)]));
                let options = CastOptions {
                    safe: false,
                    ..CastOptions::default()
                };
                cast_with_options(&text, data_type, &options).map_err(|_| foreign())?
            });
        }
        if values.iter().any(|value| value.len() != 1)
            || partition_path(&self.layout, &values)? != partition
        {
            return Err(foreign());
        }
        Ok(values)
    }
}

/// The rows of a file of changes: the columns that the table had then, and `_count`.
///
/// # Errors
/// When the file cannot be read.
pub fn changes(
    table: &str,
    path: &Path,
) -> Result<impl Iterator<Item = Result<RecordBatch, SinkError>> + use<>, SinkError> {
    let file = File::open(path).map_err(SinkError::io("open", path))?;
    let (table, path): (Arc<str>, _) = (table.into(), path.to_path_buf());
    let failed = move |source: EncodeError| SinkError::ReadBack {
        table: Arc::clone(&table),
        path: path.clone(),
        source,
    };
    let batches = read_all(file).map_err(&failed)?;
    Ok(batches.map(move |batch| batch.map_err(|error| failed(error.into()))))
}

/// All files below a table's directory that readers see; they skip names that begin with `.` or `_`.
fn list(root: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), SinkError> {
    let directory = root.join(below);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && below == Path::new("") => {
            return Ok(());
        }
        Err(error) => return Err(SinkError::io("list the directory", &directory)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(SinkError::io("list the directory", &directory))?;
        let name = entry.file_name();
        let path = below.join(&name);
        let name = name.to_string_lossy();
        if name.starts_with(['.', '_']) && !name.contains('=') {
            continue;
        }
        let kind = fs::metadata(entry.path()).map_err(SinkError::io("look up", &entry.path()))?;
        if kind.is_dir() {
            list(root, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

pub(super) fn is_as_published(path: &Path, bytes: u64, checksum: u64) -> Result<bool, SinkError> {
    let failed = || SinkError::io("read", path);
    let mut file = File::open(path).map_err(failed())?;
    if file.metadata().map_err(failed())?.len() != bytes {
        return Ok(false);
    }
    let mut hash = XxHash3_64::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finish() == checksum),
            Ok(read) => hash.write(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed()(error)),
        }
    }
}

/// The path of the Parquet copy of a text file.
pub(super) fn parquet_path(shadow: &Path, path: &Path) -> PathBuf {
    shadow.join(path).with_extension("parquet")
}
