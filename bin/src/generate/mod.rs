//! `tidewater generate`: a card company's transactions as CSV files.
//!
//! 1. A seed and a range name the bytes: they depend on nothing else, not on the workers or the machine.
//! 2. Ids ascend through the days, so the one file of `--files single` is the daily files joined, header aside.
//! 3. Workers draw chunks in turn and one writer takes them in that same turn: the order is fixed, and a worker
//!    that runs ahead waits, so memory is bounded by a few chunks a worker.

mod draw;
mod plan;
mod rows;
mod tables;
mod write;

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use anyhow::Context;
use indicatif::{DecimalBytes, HumanCount};

use crate::args::{FileLayout, GenerateArgs};
use crate::failure::Failure;
use crate::progress::{self, Mode, Sample};
use crate::{cores, output};
use draw::{Purpose, Stream};
use plan::{Chunk, Plan};
use rows::{Company, LINE_BYTES_MAX};
use write::{PendingFile, foreign_csv_files};

/// Chunks a worker may be ahead of the writer.
const CHUNKS_AHEAD: usize = 2;

/// Runs the command.
pub fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let plan = Plan::new(args, cores::or_all(args.workers))?;
    prepare_directory(&plan)?;
    let start = Instant::now();
    let rows_written = AtomicU64::new(0);
    let mode = Mode::choose(args.quiet, false);
    let title = format!(
        "generating {} rows in {}",
        HumanCount(plan.records),
        plan.out.display()
    );
    let sample = || {
        let rows = rows_written.load(Ordering::Relaxed);
        Sample {
            stage: "generate",
            done: rows,
            total: plan.records,
            bytes: None,
            rows,
            rejected: 0,
        }
    };
    let written = progress::watch(mode, &title, sample, || write_files(&plan, &rows_written))?;
    if args.quiet {
        return Ok(());
    }
    output::print(&format!(
        "{} rows in {} {} in {}: {}, {:.1} s\n",
        HumanCount(plan.records),
        HumanCount(written.files),
        if written.files == 1 { "file" } else { "files" },
        plan.out.display(),
        DecimalBytes(written.bytes),
        start.elapsed().as_secs_f64()
    ))
}

/// Makes the directory; refuses one where a job over `*.csv` would read more than what is generated.
fn prepare_directory(plan: &Plan) -> Result<(), Failure> {
    let foreign = foreign_csv_files(&plan.out, &plan.file_names())?;
    if let (Some(first), false) = (foreign.first(), plan.force) {
        let (files, them) = if foreign.len() == 1 {
            ("file", "it")
        } else {
            ("files", "them")
        };
        return Err(Failure::failed(format!(
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

/// What was written.
struct Written {
    files: u64,
    bytes: u64,
}

/// Draws and writes all chunks: worker w of W draws chunks w, w + W, …, and the writer asks the workers in turn.
fn write_files(plan: &Plan, rows_written: &AtomicU64) -> anyhow::Result<Written> {
    let chunks = plan.chunks();
    let company = Company::new(plan.seed, plan.cards);
    std::thread::scope(|scope| {
        let drawn: Vec<Receiver<Vec<u8>>> = (0..plan.workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
                let (company, chunks) = (&company, chunks.as_slice());
                scope.spawn(move || draw_chunks(plan, company, chunks, worker, &sender));
                receiver
            })
            .collect();
        write_chunks(plan, &chunks, &drawn, rows_written)
    })
}

/// Draws one worker's share of the chunks until done, or until the writer has failed and gone.
fn draw_chunks(
    plan: &Plan,
    company: &Company,
    chunks: &[Chunk],
    worker: usize,
    sender: &SyncSender<Vec<u8>>,
) {
    for (number, chunk) in (0u64..).zip(chunks).skip(worker).step_by(plan.workers) {
        let rows = usize::try_from(chunk.rows).unwrap_or(0);
        let mut bytes = Vec::with_capacity(rows * LINE_BYTES_MAX);
        let mut stream = Stream::new(plan.seed, Purpose::Rows, number);
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
    plan: &Plan,
    chunks: &[Chunk],
    drawn: &[Receiver<Vec<u8>>],
    rows_written: &AtomicU64,
) -> anyhow::Result<Written> {
    let mut written = Written { files: 0, bytes: 0 };
    let mut open: Option<PendingFile> = None;
    for (chunk, worker) in chunks.iter().zip(drawn.iter().cycle()) {
        let bytes = worker
            .recv()
            .context("a worker of the generator ended early: this is a bug, please report it")?;
        let mut file = match open.take() {
            Some(done) if chunk.begins_day && plan.layout == FileLayout::Daily => {
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

fn begin_file(plan: &Plan, chunk: &Chunk) -> anyhow::Result<PendingFile> {
    let mut file = PendingFile::create(&plan.out, &plan.file_name(chunk.date))?;
    file.write(tables::HEADER.as_bytes())?;
    Ok(file)
}

impl Written {
    fn add(&mut self, file: PendingFile) -> anyhow::Result<()> {
        self.bytes += file.finish()?;
        self.files += 1;
        Ok(())
    }
}
