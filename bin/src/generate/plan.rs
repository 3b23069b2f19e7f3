//! What a `generate` will do: the typed arguments made valid, and the work cut into chunks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{Datelike, Days, NaiveDate};

use super::draw;
use crate::args::{FileLayout, GenerateArgs};
use crate::failure::Failure;

/// Rows of a chunk at most. Part of what a seed means: another value draws other rows.
const CHUNK_ROWS: u64 = 16 * 1024;

/// Days of a range at most: a file each is as many as a directory should hold.
const DAYS_MAX: usize = 36_600;

/// A valid order for files.
pub struct Plan {
    /// Rows over all files.
    pub records: u64,
    /// Directory the files go to.
    pub out: PathBuf,
    /// Names every draw.
    pub seed: u64,
    /// First day.
    pub start: NaiveDate,
    /// Days of the range, at least one.
    pub days: usize,
    /// Cards in the pool.
    pub cards: u32,
    /// How rows are dealt to files.
    pub layout: FileLayout,
    /// Threads that draw.
    pub workers: usize,
    /// Write beside other CSV files.
    pub force: bool,
}

/// Rows of one day, drawn by one worker at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Day of all its rows.
    pub date: NaiveDate,
    /// It begins its day.
    pub begins_day: bool,
    /// Id of the first row.
    pub first_id: u64,
    /// Rows; 0 only for a day without any.
    pub rows: u64,
}

impl Plan {
    /// Checks what was typed.
    pub fn new(args: &GenerateArgs, workers: usize) -> Result<Self, Failure> {
        for (option, date) in [("--start", args.start), ("--end", args.end)] {
            if !(1..=9999).contains(&date.year()) {
                return Err(Failure::usage(format!(
                    "{option} {date} is out of range: give a date from 0001-01-01 to 9999-12-31"
                )));
            }
        }
        if args.end < args.start {
            return Err(Failure::usage(format!(
                "--end {} is before --start {}: give the days in order (both are included)",
                args.end, args.start
            )));
        }
        let days = usize::try_from((args.end - args.start).num_days() + 1).unwrap_or(usize::MAX);
        if days > DAYS_MAX {
            return Err(Failure::usage(format!(
                "{} to {} is {days} days, more than {DAYS_MAX}: choose a shorter range",
                args.start, args.end
            )));
        }
        Ok(Self {
            records: args.records,
            out: args.out.clone(),
            seed: args.seed,
            start: args.start,
            days,
            cards: args.cards,
            layout: args.files,
            workers,
            force: args.force,
        })
    }

    /// The days, in order.
    pub fn dates(&self) -> impl Iterator<Item = NaiveDate> {
        // All within chrono's range: the plan ends by the year 9999.
        let start = self.start;
        (0..self.days as u64).map_while(move |day| start.checked_add_days(Days::new(day)))
    }

    /// Name of the file that holds the rows of `date`.
    pub fn file_name(&self, date: NaiveDate) -> String {
        match self.layout {
            FileLayout::Daily => format!("{date}.csv"),
            FileLayout::Single => "transactions.csv".to_owned(),
        }
    }

    /// Names of all files.
    pub fn file_names(&self) -> BTreeSet<String> {
        self.dates().map(|date| self.file_name(date)).collect()
    }

    /// All chunks: days in order, ids contiguous. The same for both layouts and any number of workers.
    pub fn chunks(&self) -> Vec<Chunk> {
        let rows_per_day = draw::rows_per_day(self.seed, self.records, self.days, self.workers);
        let mut chunks = Vec::new();
        let mut next_id = 1;
        for (date, day_rows) in self.dates().zip(rows_per_day) {
            let mut left = day_rows;
            let mut begins_day = true;
            while begins_day || left > 0 {
                let rows = left.min(CHUNK_ROWS);
                chunks.push(Chunk {
                    date,
                    begins_day,
                    first_id: next_id,
                    rows,
                });
                next_id += rows;
                left -= rows;
                begins_day = false;
            }
        }
        chunks
    }
}
