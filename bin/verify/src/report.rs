//! Formats the verdicts, as text and as JSON.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use indicatif::HumanCount;
use serde_json::{Map, Value, json};
use tidewater_engine::format::json_lines::encode::JsonLinesEncoder;
use tidewater_engine::sink::{EncodeRows, TableSpec};

use crate::compare::DifferingRows;
use crate::pair::{RowPair, pair};
use tidewater_cli::display::{align, count, rows};
use tidewater_cli::failure::Failure;
use tidewater_cli::style::Style;
use tidewater_cli::table::{Align, TextTable};

/// Most differing rows of each side that are shown for a table.
const SHOWN: usize = 10;

/// Most leading columns that are shown before differing ones.
const LEADING_SHOWN: usize = 3;

/// The verdict on one table.
pub struct Verdict {
    spec: Arc<TableSpec>,
    schema: SchemaRef,
    /// Faults of files, by path.
    pub faults: Vec<(PathBuf, String)>,
    /// Whether the table's directory holds files that the job did not publish.
    pub has_foreign_files: bool,
    /// Rows that follow from the inputs.
    pub rows_expected: u64,
    /// Rows that are published.
    pub rows_found: u64,
    /// Missing rows: expected more often than found.
    pub missing: u64,
    /// Surplus rows: found more often than expected.
    pub surplus: u64,
    /// Whether the numbers include all differing rows, and not only some of very many.
    pub is_all: bool,
    /// Whether the table depends on an order that may have ties.
    pub orders_rows: bool,
    /// Why only the files were verified, if the inputs do not determine the rows.
    pub unknown: Option<String>,
    shown: Vec<ShownPair>,
}

/// A row of each side, or a single row.
struct ShownPair {
    expected: Option<DifferingRow>,
    found: Option<DifferingRow>,
    columns: Vec<usize>,
}

/// A row that differs.
struct DifferingRow {
    cells: Vec<String>,
    value: Value,
    /// How often it is missing, or surplus.
    times: i64,
}

impl Verdict {
    /// An empty verdict.
    pub fn new(spec: Arc<TableSpec>, schema: &SchemaRef) -> Self {
        Self {
            spec,
            schema: Arc::clone(schema),
            faults: Vec::new(),
            has_foreign_files: false,
            rows_expected: 0,
            rows_found: 0,
            missing: 0,
            surplus: 0,
            is_all: true,
            orders_rows: false,
            unknown: None,
            shown: Vec::new(),
        }
    }

    /// Whether the table is right.
    pub fn is_right(&self) -> bool {
        self.faults.is_empty() && self.missing == 0 && self.surplus == 0
    }

    /// Records that a file cannot be read.
    pub fn cannot_read(&mut self, path: &Path, why: &str) {
        let path = self.spec.path.join(path);
        match self.faults.iter_mut().find(|(faulty, _)| *faulty == path) {
            // The file has another fault already, so the reason does not matter.
            Some((_, fault)) => *fault = format!("{fault}, and cannot be read"),
            None => self.faults.push((path, format!("cannot be read: {why}"))),
        }
    }

    /// Pairs the rows that differ, and keeps the first ones.
    pub fn pair(
        &mut self,
        missing: &DifferingRows,
        surplus: &DifferingRows,
    ) -> Result<(), Failure> {
        let (expected, found) = (rows(&missing.rows)?, rows(&surplus.rows)?);
        let partition = &self.spec.partition_by;
        let others = (0..self.schema.fields().len()).filter(|column| !partition.contains(column));
        let order: Vec<usize> = partition.iter().copied().chain(others).collect();
        // A table with a single column besides the partition columns has no other value that could differ.
        let leading = order.len().min(partition.len() + 1);
        let mut left = [SHOWN; 2];
        for pair in pair(&expected, &found, &order, leading) {
            let RowPair {
                expected: missed,
                found: extra,
                columns,
            } = pair;
            let room = [missed, extra]
                .iter()
                .zip(left)
                .all(|(row, left)| row.is_none() || left > 0);
            if !room {
                continue;
            }
            for (row, left) in [missed, extra].iter().zip(&mut left) {
                *left -= usize::from(row.is_some());
            }
            self.shown.push(ShownPair {
                expected: missed
                    .map(|at| DifferingRow::of(missing, &expected, at))
                    .transpose()?,
                found: extra
                    .map(|at| DifferingRow::of(surplus, &found, at))
                    .transpose()?,
                columns,
            });
        }
        Ok(())
    }

