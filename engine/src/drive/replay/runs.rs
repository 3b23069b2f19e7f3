//! Sorts the rows of all sources by step, on disk if necessary.
//!
//! Rows are collected as they arrive. When they exceed a budget, they are sorted by step and written to a temporary
//! file without a name, which vanishes with its last handle. Reading merges these runs.
//!
//! 1. Memory holds at most the budget's rows, a batch of each run, and the rows that [`StepReader::next`] returned.
//! 2. All rows of a step are returned at once.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::drive::RunError;

/// The step of rows that belong to the first step, whichever that is.
pub const FIRST: i64 = i64::MIN;

/// Rows of a batch of a run.
const BATCH_ROWS: usize = 8192;
const BUFFER_BYTES: usize = 256 * 1024;

/// Batches of a run, with the step of each row as the last column.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// The source and the sign of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DealtTo {
    /// The index of their source.
    pub source: usize,
    /// Whether they are retractions of rows of the same step, because their file is set aside.
    pub is_retracted: bool,
}

/// Collects rows.
pub struct Gather {
    budget_bytes: usize,
    /// The directory for rows beyond the budget.
    temporary: PathBuf,
    bytes: usize,
    gathered: Vec<Gathered>,
    runs: Vec<RunReader>,
}

/// Rows that are in memory.
struct Gathered {
    dealt: DealtTo,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: Vec<Row>,
}

/// The place of a row. Sorts by step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    step: i64,
    batch: u32,
    row: u32,
}

impl Gather {
    /// An empty collector for sources with these columns. Rows beyond `budget_bytes` wait in files in `temporary`.
    pub fn new(schemas: Vec<SchemaRef>, budget_bytes: usize, temporary: PathBuf) -> Self {
        let gathered = schemas
            .into_iter()
            .enumerate()
            .flat_map(|(source, schema)| {
                [false, true].map(|is_retracted| Gathered {
                    dealt: DealtTo {
                        source,
                        is_retracted,
                    },
                    schema: Arc::clone(&schema),
                    batches: Vec::new(),
                    rows: Vec::new(),
                })
            });
        Self {
            budget_bytes,
            temporary,
            bytes: 0,
            gathered: gathered.collect(),
            runs: Vec::new(),
        }
    }

    /// Adds rows, each with the start of its step.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn push(
        &mut self,
        dealt: DealtTo,
        rows: RecordBatch,
        steps: impl Iterator<Item = i64>,
    ) -> Result<(), ArrowError> {
        self.bytes += rows.get_array_memory_size() + rows.num_rows() * size_of::<Row>();
        let gathered = &mut self.gathered[dealt.source * 2 + usize::from(dealt.is_retracted)];
        let batch = index(gathered.batches.len())?;
        for (row, step) in steps.enumerate() {
            let row = index(row)?;
            gathered.rows.push(Row { step, batch, row });
        }
        gathered.batches.push(rows);
        if self.bytes > self.budget_bytes {
            for gathered in &mut self.gathered {
                if let Some(sorted) = gathered.sort() {
                    let spilled = spill(sorted, &self.temporary)?;
                    self.runs.push(RunReader::open(gathered.dealt, spilled));
                }
            }
            self.bytes = 0;
        }
        Ok(())
    }

    /// All rows, step by step.
    pub fn finish(mut self) -> StepReader {
        for gathered in &mut self.gathered {
            if let Some(sorted) = gathered.sort() {
                self.runs
                    .push(RunReader::open(gathered.dealt, Box::new(sorted)));
            }
        }
        StepReader { runs: self.runs }
    }
}

impl Gathered {
    /// Removes the rows so far, in the order of their steps.
    fn sort(&mut self) -> Option<Sorted> {
        let mut rows = std::mem::take(&mut self.rows);
        let batches = std::mem::take(&mut self.batches);
        rows.sort_unstable();
        let mut fields = self.schema.fields().to_vec();
        fields.push(Arc::new(Field::new("step", DataType::Int64, false)));
        (!rows.is_empty()).then(|| Sorted {
            schema: Arc::new(Schema::new(fields)),
            batches,
            rows,
            next: 0,
        })
    }
}

/// Rows in memory, in order.
struct Sorted {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: Vec<Row>,
    next: usize,
}

impl Iterator for Sorted {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.rows.len().min(self.next + BATCH_ROWS);
        let rows = &self.rows[self.next..end];
        if rows.is_empty() {
            return None;
        }
        self.next = end;
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let at = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let places: Vec<(usize, usize)> = rows
            .iter()
            .map(|row| (at(row.batch), at(row.row)))
            .collect();
        let steps = Int64Array::from_iter_values(rows.iter().map(|row| row.step));
        Some(
            interleave_record_batch(&batches, &places).and_then(|batch| {
                let mut columns = batch.columns().to_vec();
                columns.push(Arc::new(steps) as ArrayRef);
                RecordBatch::try_new(Arc::clone(&self.schema), columns)
            }),
        )
    }
}

