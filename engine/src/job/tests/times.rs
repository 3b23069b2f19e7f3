//! Times of day and their zones.

use arrow::util::display::array_value_to_string;
use datafusion_expr::{Expr, LogicalPlan};

use super::*;

/// The value of a constant expression, or the message that refuses it.
fn constant(expr: &str) -> String {
    let job = match with_sources(&format!("CREATE MATERIALIZED VIEW v AS SELECT {expr} AS x")) {
        Ok(job) => job,
        Err(errors) => return errors.errors()[0].message.clone(),
    };
    let LogicalPlan::Projection(projection) = &job.views[0].plan else {
        panic!("{expr}")
    };
    match projection.expr[0].clone().unalias() {
        Expr::Literal(value, _) => format!(
            "{} {}",
            value.data_type(),
            array_value_to_string(&value.to_array().unwrap(), 0).unwrap()
        ),
        other => format!("not constant: {other}"),
    }
}

fn check(cases: &[(&str, &str)]) {
    let wrong = cases
        .iter()
        .map(|(expr, expected)| (*expr, (*expected).to_owned(), constant(expr)))
        .filter(|(_, expected, found)| expected != found);
    let wrong: Vec<String> = wrong
        .map(|(expr, expected, found)| format!("{expr}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A date beside a timestamp is the timestamp at which it begins, in every year.
#[test]
fn dates_beside_timestamps_are_timestamps() {
    const FIRST: &str = "Timestamp(µs) 0001-01-01T00:00:00";
    const LAST: &str = "Timestamp(µs) 9999-12-31T00:00:00";
    let wrong: Vec<String> = [
        ("coalesce($d, $t)", LAST),
        ("coalesce($t, $d)", FIRST),
        ("nullif($d, $t)", LAST),
        ("greatest($t, $d)", LAST),
        ("least($d, $t)", FIRST),
        ("CASE WHEN true THEN $d ELSE $t END", LAST),
        ("CASE WHEN false THEN $d WHEN true THEN $t END", FIRST),
        ("CASE $t WHEN $d THEN 1 ELSE 0 END", "Int64 0"),
        ("$d = $t", "Boolean false"),
        ("$d > $t", "Boolean true"),
        ("$t <= $d", "Boolean true"),
        ("$d IS DISTINCT FROM $t", "Boolean true"),
        ("$t NOT IN ($d, '0001-01-01')", "Boolean false"),
        (
            "$t BETWEEN '0001-01-01' AND '9999-12-31 23:59:59'",
            "Boolean true",
        ),
        ("CASE WHEN false THEN $t ELSE '9999-12-31' END", LAST),
        (
            "$d IN ($t, TIMESTAMP '9999-12-31 00:00:00')",
            "Boolean true",
        ),
        (
            "$d BETWEEN $t AND TIMESTAMP '9999-12-31 00:00:00'",
            "Boolean true",
        ),
        ("$t = ANY(ARRAY[$d])", "Boolean false"),
        (
            "$d = ANY(ARRAY[$t, TIMESTAMP '9999-12-31 00:00:00'])",
            "Boolean true",
        ),
        (
            "array_has(ARRAY[$d], TIMESTAMP '9999-12-31 00:00:00')",
            "Boolean true",
        ),
        ("$d - $t > INTERVAL '3000000 days'", "Boolean true"),
        ("date_part('epoch', $d - $t)", "Float64 315537811200.0"),
        ("date_part('epoch', $t - $d)", "Float64 -315537811200.0"),
    ]
    .iter()
    .filter_map(|(expr, expected)| {
        let query = expr
            .replace("$d", "DATE '9999-12-31'")
            .replace("$t", "TIMESTAMP '0001-01-01 00:00:00'");
        let found = constant(&query);
        (found != *expected).then(|| format!("{expr}: {found}"))
    })
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn timestamps_count_microseconds() {
    check(&[
        (
            "TIMESTAMP '2024-03-10 07:23:12'",
            "Timestamp(µs) 2024-03-10T07:23:12",
        ),
        (
            "TIMESTAMP '2024-03-10 07:23:12.123456'",
            "Timestamp(µs) 2024-03-10T07:23:12.123456",
        ),
        (
            "CAST('2024-03-10 07:23:12.123456789' AS TIMESTAMP(9))",
            "Timestamp(ns) 2024-03-10T07:23:12.123456789",
        ),
        (
            "CAST('2024-03-10T15:30:00Z' AS TIMESTAMPTZ)",
            "Timestamp(µs, \"UTC\") 2024-03-10T15:30:00Z",
        ),
        (
            "TIMESTAMP '9999-12-31 00:00:00'",
            "Timestamp(µs) 9999-12-31T00:00:00",
        ),
        (
            "TIMESTAMP '9999-01-01 00:00:00' + INTERVAL '1 month'",
            "Timestamp(µs) 9999-02-01T00:00:00",
        ),
        (
            "to_timestamp('2024-03-10 12:00:00')",
            "Timestamp(µs) 2024-03-10T12:00:00",
        ),
        (
            "date_trunc('week', TIMESTAMP '2024-03-10 12:00:00')",
            "Timestamp(µs) 2024-03-04T00:00:00",
        ),
        (
            "date_bin(INTERVAL '15 minutes', TIMESTAMP '1969-12-31 23:50:00')",
            "Timestamp(µs) 1969-12-31T23:45:00",
        ),
        (
            "CAST(TIMESTAMP '9999-12-31 10:00:00' AS DATE)",
            "Date32 9999-12-31",
        ),
        (
            "date_part('year', TIMESTAMP '9999-12-31 10:00:00')",
            "Int32 9999",
        ),
        (
            "date_bin(INTERVAL '1 hour', TIMESTAMP '9999-12-31 10:20:00')",
            "Timestamp(µs) 9999-12-31T10:00:00",
        ),
    ]);
}

/// Open ends of dimensions. DataFusion's functions fail on them or return NULL.
#[test]
fn every_year_of_timestamp_is_cut() {
    check(&[
        (
            "date_trunc('year', TIMESTAMP '9999-12-31 23:59:59.999999')",
            "Timestamp(µs) 9999-01-01T00:00:00",
        ),
        (
            "date_trunc('quarter', TIMESTAMP '2300-08-15 12:00:00')",
            "Timestamp(µs) 2300-07-01T00:00:00",
        ),
        (
            "date_trunc('month', TIMESTAMP '0001-01-31 12:00:00')",
            "Timestamp(µs) 0001-01-01T00:00:00",
        ),
        (
            "date_trunc('week', DATE '0001-01-03')",
            "Timestamp(µs) 0001-01-01T00:00:00",
        ),
        (
            "date_trunc('week', DATE '9999-12-31')",
            "Timestamp(µs) 9999-12-27T00:00:00",
        ),
        (
            "date_trunc('day', TIMESTAMP '1600-02-29 23:59:59')",
            "Timestamp(µs) 1600-02-29T00:00:00",
        ),
        (
            "date_trunc('decade', TIMESTAMP '2024-03-10 12:00:00')",
            "Timestamp(µs) 2020-01-01T00:00:00",
        ),
        (
            "date_trunc('century', TIMESTAMP '2000-03-10 12:00:00')",
            "Timestamp(µs) 1901-01-01T00:00:00",
        ),
        (
            "date_trunc('millennium', TIMESTAMP '2001-03-10 12:00:00')",
            "Timestamp(µs) 2001-01-01T00:00:00",
        ),
        (
            "date_trunc('year', TIMESTAMP '9999-12-31 12:00:00' AT TIME ZONE 'Asia/Seoul')",
            "Timestamp(µs, \"Asia/Seoul\") 9999-01-01T00:00:00+09:00",
        ),
        (
            "date_bin(INTERVAL '1 day', DATE '9999-12-31')",
            "Timestamp(µs) 9999-12-31T00:00:00",
        ),
        (
            "date_bin(INTERVAL '1 month', TIMESTAMP '2300-02-15 12:00:00')",
            "Timestamp(µs) 2300-02-01T00:00:00",
        ),
        (
            "date_bin(INTERVAL '2 months', TIMESTAMP '1969-12-31 00:00:00', TIMESTAMP '1970-01-31 00:00:00')",
            "Timestamp(µs) 1969-11-30T00:00:00",
        ),
        (
            "date_bin(INTERVAL '7 hours', TIMESTAMP '0001-01-01 00:00:00', TIMESTAMP '9999-01-01 00:00:00')",
            "Timestamp(µs) 0000-12-31T22:00:00",
        ),
        (
            "date_part('century', TIMESTAMP '2000-03-10 12:00:00')",
            "Int32 20",
        ),
        ("EXTRACT(MILLENNIUM FROM DATE '2001-03-10')", "Int32 3"),
        ("EXTRACT(DECADE FROM DATE '2024-03-10')", "Int32 202"),
    ]);
}

#[test]
fn seconds_and_texts_become_microseconds() {
    check(&[
        ("to_timestamp(0)", "Timestamp(µs) 1970-01-01T00:00:00"),
        (
            "to_timestamp(1.999999999)",
            "Timestamp(µs) 1970-01-01T00:00:02",
        ),
        (
            "to_timestamp(253402300799)",
            "Timestamp(µs) 9999-12-31T23:59:59",
        ),
        (
            "to_timestamp('9999-12-31 10:20:30.123456')",
            "Timestamp(µs) 9999-12-31T10:20:30.123456",
        ),
        (
            "to_timestamp('31.12.9999', '%Y-%m-%d', '%d.%m.%Y')",
            "Timestamp(µs) 9999-12-31T00:00:00",
        ),
    ]);
}

#[test]
fn dates_and_hours_make_timestamps() {
    check(&[
        (
            "DATE '2024-03-10' + INTERVAL '4' HOUR",
            "Timestamp(µs) 2024-03-10T04:00:00",
        ),
        (
            "DATE '2024-03-10' - INTERVAL '1 day 1 hour'",
            "Timestamp(µs) 2024-03-08T23:00:00",
        ),
        (
            "INTERVAL '30 minutes' + DATE '2024-03-10'",
            "Timestamp(µs) 2024-03-10T00:30:00",
        ),
        (
            "DATE '2024-01-31' + INTERVAL '1 month'",
            "Date32 2024-02-29",
        ),
        ("DATE '2024-03-10' - INTERVAL '1 day'", "Date32 2024-03-09"),
    ]);
}

const SEOUL: &str = "CAST('2024-03-10T15:30:00Z' AS TIMESTAMPTZ) AT TIME ZONE 'Asia/Seoul'";

/// DataFusion's rules for zones, expected or surprising. If one of these changes, the hints must change too.
#[test]
fn zones_where_the_clock_never_changes() {
    let cases = [
        (
            "{}",
            "Timestamp(µs, \"Asia/Seoul\") 2024-03-11T00:30:00+09:00",
        ),
        (
            "date_trunc('day', {})",
            "Timestamp(µs, \"Asia/Seoul\") 2024-03-11T00:00:00+09:00",
        ),
        (
            "date_trunc('hour', {})",
            "Timestamp(µs, \"Asia/Seoul\") 2024-03-11T00:00:00+09:00",
        ),
        ("date_part('hour', {})", "Int32 0"),
        ("CAST({} AS DATE)", "Date32 2024-03-11"),
        ("to_local_time({})", "Timestamp(µs) 2024-03-11T00:30:00"),
        (
            "date_bin(INTERVAL '1 day', to_local_time({}))",
            "Timestamp(µs) 2024-03-11T00:00:00",
        ),
        // Surprising: in UTC.
        (
            "date_bin(INTERVAL '1 day', {})",
            "Timestamp(µs, \"Asia/Seoul\") 2024-03-10T09:00:00+09:00",
        ),
        ("CAST({} AS TIMESTAMP)", "Timestamp(µs) 2024-03-11T00:30:00"),
    ];
    let cases: Vec<(String, &str)> = cases
        .iter()
        .map(|(expr, expected)| (expr.replace("{}", SEOUL), *expected))
        .collect();
    check(
        &cases
            .iter()
            .map(|(expr, expected)| (expr.as_str(), *expected))
            .collect::<Vec<_>>(),
    );
    check(&[(
        "TIMESTAMP '2024-03-10 07:23:12' AT TIME ZONE 'Asia/Seoul'",
        "Timestamp(µs, \"Asia/Seoul\") 2024-03-10T07:23:12+09:00",
    )]);
}

#[test]
fn zones_where_the_clock_changes() {
    check(&[
        // Days of 23 and 25 hours begin at their local midnight.
        (
            "date_trunc('day', TIMESTAMP '2024-03-10 12:00:00' AT TIME ZONE 'America/New_York')",
            "Timestamp(µs, \"America/New_York\") 2024-03-10T00:00:00-05:00",
        ),
        (
            "date_trunc('day', TIMESTAMP '2024-11-03 12:00:00' AT TIME ZONE 'America/New_York')",
            "Timestamp(µs, \"America/New_York\") 2024-11-03T00:00:00-04:00",
        ),
        // A repeated hour is two hours with a zone, and one without.
        (
            "date_trunc('hour', CAST('2024-11-03T05:30:00Z' AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York')",
            "Timestamp(µs, \"America/New_York\") 2024-11-03T01:00:00-04:00",
        ),
        (
            "date_trunc('hour', CAST('2024-11-03T06:30:00Z' AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York')",
            "Timestamp(µs, \"America/New_York\") 2024-11-03T01:00:00-05:00",
        ),
        (
            "date_trunc('hour', to_local_time(CAST('2024-11-03T06:30:00Z' AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York'))",
            "Timestamp(µs) 2024-11-03T01:00:00",
        ),
        // Surprising: in UTC.
        (
            "date_bin(INTERVAL '1 day', TIMESTAMP '2024-11-03 12:00:00' AT TIME ZONE 'America/New_York')",
            "Timestamp(µs, \"America/New_York\") 2024-11-02T20:00:00-04:00",
        ),
        // Local times that are repeated or skipped.
        (
            "TIMESTAMP '2024-11-03 01:30:00' AT TIME ZONE 'America/New_York'",
            "cast error: Cannot cast timezone to different timezone",
        ),
        (
            "TIMESTAMP '2024-03-10 02:30:00' AT TIME ZONE 'America/New_York'",
            "cast error: Cannot cast timezone to different timezone",
        ),
    ]);
}

#[test]
fn hopping_windows() {
    check(&[
        (
            "hop(TIMESTAMP '2024-03-10 07:23:12', INTERVAL '15 minutes', INTERVAL '1 hour')",
            "List(Timestamp(µs)) [2024-03-10T06:30:00, 2024-03-10T06:45:00, 2024-03-10T07:00:00, 2024-03-10T07:15:00]",
        ),
        (
            "hop(TIMESTAMP '2024-03-10 07:23:12' AT TIME ZONE 'Asia/Seoul', INTERVAL '30 minutes', INTERVAL '1 hour')",
            "List(Timestamp(µs, \"Asia/Seoul\")) [2024-03-10T06:30:00+09:00, 2024-03-10T07:00:00+09:00]",
        ),
        (
            "hop(DATE '2024-03-10', INTERVAL '1 day', INTERVAL '2 days', TIMESTAMP '2024-01-01 06:00:00')",
            "List(Timestamp(µs)) [2024-03-08T06:00:00, 2024-03-09T06:00:00]",
        ),
    ]);
}

#[test]
fn hops_that_could_only_fail_are_refused() {
    let cases = [
        (
            "hop(ts, INTERVAL '1 month', INTERVAL '1 year')",
            "counts months",
        ),
        (
            "hop(ts, INTERVAL '0 minutes', INTERVAL '1 hour')",
            "longer than nothing",
        ),
        ("hop(ts, INTERVAL '1 hour')", "hop takes"),
        (
            "hop(region, INTERVAL '1 hour', INTERVAL '2 hours')",
            "hop takes a timestamp first",
        ),
        ("hop(ts, ts - ts, INTERVAL '2 hours')", "hop takes"),
        (
            "hop(ts, CASE WHEN ok THEN INTERVAL '1 hour' ELSE INTERVAL '2 hours' END, INTERVAL '2 hours')",
            "hop takes a constant",
        ),
    ];
    for (expr, message) in cases {
        let errors = with_sources(&format!(
            "CREATE MATERIALIZED VIEW v AS\n  SELECT {expr} AS x FROM t"
        ))
        .expect_err(expr);
        let error = &errors.errors()[0];
        assert!(error.message.contains(message), "{expr}: {errors}");
        assert_eq!((error.line, error.column), (3, 10), "{errors}");
    }
}

#[test]
fn surprises_are_said() {
    let cases = [
        (
            "date_bin(INTERVAL '1 day', at AT TIME ZONE 'Asia/Seoul')",
            "date_bin of a time in Asia/Seoul counts its windows in UTC",
            "to_local_time",
        ),
        (
            "hop(at AT TIME ZONE 'Asia/Seoul', INTERVAL '1 hour', INTERVAL '1 day')",
            "hop of a time in Asia/Seoul",
            "to_local_time",
        ),
        (
            "ts AT TIME ZONE 'America/New_York'",
            "skip an hour and repeat one",
            "TIMESTAMPTZ",
        ),
    ];
    for (expr, message, hint) in cases {
        let job = good(&format!(
            "CREATE MATERIALIZED VIEW v AS\n  SELECT {expr} AS x FROM t; CREATE MATERIALIZED VIEW w AS SELECT id FROM u"
        ));
        let found: Vec<_> = job
            .warnings
            .iter()
            .filter(|w| w.message.contains(message))
            .collect();
        let [warning] = &found[..] else {
            panic!("{expr}: {:#?}", job.warnings)
        };
        assert!(
            warning.hint.as_deref().unwrap_or_default().contains(hint),
            "{warning}"
        );
        assert_eq!(warning.line, 3, "{warning}");
    }
    for expr in [
        "date_trunc('day', at AT TIME ZONE 'America/New_York')",
        "date_bin(INTERVAL '5 minutes', at AT TIME ZONE 'Asia/Seoul')",
        "date_bin(INTERVAL '1 day', to_local_time(at AT TIME ZONE 'America/New_York'))",
        "date_bin(INTERVAL '1 day', ts)",
        "date_bin(INTERVAL '1 day', at)",
        "ts AT TIME ZONE 'Asia/Seoul'",
        "CAST(at AS TIMESTAMP)",
        "CAST(at AT TIME ZONE 'Asia/Seoul' AS TIMESTAMP)",
    ] {
        let job = good(&format!(
            "CREATE MATERIALIZED VIEW v AS SELECT {expr} AS x FROM t"
        ));
        assert!(
            job.warnings
                .iter()
                .all(|w| w.line == 1 || w.message.contains("published nowhere")),
            "{expr}: {:?}",
            job.warnings
        );
    }
}
