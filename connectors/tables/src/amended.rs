//! A maintained table, with all that is needed to change its partitions independently.

use std::path::{Path, PathBuf};

use super::codes::Coding;
use super::files::{Form, HashedFile, encode_error, file_name};
use super::layout::Layout;
use super::manifest::{PublishedFile, PublishedPartition, ShadowFile};
use super::merge::Merge;
use super::owner::TableOwner;
use super::place::{below, number};
use super::publish_step::PublishStep;
use super::run::{KeptFile, RunSegment, SegmentPlace, SegmentReader, SpillWriter, row_count};
use super::staged_name::staged_name;
use super::write::WriteOptions;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;
use tidewater_formats::parquet::encode::ParquetWriteOptions;

/// The most distinct rows of net changes that are held in memory.
pub(super) const MEMORY_ROWS_MAX: u64 = 256 * 1024;

/// The sizes from which a partition is amended rather than rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendSizes {
    /// A partition is always rewritten if its files have at most this size.
    pub small_partition_bytes: u64,
    /// A file of at most this size is merged with the next inserted rows.
    pub small_file_bytes: u64,
    /// The most files of a partition that are not full.
    pub files_max: usize,
    /// The most rows of a row group. Only tests set fewer than the declaration.
    pub group_rows_max: usize,
}

impl AmendSizes {
    /// The sizes for normal use.
    pub const RELEASE: Self = Self {
        small_partition_bytes: 2 * 1024 * 1024,
        small_file_bytes: 256 * 1024,
        files_max: 8,
        group_rows_max: usize::MAX,
    };

    /// Tiny sizes, for tests.
    pub const TINY: Self = Self {
        small_partition_bytes: 0,
        small_file_bytes: 0,
        files_max: 4,
        group_rows_max: 16,
    };
}

impl Default for AmendSizes {
    fn default() -> Self {
        Self::RELEASE
    }
}

/// A directory with a table or its shadow.
pub(super) struct Root {
    pub directory: PathBuf,
    /// Where its new files are staged.
    pub staged: PathBuf,
    /// Where its old files are moved.
    pub aside: PathBuf,
}

/// A table whose partitions are changed.
pub(super) struct AmendedTable {
    pub owner: Option<TableOwner>,
    pub layout: Layout,
    /// The format of the files that are read back.
    pub parquet: ParquetWriteOptions,
    /// Their directory.
    pub kept: Root,
    /// The published files, if the files that are read back are a shadow.
    pub text: Option<(Root, Form)>,
    pub spill_directory: PathBuf,
    pub options: WriteOptions,
    pub sizes: AmendSizes,
}

/// The changes of a partition.
pub(super) struct PartitionChanges {
    pub path: PathBuf,
    pub segments: Vec<RunSegment>,
    pub old: Option<PublishedPartition>,
}

/// A partition that changed.
pub(super) struct Changed {
    pub path: PathBuf,
    pub new: Option<PublishedPartition>,
    pub steps: Vec<PublishStep>,
    pub files_written: u64,
    pub rows_inserted: u64,
    pub rows_deleted: u64,
}

/// Net changes: distinct rows with counts other than zero.
pub(super) struct Net {
    pub segment: RunSegment,
    pub inserted: u64,
    pub deleted: u64,
}

