//! Merges the sorted segments of one partition into its rows.
//!
//! 1. A row is output as often as the sum of its diffs over all segments. A negative sum is an error.
//! 2. For changes, whose sums may be negative, each row is output once with its sum, or not at all if that is zero
//!    ([`Merge::next_change`]).
//! 3. Only one batch of each segment and one output batch are in memory.

use std::rc::Rc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::gather::gather;
use super::layout::{Keyed, Layout};
use super::run::{Counted, RunSegment, SegmentReader};
use tidewater_contract::sink::SinkError;

/// Rows of an output batch.
const BATCH_ROWS: usize = 1024;

/// The rows of one partition in canonical order.
pub(super) struct Merge<'a> {
    layout: &'a Layout,
    cursors: Vec<SegmentCursor>,
    /// Indices into `cursors`, as a binary heap with the least row first.
    heap: Vec<usize>,
    /// The position in the heap of the second least row, if known.
    runner_up: Option<usize>,
    /// The batches that `picks` and `last` refer to.
    sources: Vec<Rc<Keyed>>,
    picks: Vec<(usize, usize)>,
    /// For changes: the count of each pick.
    sums: Option<Vec<i64>>,
    /// The current row with the sum of its diffs so far.
    last: Option<Last>,
    /// A row, and how many more times it must be picked.
    repeat: Option<(usize, usize, i64)>,
}

struct SegmentCursor {
    reader: SegmentReader,
    keyed: Rc<Keyed>,
    counts: Option<Int64Array>,
    /// Whether its rows are distinct.
    distinct: bool,
    row: usize,
    /// The index of `keyed` in the merge's sources.
    source: usize,
}

#[derive(Clone, Copy)]
struct Last {
    cursor: usize,
    source: usize,
    row: usize,
    total: i64,
}

