//! `tidewater status`: where a job's state stands, and what waits for the next run.

use std::path::Path;

use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Map, Value, json};
use tidewater_engine::file::Position;
use tidewater_engine::file::sink::QUARANTINE_TABLE;
use tidewater_engine::kafka::KafkaSource;
use tidewater_engine::kafka::{PartitionPosition, Stream, StreamPosition};
use tidewater_engine::state::{EpochRecord, TableRecord};
use tidewater_engine::{Inspection, Job, Pending, StateSizes};

use crate::args::StatusArgs;
use crate::display::{count, iso, utc, utc_ns};
use crate::failure::Failure;
use crate::style::Style;
use crate::table::{Align, TextTable};
use crate::{job, output};

/// Paths that are listed one by one.
const PATHS_SHOWN: usize = 5;

/// A source: its deliveries, and those that wait.
struct SourceStatus {
    name: String,
    location: String,
    positions: Vec<Position>,
    pending: Pending,
    topic: Option<TopicStatus>,
}

/// A source in Kafka.
struct TopicStatus {
    position: StreamPosition,
    /// Offsets that wait at the brokers, or why these did not say.
    lag: Result<u64, String>,
}

impl TopicStatus {
    /// Asks the brokers; `None` for a source in files.
    fn of(
        source: &tidewater_engine::job::Source,
        inspection: &Inspection,
    ) -> Result<Option<Self>, Failure> {
        if KafkaSource::of(&source.spec).is_none() {
            return Ok(None);
        }
        let known = inspection.stream(&source.spec.name)?;
        let stream = Stream::open(&source.spec, known.as_ref(), "tidewater-status");
        Ok(Some(Self {
            position: known.unwrap_or_default(),
            lag: stream
                .map(|stream| stream.lag())
                .map_err(|error| error.to_string()),
        }))
    }

    fn sum(&self, of: fn(&PartitionPosition) -> u64) -> u64 {
        self.position.partitions.values().map(of).sum()
    }

    fn to_json(&self) -> Value {
        let partitions: Map<String, Value> = self
            .position
            .partitions
            .iter()
            .map(|(number, at)| {
                let value = json!({
                    "first_offset": at.first,
                    "next_offset": at.next,
                    "rows": at.rows,
                    "rows_quarantined": at.rejected,
                });
                (number.to_string(), value)
            })
            .collect();
        json!({
            "name": self.position.topic,
            "partitions": partitions,
            "lag": self.lag.as_ref().ok(),
            "trouble": self.lag.as_ref().err(),
            "stored_bytes": self.position.segments.iter().map(|segment| segment.bytes).sum::<u64>(),
        })
    }
}

/// A published table.
struct TableStatus {
    name: String,
    record: TableRecord,
    files: usize,
}

/// The status of a job.
struct Status {
    job: String,
    epoch: u64,
    last: Option<EpochRecord>,
    half_done: bool,
    outdated: Vec<String>,
    sources: Vec<SourceStatus>,
    sizes: StateSizes,
    tables: Vec<TableStatus>,
    quarantined: u64,
}

/// Runs the command.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let job = job::load(&args.state.job)?;
    let inspection = Inspection::open(&job, &args.state.state, args.state.wait)?;
    let status = Status::of(&job, &inspection)?;
    if args.state.json {
        return output::print(&format!("{}\n", status.to_json(args.files)));
    }
    output::print(&status.to_text(inspection.path(), args.files, Style::stdout()))
}

impl Status {
    fn of(job: &Job, inspection: &Inspection) -> Result<Self, Failure> {
        let source = |source: &tidewater_engine::job::Source| {
            Ok::<_, Failure>(SourceStatus {
                name: source.spec.name.clone(),
                location: source.spec.location.clone(),
                positions: inspection.positions(&source.spec.name)?,
                pending: inspection.pending(source)?,
                topic: TopicStatus::of(source, inspection)?,
            })
        };
        let mut tables = Vec::new();
        for (name, record) in inspection.tables()? {
            let partitions = inspection.partitions(&name)?;
            tables.push(TableStatus {
                files: partitions.values().map(|content| content.files.len()).sum(),
                name,
                record,
            });
        }
        let quarantine = tables.iter().find(|table| table.name == QUARANTINE_TABLE);
        let epoch = inspection.state.epoch;
        Ok(Self {
            job: inspection.state.job.clone(),
            epoch,
            last: inspection.epochs()?.pop(),
            half_done: inspection.is_half_done()?,
            // Before the first commit everything is to be built.
            outdated: match epoch {
                0 => Vec::new(),
                _ => inspection.outdated(job)?,
            },
            sources: job.sources.iter().map(source).collect::<Result<_, _>>()?,
            sizes: inspection.sizes(&job.sources)?,
            quarantined: quarantine.map_or(0, |table| table.record.rows),
            tables,
        })
    }

