//! Sends the rows of files as messages to a Kafka topic.

mod options;
mod rows;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tidewater_engine::connectors::kafka::Location;
use tidewater_engine::connectors::kafka::produce::Feed;
use tidewater_engine::file::{FileSource, ListedFile};

pub use self::options::{Payload, ProduceOptions};
use self::rows::{FeedRecord, FileRows};
use crate::DemoError;

/// Most rows between two looks at the clock.
const CLOCK_EVERY: u64 = 100;

/// Sends the rows of files to a topic.
pub struct FileProducer {
    options: ProduceOptions,
    location: Location,
    files: Vec<ListedFile>,
    feed: Feed,
}

impl FileProducer {
    /// Lists the files and connects to the brokers.
    ///
    /// # Errors
    /// When the location is invalid, there are no files, or the topic cannot be written to.
    pub fn open(options: &ProduceOptions) -> Result<Self, DemoError> {
        let location = Location::parse(&options.to).map_err(|wrong| {
            DemoError::Options(format!(
                "--to '{}' {wrong}; write kafka://host:9092/topic",
                options.to
            ))
        })?;
        let files = FileSource::local()
            .list(&options.files)
            .map_err(anyhow::Error::from)?;
        let feed = Feed::open(&location, &BTreeMap::new(), options.partitions);
        Ok(Self {
            options: options.clone(),
            location,
            files,
            feed: feed.map_err(anyhow::Error::from)?,
        })
    }

    /// The topic.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// How many files there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Sends all rows, or until `stopping` is set. Returns how many the brokers have received. `rows` counts them,
    /// for progress.
    ///
    /// # Errors
    /// When a file cannot be read or a message cannot be delivered.
    pub fn send(mut self, rows: &AtomicU64, stopping: &AtomicBool) -> Result<u64, DemoError> {
        let mut limit = RateLimit::new(self.options.rate, rows);
        for file in &self.files {
            if !send_file(
                &self.options,
                &file.path,
                &mut self.feed,
                &mut limit,
                stopping,
            )? {
                break;
            }
        }
        Ok(self.feed.finish().map_err(anyhow::Error::from)?)
    }
}

/// Sends the rows of a file. `false` if it was stopped.
fn send_file(
    options: &ProduceOptions,
    path: &Path,
    feed: &mut Feed,
    limit: &mut RateLimit<'_>,
    stopping: &AtomicBool,
) -> Result<bool, DemoError> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut rows = FileRows::open(path, file, options)?;
    let mut record = FeedRecord::default();
    while rows.next(&mut record)? {
        if stopping.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let sent = feed.send(record.key.as_deref(), &record.value);
        sent.map_err(anyhow::Error::from)?;
        limit.step();
    }
    Ok(true)
}

/// Limits the number of rows a second.
struct RateLimit<'a> {
    rate: Option<u64>,
    began: Instant,
    rows: &'a AtomicU64,
}

impl<'a> RateLimit<'a> {
    fn new(rate: Option<u64>, rows: &'a AtomicU64) -> Self {
        Self {
            rate,
            began: Instant::now(),
            rows,
        }
    }

    /// Counts a row, and waits until it is due.
    fn step(&mut self) {
        let rows = self.rows.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(rate) = self.rate else { return };
        if rows.is_multiple_of(CLOCK_EVERY.min(rate.div_ceil(20)).max(1)) {
            let due_us = u128::from(rows) * 1_000_000 / u128::from(rate);
            let due = Duration::from_micros(u64::try_from(due_us).unwrap_or(u64::MAX));
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
    }
}
