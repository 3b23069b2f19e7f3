//! The report of a replay: a line for each step, then tables and cost, or one JSON object.

use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Map, Value, json};
use tidewater_engine::{History, Replay, Replayed};

use crate::display::count;
use crate::style::Style;
use crate::table::{Align, TextTable};

/// Most tables that a step's line names. More are only counted.
const NAMED_MAX: usize = 3;

/// Rows that were inserted and deleted.
#[derive(Clone, Copy, Default)]
struct ChangedRows {
    inserted: u64,
    deleted: u64,
}

impl ChangedRows {
    fn add(&mut self, more: Self) {
        self.inserted += more.inserted;
        self.deleted += more.deleted;
    }

    fn any(self) -> bool {
        self.inserted + self.deleted > 0
    }

    fn text(self) -> String {
        let of = |sign: char, rows: u64| (rows > 0).then(|| format!(" {sign}{}", HumanCount(rows)));
        of('+', self.inserted).unwrap_or_default() + &of('-', self.deleted).unwrap_or_default()
    }
}

/// A step, without its rows.
struct StepLine {
    start: Option<String>,
    rows: u64,
    seconds: f64,
    changed: Vec<ChangedRows>,
}

/// All steps so far.
pub struct ReplayReport {
    history: History,
    tables: Vec<String>,
    steps: Vec<StepLine>,
}

impl ReplayReport {
    /// An empty report.
    pub fn new(replay: &Replay) -> Self {
        Self {
            history: replay.history().clone(),
            tables: replay.tables().to_vec(),
            steps: Vec::new(),
        }
    }

    /// The heading: how rows are assigned to steps, and the columns' names.
    pub fn heading(&self) -> String {
        let style = Style::stdout();
        let mut text = String::new();
        for note in &self.history.notes {
            text += &format!("{note}\n");
        }
        let names = format!("{:<19}{:>13}{:>12}  changes", "step", "rows in", "ms");
        text + &format!("\n{}\n", style.bold(&names))
    }

    /// Adds a step, and returns its line.
    pub fn add(&mut self, step: &Replayed) -> String {
        let changed = step.changes.iter().map(|changes| {
            let mut changed = ChangedRows::default();
            for (rows, sign) in changes {
                let rows = rows.num_rows() as u64;
                changed.add(if *sign > 0 {
                    ChangedRows {
                        inserted: rows,
                        deleted: 0,
                    }
                } else {
                    ChangedRows {
                        inserted: 0,
                        deleted: rows,
                    }
                });
            }
            changed
        });
        let line = StepLine {
            start: step.start.clone(),
            rows: step.rows,
            seconds: step.seconds,
            changed: changed.collect(),
        };
        let text = format!(
            "{:<19}{:>13}{:>12.1}  {}\n",
            line.start.as_deref().unwrap_or("all rows"),
            HumanCount(line.rows).to_string(),
            line.seconds * 1000.0,
            self.changes(&line)
        );
        self.steps.push(line);
        text
    }

    /// The tables that a step changed: by name if they are few, otherwise in total.
    fn changes(&self, line: &StepLine) -> String {
        let tables = self.tables.iter().zip(&line.changed);
        let changed: Vec<_> = tables.filter(|(_, changed)| changed.any()).collect();
        if changed.is_empty() {
            "none".to_owned()
        } else if changed.len() <= NAMED_MAX {
            let named = changed
                .iter()
                .map(|(table, of)| format!("{table}{}", of.text()));
            named.collect::<Vec<_>>().join(", ")
        } else {
            let mut all = ChangedRows::default();
            changed.iter().for_each(|(_, of)| all.add(**of));
            format!("{} tables{}", changed.len(), all.text())
        }
    }

