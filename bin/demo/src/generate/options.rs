//! What to generate.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

/// What to generate.
#[derive(Clone, Debug, Args)]
pub struct GenerateOptions {
    /// Rows to write over all files
    #[arg(long, value_name = "N", value_parser = parse_records)]
    pub records: u64,

    /// Directory for the files, made if missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Names the data: another seed, other rows
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,

    /// First day
    #[arg(long, value_name = "DATE", default_value = "2024-01-01", value_parser = parse_date)]
    pub start: NaiveDate,

    /// Last day, included
    #[arg(long, value_name = "DATE", default_value = "2024-12-31", value_parser = parse_date)]
    pub end: NaiveDate,

    /// Cards in the pool; their masked numbers have at most 9,000 values [default: 50000; with --anomalies, as many as
    /// have numbers of their own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub cards: Option<u32>,

    /// Plant N cases of each rule of jobs/anomalies.sql beside the rows, and list them in OUT-planted.csv; each card has
    /// a number of its own and one home region
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub anomalies: Option<u32>,

    /// One file a day (2024-01-01.csv, …) or all rows in one (transactions.csv)
    #[arg(long, value_enum, default_value_t = FileSplit::Daily)]
    pub files: FileSplit,

    /// Write even if the directory holds other CSV files; they are kept
    #[arg(long)]
    pub force: bool,
}

/// How generated rows are spread over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileSplit {
    /// One file a day
    Daily,
    /// One file
    Single,
}

/// Parses a number of rows that fits the ten digits of an id. `_` may group its digits.
fn parse_records(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse() {
        Ok(records @ 1..=9_999_999_999) => Ok(records),
        _ => Err("give a whole number from 1 to 9_999_999_999".to_owned()),
    }
}

fn parse_date(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| "write a date of the calendar as 2024-01-31".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_are_whole_numbers_that_ids_can_count() {
        assert_eq!(parse_records("1_000_000").unwrap(), 1_000_000);
        assert_eq!(parse_records("9999999999").unwrap(), 9_999_999_999);
        for wrong in ["0", "-1", "1e6", "10_000_000_000", "", "_"] {
            assert!(parse_records(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_are_of_the_calendar() {
        assert!(parse_date("2024-02-29").is_ok());
        for wrong in ["2023-02-29", "2024-13-01", "20240101", "yesterday"] {
            assert!(parse_date(wrong).is_err(), "{wrong}");
        }
    }
}
