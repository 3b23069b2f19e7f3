//! A directory for a test: input, output, and a job to run between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tempfile::TempDir;
use tidewater_engine::Job;
use tidewater_tests::binary::{Ran, repository, tidewater};
use tidewater_tests::published;

/// The tables of the card job.
pub const CARD_TABLES: [&str; 13] = [
    "daily_category_summary",
    "hourly_pattern",
    "merchant_ranking",
    "monthly_trend",
    "partitioned_transactions",
    "quarterly_card_type",
    "quarterly_category_summary",
    "quarterly_growth",
    "quarterly_installment",
    "quarterly_merchant_top10",
    "quarterly_region",
    "regional_analysis",
    "regional_hourly",
];

/// A directory that is removed when the test ends.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(place.path("in")).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file into the input.
    pub fn deliver(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path("in").join(name), content).unwrap();
    }

    /// Runs a job of the repository, or the SQL itself, from `in` to `out`.
    pub fn run(&self, job: &str, more: &[&str]) -> Ran {
        self.run_between(job, &self.path("in"), &self.path("out"), more)
    }

    /// Runs a job of the repository, or the SQL itself.
    pub fn run_between(&self, job: &str, input: &Path, output: &Path, more: &[&str]) -> Ran {
        self.command("run", job, input, output, more)
    }

    /// Adds a job of the repository, or the SQL itself, to a command.
    pub fn command(
        &self,
        command: &str,
        job: &str,
        input: &Path,
        output: &Path,
        more: &[&str],
    ) -> Ran {
        let path = if job.contains("CREATE") {
            let path = self.path("job.sql");
            fs::write(&path, job).unwrap();
            path
        } else {
            repository().join("jobs").join(job)
        };
        let (input, output) = (
            format!("input={}", input.display()),
            format!("output={}", output.display()),
        );
        let mut arguments = vec![
            command,
            path.to_str().unwrap(),
            "--set",
            &input,
            "--set",
            &output,
        ];
        arguments.extend(more);
        tidewater(&arguments)
    }

    /// The rows of a published table as sorted lines, `|` between their values.
    pub fn rows(&self, table: &str, schema: &SchemaRef) -> Vec<String> {
        let batch = published::table(&self.path("out").join(table), schema);
        let rows = published::text(&batch).into_iter();
        let mut rows: Vec<String> = rows.map(|row| row.join("|")).collect();
        rows.sort();
        rows
    }

    /// The quarantined rows: file name, line, byte offset, column, reason, raw text.
    pub fn quarantine(&self) -> RecordBatch {
        let beside = fs::read_dir(self.path("out")).into_iter().flatten();
        let mut beside = beside.map(|entry| entry.unwrap().path());
        let beside = beside.find(|path| path.to_string_lossy().contains("/_quarantine-"));
        let kept = self.path("state/tables/_quarantine");
        let batch = published::table(&beside.unwrap_or(kept), &quarantine_schema());
        batch.project(&[1, 2, 3, 4, 5, 6]).unwrap()
    }
}

/// The columns of the quarantine.
fn quarantine_schema() -> SchemaRef {
    let columns = [
        ("source", DataType::Utf8),
        ("file", DataType::Utf8),
        ("line", DataType::Int64),
        ("byte_offset", DataType::Int64),
        ("column", DataType::Utf8),
        ("reason", DataType::Utf8),
        ("raw", DataType::Utf8),
    ];
    Arc::new(Schema::new(
        columns
            .map(|(name, data_type)| Field::new(name, data_type, true))
            .to_vec(),
    ))
}

/// Columns by name and SQL type.
pub fn columns(columns: &[(&str, &str)]) -> SchemaRef {
    let data_type = |name: &str| match name {
        "bigint" => DataType::Int64,
        "date" => DataType::Date32,
        _ => DataType::Utf8,
    };
    let fields = columns.iter();
    let fields = fields.map(|(name, sql)| Field::new(*name, data_type(sql), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The text of a job of the repository.
pub fn sql(job: &str) -> String {
    fs::read_to_string(repository().join("jobs").join(job)).unwrap()
}

/// A job of the repository, parsed.
pub fn parsed(job: &str) -> Job {
    Job::parse(job, &sql(job), &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}
