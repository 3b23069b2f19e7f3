//! Numbers at the limits of their types. DataFusion wraps and truncates here, so the expected values are literals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use tidewater_engine::{Job, Resident};

const SOURCE: &str = "CREATE EXTERNAL TABLE t (k TEXT, n BIGINT, d DECIMAL(38, 0), p DECIMAL(10, 2)) STORED AS CSV LOCATION 't';
CREATE MATERIALIZED VIEW v AS ";

const MAX: i64 = i64::MAX;
/// The largest number of 38 digits.
const NINES: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// Two rows of one group, whose sums exceed their types, and one row of another group.
fn rows() -> RecordBatch {
    let money = |cents: Vec<i128>| {
        let money = Decimal128Array::from(cents);
        money.with_precision_and_scale(10, 2).unwrap()
    };
    let whole = Decimal128Array::from(vec![NINES, NINES, -5]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(StringArray::from(vec!["a", "a", "b"]))),
        ("n", Arc::new(Int64Array::from(vec![MAX, MAX, 3]))),
        (
            "d",
            Arc::new(whole.with_precision_and_scale(38, 0).unwrap()),
        ),
        ("p", Arc::new(money(vec![9_999_999_995, 100, 100]))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// The rows of a query as sorted text, or why it failed.
fn answer(query: &str) -> Result<Vec<String>, String> {
    let job = Job::parse("numbers", &format!("{SOURCE}{query}"), &|_| None)
        .map_err(|errors| errors.to_string())?;
    let all = rows();
    let source = job.source("t").unwrap();
    let fields = source.spec.schema.fields().iter();
    let columns = fields.map(|field| Arc::clone(all.column_by_name(field.name()).unwrap()));
    let batch = RecordBatch::try_new(Arc::clone(&source.spec.schema), columns.collect()).unwrap();
    let mut resident = Resident::start(&job, 2).unwrap();
    let changed = resident
        .epoch(vec![("t".to_owned(), batch, 1)])
        .map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for (batch, diff) in changed.into_values().flatten() {
        let times = usize::try_from(diff).unwrap();
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| {
                if column.is_null(row) {
                    "NULL".to_owned()
                } else {
                    array_value_to_string(column, row).unwrap()
                }
            });
            let row = cells.collect::<Vec<_>>().join(" ");
            rows.extend(std::iter::repeat_n(row, times));
        }
    }
    rows.sort();
    Ok(rows)
}

#[test]
fn decimals_are_compared_with_the_number_that_is_written() {
    // `p` is 99999999.95 once and 1.00 twice, `d` a whole number.
    for (condition, expected) in [
        ("p = 99999999.95", 1),
        ("99999999.95 = p", 1),
        ("p <> 99999999.95", 2),
        ("-p = -99999999.95", 1),
        ("p IN (99999999.95, 5)", 1),
        ("p NOT IN (99999999.95, 1)", 0),
        ("p BETWEEN 99999999.95 AND 99999999.95", 1),
        ("p > 99999999.949", 1),
        ("p >= 99999999.951", 0),
        ("p < 99999999.95", 2),
        ("p IS DISTINCT FROM 99999999.95", 2),
        ("CAST(p AS DECIMAL(30, 10)) = 99999999.95", 1),
        ("p * 2 = 199999999.90", 1),
        ("d < -4.5", 1),
        ("p = 1e0", 2),
        ("p > -1e30", 3),
    ] {
        let query = format!("SELECT k FROM t WHERE {condition}");
        let rows = answer(&query).unwrap();
        assert_eq!(rows.len(), expected, "{condition}: {rows:?}");
    }
}

