//! `tidewater status`: the state of a job, and the input that waits for the next run.

use std::path::Path;

use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Map, Value, json};
use tidewater_engine::error::shown_path;
use tidewater_engine::file::sink::QUARANTINE_TABLE;
use tidewater_engine::state::{EpochRecord, TableRecord};
use tidewater_engine::status::{PendingDeliveries, PendingInput, SourceStatus};
use tidewater_engine::{Inspection, Job, StateSizes};

use crate::args::StatusArgs;
use crate::display::{count, iso, utc, utc_ns};
use crate::failure::Failure;
use crate::style::Style;
use crate::table::TextTable;
use crate::{job, output};

/// The most paths that are listed.
const PATHS_SHOWN: usize = 5;

/// A source: its deliveries, and those that wait for the next run.
struct ListedSource {
    name: String,
    location: String,
    status: SourceStatus,
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
    /// The process that is changing the state.
    writer: Option<String>,
    half_done: bool,
    outdated: Vec<String>,
    sources: Vec<ListedSource>,
    sizes: StateSizes,
    tables: Vec<TableStatus>,
    quarantined: u64,
}

/// Runs the command.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let state = job::load_state(&args.state)?;
    let job = &state.job.job;
    let inspection = Inspection::open(job, &state.path)?;
    let status = Status::of(job, &inspection, args.rehash)?;
    if args.state.json {
        return output::print(&format!("{}\n", status.to_json(args.files)));
    }
    output::print(&status.to_text(inspection.path(), args.files, Style::stdout()))
}