impl<'a> Merge<'a> {
    pub fn new(layout: &'a Layout, segments: Vec<RunSegment>) -> Result<Self, SinkError> {
        let heap = Vec::with_capacity(segments.len());
        let mut merge = Self {
            layout,
            cursors: Vec::with_capacity(segments.len()),
            heap,
            runner_up: None,
            sources: Vec::new(),
            picks: Vec::with_capacity(BATCH_ROWS),
            sums: None,
            last: None,
            repeat: None,
        };
        for segment in segments {
            let mut reader = SegmentReader::open(segment, &layout.file)?;
            let distinct = reader.is_distinct();
            let Some(first) = reader.next(layout)? else {
                continue;
            };
            let keyed = Rc::new(layout.key(first.batch)?);
            let source = merge.sources.len();
            merge.sources.push(Rc::clone(&keyed));
            merge.heap.push(merge.cursors.len());
            merge.cursors.push(SegmentCursor {
                reader,
                keyed,
                counts: first.counts,
                distinct,
                row: 0,
                source,
            });
        }
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at)?;
        }
        Ok(merge)
    }

    /// The next changes; `None` after the last. A merge must not be used with [`next_batch`](Self::next_batch) as
    /// well.
    pub fn next_change(&mut self) -> Result<Option<Counted>, SinkError> {
        self.sums.get_or_insert_default();
        let Some(batch) = self.next_batch()? else {
            return Ok(None);
        };
        let counts = self.sums.take().map(Int64Array::from);
        Ok(Some(Counted { batch, counts }))
    }

    /// The next rows, `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, SinkError> {
        self.emit_repeats();
        while self.picks.len() < BATCH_ROWS && !self.heap.is_empty() {
            self.step()?;
        }
        while self.picks.len() < BATCH_ROWS && self.last.is_some() {
            self.settle_last()?;
        }
        if self.picks.is_empty() {
            return Ok(None);
        }
        let sources: Vec<&RecordBatch> = self.sources.iter().map(|keyed| &keyed.batch).collect();
        let batch = gather(&self.layout.file, &sources, &self.picks);
        let batch = batch.map_err(|source| self.layout.sort_error(source))?;
        self.picks.clear();
        self.forget_spent_sources();
        Ok(Some(batch))
    }

    /// Processes the least row of the heap.
    fn step(&mut self) -> Result<(), SinkError> {
        let index = self.heap[0];
        let cursor = &self.cursors[index];
        let (source, row) = (cursor.source, cursor.row);
        let count = cursor.counts.as_ref().map_or(1, |counts| counts.value(row));
        match self.last {
            Some(last)
                if (last.cursor != index || !cursor.distinct)
                    && self.is_row(last, (source, row))? =>
            {
                let total = self.layout.sum(last.total, count)?;
                self.last = Some(Last {
                    cursor: index,
                    total,
                    ..last
                });
            }
            _ => {
                self.settle_last()?;
                self.last = Some(Last {
                    cursor: index,
                    source,
                    row,
                    total: count,
                });
            }
        }
        self.advance()
    }

    fn is_row(&self, last: Last, (source, row): (usize, usize)) -> Result<bool, SinkError> {
        let last = (self.sources[last.source].as_ref(), last.row);
        Ok(self
            .layout
            .compare(last, (&self.sources[source], row))?
            .is_eq())
    }

    /// Moves the first cursor of the heap to its next row.
    fn advance(&mut self) -> Result<(), SinkError> {
        let cursor = &mut self.cursors[self.heap[0]];
        cursor.row += 1;
        if cursor.row == cursor.keyed.batch.num_rows() {
            if let Some(next) = cursor.reader.next(self.layout)? {
                cursor.keyed = Rc::new(self.layout.key(next.batch)?);
                (cursor.counts, cursor.row, cursor.source) = (next.counts, 0, self.sources.len());
                self.sources.push(Rc::clone(&cursor.keyed));
            } else {
                self.heap.swap_remove(0);
                self.runner_up = None;
            }
        }
        self.restore_heap()
    }

    /// Restores the heap after its first row changed. Input is often nearly in order, so many consecutive rows come
    /// from one segment. As long as they do, one comparison for each row is enough.
    fn restore_heap(&mut self) -> Result<(), SinkError> {
        let runner_up = match self.runner_up {
            Some(known) => known,
            None if self.heap.len() < 2 => return Ok(()),
            None if self.heap.len() > 2 && self.less(2, 1)? => 2,
            None => 1,
        };
        self.runner_up = Some(runner_up);
        if self.less(runner_up, 0)? {
            self.runner_up = None;
            self.sift_down(0)?;
        }
        Ok(())
    }

    /// Picks the last row as often as its diffs say, which are complete now.
    fn settle_last(&mut self) -> Result<(), SinkError> {
        let Some(Last {
            source, row, total, ..
        }) = self.last.take()
        else {
            return Ok(());
        };
        if let Some(sums) = &mut self.sums {
            if total != 0 {
                self.picks.push((source, row));
                sums.push(total);
            }
            return Ok(());
        }
        if total < 0 {
            let batch = &self.sources[source].batch;
            return Err(retracted_too_often(self.layout, batch, row, total));
        }
        self.repeat = Some((source, row, total));
        self.emit_repeats();
        Ok(())
    }

    fn emit_repeats(&mut self) {
        while let Some((source, row, left)) = self.repeat.take_if(|(_, _, left)| *left > 0) {
            if self.picks.len() >= BATCH_ROWS {
                self.repeat = Some((source, row, left));
                return;
            }
            self.picks.push((source, row));
            self.repeat = Some((source, row, left - 1));
        }
        self.repeat = None;
    }

    /// Restores the heap below `at`.
    fn sift_down(&mut self, mut at: usize) -> Result<(), SinkError> {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.less(child, least)? {
                    least = child;
                }
            }
            if least == at {
                return Ok(());
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    fn less(&self, left: usize, right: usize) -> Result<bool, SinkError> {
        let (left, right) = (
            &self.cursors[self.heap[left]],
            &self.cursors[self.heap[right]],
        );
        Ok(self
            .layout
            .compare((&left.keyed, left.row), (&right.keyed, right.row))?
            .is_lt())
    }

    /// Drops the batches that no cursor and no open row refer to.
    fn forget_spent_sources(&mut self) {
        let mut kept: Vec<Rc<Keyed>> = Vec::with_capacity(self.cursors.len() + 1);
        let old = std::mem::take(&mut self.sources);
        let mut keep = |source: usize| {
            kept.push(Rc::clone(&old[source]));
            kept.len() - 1
        };
        for &cursor in &self.heap {
            let cursor = &mut self.cursors[cursor];
            cursor.source = keep(cursor.source);
        }
        if let Some(last) = &mut self.last {
            last.source = keep(last.source);
        }
        if let Some((source, _, _)) = &mut self.repeat {
            *source = keep(*source);
        }
        self.sources = kept;
    }
}

/// The error for a row that is retracted more often than it is there.
pub(super) fn retracted_too_often(
    layout: &Layout,
    batch: &RecordBatch,
    row: usize,
    total: i64,
) -> SinkError {
    let options = FormatOptions::new().with_null("NULL");
    let text = |column: &dyn arrow::array::Array| {
        ArrayFormatter::try_new(column, &options)
            .and_then(|formatter| formatter.value(row).try_to_string())
            .unwrap_or_else(|error| format!("({error})"))
    };
    let columns = layout.file.fields().iter().zip(batch.columns());
    let row: Vec<String> = columns
        .map(|(field, column)| format!("{}={}", field.name(), text(column)))
        .collect();
    SinkError::RetractedTooOften {
        table: layout.spec.name.clone(),
        row: row.join(", "),
        total,
    }
}
