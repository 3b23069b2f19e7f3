//! Applies net changes to one partition.
//!
//! | the partition | what is written |
//! |---|---|
//! | is new, small, ordered by the view, or changes in a large part | all of it, merged |
//! | is large, rows are only put in | the new rows, as a small file, with those files that are small beside them |
//! | is large, rows are taken out | the files that hold them, patched; rows put in elsewhere, as above |

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Read};
use std::path::PathBuf;

use arrow::array::{BooleanArray, Int64Array};
use arrow::compute::{concat_batches, filter, filter_record_batch};
use twox_hash::XxHash3_64;

use super::amended::{AmendedTable, Changed, MEMORY_ROWS_MAX, Net, PartitionChanges, Root};
use super::codes::Coding;
use super::files::{Files, Form, file_name};
use super::layout::Layout;
use super::manifest::{PublishedFile, PublishedPartition};
use super::merge::{Merge, retracted_too_often};
use super::owner::is_mark;
use super::patch::{PatchRows, patch};
use super::place::{PartitionPlace, below, check_writable, number};
use super::run::{Counted, RunSegment, SegmentPlace, SegmentReader, row_count};
use super::staged_name::staged_name;
use super::target::is_marker;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;

/// The bytes that are read at a time for a checksum.
const CHECK_BYTES: usize = 256 * 1024;

impl AmendedTable {
    /// Stages the new files of a partition; `None` if nothing changes.
    pub fn change(&self, work: PartitionChanges) -> Result<Option<Changed>, SinkError> {
        let net = self.net(work.segments)?;
        if net.inserted == 0 && net.deleted == 0 {
            return Ok(None);
        }
        let (inserted, deleted) = (net.inserted, net.deleted);
        let mut changed = change_partition(self, work.path, work.old.as_ref(), net)?;
        (changed.rows_inserted, changed.rows_deleted) = (inserted, deleted);
        Ok(Some(changed))
    }
}

/// Stages the new files of a changed partition.
fn change_partition(
    table: &AmendedTable,
    path: PathBuf,
    published: Option<&PublishedPartition>,
    net: Net,
) -> Result<Changed, SinkError> {
    let old = published.map_or(&[][..], |old| &old.files);
    let mut partition = StagedPartition {
        table,
        staged: below(&table.kept.staged, &path),
        next_number: old.iter().map(|f| number(&f.name) + 1).max().unwrap_or(0),
        old: old.iter().map(kept_form).collect(),
        path,
        checked: BTreeSet::new(),
    };
    let has_markers = partition.check_listing(old, published.is_some())?;
    disk::create_dir_all(&partition.staged)
        .map_err(SinkError::io("create the directory", &partition.staged))?;
    let files = if partition.is_written_whole(&net) {
        partition.write_whole(net)?
    } else {
        partition.write_in_parts(net)?
    };
    partition.finish(old, published.is_some(), has_markers, files)
}

/// A file of the new partition, in the form that is read back.
struct NewFile {
    file: PublishedFile,
    /// The index of the old file; `None` for a staged file.
    old: Option<usize>,
}

/// A partition while its new files are staged.
struct StagedPartition<'a> {
    table: &'a AmendedTable,
    path: PathBuf,
    /// Where the files that are read back are staged.
    staged: PathBuf,
    /// The number of the next staged file. A new file gets a name that no old file has, unless it replaces the only
    /// file: a reader that has listed the old directory then finds no new file under a name that it knows.
    next_number: u64,
    /// The old files, in the form that is read back.
    old: Vec<PublishedFile>,
    /// The old files whose content was checked.
    checked: BTreeSet<usize>,
}

