//! Finds the rows that break rules, and counts them by file. The sources are read once for all rules together.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidewater_connectors::source::RowPlaces;

use super::held_reports::HeldOfSource;
use super::hold::holds;
use super::search::{LookAgain, Search, read_again, spelled};
use crate::job::{Assertion, Job, Source};
use crate::plan::row_checks::RowChecks;

/// The number of rows that are shown for each rule.
const ROWS_SHOWN: usize = 5;

/// A rule that fails.
pub struct FailedRule<'a> {
    /// The rule.
    pub assertion: &'a Assertion,
    /// The deliveries that break it, if it is judged by delivery.
    pub deliveries: BTreeSet<String>,
}

/// A row that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRow {
    /// The file and line, or the offset.
    pub place: String,
    /// The columns that the job reads, as JSON.
    pub row: String,
}

/// The rows of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// All of them.
    pub rows: u64,
    /// Those that break a rule.
    pub broken: u64,
}

/// What was found of a rule. Nothing is found of a rule that is not about single rows of sources.
#[derive(Default)]
pub struct BrokenRows {
    /// The first rows that break it.
    pub shown: Vec<BrokenRow>,
    /// The rows of each file. `None` if the rule is judged by delivery, or about messages, or not all rows can be read.
    pub by_file: Option<BTreeMap<String, FileCounts>>,
}

/// Searches for the rows that break each of the rules. Rows of `held` files are found only for rules that hold them.
pub fn broken_rows(
    job: &Job,
    rules: &[FailedRule<'_>],
    held: &[HeldOfSource],
    look_again: &LookAgain<'_>,
) -> Vec<BrokenRows> {
    let nothing = rules.iter().map(|rule| BrokenRows {
        shown: Vec::new(),
        by_file: rule.assertion.by.is_none().then(BTreeMap::new),
    });
    let mut found: Vec<BrokenRows> = nothing.collect();
    for source in &job.sources {
        let searches = rules.iter().map(|rule| {
            let checks = RowChecks::of_rule(job, rule.assertion, &source.spec.name);
            Search::new(checks.ok()?, source)
        });
        let held = held.iter().filter(|held| held.source == source.spec.name);
        let held = held.flat_map(|held| held.held.iter().map(|one| one.name.as_str()));
        search_source(
            source,
            rules,
            &held.collect(),
            &searches.collect::<Vec<_>>(),
            &mut found,
            look_again,
        );
    }
    found
}

fn search_source(
    source: &Source,
    rules: &[FailedRule<'_>],
    held: &BTreeSet<&str>,
    searches: &[Option<Search>],
    found: &mut [BrokenRows],
    look_again: &LookAgain<'_>,
) {
    let Some(first) = searches.iter().flatten().next() else {
        return;
    };
    let mut is_counted = !source.input.has_offsets();
    for reader in look_again(source, &first.spec) {
        let read = read_again(&*reader, &mut |batch, places| {
            let each = rules.iter().zip(searches).zip(&mut *found);
            let searched = each.filter_map(|((rule, search), found)| {
                let search = search.as_ref()?;
                if holds(rule.assertion) || !held.contains(&*places.file) {
                    found.take(rule, search, batch, places);
                }
                Some(found.needs_more())
            });
            // Every rule takes the batch, so none is left out by a short circuit.
            let needs_more = searched.fold(false, |any, one| any | one);
            (!needs_more).then_some(())
        });
        is_counted &= matches!(read, Ok(None));
    }
    if !is_counted {
        let of_source = searches
            .iter()
            .zip(found)
            .filter(|(search, _)| search.is_some());
        of_source.for_each(|(_, found)| found.by_file = None);
    }
}

impl BrokenRows {
    fn needs_more(&self) -> bool {
        self.by_file.is_some() || self.shown.len() < ROWS_SHOWN
    }

    /// Takes the rows of a batch that break the rule.
    fn take(
        &mut self,
        rule: &FailedRule<'_>,
        search: &Search,
        batch: &RecordBatch,
        places: &RowPlaces,
    ) {
        let failing = search.check.failing(batch).unwrap_or_default();
        if let Some(files) = &mut self.by_file {
            let broken: BTreeSet<usize> = failing.iter().map(|one| one.row).collect();
            let counts = files.entry(places.file.to_string()).or_default();
            counts.rows += batch.num_rows() as u64;
            counts.broken += broken.len() as u64;
        }
        if failing.is_empty() || self.shown.len() == ROWS_SHOWN {
            return;
        }
        let is_shown = rule.chosen(batch);
        let shown = failing
            .iter()
            .filter(|one| is_shown.get(one.row) == Some(&true));
        let shown = shown.map(|one| {
            let rejected = search.check.reject(one, batch, Some(places));
            BrokenRow {
                place: spelled(&places.of(one.row)),
                row: rejected.map(|rejected| rejected.raw).unwrap_or_default(),
            }
        });
        self.shown.extend(shown.take(ROWS_SHOWN - self.shown.len()));
    }
}

impl FailedRule<'_> {
    /// Whether each row of a batch is of a delivery that breaks the rule.
    fn chosen(&self, batch: &RecordBatch) -> Vec<bool> {
        let all = || vec![true; batch.num_rows()];
        let column = self.assertion.by.as_ref();
        let Some(column) = column.and_then(|by| batch.column_by_name(by)) else {
            return all();
        };
        let options = FormatOptions::new().with_null("NULL");
        let Ok(texts) = ArrayFormatter::try_new(column, &options) else {
            return all();
        };
        let is_chosen = |row| self.deliveries.contains(&*texts.value(row).to_string());
        (0..batch.num_rows()).map(is_chosen).collect()
    }
}
