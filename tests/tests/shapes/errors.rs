//! Expressions that fail on a row: the run ends with the reason, and the process continues.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use tidewater_engine::{Job, Resident};

const SOURCE: &str = "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT) STORED AS CSV LOCATION 't'; CREATE MATERIALIZED VIEW v AS ";

/// Expressions that fail, and parts of their messages.
const FAILING: [(&str, &[&str]); 6] = [
    ("SELECT 10 / v AS q FROM t", &["zero"]),
    ("SELECT 10 % v AS q FROM t WHERE k = 'a'", &["zero"]),
    ("SELECT CAST(k AS BIGINT) AS n FROM t", &["a", "Int64"]),
    ("SELECT k, sum(10 / v) AS s FROM t GROUP BY k", &["zero"]),
    (
        "SELECT count(*) AS c FROM t GROUP BY CAST(k AS DATE)",
        &["a"],
    ),
    ("SELECT k, 1 / sum(v) AS s FROM t GROUP BY k", &["zero"]),
];

#[test]
fn a_failing_expression_ends_the_epoch_with_its_reason() {
    for (query, parts) in FAILING {
        for workers in [1, 3] {
            let job = Job::parse("failing", &format!("{SOURCE}{query}"), &|_| None)
                .unwrap_or_else(|errors| panic!("{query}\n{errors}"));
            let source = job.source("t").unwrap();
            let batch = RecordBatch::try_new(
                Arc::clone(&source.spec.schema),
                vec![
                    Arc::new(StringArray::from(vec!["7", "a", "b"])),
                    Arc::new(Int64Array::from(vec![1, 0, 2])),
                ],
            );
            let mut resident = Resident::start(&job, workers).unwrap();
            let error = resident
                .epoch(vec![("t".to_owned(), batch.unwrap(), 1)])
                .expect_err(query);
            assert_eq!(error.exit_code(), 1, "{query}: {error}");
            let message = error.to_string();
            for part in parts {
                assert!(
                    message.to_lowercase().contains(&part.to_lowercase()),
                    "{query}: no {part:?} in: {message}"
                );
            }
            assert!(
                message.contains('v'),
                "{query}: the view is not named: {message}"
            );
        }
    }
}

#[test]
fn a_delivery_that_does_not_fit_is_refused() {
    let job = Job::parse("job", &format!("{SOURCE}SELECT k FROM t"), &|_| None).unwrap();
    let batch = |columns| RecordBatch::try_from_iter::<_, &str>(columns).unwrap();
    let text = || Arc::new(StringArray::from(vec!["a"])) as arrow::array::ArrayRef;
    let number = || Arc::new(Int64Array::from(vec![1])) as arrow::array::ArrayRef;
    let fits = || batch(vec![("k", text()), ("v", number())]);
    for (source, batch, diff, part) in [
        ("x", fits(), 1, "no source x"),
        ("t", batch(vec![("k", text())]), 1, "columns"),
        (
            "t",
            batch(vec![("k", number()), ("v", number())]),
            1,
            "columns",
        ),
        ("t", fits(), 2, "not 2"),
        ("t", fits(), 0, "not 0"),
    ] {
        let mut resident = Resident::start(&job, 2).unwrap();
        let error = resident
            .epoch(vec![(source.to_owned(), batch, diff)])
            .expect_err(part)
            .to_string();
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
}
