//! Generates a card company's transactions as CSV files.
//!
//! 1. The bytes depend only on the seed and the range, and not on workers or machine.
//! 2. Ids ascend through the days, so the single file of `--files single` is the daily files concatenated, apart from
//!    headers.
//! 3. Workers draw chunks in turn, and one writer takes them in the same order. A worker that is ahead waits, so
//!    memory is bounded by a few chunks for each worker.

mod draw;
mod plan;
mod rows;
mod tables;
mod write;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, anyhow};
use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use crate::DemoError;
use draw::{DrawStream, Purpose};
use plan::DayChunk;
use rows::{Company, LINE_BYTES_MAX};
use write::{PendingFile, foreign_csv_files};

pub use plan::DataSetPlan;

/// How many chunks a worker may be ahead of the writer.
const CHUNKS_AHEAD: usize = 2;

/// What to generate.
#[derive(Clone, Debug, Args)]
pub struct GenerateOptions {
    /// Rows to write over all files
    #[arg(long, value_name = "N", value_parser = parse_records)]
    pub records: u64,

    /// Directory for the files, made if missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Names the data: another seed, other rows
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,

    /// First day
    #[arg(long, value_name = "DATE", default_value = "2024-01-01", value_parser = parse_date)]
    pub start: NaiveDate,

    /// Last day, included
    #[arg(long, value_name = "DATE", default_value = "2024-12-31", value_parser = parse_date)]
    pub end: NaiveDate,

    /// Cards in the pool; their masked numbers have at most 9,000 values
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub cards: u32,

    /// One file a day (2024-01-01.csv, …) or all rows in one (transactions.csv)
    #[arg(long, value_enum, default_value_t = FilesPer::Daily)]
    pub files: FilesPer,

    /// Write even if the directory holds other CSV files; they are kept
    #[arg(long)]
    pub force: bool,
}

/// How generated rows are spread over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FilesPer {
    /// One file a day
    Daily,
    /// One file
    Single,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct WrittenFiles {
    /// How many files.
    pub files: u64,
    /// Their total size in bytes.
    pub bytes: u64,
}

/// Parses a number of rows that fits the ten digits of an id. `_` may group its digits.
fn parse_records(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse() {
        Ok(records @ 1..=9_999_999_999) => Ok(records),
        _ => Err("give a whole number from 1 to 9_999_999_999".to_owned()),
    }
}

fn parse_date(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| "write a date of the calendar as 2024-01-31".to_owned())
}

/// Creates the directory. Refuses one in which a job over `*.csv` would read other files too.
///
/// # Errors
/// When the directory has other CSV files, or cannot be read or created.
pub fn prepare_directory(plan: &DataSetPlan) -> Result<(), DemoError> {
    let foreign = foreign_csv_files(&plan.out, &plan.file_names())?;
    if let (Some(first), false) = (foreign.first(), plan.force) {
        let (files, them) = if foreign.len() == 1 {
            ("file", "it")
        } else {
            ("files", "them")
        };
        return Err(DemoError::Failed(anyhow!(
            "{} holds {} CSV {files} that this command would not write (such as {first}): a job over the directory would \
             read {them} too.\nGive an empty directory with --out, remove {them}, or pass --force to keep {them} beside \
             the generated files.",
            plan.out.display(),
            foreign.len(),
        )));
    }
    fs::create_dir_all(&plan.out).with_context(|| {
        format!(
            "cannot create the directory {}: choose another with --out",
            plan.out.display()
        )
    })?;
    Ok(())
}

/// Draws and writes all chunks. Worker w of W draws the chunks w, w + W, …, and the writer takes one from each worker
/// in turn. `rows_written` counts rows, for progress.
///
/// # Errors
/// When a file cannot be written.
pub fn write_files(
    plan: &DataSetPlan,
    rows_written: &AtomicU64,
) -> Result<WrittenFiles, DemoError> {
    let chunks = plan.chunks();
    let company = Company::new(plan.seed, plan.cards);
    let written = std::thread::scope(|scope| {
        let drawn: Vec<Receiver<Vec<u8>>> = (0..plan.workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
                let (company, chunks) = (&company, chunks.as_slice());
                scope.spawn(move || draw_chunks(plan, company, chunks, worker, &sender));
                receiver
            })
            .collect();
        write_chunks(plan, &chunks, &drawn, rows_written)
    });
    Ok(written?)
}

/// Draws one worker's share of the chunks, until it is done or the writer has failed.
fn draw_chunks(
    plan: &DataSetPlan,
    company: &Company,
    chunks: &[DayChunk],
    worker: usize,
    sender: &SyncSender<Vec<u8>>,
) {
    for (number, chunk) in (0u64..).zip(chunks).skip(worker).step_by(plan.workers) {
        let rows = usize::try_from(chunk.rows).unwrap_or(0);
        let mut bytes = Vec::with_capacity(rows * LINE_BYTES_MAX);
        let mut stream = DrawStream::new(plan.seed, Purpose::Rows, number);
        company.write_rows(
            &mut stream,
            chunk.date,
            chunk.first_id,
            chunk.rows,
            &mut bytes,
        );
        if sender.send(bytes).is_err() {
            return;
        }
    }
}

/// Writes the chunks in order, each day to its file.
fn write_chunks(
    plan: &DataSetPlan,
    chunks: &[DayChunk],
    drawn: &[Receiver<Vec<u8>>],
    rows_written: &AtomicU64,
) -> anyhow::Result<WrittenFiles> {
    let mut written = WrittenFiles::default();
    let mut open: Option<PendingFile> = None;
    for (chunk, worker) in chunks.iter().zip(drawn.iter().cycle()) {
        let bytes = worker
            .recv()
            .context("a worker of the generator ended early: this is a bug, please report it")?;
        let mut file = match open.take() {
            Some(done) if chunk.begins_day && plan.layout == FilesPer::Daily => {
                written.add(done)?;
                begin_file(plan, chunk)?
            }
            Some(file) => file,
            None => begin_file(plan, chunk)?,
        };
        file.write(&bytes)?;
        open = Some(file);
        rows_written.fetch_add(chunk.rows, Ordering::Relaxed);
    }
    if let Some(last) = open {
        written.add(last)?;
    }
    Ok(written)
}

fn begin_file(plan: &DataSetPlan, chunk: &DayChunk) -> anyhow::Result<PendingFile> {
    let mut file = PendingFile::create(&plan.out, &plan.file_name(chunk.date))?;
    file.write(tables::HEADER.as_bytes())?;
    Ok(file)
}

impl WrittenFiles {
    fn add(&mut self, file: PendingFile) -> anyhow::Result<()> {
        self.bytes += file.finish()?;
        self.files += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_are_whole_numbers_that_ids_can_count() {
        assert_eq!(parse_records("1_000_000").unwrap(), 1_000_000);
        assert_eq!(parse_records("9999999999").unwrap(), 9_999_999_999);
        for wrong in ["0", "-1", "1e6", "10_000_000_000", "", "_"] {
            assert!(parse_records(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_are_of_the_calendar() {
        assert!(parse_date("2024-02-29").is_ok());
        for wrong in ["2023-02-29", "2024-13-01", "20240101", "yesterday"] {
            assert!(parse_date(wrong).is_err(), "{wrong}");
        }
    }
}