impl Status {
    fn of(job: &Job, inspection: &Inspection, rehash: bool) -> Result<Self, Failure> {
        let source = |source: &tidewater_engine::job::Source| {
            Ok::<_, Failure>(ListedSource {
                name: source.spec.name.clone(),
                location: source.spec.location.clone(),
                status: inspection.source_status(source, rehash)?,
            })
        };
        let sources: Vec<ListedSource> =
            job.sources.iter().map(source).collect::<Result<_, _>>()?;
        let statuses: Vec<SourceStatus> = sources.iter().map(|one| one.status.clone()).collect();
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
        let writer = inspection.writer();
        Ok(Self {
            job: inspection.state.job.clone(),
            epoch,
            last: inspection.epochs()?.pop(),
            half_done: writer.is_none() && inspection.is_half_done()?,
            writer,
            // Before the first commit every view is outdated.
            outdated: match epoch {
                0 => Vec::new(),
                _ => inspection.outdated(job)?,
            },
            sizes: inspection.sizes(&statuses)?,
            sources,
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
            "in_use_by": self.writer,
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
        if let Some(writer) = &self.writer {
            text += &format!("A run is at work: {writer}.\n");
        }
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
        text += &self.set_aside(style);
        text += &self.held(style);
        text += &format!("\n{}", self.size_list(style));
        text
    }

    fn deliveries(&self) -> TextTable {
        let mut table =
            TextTable::named(&["source", "deliveries<", "rows<", "quarantined<", "newest"]);
        for ListedSource { name, status, .. } in &self.sources {
            table.push(&[
                name.clone(),
                HumanCount(status.deliveries).to_string(),
                HumanCount(status.rows).to_string(),
                HumanCount(status.rows_rejected).to_string(),
                status.newest_ns.map_or_else(|| "-".to_owned(), utc_ns),
            ]);
        }
        table
    }

    /// Files that are set aside, with the reasons.
    fn set_aside(&self, style: Style) -> String {
        let files = self.sources.iter().flat_map(|source| &source.status.files);
        let bad = files.filter(|file| file.hold.is_none());
        let files = bad.filter_map(|file| Some((&file.path, file.set_aside.as_ref()?)));
        let mut text = String::new();
        for (path, reason) in files.clone() {
            text += &format!("  {}: {reason}\n", shown_path(path));
        }
        match files.count() {
            0 => text,
            number => {
                let heading = format!("{} set aside:", count(number as u64, "file"));
                format!("{}\n{text}", style.yellow(&heading))
            }
        }
    }

    /// Files that are held, with the rules that they break.
    fn held(&self, style: Style) -> String {
        let files = self.sources.iter().flat_map(|source| &source.status.files);
        let mut lines = Vec::new();
        for (file, hold) in files.filter_map(|file| Some((file, file.hold.as_ref()?))) {
            let since = hold.since.map_or_else(String::new, |since| {
                format!(" (since epoch {}, {})", since.epoch, utc(since.at_s))
            });
            lines.push(format!(
                "  {}: {}{since}\n",
                shown_path(&file.path),
                hold.reason()
            ));
        }
        if lines.is_empty() {
            return String::new();
        }
        let heading = format!("{} held:", count(lines.len() as u64, "file"));
        format!("{}\n{}", style.yellow(&heading), lines.concat())
    }

    /// One line for each delivery. Paths are not shortened, so that they can be copied.
    fn files(&self, style: Style) -> String {
        let mut text = format!(
            "{}\n",
            style.bold(
                "hash           bytes  modified                        rows  quarantined  path"
            )
        );
        for file in self.sources.iter().flat_map(|source| &source.status.files) {
            text += &format!(
                "{:8}  {:>10}  {}  {:>10}  {:>11}  {}\n",
                prefix(&file.hash),
                file.bytes,
                utc_ns(file.modified_ns),
                HumanCount(file.rows).to_string(),
                HumanCount(file.rows_rejected).to_string(),
                shown_path(&file.path)
            );
        }
        text
    }

    /// Messages and files that the next run will read.
    fn pending(&self) -> String {
        let mut text = String::new();
        let mut files = Vec::new();
        for ListedSource { name, status, .. } in &self.sources {
            text += &match &status.pending {
                PendingInput::Deliveries(pending) => {
                    files.push((name.as_str(), pending));
                    continue;
                }
                PendingInput::Messages(Ok(0)) => {
                    format!("{name}: nothing is waiting in its topic.\n")
                }
                PendingInput::Messages(Ok(lag)) => {
                    let verb = if *lag == 1 { "is" } else { "are" };
                    format!(
                        "{name}: {} {verb} waiting in its topic.\n",
                        count(*lag, "offset")
                    )
                }
                PendingInput::Messages(Err(why)) => {
                    format!("{name}: what is waiting in its topic is unknown: {why}\n")
                }
            };
        }
        if files.is_empty() {
            return text;
        }
        text + &pending_files(&files)
    }

    fn table_list(&self) -> TextTable {
        let mut table =
            TextTable::named(&["table", "rows<", "files<", "changed at epoch<", "path"]);
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
            "State: {} on disk, {} of entries; stored inputs: {}, {} (files: {} as delivered)\n",
            DecimalBytes(sizes.store_bytes),
            DecimalBytes(entries),
            count(sizes.inputs.parts, "part"),
            DecimalBytes(sizes.inputs.stored_bytes),
            DecimalBytes(sizes.inputs.original_bytes),
        );
        let mut views: Vec<(&String, &u64)> =
            sizes.views.iter().filter(|view| *view.1 > 0).collect();
        views.sort_by(|one, other| other.1.cmp(one.1).then_with(|| one.0.cmp(other.0)));
        let mut table = TextTable::named(&["entries of", "bytes<"]);
        for (view, bytes) in &views {
            table.push(&[(*view).clone(), DecimalBytes(**bytes).to_string()]);
        }
        if !views.is_empty() {
            text += &table.render(style, "  ");
        }
        text
    }
}

/// Files that wait for the next run, by source.
fn pending_files(sources: &[(&str, &PendingDeliveries)]) -> String {
    if sources.iter().all(|(_, pending)| pending.is_empty()) {
        return "Nothing is waiting: no file has changed, by size and time.\n".to_owned();
    }
    let mut text =
        "Waiting for the next run, by size and time of files (their content was not read):\n"
            .to_owned();
    for (name, pending) in sources.iter().filter(|(_, pending)| !pending.is_empty()) {
        let kinds = [
            ("new", &pending.new),
            ("changed", &pending.changed),
            ("withdrawn", &pending.withdrawn),
        ];
        for (kind, paths) in kinds.into_iter().filter(|(_, paths)| !paths.is_empty()) {
            text += &format!("  {name}: {} {kind}\n", number(paths.len()));
            for path in paths.iter().take(PATHS_SHOWN) {
                text += &format!("    {}\n", shown_path(path));
            }
            if paths.len() > PATHS_SHOWN {
                text += &format!("    … and {} more\n", number(paths.len() - PATHS_SHOWN));
            }
        }
    }
    text
}

impl ListedSource {
    fn to_json(&self, files: bool) -> Value {
        let status = &self.status;
        let none = PendingDeliveries::default();
        let pending = match &status.pending {
            PendingInput::Deliveries(pending) => pending,
            PendingInput::Messages(_) => &none,
        };
        let mut value = json!({
            "location": self.location,
            "deliveries": status.files.len(),
            "rows": status.rows,
            "rows_quarantined": status.rows_rejected,
            "newest": status.newest_ns.map(seconds).map(iso),
            "pending": {
                "told_by": "size and time",
                "new": pending.new,
                "changed": pending.changed,
                "withdrawn": pending.withdrawn,
            },
        });
        let bad = status.files.iter().filter(|file| file.hold.is_none());
        let set_aside = bad.filter_map(|file| {
            let reason = file.set_aside.as_ref()?;
            Some(json!({"path": file.path, "reason": reason}))
        });
        value["files_set_aside"] = set_aside.collect();
        let held = status.files.iter().filter_map(|file| {
            let hold = file.hold.as_ref()?;
            Some(json!({
                "path": file.path,
                "assertions": hold.broken.iter().map(|broken| json!({
                    "name": broken.rule,
                    "broken": broken.broken,
                    "rows": broken.rows,
                    "limit": broken.limit,
                })).collect::<Vec<Value>>(),
                "since_epoch": hold.since.map(|since| since.epoch),
                "since": hold.since.map(|since| iso(since.at_s)),
            }))
        });
        value["files_held"] = held.collect();
        if let Some((name, details)) = &status.details {
            value[*name] = details.clone();
        }
        if files {
            let list = status.files.iter().map(|file| {
                json!({
                    "path": file.path,
                    "bytes": file.bytes,
                    "modified": iso(seconds(file.modified_ns)),
                    "modified_ns": file.modified_ns,
                    "rows": file.rows,
                    "rows_quarantined": file.rows_rejected,
                    "hash": file.hash,
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
