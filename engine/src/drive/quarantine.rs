//! Reads the quarantine of a job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use tidewater_connectors::file::sink::{PublishedTable, QUARANTINE_TABLE};
use tidewater_connectors::sink::{Encoding, TableSpec};

use super::tables::PerTable;
use super::{Inspection, RunError};
use crate::job::Job;

/// The quarantine: rows that could not be read.
pub struct Quarantine {
    spec: Arc<TableSpec>,
    /// The directory of its Parquet copy, if it is published as text.
    shadow: Option<PathBuf>,
}

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    /// The source.
    pub source: String,
    /// The file, or the topic and partition of a message.
    pub file: String,
    /// The line, or the number of the row in a Parquet file.
    pub line: i64,
    /// The position of the row in its file, or the offset of a message.
    pub byte_offset: i64,
    /// The column that could not be read, if it is a single one.
    pub column: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// The row's text.
    pub raw: String,
}

impl Quarantine {
    /// The quarantine of a job with a state.
    pub fn of_state(job: &Job, inspection: &Inspection) -> Option<Self> {
        let specs = inspection.specs(job).into_iter();
        let mut own = specs.filter(|(spec, _)| *spec.name == *QUARANTINE_TABLE);
        own.next().map(|(spec, shadow)| Self { spec, shadow })
    }

    /// The quarantine of a job without a state.
    ///
    /// # Errors
    /// When the job cannot run without a state.
    pub fn of_job(job: &Job) -> Result<Self, RunError> {
        Ok(Self {
            spec: PerTable::without_state(job)?.quarantine.spec,
            shadow: None,
        })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.spec.path
    }

    /// Passes every row to `take`, file by file.
    ///
    /// # Errors
    /// When it cannot be read; or a job without a state publishes it as text.
    pub fn rows(&self, take: &mut dyn FnMut(QuarantinedRow)) -> Result<(), RunError> {
        let is_text = !matches!(self.spec.encoding, Encoding::Parquet { .. });
        if is_text && self.shadow.is_none() {
            return Err(RunError::Usage(format!(
                "the quarantine is published as {} in {}: look at its files",
                self.spec.encoding.name(),
                self.spec.path.display()
            )));
        }
        let table = PublishedTable::new(Arc::clone(&self.spec), self.shadow.clone())?;
        for file in table.files(&BTreeMap::new())? {
            table.read(&file.path, |batch| {
                (0..batch.num_rows()).for_each(|row| take(row_of(&batch, row)));
                Ok::<_, RunError>(())
            })?;
        }
        Ok(())
    }
}

fn row_of(batch: &RecordBatch, row: usize) -> QuarantinedRow {
    let text = |column: usize| {
        let column = batch.column(column).as_string::<i32>();
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    let number = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
    QuarantinedRow {
        source: text(0).unwrap_or_default(),
        file: text(1).unwrap_or_default(),
        line: number(2),
        byte_offset: number(3),
        column: text(4),
        reason: text(5).unwrap_or_default(),
        raw: text(6).unwrap_or_default(),
    }
}