#[test]
fn numbers_within_their_types_are_exact_and_rounded_once() {
    for (query, expected) in [
        (
            "SELECT k, avg(n) AS a FROM t GROUP BY k",
            vec!["a 9.223372036854776e18", "b 3.0"],
        ),
        // 99999999.95 and 1.00.
        (
            "SELECT avg(p) AS a FROM t WHERE k = 'a'",
            vec!["50000000.475000"],
        ),
        (
            "SELECT avg(p) AS a FROM (SELECT CAST(1 AS DECIMAL(10, 2)) AS p FROM t WHERE k = 'a' UNION ALL SELECT CAST(0 AS DECIMAL(10, 2)) FROM t WHERE k = 'b')",
            vec!["0.666667"],
        ),
        (
            "SELECT avg(-p) AS a FROM (SELECT CAST(1 AS DECIMAL(10, 2)) AS p FROM t WHERE k = 'a' UNION ALL SELECT CAST(0 AS DECIMAL(10, 2)) FROM t WHERE k = 'b')",
            vec!["-0.666667"],
        ),
        ("SELECT p / 60 AS q FROM t WHERE k = 'b'", vec!["0.016667"]),
        (
            "SELECT -p / 60 AS q FROM t WHERE k = 'b'",
            vec!["-0.016667"],
        ),
        (
            "SELECT ceil(p) AS c, floor(-p) AS f FROM t WHERE p > 2",
            vec!["100000000.00 -100000000.00"],
        ),
        ("SELECT round(p) AS r FROM t WHERE p > 2", vec!["100000000"]),
        (
            "SELECT k, sum(d - d) AS s FROM t GROUP BY k",
            vec!["a 0", "b 0"],
        ),
        ("SELECT avg(d) AS a FROM t WHERE k = 'b'", vec!["-5.0000"]),
        ("SELECT sum(n) AS s FROM t WHERE k = 'b'", vec!["3"]),
        (
            "SELECT CAST(n AS DECIMAL(38, 0)) * 2 AS s FROM t WHERE k = 'a'",
            vec!["18446744073709551614", "18446744073709551614"],
        ),
        (
            "SELECT k, sum(CAST(n AS DECIMAL(20, 0))) AS s FROM t GROUP BY k",
            vec!["a 18446744073709551614", "b 3"],
        ),
        (
            "SELECT k, avg(n) OVER (PARTITION BY k) AS a FROM t WHERE k = 'a'",
            vec!["a 9.223372036854776e18", "a 9.223372036854776e18"],
        ),
        // NaN with a sign and without.
        (
            "SELECT x, count(*) AS c, count(DISTINCT x) AS d FROM (SELECT CASE WHEN k = 'a' THEN n * (0.0e0 / 0.0e0) ELSE -(n * (0.0e0 / 0.0e0)) END AS x FROM t) AS q GROUP BY x",
            vec!["NaN 3 1"],
        ),
        (
            "SELECT CAST(7.5 AS INT) AS i, CAST(-7.5 AS INT) AS j FROM t WHERE k = 'b'",
            vec!["7 -7"],
        ),
    ] {
        assert_eq!(
            answer(query).as_deref(),
            Ok(&expected
                .iter()
                .map(|row| (*row).to_owned())
                .collect::<Vec<_>>()[..]),
            "{query}"
        );
    }
}

#[test]
fn numbers_beyond_their_types_are_errors_that_name_them() {
    for (query, parts) in [
        (
            "SELECT k, sum(n) AS s FROM t GROUP BY k",
            vec!["v:", "sum(t.n)", "k = a", "BIGINT", "18446744073709551614"],
        ),
        ("SELECT sum(n) AS s FROM t", vec!["sum(t.n)", "BIGINT"]),
        (
            "SELECT k, sum(d) AS s FROM t GROUP BY k",
            vec![
                "sum(t.d)",
                "k = a",
                "DECIMAL(38, 0)",
                "199999999999999999999999999999999999998",
            ],
        ),
        (
            "SELECT k, sum(DISTINCT d + (CASE WHEN n > 3 THEN 0 END)) AS s, sum(d) FROM t GROUP BY k",
            vec!["DECIMAL(38, 0)"],
        ),
        (
            "SELECT n + 1 AS x FROM t",
            vec![
                "9223372036854775807 + 1",
                "BIGINT",
                "n = 9223372036854775807",
            ],
        ),
        (
            "SELECT n * 1000 AS x FROM t",
            vec!["9223372036854775807 * 1000", "BIGINT"],
        ),
        (
            "SELECT -n - 2 AS x FROM t",
            vec!["-9223372036854775807 - 2", "BIGINT"],
        ),
        (
            "SELECT -(-n - 1) AS x FROM t",
            vec!["-9223372036854775808", "BIGINT"],
        ),
        ("SELECT d * 10 AS x FROM t", vec!["DECIMAL(38, 0)"]),
        ("SELECT d + d AS x FROM t", vec!["DECIMAL(38, 0)"]),
        (
            "SELECT d / CAST(0.0001 AS DECIMAL(5, 4)) AS x FROM t",
            vec!["DECIMAL(38"],
        ),
        (
            "SELECT n / (n - n) AS x FROM t",
            vec!["divides by zero", "n = "],
        ),
        (
            "SELECT p / (p - p) AS x FROM t",
            vec!["divides by zero", "p = "],
        ),
        (
            "SELECT CAST(n AS INT) AS x FROM t",
            vec!["n = 9223372036854775807"],
        ),
        (
            "SELECT sum(n) OVER (PARTITION BY k) AS x FROM t",
            vec!["sum is beyond BIGINT"],
        ),
        (
            "SELECT sum(n) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS x FROM t",
            vec!["sum is beyond BIGINT"],
        ),
        (
            "SELECT 9223372036854775807 + 1 AS x FROM t",
            vec!["9223372036854775807 + 1", "BIGINT"],
        ),
    ] {
        let error = answer(query).expect_err(query);
        for part in parts {
            assert!(error.contains(part), "{query}: no {part:?} in: {error}");
        }
    }
}
