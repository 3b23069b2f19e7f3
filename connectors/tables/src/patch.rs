//! Changes some rows of a large file. Row groups with retracted rows are encoded again, the others are copied.
//!
//! 1. A row group is rewritten only if it has a retracted row. Its bounds tell whether it may have one. If so, its
//!    rows are read to find out.
//! 2. Insertions are made in the row groups that are rewritten anyway, if they belong there. All others are left to
//!    the caller.
//! 3. The new file is in canonical order. Bounds are truncated keys, so an insertion that compares equal to a
//!    neighbouring row group's bound is left to the caller too.
//! 4. A row group that becomes small is merged with the next.

use std::cmp::Ordering;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::files::{HashedFile, encode_error};
use super::gather::gather;
use super::layout::{Keyed, Layout};
use super::manifest::{PublishedFile, PublishedGroup};
use super::run::{KeptFile, row_count};
use super::staged_name::final_name;
use tidewater_contract::sink::SinkError;
use tidewater_formats::parquet::encode::{GroupWriter, RowGroups, read_back};

/// Net changes of a partition in memory: distinct rows in canonical order, and how often each is still to be inserted
/// or deleted.
pub(super) struct PatchRows {
    pub rows: Keyed,
    pub counts: Vec<i64>,
}

impl PatchRows {
    /// The first row whose bound is at least `bound`, or with `above`, greater than `bound`.
    fn find(&self, layout: &Layout, bound: &[u8], above: bool) -> Result<usize, SinkError> {
        let (mut low, mut high) = (0, self.counts.len());
        while low < high {
            let middle = low.midpoint(high);
            let key = layout.bound(&self.rows.batch.slice(middle, 1))?;
            match key.as_slice().cmp(bound) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal if above => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Whether a row to delete may be between two bounds.
    pub fn may_retract(
        &self,
        layout: &Layout,
        first: &[u8],
        last: &[u8],
    ) -> Result<bool, SinkError> {
        let range = self.find(layout, first, false)?..self.find(layout, last, true)?;
        Ok(self.counts[range].iter().any(|&count| count < 0))
    }
}

/// Writes `old`, which is at `from`, to `to` with `changes` applied, and removes the applied counts from `changes`.
/// `None` if no row of the file is retracted.
pub(super) fn patch(
    layout: &Layout,
    old: &PublishedFile,
    from: &KeptFile,
    changes: &mut PatchRows,
    to: &Path,
) -> Result<Option<PublishedFile>, SinkError> {
    let (file, groups) = from.open(&layout.file)?;
    let mut patch = Patch {
        layout,
        from,
        file,
        groups,
        old: &old.groups,
        to,
        copied: 0,
        out: None,
    };
    for index in 0..old.groups.len() {
        if let Some(merged) = patch.merge(index, changes)? {
            let out = patch.output(index)?;
            out.pending.extend(merged);
            patch.copied = index + 1;
        } else if patch.has_little(index) {
            let rows = patch.read(index)?;
            patch.output(index)?.pending.extend(rows);
            patch.copied = index + 1;
        }
    }
    patch.finish()
}

struct Patch<'a> {
    layout: &'a Layout,
    from: &'a KeptFile,
    file: File,
    groups: RowGroups,
    old: &'a [PublishedGroup],
    to: &'a Path,
    /// The number of row groups of the old file that are in the new one or pending.
    copied: usize,
    out: Option<Output>,
}

/// The new file.
struct Output {
    writer: GroupWriter<HashedFile>,
    written: Vec<PublishedGroup>,
    /// Rows that are not yet encoded.
    pending: Vec<RecordBatch>,
}

impl Output {
    fn pending_rows(&self) -> usize {
        self.pending.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Patch<'_> {
    /// Whether rows directly before the group `index` are pending and are too few for a row group of their own.
    fn has_little(&self, index: usize) -> bool {
        let few = self.from.options.row_group_rows / 4;
        let little = |out: &Output| (1..few).contains(&out.pending_rows());
        self.copied == index && self.out.as_ref().is_some_and(little)
    }

    /// The new file, with all groups before `index` written or pending.
    fn output(&mut self, index: usize) -> Result<&mut Output, SinkError> {
        let failed = |error| encode_error(self.layout, self.to, error);
        let out = match &mut self.out {
            Some(out) => out,
            empty => {
                let file = HashedFile::create(self.to)?;
                let writer = GroupWriter::new(file, &self.layout.file, self.from.options);
                empty.insert(Output {
                    writer: writer.map_err(failed)?,
                    written: Vec::new(),
                    pending: Vec::new(),
                })
            }
        };
        if self.copied < index || out.pending_rows() >= self.from.options.row_group_rows {
            encode_pending(self.layout, self.from, self.to, out)?;
        }
        for group in self.copied..index {
            out.writer
                .copy(&self.file, &self.groups, group)
                .map_err(failed)?;
            out.written.extend(self.old.get(group).cloned());
        }
        self.copied = index;
        Ok(out)
    }

    fn finish(mut self) -> Result<Option<PublishedFile>, SinkError> {
        if self.out.is_none() {
            return Ok(None);
        }
        self.output(self.old.len())?;
        let Some(mut out) = self.out else {
            return Ok(None);
        };
        encode_pending(self.layout, self.from, self.to, &mut out)?;
        let file = out.writer.finish();
        let file = file.map_err(|error| encode_error(self.layout, self.to, error))?;
        let content = file.content()?;
        let name = self.to.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(PublishedFile {
            name: final_name(&name).to_owned(),
            rows: out.written.iter().map(|group| group.rows).sum(),
            bytes: content.bytes,
            checksum: content.checksum,
            stamp: content.stamp,
            groups: out.written,
            shadow: None,
        }))
    }

