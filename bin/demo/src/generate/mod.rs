//! Generates a card company's transactions as CSV files.
//!
//! 1. The bytes depend only on the seed and the range, and not on workers or machine.
//! 2. Ids ascend through the days, so the single file of `--files single` is the daily files concatenated, apart from
//!    headers.
//! 3. Without `--anomalies`, the bytes are those of all earlier versions. With it, the planted rows of a day follow its
//!    other rows.
//! 4. Workers draw chunks in turn, and one writer takes them in the same order. A worker that is ahead waits, so
//!    memory is bounded by a few chunks for each worker.

mod draw;
mod options;
mod plan;
mod planted;
mod planted_list;
mod rows;
mod tables;
mod write;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, anyhow};

use crate::DemoError;
use draw::{DrawStream, Purpose};
use plan::DayChunk;
use rows::{Company, LINE_BYTES_MAX};
use write::{PendingFile, foreign_csv_files};

pub use options::{FileSplit, GenerateOptions};
pub use plan::DataSetPlan;

/// How many chunks a worker may be ahead of the writer.
const CHUNKS_AHEAD: usize = 2;

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct WrittenFiles {
    /// The list of planted cases.
    pub planted: Option<PathBuf>,
    /// How many files.
    pub files: u64,
    /// Their total size in bytes.
    pub bytes: u64,
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
    let company = Company::new(plan.seed, plan.cards, plan.planting.cases());
    let mut written = std::thread::scope(|scope| {
        let drawn: Vec<Receiver<Vec<u8>>> = (0..plan.workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
                let (company, chunks) = (&company, chunks.as_slice());
                scope.spawn(move || draw_chunks(plan, company, chunks, worker, &sender));
                receiver
            })
            .collect();
        write_chunks(plan, &chunks, &drawn, rows_written)
    })?;
    if plan.planting.cases() > 0 {
        written.planted = Some(planted_list::write(plan, &company, &chunks)?);
    }
    Ok(written)
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
        if chunk.ends_day {
            company.write_planted(chunk.date, plan.planted_after(chunk), &mut bytes);
        }
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
            Some(done) if chunk.begins_day && plan.layout == FileSplit::Daily => {
                written.add(done)?;
                begin_file(plan, chunk)?
            }
            Some(file) => file,
            None => begin_file(plan, chunk)?,
        };
        file.write(&bytes)?;
        open = Some(file);
        rows_written.fetch_add(plan.rows_with(chunk), Ordering::Relaxed);
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