    fn to_json(&self, files: bool) -> Value {
        let sources: Map<String, Value> = self
            .sources
            .iter()
            .map(|source| (source.name.clone(), source.to_json(files)))
            .collect();
        let tables: Map<String, Value> = self
            .tables
            .iter()
            .map(|table| {
                let value = json!({
                    "rows": table.record.rows,
                    "files": table.files,
                    "path": table.record.path,
                    "changed_at_epoch": table.record.epoch,
                });
                (table.name.clone(), value)
            })
            .collect();
        json!({
            "job": self.job,
            "epoch": self.epoch,
            "committed_at": self.last.as_ref().map(|last| iso(last.committed_at)),
            "half_finished": self.half_done,
            "outdated": self.outdated,
            "sources": sources,
            "tables": tables,
            "rows_quarantined": self.quarantined,
            "state": {
                "store_bytes": self.sizes.store_bytes,
                "views": self.sizes.views,
                "inputs": {
                    "parts": self.sizes.inputs.parts,
                    "stored_bytes": self.sizes.inputs.stored_bytes,
                    "original_bytes": self.sizes.inputs.original_bytes,
                },
            },
        })
    }

    fn to_text(&self, state: &Path, files: bool, style: Style) -> String {
        let mut text = format!("Job {}, state {}\n", style.bold(&self.job), state.display());
        text += &match &self.last {
            None => "There is no commit yet.\n".to_owned(),
            Some(last) => format!(
                "Epoch {}, committed {} in {:.2} s\n",
                self.epoch,
                utc(last.committed_at),
                last.seconds
            ),
        };
        if self.half_done {
            let note =
                "The last commit is half finished: the next run moves its tables into place.";
            text += &format!("{}\n", style.yellow(note));
        }
        if !self.outdated.is_empty() {
            let note = format!(
                "The job has changed: the next run rebuilds or drops {}.",
                self.outdated.join(", ")
            );
            text += &format!("{}\n", style.yellow(&note));
        }
        text += &format!("\n{}", self.deliveries().render(style, ""));
        if files {
            text += &format!("\n{}", self.files(style));
        }
        text += &format!("\n{}", self.pending());
        text += &format!("\n{}", self.table_list().render(style, ""));
        text += &match self.quarantined {
            0 => "No row is quarantined.\n".to_owned(),
            rows => style.yellow(&format!("{} quarantined.", count(rows, "row"))) + "\n",
        };
        text += &format!("\n{}", self.size_list(style));
        text
    }

    fn deliveries(&self) -> TextTable {
        let mut table = columns(&["source", "deliveries<", "rows<", "quarantined<", "newest"]);
        for source in &self.sources {
            let positions = &source.positions;
            let newest = positions.iter().map(|position| position.modified_ns).max();
            if let Some(topic) = &source.topic {
                table.push(&[
                    source.name.clone(),
                    number(topic.position.partitions.len()),
                    HumanCount(topic.sum(|at| at.rows)).to_string(),
                    HumanCount(topic.sum(|at| at.rejected)).to_string(),
                    "-".to_owned(),
                ]);
                continue;
            }
            table.push(&[
                source.name.clone(),
                number(positions.len()),
                HumanCount(positions.iter().map(|position| position.rows).sum()).to_string(),
                HumanCount(positions.iter().map(|position| position.rejected).sum()).to_string(),
                newest.map_or_else(|| "-".to_owned(), utc_ns),
            ]);
        }
        table
    }

    /// One line a delivery. Paths are not cut, so that they can be copied.
    fn files(&self, style: Style) -> String {
        let mut text = format!(
            "{}\n",
            style.bold(
                "hash           bytes  modified                        rows  quarantined  path"
            )
        );
        for position in self.sources.iter().flat_map(|source| &source.positions) {
            text += &format!(
                "{:8}  {:>10}  {}  {:>10}  {:>11}  {}\n",
                prefix(&position.hash),
                position.bytes,
                utc_ns(position.modified_ns),
                HumanCount(position.rows).to_string(),
                HumanCount(position.rejected).to_string(),
                position.path
            );
        }
        text
    }

    /// Messages and files that the next run will read.
    fn pending(&self) -> String {
        let topics = self.sources.iter().filter_map(|source| {
            let topic = source.topic.as_ref()?;
            let name = &source.name;
            Some(match &topic.lag {
                Ok(0) => format!("{name}: nothing is waiting in its topic.\n"),
                Ok(lag) => {
                    let verb = if *lag == 1 { "is" } else { "are" };
                    format!(
                        "{name}: {} {verb} waiting in its topic.\n",
                        count(*lag, "offset")
                    )
                }
                Err(why) => format!("{name}: its topic does not say what is waiting: {why}\n"),
            })
        });
        let text: String = topics.collect();
        if self.sources.iter().all(|source| source.topic.is_some()) {
            return text;
        }
        text + &self.pending_files()
    }

