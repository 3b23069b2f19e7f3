#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::Job;
use super::*;

const SOURCE: &str = "CREATE EXTERNAL TABLE t (x DOUBLE, y DOUBLE, n BIGINT, s TEXT, ok BOOLEAN, day DATE, ts TIMESTAMP, at TIMESTAMPTZ, \
    list TEXT[]) STORED AS JSON LOCATION 't.jsonl';\n";

fn parse(query: &str) -> Result<Job, crate::Diagnostics> {
    let sql = format!("{SOURCE}CREATE MATERIALIZED VIEW v AS {query};\nCOPY v TO 'v'");
    Job::parse("job.sql", &sql, &|_| None)
}

#[test]
fn what_is_recommended_is_accepted() {
    let mut failures = Vec::new();
    for phrase in FUNCTIONS {
        if let Err(errors) = parse(&format!("SELECT {} AS a FROM t", phrase.here)) {
            failures.push(format!("{:?}: {}\n{errors}", phrase.names, phrase.here));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn each_foreign_function_has_one_entry_and_is_unknown_here() {
    let mut names: Vec<&str> = FUNCTIONS
        .iter()
        .flat_map(|phrase| phrase.names)
        .chain(ADVICE.iter().flat_map(|(names, _)| *names))
        .copied()
        .collect();
    let known: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| super::super::catalog::function_names().any(|known| known == *name))
        .collect();
    assert_eq!(known, [""; 0], "these are functions here");
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a name has two entries");
}