    fn names(&self, columns: &[usize]) -> Vec<&str> {
        let name = |&column: &usize| self.schema.field(column).name().as_str();
        columns.iter().map(name).collect()
    }

    fn to_json(&self) -> Value {
        let files = self
            .faults
            .iter()
            .map(|(path, fault)| json!({"path": path, "fault": fault}));
        let side = |row: &Option<DifferingRow>| row.as_ref().map(|row| row.value.clone());
        let times = |row: &Option<DifferingRow>| row.as_ref().map_or(0, |row| row.times);
        let differences = self.shown.iter().map(|shown| {
            json!({
                "expected": side(&shown.expected),
                "found": side(&shown.found),
                "times_missing": times(&shown.expected),
                "times_surplus": times(&shown.found),
                "columns": self.names(&shown.columns),
            })
        });
        json!({
            "table": &*self.spec.name,
            "ok": self.is_right(),
            "rows_not_verified": self.unknown,
            "rows_expected": self.rows_expected,
            "rows_found": self.rows_found,
            "rows_missing": self.missing,
            "rows_surplus": self.surplus,
            "all_counted": self.is_all,
            "files": files.collect::<Vec<_>>(),
            "differences": differences.collect::<Vec<_>>(),
        })
    }

    fn to_text(&self, style: Style) -> String {
        let mut text = format!(
            "{}: {}. Expected {}, found {}",
            style.bold(&self.spec.name),
            style.red("differs"),
            count(self.rows_expected, "row"),
            HumanCount(self.rows_found)
        );
        if self.missing + self.surplus > 0 {
            text += &format!(
                "; {}{} missing, {} too many",
                if self.is_all { "" } else { "at least " },
                count(self.missing, "row"),
                HumanCount(self.surplus)
            );
        }
        text += "\n";
        for (path, fault) in &self.faults {
            text += &format!("  {} {fault}\n", path.display());
        }
        if !self.shown.is_empty() {
            text += &self.differences().render(style, "  ");
        }
        let (shown_missing, shown_surplus) = self.shown.iter().fold((0, 0), |sum, shown| {
            let times =
                |row: &Option<DifferingRow>| row.as_ref().map_or(0, |row| row.times.unsigned_abs());
            (sum.0 + times(&shown.expected), sum.1 + times(&shown.found))
        });
        let more = (self.missing - shown_missing) + (self.surplus - shown_surplus);
        if more > 0 {
            text += &format!("  … and {} more\n", HumanCount(more));
        }
        if self.orders_rows && self.missing + self.surplus > 0 {
            text += "  It ranks or limits rows. Where its ORDER BY leaves ties open, DataFusion may break some of them\n  \
                     in another way than Tidewater: add columns to ORDER BY until no two rows tie, to be sure.\n";
        }
        text
    }