impl StagedPartition<'_> {
    /// Checks that the published directories have exactly the published files. Returns whether there are also markers
    /// of other programs, which are removed with the old content.
    fn check_listing(&self, old: &[PublishedFile], exists: bool) -> Result<bool, SinkError> {
        let mut has_markers = false;
        for (root, extension) in self.table.roots() {
            let directory = below(&root.directory, &self.path);
            let mut missing: BTreeSet<String> = old
                .iter()
                .map(|file| file_name(number(&file.name), extension))
                .collect();
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !exists => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(self.table.changed(&directory, "is missing"));
                }
                Err(error) => return Err(SinkError::io("list the directory", &directory)(error)),
            };
            check_writable(&directory)?;
            for entry in entries {
                let entry = entry.map_err(SinkError::io("list the directory", &directory))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                if !is_file && is_mark(&name) {
                    continue;
                }
                if is_file && missing.remove(&name) {
                    continue;
                }
                if !(is_file && is_marker(&name)) {
                    let fault = "is not what this job published there";
                    return Err(self.table.changed(&entry.path(), fault));
                }
                has_markers = true;
            }
            if let Some(name) = missing.first() {
                return Err(self.table.changed(&directory.join(name), "is missing"));
            }
        }
        Ok(has_markers)
    }

    /// Checks the content of an old file before it is first read back.
    fn check(&mut self, index: usize) -> Result<(), SinkError> {
        if !self.checked.insert(index) {
            return Ok(());
        }
        let file = &self.old[index];
        let path = self.old_directory().join(&file.name);
        let mut opened = File::open(&path).map_err(SinkError::io("read back", &path))?;
        let mut hash = XxHash3_64::new();
        let mut bytes = 0;
        let mut buffer = vec![0; CHECK_BYTES];
        loop {
            let read = opened
                .read(&mut buffer)
                .map_err(SinkError::io("read back", &path))?;
            if read == 0 {
                break;
            }
            hash.write(&buffer[..read]);
            bytes += u64::try_from(read).unwrap_or_default();
        }
        if (bytes, hash.finish()) != (file.bytes, file.checksum) {
            let fault = "has changed since it was published";
            return Err(self.table.changed(&path, fault));
        }
        Ok(())
    }

    fn old_directory(&self) -> PathBuf {
        below(&self.table.kept.directory, &self.path)
    }

    fn is_written_whole(&self, net: &Net) -> bool {
        let bytes: u64 = self.old.iter().map(|file| file.bytes).sum();
        let rows: u64 = self.old.iter().map(|file| file.rows).sum();
        let takes_out_much = net.deleted > 0
            && (net.segment.rows > MEMORY_ROWS_MAX || net.segment.rows.saturating_mul(2) > rows);
        !self.table.layout.spec.order_by.is_empty()
            || bytes <= self.table.sizes.small_partition_bytes
            || takes_out_much
    }

    fn write_whole(&mut self, net: Net) -> Result<Vec<NewFile>, SinkError> {
        let directory = self.old_directory();
        let mut segments = vec![net.segment];
        for index in 0..self.old.len() {
            self.check(index)?;
            segments.push(self.table.segment(&directory, &self.old[index]));
        }
        self.merge(segments)
    }

    /// Merges segments into new files.
    fn merge(&mut self, segments: Vec<RunSegment>) -> Result<Vec<NewFile>, SinkError> {
        let table = self.table;
        let mut merge = Merge::new(&table.layout, segments)?;
        let form = Form::Parquet(table.parquet);
        let directory = self.staged.clone();
        let rows_max = table.options.file_rows_max;
        let mut files = Files::new(&table.layout, &form, directory, rows_max, self.next_number);
        while let Some(batch) = merge.next_batch()? {
            table.options.stop.check()?;
            files.write(&batch)?;
        }
        let files = files.finish(false)?;
        let staged = files.into_iter().map(|file| self.staged_file(file));
        Ok(staged.collect())
    }

    fn staged_file(&mut self, file: PublishedFile) -> NewFile {
        self.next_number = self.next_number.max(number(&file.name) + 1);
        NewFile { file, old: None }
    }

    fn write_in_parts(&mut self, mut net: Net) -> Result<Vec<NewFile>, SinkError> {
        let old = self.old.iter().cloned().enumerate();
        let mut files: Vec<NewFile> = old
            .map(|(index, file)| NewFile {
                file,
                old: Some(index),
            })
            .collect();
        if net.deleted > 0 {
            net = self.take_out(&mut files, net)?;
        }
        self.put_in(files, net)
    }

    /// Patches the files with retracted rows, smallest first. Returns the remaining changes, which are insertions.
    fn take_out(&mut self, files: &mut Vec<NewFile>, net: Net) -> Result<Net, SinkError> {
        let layout = &self.table.layout;
        let mut changes = in_memory(layout, net.segment)?;
        files.sort_by_key(|file| file.file.bytes);
        for file in files.iter_mut() {
            let (Some(index), Some(first), Some(last)) =
                (file.old, file.file.groups.first(), file.file.groups.last())
            else {
                continue;
            };
            if !changes.may_retract(layout, &first.first, &last.last)? {
                continue;
            }
            self.check(index)?;
            let from = self.table.kept_file(&self.old_directory(), &file.file);
            let name = file_name(self.next_number, "parquet");
            let to = self.staged.join(staged_name(&name));
            if let Some(patched) = patch(layout, &file.file, &from, &mut changes, &to)? {
                *file = self.staged_file(patched);
            }
        }
        if let Some(row) = changes.counts.iter().position(|&count| count < 0) {
            let total = changes.counts[row];
            return Err(retracted_too_often(layout, &changes.rows.batch, row, total));
        }
        for emptied in files.extract_if(.., |file| file.file.rows == 0) {
            let path = self.staged.join(staged_name(&emptied.file.name));
            disk::remove_file(&path).map_err(SinkError::io("remove", &path))?;
        }
        let counts = Int64Array::from(changes.counts);
        let left: BooleanArray = counts.values().iter().map(|&c| Some(c > 0)).collect();
        let failed = |source| layout.sort_error(source);
        let batch = filter_record_batch(&changes.rows.batch, &left).map_err(failed)?;
        let counts = filter(&counts, &left).map_err(failed)?;
        let counts = Int64Array::from(counts.to_data());
        Ok(Net {
            inserted: counts
                .values()
                .iter()
                .map(|count| count.unsigned_abs())
                .sum(),
            deleted: 0,
            segment: RunSegment {
                rows: row_count(&batch),
                place: SegmentPlace::Memory(vec![Counted {
                    batch,
                    counts: Some(counts),
                }]),
                coding: Coding::default(),
            },
        })
    }

    /// Writes inserted rows, merged with small files. A file is merged only if the result is at least half as large
    /// again, or if it is very small. So the number of times that a row is rewritten grows with the logarithm of the
    /// partition's size.
    fn put_in(&mut self, mut files: Vec<NewFile>, net: Net) -> Result<Vec<NewFile>, SinkError> {
        let sizes = self.table.sizes;
        let rows: u64 = files.iter().map(|file| file.file.rows).sum();
        let bytes: u64 = files.iter().map(|file| file.file.bytes).sum();
        let mut merged_bytes = net.inserted.saturating_mul(bytes / rows.max(1));
        files.sort_by_key(|file| file.file.bytes);
        let full = u64::try_from(self.table.options.file_rows_max / 2).unwrap_or(u64::MAX);
        let mut open = files.iter().filter(|file| file.file.rows < full).count();
        let mut segments = Vec::new();
        if net.inserted > 0 {
            segments.push(net.segment);
            open += 1;
        }
        let mut kept = Vec::new();
        for file in files {
            let is_small =
                file.file.bytes <= merged_bytes.saturating_mul(2).max(sizes.small_file_bytes);
            let merges = net.inserted > 0 && is_small || open > sizes.files_max;
            if file.file.rows >= full || !merges {
                kept.push(file);
                continue;
            }
            if !segments.is_empty() {
                open -= 1;
            }
            merged_bytes += file.file.bytes;
            segments.push(self.segment_of(&file)?);
        }
        if segments.is_empty() {
            return Ok(kept);
        }
        let merged = self.merge(segments)?;
        self.remove_unused(&kept, &merged)?;
        kept.extend(merged);
        Ok(kept)
    }

    fn segment_of(&mut self, file: &NewFile) -> Result<RunSegment, SinkError> {
        let Some(index) = file.old else {
            return Ok(self.table.staged_segment(&self.staged, &file.file));
        };
        self.check(index)?;
        Ok(self.table.segment(&self.old_directory(), &file.file))
    }

    /// Removes staged files that were then merged into others.
    fn remove_unused(&self, kept: &[NewFile], merged: &[NewFile]) -> Result<(), SinkError> {
        let used = |name: &str| {
            let mut files = kept.iter().chain(merged);
            files.any(|file| file.old.is_none() && file.file.name == name)
        };
        let first = self.old.iter().map(|f| number(&f.name) + 1).max();
        for number in first.unwrap_or(0)..self.next_number {
            let name = file_name(number, "parquet");
            if !used(&name) {
                let path = self.staged.join(staged_name(&name));
                disk::remove_file(&path).map_err(SinkError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Completes the staged directories and returns the steps.
    fn finish(
        mut self,
        old: &[PublishedFile],
        exists: bool,
        has_markers: bool,
        mut files: Vec<NewFile>,
    ) -> Result<Changed, SinkError> {
        if files.is_empty() && self.table.layout.spec.partition_by.is_empty() {
            // A table without rows has one empty file.
            let form = Form::Parquet(self.table.parquet);
            let (layout, staged) = (&self.table.layout, self.staged.clone());
            let empty = Files::new(layout, &form, staged, 1, self.next_number).finish(true)?;
            files.extend(empty.into_iter().map(|file| self.staged_file(file)));
        }
        files.sort_by_key(|file| number(&file.file.name));
        let (stay, staged): (Vec<_>, Vec<_>) = files.into_iter().partition(|f| f.old.is_some());
        let stay: Vec<&PublishedFile> = stay
            .iter()
            .filter_map(|file| file.old.and_then(|index| old.get(index)))
            .collect();
        let staged = staged.into_iter().map(|file| file.file).collect();
        let mut staged = self.table.publish_files(&self.path, staged)?;
        let files_written = u64::try_from(staged.len()).unwrap_or(u64::MAX);
        let gone: Vec<&PublishedFile> = old.iter().filter(|file| !stay.contains(file)).collect();

        let mut steps = Vec::new();
        let alone = exists && !has_markers && staged.len() == 1 && gone.len() <= 1;
        for (root, extension) in self.table.roots() {
            let place = self.place(root);
            let name = |file: &PublishedFile| file_name(number(&file.name), extension);
            if staged.is_empty() && stay.is_empty() {
                steps.extend(place.remove(exists)?);
            } else if let (true, Some(file)) = (alone, staged.first()) {
                let (from, to) = (
                    name(file),
                    gone.first().map_or_else(|| name(file), |f| name(f)),
                );
                steps.push(place.file(&from, &to));
            } else {
                steps.push(place.directory(stay.iter().map(|file| name(file)))?);
            }
        }
        if let (true, [file], [gone]) = (alone, staged.as_mut_slice(), gone.as_slice()) {
            file.name.clone_from(&gone.name);
        }
        let mut files: Vec<PublishedFile> = stay.into_iter().cloned().chain(staged).collect();
        files.sort_by_key(|file| number(&file.name));
        Ok(Changed {
            new: (!files.is_empty()).then_some(PublishedPartition { files }),
            path: self.path,
            steps,
            files_written,
            rows_inserted: 0,
            rows_deleted: 0,
        })
    }

    fn place<'a>(&self, root: &'a Root) -> PartitionPlace<'a> {
        PartitionPlace {
            staged: below(&root.staged, &self.path),
            target: below(&root.directory, &self.path),
            aside: below(&root.aside, &self.path),
            root: &root.directory,
        }
    }
}

/// A published file, in the form that is read back.
fn kept_form(file: &PublishedFile) -> PublishedFile {
    let mut kept = file.clone();
    if let Some(shadow) = kept.shadow.take() {
        kept.name = file_name(number(&file.name), "parquet");
        (kept.bytes, kept.checksum) = (shadow.bytes, shadow.checksum);
        kept.stamp = shadow.stamp;
    }
    kept
}

/// Net changes as one batch.
fn in_memory(layout: &Layout, segment: RunSegment) -> Result<PatchRows, SinkError> {
    let mut reader = SegmentReader::open(segment, &layout.file)?;
    let (mut batches, mut counts) = (Vec::new(), Vec::new());
    while let Some(changes) = reader.next(layout)? {
        match &changes.counts {
            Some(some) => counts.extend_from_slice(some.values()),
            None => counts.extend(std::iter::repeat_n(1, changes.batch.num_rows())),
        }
        batches.push(changes.batch);
    }
    let rows = concat_batches(&layout.file, &batches).map_err(|e| layout.sort_error(e))?;
    Ok(PatchRows {
        rows: layout.key(rows)?,
        counts,
    })
}
