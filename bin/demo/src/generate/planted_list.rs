//! Writes the list of planted cases: a CSV file beside the directory of the data, where no job over it reads.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::NaiveDate;

use super::plan::{DataSetPlan, DayChunk};
use super::planted::{Flag, PlantedRow};
use super::rows::Company;
use super::tables::CATEGORIES;
use super::write::PendingFile;

/// The header line. A spike has no transaction and no card; its time is the beginning of the hour.
const HEADER: &str = "rule,transaction_id,related_id,card_no,transaction_date,merchant\n";

/// Writes the list to `OUT-planted.csv`. Returns its path.
pub fn write(
    plan: &DataSetPlan,
    company: &Company,
    chunks: &[DayChunk],
) -> anyhow::Result<PathBuf> {
    let path = path(&plan.out)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{} names no file", path.display());
    };
    let mut file = PendingFile::create(parent, &name.to_string_lossy())?;
    file.write(HEADER.as_bytes())?;
    for chunk in chunks.iter().filter(|chunk| chunk.ends_day) {
        let lines = plan.planted_after(chunk);
        let lines: String = lines
            .filter_map(|(id, row)| line(company, chunk.date, id, row))
            .collect();
        file.write(lines.as_bytes())?;
    }
    file.finish()?;
    Ok(path)
}

/// The path of the list for this directory, which may be given as `.` too.
fn path(out: &Path) -> anyhow::Result<PathBuf> {
    let out = if out.file_name().is_some() {
        out.to_path_buf()
    } else {
        let found = out.canonicalize();
        found.with_context(|| format!("cannot find the directory {}", out.display()))?
    };
    let Some(name) = out.file_name() else {
        bail!(
            "there is no place beside {} for the list of planted cases: give another --out",
            out.display()
        );
    };
    let mut name = name.to_os_string();
    name.push("-planted.csv");
    Ok(out.with_file_name(name))
}

/// The line of a row that a rule must flag.
fn line(company: &Company, date: NaiveDate, id: u64, row: &PlantedRow) -> Option<String> {
    let merchant = CATEGORIES[row.category].merchants[row.merchant].0;
    let hour = row.second / 3_600;
    let (rule, related) = match row.flag? {
        Flag::Hour(rule) => {
            return Some(format!("{rule},,,,{date} {hour:02}:00:00,{merchant}\n"));
        }
        Flag::Row(rule) => (rule, String::new()),
        Flag::Related(rule, before) => (rule, transaction_id(id - before)),
    };
    Some(format!(
        "{rule},{},{related},{},{date} {hour:02}:{:02}:{:02},{merchant}\n",
        transaction_id(id),
        company.masked_number(row.card),
        row.second / 60 % 60,
        row.second % 60,
    ))
}

fn transaction_id(id: u64) -> String {
    format!("TXN{id:010}")
}