    /// The differing rows: partition columns, leading columns, differing columns (marked by `*`), other columns.
    fn differences(&self) -> TextTable {
        let width = self.schema.fields().len();
        let mut order = self.spec.partition_by.clone();
        let leading = (0..width).filter(|column| !self.spec.partition_by.contains(column));
        order.extend(leading.take(LEADING_SHOWN));
        let differing = self
            .shown
            .iter()
            .flat_map(|shown| shown.columns.iter().copied());
        for column in differing.chain(0..width) {
            if !order.contains(&column) {
                order.push(column);
            }
        }
        let columns = order.iter().map(|&column| {
            let field = self.schema.field(column);
            (field.name().clone(), align(field))
        });
        let label = (String::new(), Align::Left);
        let mut table = TextTable::new(std::iter::once(label).chain(columns).collect());
        for shown in &self.shown {
            let is_pair = shown.expected.is_some() && shown.found.is_some();
            let sides = [
                (
                    &shown.expected,
                    if is_pair { "expected" } else { "missing" },
                    false,
                ),
                (
                    &shown.found,
                    if is_pair { "found" } else { "too many" },
                    true,
                ),
            ];
            for (row, label, marks) in sides {
                let Some(row) = row else {
                    continue;
                };
                let cell = |&column: &usize| {
                    if marks && shown.columns.contains(&column) {
                        format!("*{}", row.cells[column])
                    } else {
                        row.cells[column].clone()
                    }
                };
                let label = match row.times {
                    1 => label.to_owned(),
                    times => format!("{label} ×{times}"),
                };
                let cells = std::iter::once(label).chain(order.iter().map(cell));
                table.push(&cells.collect::<Vec<_>>());
            }
        }
        table
    }
}

impl DifferingRow {
    fn of(differing: &DifferingRows, cells: &[Vec<String>], at: usize) -> Result<Self, Failure> {
        Ok(Self {
            cells: cells[at].clone(),
            value: value(&differing.rows.slice(at, 1))?,
            times: differing.counts[at],
        })
    }
}

/// A batch of one row as a JSON object.
fn value(row: &RecordBatch) -> Result<Value, Failure> {
    let mut encoder = Box::new(JsonLinesEncoder::new(Vec::new()));
    let line = encoder.write(row).and_then(|()| encoder.finish());
    let line = line.map_err(|error| Failure::failed(error.to_string()))?;
    Ok(serde_json::from_slice(&line).unwrap_or(Value::Object(Map::new())))
}

/// The verdicts as one JSON object.
pub fn to_json(verdicts: &[Verdict], epoch: u64, seconds: f64) -> Value {
    json!({
        "epoch": epoch,
        "ok": verdicts.iter().all(Verdict::is_right),
        "seconds": seconds,
        "tables": verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>(),
    })
}

/// The verdicts as text. With `quiet`, tables that are right are left out.
pub fn to_text(verdicts: &[Verdict], epoch: u64, seconds: f64, quiet: bool) -> String {
    let style = Style::stdout();
    let mut text = String::new();
    let mut right = TextTable::new(vec![
        ("table".to_owned(), Align::Left),
        ("rows".to_owned(), Align::Right),
        (String::new(), Align::Left),
    ]);
    for verdict in verdicts.iter().filter(|verdict| verdict.is_right()) {
        let (rows, outcome) = match &verdict.unknown {
            None => (HumanCount(verdict.rows_found).to_string(), "ok".to_owned()),
            Some(_) => ("-".to_owned(), "files ok".to_owned()),
        };
        right.push(&[verdict.spec.name.to_string(), rows, outcome]);
    }
    let wrong: Vec<&Verdict> = verdicts
        .iter()
        .filter(|verdict| !verdict.is_right())
        .collect();
    if !quiet && wrong.len() < verdicts.len() {
        text += &right.render(style, "");
    }
    for verdict in verdicts.iter().filter(|_| !quiet) {
        if let Some(why) = &verdict.unknown {
            text += &format!(
                "The rows of {} were not verified: {why}.\n",
                verdict.spec.name
            );
        }
    }
    for verdict in &wrong {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &verdict.to_text(style);
    }
    if !quiet {
        let all: u64 = verdicts.iter().map(|verdict| verdict.rows_found).sum();
        let outcome = if wrong.is_empty() {
            "all rows match".to_owned()
        } else {
            format!(
                "{} {}",
                count(u64::try_from(wrong.len()).unwrap_or(0), "table"),
                if wrong.len() == 1 {
                    "differs"
                } else {
                    "differ"
                }
            )
        };
        text += &format!(
            "\nEpoch {epoch}, {}, {}: {outcome}. Took {seconds:.2} s.\n",
            count(u64::try_from(verdicts.len()).unwrap_or(0), "table"),
            count(all, "row"),
        );
    }
    text
}