impl AmendedTable {
    /// Adds up the changes of all runs.
    pub fn net(&self, mut segments: Vec<RunSegment>) -> Result<Net, SinkError> {
        let rows = segments.iter().map(|segment| segment.rows).sum::<u64>();
        let segment = match (segments.pop(), segments.is_empty()) {
            (Some(one), true) => one,
            (last, _) => {
                segments.extend(last);
                let mut merge = Merge::new(&self.layout, segments)?;
                let mut changes = std::iter::from_fn(|| merge.next_change().transpose());
                if rows <= MEMORY_ROWS_MAX {
                    let changes = changes.collect::<Result<Vec<_>, _>>()?;
                    RunSegment {
                        rows: changes.iter().map(|c| row_count(&c.batch)).sum(),
                        place: SegmentPlace::Memory(changes),
                        coding: Coding::default(),
                    }
                } else {
                    SpillWriter::create(&self.spill_directory)?
                        .segment(&self.layout.file, &mut changes)?
                }
            }
        };
        let (mut inserted, mut deleted) = (0, 0);
        let mut reader = SegmentReader::open(segment.clone(), &self.layout.file)?;
        while let Some(changes) = reader.next(&self.layout)? {
            let Some(counts) = &changes.counts else {
                inserted += row_count(&changes.batch);
                continue;
            };
            for &count in counts.values() {
                if count > 0 {
                    inserted += count.unsigned_abs();
                } else {
                    deleted += count.unsigned_abs();
                }
            }
        }
        Ok(Net {
            segment,
            inserted,
            deleted,
        })
    }

    /// The roots of the table and of its shadow.
    pub fn roots(&self) -> impl Iterator<Item = (&Root, &'static str)> {
        let text = self
            .text
            .iter()
            .map(|(root, form)| (root, form.extension()));
        std::iter::once((&self.kept, "parquet")).chain(text)
    }

    /// The directory that readers of the table use.
    pub fn published(&self) -> &Root {
        self.text.as_ref().map_or(&self.kept, |(root, _)| root)
    }

    /// Writes staged Parquet files as text. Returns the files to publish.
    pub fn publish_files(
        &self,
        path: &Path,
        files: Vec<PublishedFile>,
    ) -> Result<Vec<PublishedFile>, SinkError> {
        let Some((root, form)) = &self.text else {
            return Ok(files);
        };
        let (from, to) = (below(&self.kept.staged, path), below(&root.staged, path));
        if !files.is_empty() {
            disk::create_dir_all(&to).map_err(SinkError::io("create the directory", &to))?;
        }
        files
            .into_iter()
            .map(|file| self.text_of(&from, &to, form, file))
            .collect()
    }

    fn text_of(
        &self,
        from: &Path,
        to: &Path,
        form: &Form,
        kept: PublishedFile,
    ) -> Result<PublishedFile, SinkError> {
        let layout = &self.layout;
        let name = file_name(number(&kept.name), form.extension());
        let path = to.join(staged_name(&name));
        let failed = |error| encode_error(layout, &path, error);
        let encoder = form.encoder(HashedFile::create(&path)?, layout);
        let mut encoder = encoder.map_err(failed)?;
        let segment = self.staged_segment(from, &kept);
        let mut reader = SegmentReader::open(segment, &layout.file)?;
        while let Some(rows) = reader.next(layout)? {
            encoder.write(&rows.batch).map_err(failed)?;
        }
        let content = encoder.finish().map_err(failed)?.content()?;
        let shadow = ShadowFile {
            bytes: kept.bytes,
            checksum: kept.checksum,
            stamp: kept.stamp,
        };
        Ok(PublishedFile {
            name,
            bytes: content.bytes,
            checksum: content.checksum,
            stamp: content.stamp,
            shadow: Some(shadow),
            ..kept
        })
    }

    pub fn kept_file(&self, directory: &Path, file: &PublishedFile) -> KeptFile {
        KeptFile {
            table: self.layout.spec.name.clone(),
            path: directory.join(&file.name),
            options: self.parquet,
        }
    }

    pub fn segment(&self, directory: &Path, file: &PublishedFile) -> RunSegment {
        RunSegment {
            rows: file.rows,
            place: SegmentPlace::File(self.kept_file(directory, file)),
            coding: Coding::default(),
        }
    }

    /// A file that is staged but not yet published.
    pub fn staged_segment(&self, directory: &Path, file: &PublishedFile) -> RunSegment {
        let staged = PublishedFile {
            name: staged_name(&file.name),
            ..file.clone()
        };
        self.segment(directory, &staged)
    }

    pub fn changed(&self, path: &Path, fault: &'static str) -> SinkError {
        SinkError::Changed {
            table: self.layout.spec.name.clone(),
            path: path.to_path_buf(),
            fault,
        }
    }
}