    /// The rows of a group.
    fn read(&self, index: usize) -> Result<Vec<RecordBatch>, SinkError> {
        let file = self.file.try_clone();
        let file = file.map_err(SinkError::io("read back", &self.from.path))?;
        let rows = read_back(file, &self.groups, Some(vec![index]));
        rows.map_err(|error| self.from.error(error))?
            .map(|batch| batch.map_err(|error| self.from.error(error)))
            .collect()
    }

    /// The new rows of a group; `None` if no row of it is deleted.
    fn merge(
        &self,
        index: usize,
        changes: &mut PatchRows,
    ) -> Result<Option<Vec<RecordBatch>>, SinkError> {
        let layout = self.layout;
        let group = &self.old[index];
        if !changes.may_retract(layout, &group.first, &group.last)? {
            return Ok(None);
        }
        let retracted =
            changes.find(layout, &group.first, false)?..changes.find(layout, &group.last, true)?;
        let start = match index.checked_sub(1).and_then(|index| self.old.get(index)) {
            Some(before) => changes.find(layout, &before.last, true)?,
            None => 0,
        };
        let end = match self.old.get(index + 1) {
            Some(after) => changes.find(layout, &after.first, false)?,
            None => changes.counts.len(),
        };
        let mut merge = GroupMerge {
            layout,
            changes,
            at: start.min(retracted.start),
            end: end.max(retracted.end),
            insertable: start..end,
            settled: Vec::new(),
            left: None,
            found: false,
        };
        let mut merged = Vec::new();
        for batch in self.read(index)? {
            merged.push(merge.batch(batch)?);
        }
        merged.push(merge.rest(&layout.file)?);
        let (found, settled) = (merge.found, merge.settled);
        if !found {
            return Ok(None);
        }
        for (row, count) in settled {
            changes.counts[row] = count;
        }
        merged.retain(|batch| batch.num_rows() > 0);
        Ok(Some(merged))
    }
}

/// Encodes the pending rows in row groups of nearly equal size.
fn encode_pending(
    layout: &Layout,
    from: &KeptFile,
    to: &Path,
    out: &mut Output,
) -> Result<(), SinkError> {
    let rows = out.pending_rows();
    let pieces = rows.div_ceil(from.options.row_group_rows.max(1));
    let mut pending = std::mem::take(&mut out.pending).into_iter();
    let mut open = None;
    for piece in 0..pieces {
        let mut missing = rows * (piece + 1) / pieces - rows * piece / pieces;
        let mut group: Vec<RecordBatch> = Vec::new();
        while missing > 0 {
            let Some(batch) = open.take().or_else(|| pending.next()) else {
                break;
            };
            let taken = missing.min(batch.num_rows());
            group.push(batch.slice(0, taken));
            if taken < batch.num_rows() {
                open = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            missing -= taken;
        }
        let encoded = out.writer.encode(&group);
        encoded.map_err(|error| encode_error(layout, to, error))?;
        if let (Some(first), Some(last)) = (group.first(), group.last()) {
            out.written.push(PublishedGroup {
                rows: group.iter().map(row_count).sum(),
                first: layout.bound(first)?,
                last: layout.bound(&last.slice(last.num_rows() - 1, 1))?,
            });
        }
    }
    Ok(())
}

/// Applies changes to the rows of one group, batch by batch.
struct GroupMerge<'a> {
    layout: &'a Layout,
    changes: &'a PatchRows,
    /// The next change.
    at: usize,
    end: usize,
    /// The changes that this group may take as insertions.
    insertable: Range<usize>,
    /// The changes that were applied, and their new counts.
    settled: Vec<(usize, i64)>,
    /// The remaining count of the next change, if some of its rows were already deleted.
    left: Option<i64>,
    found: bool,
}

/// Sources of a [`gather`].
const ROWS: usize = 0;
const CHANGES: usize = 1;

impl GroupMerge<'_> {
    /// The next change that concerns this group.
    fn next(&mut self) -> Option<i64> {
        while self.at < self.end {
            let count = self.left.unwrap_or(self.changes.counts[self.at]);
            if count < 0 || (count > 0 && self.insertable.contains(&self.at)) {
                return Some(count);
            }
            self.at += 1;
        }
        None
    }

