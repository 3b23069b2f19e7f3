//! Writes the data files of one partition. Records their sizes and checksums, and where each row group of a Parquet
//! file begins and ends.

use std::hash::Hasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use twox_hash::XxHash3_64;

use super::layout::Layout;
use super::manifest::{InodeStamp, PublishedFile, PublishedGroup};
use super::run::row_count;
use super::staged_name::staged_name;
use tidewater_contract::disk::{self, DiskFile};
use tidewater_contract::sink::{EncodeError, EncodeRows, Encoding, SinkError};
use tidewater_formats::csv::encode::CsvEncoder;
use tidewater_formats::json_lines::encode::JsonLinesEncoder;
use tidewater_formats::parquet::encode::{ParquetEncoder, ParquetWriteOptions};

/// A file that is written sequentially and hashed.
pub(super) struct HashedFile {
    file: DiskFile,
    hash: XxHash3_64,
    bytes: u64,
}

impl HashedFile {
    pub fn create(path: &Path) -> Result<Self, SinkError> {
        let file = DiskFile::create_new(path).map_err(SinkError::io("create the file", path))?;
        Ok(Self {
            file,
            hash: XxHash3_64::new(),
            bytes: 0,
        })
    }

    /// What was written.
    pub fn content(&self) -> Result<FileContent, SinkError> {
        let found = self.file.file().metadata();
        let found = found.map_err(SinkError::io("look up", self.file.path()))?;
        Ok(FileContent {
            bytes: self.bytes,
            checksum: self.hash.finish(),
            stamp: Some(InodeStamp::of(&found)),
        })
    }
}

/// The size and checksum of a file, and its stamp.
pub(super) struct FileContent {
    pub bytes: u64,
    pub checksum: u64,
    pub stamp: Option<InodeStamp>,
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.write(&bytes[..written]);
        self.bytes += u64::try_from(written).map_err(io::Error::other)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The format of some files.
#[derive(Clone)]
pub(super) enum Form {
    Parquet(ParquetWriteOptions),
    Csv { delimiter: u8, null_text: String },
    JsonLines,
}

impl Form {
    /// The format of a table's published files.
    pub fn of(encoding: &Encoding) -> Self {
        match encoding {
            Encoding::Parquet {
                compression,
                row_group_rows,
            } => Self::Parquet(ParquetWriteOptions {
                compression: *compression,
                row_group_rows: *row_group_rows,
                exact: false,
            }),
            Encoding::Csv {
                delimiter,
                null_text,
            } => Self::Csv {
                delimiter: *delimiter,
                null_text: null_text.clone(),
            },
            Encoding::JsonLines => Self::JsonLines,
        }
    }

    /// The extension of the files.
    pub fn extension(&self) -> &'static str {
        match self {
            Self::Parquet(_) => "parquet",
            Self::Csv { .. } => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    /// The most rows of a row group; `None` if the format has no row groups.
    fn group_rows(&self) -> Option<u64> {
        match self {
            Self::Parquet(options) => u64::try_from(options.row_group_rows).ok(),
            _ => None,
        }
    }

    pub fn encoder<W: Write + Send + 'static>(
        &self,
        file: W,
        layout: &Layout,
    ) -> Result<Box<dyn EncodeRows<W>>, EncodeError> {
        Ok(match self {
            Self::Parquet(options) => Box::new(ParquetEncoder::new(file, &layout.file, *options)?),
            Self::Csv {
                delimiter,
                null_text,
            } => Box::new(CsvEncoder::new(file, &layout.file, *delimiter, null_text)?),
            Self::JsonLines => Box::new(JsonLinesEncoder::new(file)),
        })
    }
}

/// The name of a data file.
pub(super) fn file_name(number: u64, extension: &str) -> String {
    format!("part-{number:05}.{extension}")
}

pub(super) fn encode_error(layout: &Layout, path: &Path, source: EncodeError) -> SinkError {
    SinkError::Encode {
        table: layout.spec.name.clone(),
        path: path.to_path_buf(),
        source,
    }
}

/// The data files of one partition, one after another.
pub(super) struct Files<'a> {
    layout: &'a Layout,
    form: &'a Form,
    directory: PathBuf,
    rows_max: usize,
    next_number: u64,
    open: Option<DataFileWriter>,
    done: Vec<PublishedFile>,
}

struct DataFileWriter {
    name: String,
    path: PathBuf,
    encoder: Box<dyn EncodeRows<HashedFile>>,
    rows_left: usize,
    rows: u64,
    groups: Groups,
}

