#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod assertions;
mod builder;
mod card;
mod declarations;
mod meaning;
mod plans;
mod refusals;
mod times;
mod unsupported;

use super::Job;
use crate::diagnostic::Diagnostics;

/// A source of transactions that most tests select from, and one to join it with.
const SOURCES: &str = "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, ts TIMESTAMP, amount BIGINT, price DECIMAL(10, 2), rate DOUBLE, \
    ok BOOLEAN, tags TEXT[], items STRUCT<sku TEXT, qty INT>[], place STRUCT<lat DOUBLE, lon DOUBLE>, at TIMESTAMPTZ, day DATE) \
    STORED AS JSON LOCATION 'data/*.json'; \
    CREATE EXTERNAL TABLE u (id BIGINT, name TEXT, since TIMESTAMP) STORED AS PARQUET LOCATION 'u.parquet';";

fn parse(sql: &str) -> Result<Job, Diagnostics> {
    Job::parse("job.sql", sql, &|_| None)
}

/// A job of [`SOURCES`], on line 1, and `sql`, from line 2 on.
fn with_sources(sql: &str) -> Result<Job, Diagnostics> {
    parse(&format!("{SOURCES}\n{sql}"))
}

/// The job, or its errors as a failure.
fn good(sql: &str) -> Job {
    with_sources(sql).unwrap_or_else(|errors| panic!("{sql}\n{errors}"))
}

/// The plan of the materialized view `v` that is this query.
fn plan(query: &str) -> String {
    let job = good(&format!("CREATE MATERIALIZED VIEW v AS {query}"));
    job.view("v").expect("v").plan.display_indent().to_string()
}

/// `(SQL, [(line, column, part of the message, part of the hint)])`
type Case = (
    &'static str,
    &'static [(usize, usize, &'static str, &'static str)],
);

fn check(cases: &[Case]) {
    let mut failures = Vec::new();
    for (sql, expected) in cases {
        match with_sources(sql) {
            Ok(_) => failures.push(format!("{sql}\n  is accepted")),
            Err(errors) => {
                let found = errors.errors();
                let fits = found.len() == expected.len()
                    && found
                        .iter()
                        .zip(*expected)
                        .all(|(error, (line, column, message, hint))| {
                            (error.line, error.column) == (*line, *column)
                                && error.message.contains(message)
                                && error.hint.as_deref().unwrap_or_default().contains(hint)
                        });
                if !fits {
                    failures.push(format!(
                        "{sql}\n  expected {expected:?}\n  found {found:#?}"
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Cases that are one materialized view `v`, with places in the query's own text.
fn check_queries(cases: &[(&'static str, usize, &'static str, &'static str)]) {
    const BEFORE: &str = "CREATE MATERIALIZED VIEW v AS ";
    let cases: Vec<(String, [(usize, usize, &str, &str); 1])> = cases
        .iter()
        .map(|(query, column, message, hint)| {
            (
                format!("{BEFORE}{query}"),
                [(2, BEFORE.len() + column, *message, *hint)],
            )
        })
        .collect();
    for (sql, expected) in cases {
        let sql: &'static str = Box::leak(sql.into_boxed_str());
        let expected: &'static [_] = Box::leak(Box::new(expected));
        check(&[(sql, expected)]);
    }
}
