//! The plan of a data set: validated options, and the work divided into chunks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{Datelike, Days, NaiveDate};

use super::draw;
use super::options::{FileSplit, GenerateOptions};
use super::planted::{PlantedRow, Planting, PlantingPlan};
use super::tables::CARD_SUFFIXES;
use crate::DemoError;

/// Most rows of a chunk. Another value would change the rows of a seed.
const CHUNK_ROWS: u64 = 16 * 1024;

/// Most days of a range. A directory should not hold more files than that.
const DAYS_MAX: usize = 36_600;

/// Cards in the pool, unless the options say otherwise.
const CARDS: u32 = 50_000;

/// The greatest id that has ten digits.
const ID_MAX: u64 = 9_999_999_999;

/// The data set to write.
pub struct DataSetPlan {
    /// Rows over all files, without planted ones.
    pub records: u64,
    /// Directory for the files.
    pub out: PathBuf,
    /// The seed of all draws.
    pub seed: u64,
    /// First day.
    pub start: NaiveDate,
    /// Days of the range, at least one.
    pub days: usize,
    /// Cards in the pool.
    pub cards: u32,
    /// The planted cases.
    pub planting: Planting,
    /// How rows are spread over files.
    pub layout: FileSplit,
    /// Threads that draw.
    pub workers: usize,
    /// Write even if there are other CSV files.
    pub force: bool,
}

/// Rows of one day, drawn by one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayChunk {
    /// Day of all its rows.
    pub date: NaiveDate,
    /// Number of the day.
    pub day: usize,
    /// Whether it is the first chunk of its day.
    pub begins_day: bool,
    /// Whether it is the last chunk of its day. The planted rows of the day follow its rows.
    pub ends_day: bool,
    /// Id of the first row.
    pub first_id: u64,
    /// Number of rows; 0 only for a day without rows.
    pub rows: u64,
}

impl DataSetPlan {
    /// Checks the options. `workers` threads will draw.
    ///
    /// # Errors
    /// When the range of days is empty, too long, or outside of the calendar.
    pub fn new(options: &GenerateOptions, workers: usize) -> Result<Self, DemoError> {
        for (option, date) in [("--start", options.start), ("--end", options.end)] {
            if !(1..=9999).contains(&date.year()) {
                return Err(DemoError::Options(format!(
                    "{option} {date} is out of range: give a date from 0001-01-01 to 9999-12-31"
                )));
            }
        }
        if options.end < options.start {
            return Err(DemoError::Options(format!(
                "--end {} is before --start {}: give the days in order (both are included)",
                options.end, options.start
            )));
        }
        let days =
            usize::try_from((options.end - options.start).num_days() + 1).unwrap_or(usize::MAX);
        if days > DAYS_MAX {
            return Err(DemoError::Options(format!(
                "{} to {} is {days} days, more than {DAYS_MAX}: choose a shorter range",
                options.start, options.end
            )));
        }
        let mut plan = Self {
            records: options.records,
            out: options.out.clone(),
            seed: options.seed,
            start: options.start,
            days,
            cards: options.cards.unwrap_or(CARDS),
            planting: Planting::default(),
            layout: options.files,
            workers,
            force: options.force,
        };
        if let Some(cases) = options.anomalies {
            plan.plant(options.cards, cases)?;
        }
        Ok(plan)
    }

    /// Plants cases of each rule.
    fn plant(&mut self, cards: Option<u32>, cases: u32) -> Result<(), DemoError> {
        let suffixes = u32::try_from(CARD_SUFFIXES).unwrap_or(u32::MAX);
        self.cards = cards.unwrap_or(suffixes.saturating_sub(cases));
        let dates: Vec<NaiveDate> = self.dates().collect();
        self.planting = Planting::new(&PlantingPlan {
            seed: self.seed,
            dates: &dates,
            records: self.records,
            cards: self.cards,
            cases,
        })?;
        if self.rows() > ID_MAX {
            return Err(DemoError::Options(format!(
                "{} rows with the planted ones are more than ids of ten digits can count: give fewer --records",
                self.rows()
            )));
        }
        Ok(())
    }

    /// Rows that are written with a chunk.
    pub fn rows_with(&self, chunk: &DayChunk) -> u64 {
        let planted = if chunk.ends_day {
            self.planting.rows_on(chunk.day)
        } else {
            0
        };
        chunk.rows + planted
    }

    /// The planted rows that follow a day's last chunk, with their ids.
    pub fn planted_after(&self, chunk: &DayChunk) -> impl Iterator<Item = (u64, &PlantedRow)> {
        self.planting
            .rows_of(chunk.day, chunk.first_id + chunk.rows)
    }

    /// Rows over all files.
    pub fn rows(&self) -> u64 {
        self.records + self.planting.rows()
    }

    /// The days, in order.
    pub fn dates(&self) -> impl Iterator<Item = NaiveDate> {
        // All dates are within chrono's range, since the plan ends by the year 9999.
        let start = self.start;
        (0..self.days as u64).map_while(move |day| start.checked_add_days(Days::new(day)))
    }

    /// Name of the file that holds the rows of `date`.
    pub fn file_name(&self, date: NaiveDate) -> String {
        match self.layout {
            FileSplit::Daily => format!("{date}.csv"),
            FileSplit::Single => "transactions.csv".to_owned(),
        }
    }

    /// Names of all files.
    pub fn file_names(&self) -> BTreeSet<String> {
        self.dates().map(|date| self.file_name(date)).collect()
    }

    /// All chunks, with days in order and contiguous ids. They are the same for both layouts and any number of
    /// workers.
    pub fn chunks(&self) -> Vec<DayChunk> {
        let rows_per_day = draw::rows_per_day(self.seed, self.records, self.days, self.workers);
        let mut chunks = Vec::new();
        let mut next_id = 1;
        for (day, (date, day_rows)) in self.dates().zip(rows_per_day).enumerate() {
            let mut left = day_rows;
            let mut begins_day = true;
            while begins_day || left > 0 {
                let rows = left.min(CHUNK_ROWS);
                left -= rows;
                chunks.push(DayChunk {
                    date,
                    day,
                    begins_day,
                    ends_day: left == 0,
                    first_id: next_id,
                    rows,
                });
                next_id += rows;
                begins_day = false;
            }
            next_id += self.planting.ids(day);
        }
        chunks
    }
}