impl<'a> Files<'a> {
    /// A writer of files of at most `rows_max` rows in `directory`, numbered from `first_number`.
    pub fn new(
        layout: &'a Layout,
        form: &'a Form,
        directory: PathBuf,
        rows_max: usize,
        first_number: u64,
    ) -> Self {
        Self {
            layout,
            form,
            directory,
            rows_max: rows_max.max(1),
            next_number: first_number,
            open: None,
            done: Vec::new(),
        }
    }

    /// Appends rows. Begins a new file when the current one is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let mut start = 0;
        while start < batch.num_rows() {
            if self.open.as_ref().is_none_or(|file| file.rows_left == 0) {
                self.end()?;
                self.begin()?;
            }
            let Some(file) = &mut self.open else { continue };
            let rows = file.rows_left.min(batch.num_rows() - start);
            let slice = batch.slice(start, rows);
            let written = file.encoder.write(&slice);
            written.map_err(|error| encode_error(self.layout, &file.path, error))?;
            file.groups.add(self.layout, &slice)?;
            file.rows += row_count(&slice);
            file.rows_left -= rows;
            start += rows;
        }
        Ok(())
    }

    /// Ends the last file and returns all files. If no row was written and `never_none` is set, there is one file
    /// without rows.
    pub fn finish(mut self, never_none: bool) -> Result<Vec<PublishedFile>, SinkError> {
        if never_none && self.open.is_none() && self.done.is_empty() {
            self.begin()?;
        }
        self.end()?;
        Ok(self.done)
    }

    fn begin(&mut self) -> Result<(), SinkError> {
        if self.done.is_empty() {
            disk::create_dir_all(&self.directory)
                .map_err(SinkError::io("create the directory", &self.directory))?;
        }
        let name = file_name(self.next_number, self.form.extension());
        let path = self.directory.join(staged_name(&name));
        let file = HashedFile::create(&path)?;
        let encoder = self.form.encoder(file, self.layout);
        let encoder = encoder.map_err(|error| encode_error(self.layout, &path, error))?;
        self.open = Some(DataFileWriter {
            name,
            path,
            encoder,
            rows_left: self.rows_max,
            rows: 0,
            groups: Groups::new(self.form.group_rows()),
        });
        self.next_number += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), SinkError> {
        let Some(file) = self.open.take() else {
            return Ok(());
        };
        let content = file.encoder.finish();
        let content = content.map_err(|error| encode_error(self.layout, &file.path, error))?;
        let content = content.content()?;
        self.done.push(PublishedFile {
            name: file.name,
            rows: file.rows,
            bytes: content.bytes,
            checksum: content.checksum,
            stamp: content.stamp,
            groups: file.groups.finish(self.layout)?,
            shadow: None,
        });
        Ok(())
    }
}

/// Records the first and the last row of each row group of a file.
struct Groups {
    /// `None` if the file has no row groups.
    rows_max: Option<u64>,
    done: Vec<PublishedGroup>,
    /// The open group: its number of rows, the key of its first row, and its last row so far.
    open: Option<(u64, Vec<u8>, RecordBatch)>,
}

impl Groups {
    fn new(rows_max: Option<u64>) -> Self {
        Self {
            rows_max,
            done: Vec::new(),
            open: None,
        }
    }

    fn add(&mut self, layout: &Layout, batch: &RecordBatch) -> Result<(), SinkError> {
        let Some(rows_max) = self.rows_max else {
            return Ok(());
        };
        let mut start = 0;
        while start < batch.num_rows() {
            let (rows, first) = match self.open.take() {
                Some((rows, first, _)) => (rows, first),
                None => (0, layout.bound(&batch.slice(start, 1))?),
            };
            let left = usize::try_from(rows_max - rows).unwrap_or(usize::MAX);
            let taken = left.min(batch.num_rows() - start);
            start += taken;
            let rows = rows + u64::try_from(taken).unwrap_or_default();
            self.open = Some((rows, first, batch.slice(start - 1, 1)));
            if rows == rows_max {
                self.end(layout)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, layout: &Layout) -> Result<(), SinkError> {
        if let Some((rows, first, last)) = self.open.take() {
            let last = layout.bound(&last)?;
            self.done.push(PublishedGroup { rows, first, last });
        }
        Ok(())
    }

    fn finish(mut self, layout: &Layout) -> Result<Vec<PublishedGroup>, SinkError> {
        self.end(layout)?;
        Ok(self.done)
    }
}