    fn pending_files(&self) -> String {
        if self
            .sources
            .iter()
            .all(|source| source.pending.is_nothing())
        {
            return "Nothing is waiting: no file has changed, by size and time.\n".to_owned();
        }
        let mut text =
            "Waiting for the next run, by size and time of files (their content was not read):\n"
                .to_owned();
        for source in self
            .sources
            .iter()
            .filter(|source| !source.pending.is_nothing())
        {
            let kinds = [
                ("new", &source.pending.new),
                ("changed", &source.pending.changed),
                ("withdrawn", &source.pending.withdrawn),
            ];
            for (kind, paths) in kinds.into_iter().filter(|(_, paths)| !paths.is_empty()) {
                text += &format!("  {}: {} {kind}\n", source.name, number(paths.len()));
                for path in paths.iter().take(PATHS_SHOWN) {
                    text += &format!("    {path}\n");
                }
                if paths.len() > PATHS_SHOWN {
                    text += &format!("    … and {} more\n", number(paths.len() - PATHS_SHOWN));
                }
            }
        }
        text
    }

    fn table_list(&self) -> TextTable {
        let mut table = columns(&["table", "rows<", "files<", "changed at epoch<", "path"]);
        for found in &self.tables {
            table.push(&[
                found.name.clone(),
                HumanCount(found.record.rows).to_string(),
                number(found.files),
                found.record.epoch.to_string(),
                found.record.path.display().to_string(),
            ]);
        }
        table
    }

    fn size_list(&self, style: Style) -> String {
        let sizes = &self.sizes;
        let entries: u64 = sizes.views.values().sum();
        let mut text = format!(
            "State: {} on disk, {} of entries; kept inputs: {}, {} (files: {} as delivered)\n",
            DecimalBytes(sizes.store_bytes),
            DecimalBytes(entries),
            count(sizes.inputs.parts, "part"),
            DecimalBytes(sizes.inputs.stored_bytes),
            DecimalBytes(sizes.inputs.original_bytes),
        );
        let mut views: Vec<(&String, &u64)> =
            sizes.views.iter().filter(|view| *view.1 > 0).collect();
        views.sort_by(|one, other| other.1.cmp(one.1).then_with(|| one.0.cmp(other.0)));
        let mut table = columns(&["entries of", "bytes<"]);
        for (view, bytes) in &views {
            table.push(&[(*view).clone(), DecimalBytes(**bytes).to_string()]);
        }
        if !views.is_empty() {
            text += &table.render(style, "  ");
        }
        text
    }
}

impl SourceStatus {
    fn to_json(&self, files: bool) -> Value {
        let positions = &self.positions;
        let sum = |of: fn(&Position) -> u64| positions.iter().map(of).sum::<u64>();
        let newest = positions.iter().map(|position| position.modified_ns).max();
        let mut value = json!({
            "location": self.location,
            "deliveries": positions.len(),
            "rows": sum(|position| position.rows),
            "rows_quarantined": sum(|position| position.rejected),
            "newest": newest.map(seconds).map(iso),
            "pending": {
                "told_by": "size and time",
                "new": self.pending.new,
                "changed": self.pending.changed,
                "withdrawn": self.pending.withdrawn,
            },
        });
        if let Some(topic) = &self.topic {
            value["rows"] = topic.sum(|at| at.rows).into();
            value["rows_quarantined"] = topic.sum(|at| at.rejected).into();
            value["topic"] = topic.to_json();
        }
        if files {
            let list = positions.iter().map(|position| {
                json!({
                    "path": position.path,
                    "bytes": position.bytes,
                    "modified": iso(seconds(position.modified_ns)),
                    "modified_ns": position.modified_ns,
                    "rows": position.rows,
                    "rows_quarantined": position.rejected,
                    "hash": position.hash,
                })
            });
            value["files"] = list.collect();
        }
        value
    }
}

fn seconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0)
}

fn prefix(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

fn number(length: usize) -> String {
    HumanCount(u64::try_from(length).unwrap_or(u64::MAX)).to_string()
}

/// A table with these columns; those that end in `<` hold numbers.
fn columns(names: &[&str]) -> TextTable {
    let column = |name: &&str| match name.strip_suffix('<') {
        Some(name) => (name.to_owned(), Align::Right),
        None => ((*name).to_owned(), Align::Left),
    };
    TextTable::new(names.iter().map(column).collect())
}
