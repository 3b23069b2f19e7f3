//! A table that is maintained: what is needed to change its partitions, each on its own.

use std::path::{Path, PathBuf};

use super::codes::Coding;
use super::files::{Form, HashedFile, encode_error, file_name};
use super::layout::Layout;
use super::manifest::{PublishedFile, PublishedPartition, ShadowFile};
use super::merge::Merge;
use super::owner::TableOwner;
use super::partition::change_partition;
use super::place::{below, number};
use super::run::{KeptFile, Place, Segment, SegmentReader, SpillWriter, row_count};
use super::staged_name::staged_name;
use super::swap::Swap;
use super::write::WriteOptions;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;
use tidewater_formats::parquet::encode::ParquetOptions;

/// Net changes of so many distinct rows at most are held in memory.
pub(super) const MEMORY_ROWS_MAX: u64 = 256 * 1024;

/// From which sizes on a partition is amended rather than written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendSizes {
    /// A partition whose files take no more is always written whole.
    pub small_partition_bytes: u64,
    /// A file of no more is written anew with the next rows that are put in.
    pub small_file_bytes: u64,
    /// Files of a partition that are not full, at most.
    pub files_max: usize,
    /// Rows of a row group at most, fewer than the declaration says only in tests.
    pub group_rows_max: usize,
}

impl AmendSizes {
    /// What users run with.
    pub const RELEASE: Self = Self {
        small_partition_bytes: 2 * 1024 * 1024,
        small_file_bytes: 256 * 1024,
        files_max: 8,
        group_rows_max: usize::MAX,
    };

    /// Few rows are many, for tests.
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

/// A directory that holds a table, or its shadow.
pub(super) struct Root {
    pub directory: PathBuf,
    /// Where its new content is staged.
    pub staged: PathBuf,
    /// Where its old content goes.
    pub aside: PathBuf,
}

/// A table whose partitions are changed.
pub(super) struct Table {
    pub owner: Option<TableOwner>,
    pub layout: Layout,
    /// Format of the files that are read back.
    pub parquet: ParquetOptions,
    /// Where they are.
    pub kept: Root,
    /// Where the published files are, where they are not these.
    pub text: Option<(Root, Form)>,
    pub spill_directory: PathBuf,
    pub options: WriteOptions,
    pub sizes: AmendSizes,
}

/// What changes in a partition.
pub(super) struct Work {
    pub path: PathBuf,
    pub segments: Vec<Segment>,
    pub old: Option<PublishedPartition>,
}

/// A partition that changed.
pub(super) struct Changed {
    pub path: PathBuf,
    pub new: Option<PublishedPartition>,
    pub swaps: Vec<Swap>,
    pub files_written: u64,
    pub rows_inserted: u64,
    pub rows_deleted: u64,
}

/// Net changes: distinct rows, none of which counts zero.
pub(super) struct Net {
    pub segment: Segment,
    pub inserted: u64,
    pub deleted: u64,
}

impl Table {
    /// Stages the new content of a partition; `None` where nothing changes.
    pub fn change(&self, work: Work) -> Result<Option<Changed>, SinkError> {
        let net = self.net(work.segments)?;
        if net.inserted == 0 && net.deleted == 0 {
            return Ok(None);
        }
        let (inserted, deleted) = (net.inserted, net.deleted);
        let mut changed = change_partition(self, work.path, work.old.as_ref(), net)?;
        (changed.rows_inserted, changed.rows_deleted) = (inserted, deleted);
        Ok(Some(changed))
    }

    /// Sums changes up over all runs.
    fn net(&self, mut segments: Vec<Segment>) -> Result<Net, SinkError> {
        let rows = segments.iter().map(|segment| segment.rows).sum::<u64>();
        let segment = match (segments.pop(), segments.is_empty()) {
            (Some(one), true) => one,
            (last, _) => {
                segments.extend(last);
                let mut merge = Merge::new(&self.layout, segments)?;
                let mut changes = std::iter::from_fn(|| merge.next_change().transpose());
                if rows <= MEMORY_ROWS_MAX {
                    let changes = changes.collect::<Result<Vec<_>, _>>()?;
                    Segment {
                        rows: changes.iter().map(|c| row_count(&c.batch)).sum(),
                        place: Place::Memory(changes),
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

    /// Where the files are that others read.
    pub fn published(&self) -> &Root {
        self.text.as_ref().map_or(&self.kept, |(root, _)| root)
    }

    /// Writes the text of files that are staged as Parquet, and tells what is published then.
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

    pub fn segment(&self, directory: &Path, file: &PublishedFile) -> Segment {
        Segment {
            rows: file.rows,
            place: Place::File(self.kept_file(directory, file)),
            coding: Coding::default(),
        }
    }

    /// A file that is staged and not yet published.
    pub fn staged_segment(&self, directory: &Path, file: &PublishedFile) -> Segment {
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
