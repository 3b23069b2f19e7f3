#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod builder;
mod card;
mod declarations;
mod plans;
mod refusals;
mod times;

use super::Job;
use crate::diagnostic::Diagnostics;

/// A source of transactions that most tests select from, and one to join it with.
const SOURCES: &str = "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, ts TIMESTAMP, amount BIGINT, price DECIMAL(10, 2), rate DOUBLE, \
    ok BOOLEAN, tags TEXT[], items STRUCT<sku TEXT, qty INT>[], place STRUCT<lat DOUBLE, lon DOUBLE>, at TIMESTAMPTZ, day DATE) \
    STORED AS CSV LOCATION 'data/*.csv'; \
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