    /// The tables, and the cost of the steps.
    pub fn to_text(&self, peak_memory: Option<u64>) -> String {
        let mut table = TextTable::new(vec![
            ("table".to_owned(), Align::Left),
            ("rows".to_owned(), Align::Right),
            ("inserted".to_owned(), Align::Right),
            ("deleted".to_owned(), Align::Right),
        ]);
        for (name, total) in self.totals() {
            let mut row = vec![name.clone()];
            let rows = total.inserted - total.deleted;
            let numbers = [rows, total.inserted, total.deleted];
            row.extend(numbers.map(|number| HumanCount(number).to_string()));
            table.push(&row);
        }
        let times = self.sorted_seconds();
        let ms = |seconds: f64| format!("{:.1} ms", seconds * 1000.0);
        let mut text = format!("\n{}\n", table.render(Style::stdout(), ""));
        text += &format!(
            "{} in {}: {:.2} s; median {}, p99 {}, longest {}.\n",
            count(self.rows_in(), "row"),
            count(self.steps.len() as u64, "step"),
            times.iter().sum::<f64>(),
            ms(rank(&times, 50)),
            ms(rank(&times, 99)),
            ms(rank(&times, 100)),
        );
        let history = &self.history;
        text += &format!(
            "Read {} in {:.2} s",
            count(history.rows_read, "row"),
            history.seconds
        );
        for (rows, what) in [
            (history.rows_outside, "left out"),
            (history.rows_bad, "bad"),
        ] {
            if rows > 0 {
                text += &format!(", {} {what}", HumanCount(rows));
            }
        }
        if let Some(bytes) = peak_memory {
            text += &format!("; peak memory {}", DecimalBytes(bytes));
        }
        text + ".\n"
    }

    /// The report as one JSON object. `peak_memory_bytes` is null if the system does not report it.
    pub fn to_json(&self, peak_memory: Option<u64>) -> Value {
        let numbers = |changed: ChangedRows| json!({"rows_inserted": changed.inserted, "rows_deleted": changed.deleted});
        let steps = (0u64..).zip(&self.steps).map(|(epoch, step)| {
            let tables = self.tables.iter().zip(&step.changed);
            let tables = tables.filter(|(_, changed)| changed.any());
            let tables: Map<String, Value> = tables
                .map(|(table, changed)| (table.clone(), numbers(*changed)))
                .collect();
            json!({
                "step": step.start,
                "epoch": epoch,
                "rows_in": step.rows,
                "seconds": step.seconds,
                "tables": tables,
            })
        });
        let tables = self.totals().into_iter().map(|(name, total)| {
            let mut numbers = numbers(total);
            numbers["rows"] = json!(total.inserted - total.deleted);
            (name.clone(), numbers)
        });
        let times = self.sorted_seconds();
        json!({
            "steps": steps.collect::<Vec<_>>(),
            "tables": tables.collect::<Map<_, _>>(),
            "rows_read": self.history.rows_read,
            "rows_bad": self.history.rows_bad,
            "rows_outside": self.history.rows_outside,
            "rows_in": self.rows_in(),
            "notes": self.history.notes,
            "seconds": {
                "read": self.history.seconds,
                "steps": times.iter().sum::<f64>(),
                "step_median": rank(&times, 50),
                "step_p99": rank(&times, 99),
                "step_max": rank(&times, 100),
            },
            "peak_memory_bytes": peak_memory,
        })
    }

    fn rows_in(&self) -> u64 {
        self.steps.iter().map(|step| step.rows).sum()
    }

    fn totals(&self) -> Vec<(&String, ChangedRows)> {
        let mut totals = vec![ChangedRows::default(); self.tables.len()];
        for step in &self.steps {
            for (total, changed) in totals.iter_mut().zip(&step.changed) {
                total.add(*changed);
            }
        }
        self.tables.iter().zip(totals).collect()
    }

    fn sorted_seconds(&self) -> Vec<f64> {
        let mut times: Vec<f64> = self.steps.iter().map(|step| step.seconds).collect();
        times.sort_by(f64::total_cmp);
        times
    }
}

/// The least value of `sorted` that `percent` percent do not exceed; 0 if there are none.
fn rank(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100);
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    #[test]
    fn ranks_are_of_values_that_are_there() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        for (percent, expected) in [(50, 50.0), (99, 99.0), (100, 100.0)] {
            assert_eq!(rank(&hundred, percent), expected);
        }
        assert_eq!((rank(&[7.0], 50), rank(&[7.0], 99)), (7.0, 7.0));
        assert_eq!(rank(&[1.0, 2.0], 50), 1.0);
        assert_eq!(rank(&[], 50), 0.0);
    }
}