    fn settle(&mut self, count: i64) {
        self.settled.push((self.at, count));
        self.left = None;
        self.at += 1;
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<RecordBatch, SinkError> {
        let rows = batch.num_rows();
        let Some(last) = rows.checked_sub(1) else {
            return Ok(batch);
        };
        let layout = self.layout;
        let last = layout.key(batch.slice(last, 1))?;
        let mut keyed = None;
        let mut row = 0;
        let mut picks = Vec::new();
        while let Some(count) = self.next() {
            let change = (&self.changes.rows, self.at);
            if layout.compare(change, (&last, 0))?.is_gt() {
                break;
            }
            let keyed = match &keyed {
                Some(keyed) => keyed,
                None => &*keyed.insert(layout.key(batch.clone())?),
            };
            let place = place(layout, keyed, row, change)?;
            picks.extend((row..place).map(|row| (ROWS, row)));
            row = place;
            if count > 0 {
                picks.extend((0..count).map(|_| (CHANGES, self.at)));
                self.settle(0);
                continue;
            }
            let mut left = count;
            while left < 0 && row < rows && layout.compare((keyed, row), change)?.is_eq() {
                (row, left, self.found) = (row + 1, left + 1, true);
            }
            if left < 0 && row == rows {
                // More of these rows may be in the next batch.
                self.left = Some(left);
                break;
            }
            self.settle(left);
        }
        picks.extend((row..rows).map(|row| (ROWS, row)));
        let sources = [&batch, &self.changes.rows.batch];
        gather(&layout.file, &sources, &picks).map_err(|source| layout.sort_error(source))
    }

    /// The insertions after the last row.
    fn rest(&mut self, file: &SchemaRef) -> Result<RecordBatch, SinkError> {
        let mut picks = Vec::new();
        while let Some(count) = self.next() {
            picks.extend((0..count.max(0)).map(|_| (ROWS, self.at)));
            self.settle(count.min(0));
        }
        let sources = [&self.changes.rows.batch];
        gather(file, &sources, &picks).map_err(|source| self.layout.sort_error(source))
    }
}

/// The first row from `start` that is not before a change, found in doubling steps.
fn place(
    layout: &Layout,
    rows: &Keyed,
    start: usize,
    change: (&Keyed, usize),
) -> Result<usize, SinkError> {
    let comes_before = |row| Ok::<_, SinkError>(layout.compare((rows, row), change)?.is_lt());
    let count = rows.batch.num_rows();
    let (mut low, mut step) = (start, 1);
    while low + step <= count && comes_before(low + step - 1)? {
        low += step;
        step *= 2;
    }
    let mut high = count.min(low + step);
    while low < high {
        let middle = low.midpoint(high);
        if comes_before(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