/// Writes rows to a temporary file in `directory`, and returns a reader of it.
fn spill(sorted: Sorted, directory: &Path) -> Result<Batches, ArrowError> {
    let file = tempfile::tempfile_in(directory)?;
    let buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut writer = StreamWriter::try_new(buffered, &sorted.schema)?;
    for batch in sorted {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    let mut file: File = writer
        .into_inner()?
        .into_inner()
        .map_err(|error| ArrowError::from(error.into_error()))?;
    file.rewind()?;
    Ok(Box::new(StreamReader::try_new(
        BufReader::with_capacity(BUFFER_BYTES, file),
        None,
    )?))
}

/// A run that is being read.
struct RunReader {
    dealt: DealtTo,
    batches: Batches,
    /// The next rows, and their steps.
    head: Option<(RecordBatch, Int64Array)>,
}

impl RunReader {
    fn open(dealt: DealtTo, batches: Batches) -> Self {
        Self {
            dealt,
            batches,
            head: None,
        }
    }

    /// The step of the next row; `None` at the end.
    fn step(&mut self) -> Result<Option<i64>, ArrowError> {
        if self.head.is_none() {
            self.head = self.batches.next().transpose()?.map(|mut batch| {
                let steps = batch.remove_column(batch.num_columns() - 1);
                (batch, steps.as_primitive::<Int64Type>().clone())
            });
        }
        Ok(self.head.as_ref().map(|(_, steps)| steps.value(0)))
    }

    /// The next rows of this step.
    fn rows(&mut self, step: i64) -> Option<RecordBatch> {
        let (batch, steps) = self.head.take()?;
        let length = steps.values().partition_point(|&other| other <= step);
        let left = steps.len() - length;
        if left > 0 {
            self.head = Some((batch.slice(length, left), steps.slice(length, left)));
        }
        (length > 0).then(|| batch.slice(0, length))
    }
}

/// The error about rows that cannot be written to a temporary file in `directory`, or read back from it.
pub fn spill_failed(directory: &Path) -> impl Fn(ArrowError) -> RunError {
    move |error| RunError::Spill {
        directory: directory.to_path_buf(),
        error,
    }
}

/// Returns rows step by step.
pub struct StepReader {
    runs: Vec<RunReader>,
}

/// The rows of a step: its start, and batches with where they belong.
pub type StepRows = (Option<i64>, Vec<(DealtTo, RecordBatch)>);

impl StepReader {
    /// The next step. Rows of [`FIRST`] belong to the first step that has a start, or to a step without a start if
    /// there is none.
    ///
    /// # Errors
    /// When a temporary file cannot be read back.
    pub fn next(&mut self) -> Result<Option<StepRows>, ArrowError> {
        let mut batches = Vec::new();
        loop {
            let mut least = None;
            for run in &mut self.runs {
                least = least.into_iter().chain(run.step()?).min();
            }
            let Some(step) = least else {
                let without_start = (!batches.is_empty()).then_some((None, batches));
                return Ok(without_start);
            };
            for run in &mut self.runs {
                while run.step()? == Some(step) {
                    let dealt = run.dealt;
                    batches.extend(run.rows(step).map(|rows| (dealt, rows)));
                }
            }
            if step != FIRST {
                return Ok(Some((Some(step), batches)));
            }
        }
    }
}

fn index(number: usize) -> Result<u32, ArrowError> {
    u32::try_from(number)
        .map_err(|_| ArrowError::ComputeError("more than 2^32 rows or batches at once".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use arrow::array::StringArray;

    use super::*;

    /// Rows of two sources, whose text is their step.
    fn gather(budget_bytes: usize, steps: &[&[i64]]) -> StepReader {
        let field = Field::new("text", DataType::Utf8, true);
        let schema = Arc::new(Schema::new(vec![field]));
        let mut gather = Gather::new(
            vec![Arc::clone(&schema); 2],
            budget_bytes,
            std::env::temp_dir(),
        );
        for (at, steps) in steps.iter().enumerate() {
            let texts = StringArray::from_iter_values(steps.iter().map(i64::to_string));
            let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(texts)]).unwrap();
            let dealt = DealtTo {
                source: at % 2,
                is_retracted: false,
            };
            gather.push(dealt, rows, steps.iter().copied()).unwrap();
        }
        gather.finish()
    }

    /// Number of rows by step, source and text.
    fn drain(mut steps: StepReader) -> Vec<(Option<i64>, BTreeMap<(usize, String), usize>)> {
        let mut all = Vec::new();
        while let Some((start, batches)) = steps.next().unwrap() {
            let mut counts = BTreeMap::new();
            for (DealtTo { source, .. }, batch) in batches {
                for text in batch.column(0).as_string::<i32>().iter().flatten() {
                    *counts.entry((source, text.to_owned())).or_default() += 1;
                }
            }
            all.push((start, counts));
        }
        all
    }

    #[test]
    fn every_row_comes_once_with_its_step_spilled_or_not() {
        let long: Vec<i64> = (0..20_000).map(|row| row * 7919 % 5).collect();
        let input: [&[i64]; 5] = [&[3, 1, 3], &[2, 1], &long, &[], &[-4, 9]];
        let expected = drain(gather(usize::MAX, &input));
        let starts: Vec<_> = expected.iter().map(|(start, _)| start.unwrap()).collect();
        assert_eq!(starts, [-4, 0, 1, 2, 3, 4, 9]);
        for (start, counts) in &expected {
            let text = start.unwrap().to_string();
            assert!(counts.keys().all(|(_, of)| *of == text), "{counts:?}");
        }
        let rows: usize = expected
            .iter()
            .flat_map(|(_, counts)| counts.values())
            .sum();
        assert_eq!(rows, 20_007);
        for budget in [0, 1000, 100_000] {
            assert_eq!(drain(gather(budget, &input)), expected, "{budget}");
        }
    }

    #[test]
    fn what_has_no_time_comes_with_the_first_step() {
        let rows = drain(gather(0, &[&[FIRST, 5], &[FIRST], &[7]]));
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].0, rows[0].1.values().sum::<usize>()), (Some(5), 3));
        let rows = drain(gather(0, &[&[FIRST], &[FIRST]]));
        assert_eq!((rows[0].0, rows[0].1.values().sum::<usize>()), (None, 2));
        assert_eq!(rows.len(), 1);
        assert!(drain(gather(0, &[])).is_empty());
    }
}
