//! `CREATE ASSERTION`: what it is kept as, and its mistakes.

use super::*;
use crate::job::Severity;

fn assertion(sql: &str) -> Job {
    good(&format!("COPY t TO 'out/t'; COPY u TO 'out/u'; {sql}"))
}

#[test]
fn a_rule_of_every_form_is_kept_as_a_view_of_counts() {
    for (rule, columns) in [
        ("ON t CHECK (amount > 0)", &["broken", "rows"][..]),
        (
            "ON t CHECK (amount > 0 AND region IN ('a', 'b') OR ok)",
            &["broken", "rows"],
        ),
        (
            "ON t CHECK (amount > 0) OPTIONS ('scope' 'delivery', 'delivery' 'region')",
            &["region", "broken", "rows"],
        ),
        (
            "CHECK (NOT EXISTS (SELECT id FROM t GROUP BY id HAVING count(*) > 1))",
            &["broken"],
        ),
        (
            "CHECK ((NOT EXISTS (SELECT 1 AS one FROM t WHERE amount < 0)))",
            &["broken"],
        ),
        (
            "CHECK ((SELECT sum(amount) FROM t) = (SELECT count(*) FROM u))",
            &["broken"],
        ),
        ("CHECK ((SELECT count(*) FROM t) > 0)", &["broken"]),
        (
            "CHECK ((SELECT sum(amount) FROM t) BETWEEN (SELECT min(id) FROM u) AND (SELECT max(id) FROM u))",
            &["broken"],
        ),
    ] {
        let job = assertion(&format!("CREATE ASSERTION a {rule}"));
        let view = job.view("a").expect("its view");
        let names: Vec<&String> = view.schema.fields().iter().map(|f| f.name()).collect();
        assert_eq!(names, columns, "{rule}");
        let mut sinks = job.sinks.iter();
        let results = sinks.find(|sink| sink.view == "_quality");
        assert!(!results.expect("the results").is_published(), "{rule}");
        assert!(job.warnings.is_empty(), "{rule}: {:?}", job.warnings);
    }
}

#[test]
fn its_options_are_limits() {
    let job = assertion(
        "CREATE ASSERTION a ON t CHECK (amount > 0);
         CREATE ASSERTION b ON t CHECK (amount > 0) OPTIONS ('max_ratio' '0.01', 'warn_rows' '3', 'describe' 'no refunds');
         CREATE ASSERTION c ON t CHECK (amount > 0) OPTIONS ('severity' 'WARN', 'max_rows' '7');",
    );
    let [a, b, c] = job.assertions.as_slice() else {
        panic!("{:?}", job.assertions)
    };
    assert_eq!(a.check, "amount > 0");
    assert_eq!(
        (a.severity, a.limit.rows, a.warn_limit.rows),
        (Severity::Error, Some(0), Some(0))
    );
    assert_eq!((b.limit.rows, b.warn_limit.rows), (None, Some(3)));
    assert_eq!(b.limit.to_string(), "a share of 0.01");
    assert_eq!(b.describe.as_deref(), Some("no refunds"));
    assert_eq!((c.severity, c.warn_limit.rows), (Severity::Warn, Some(7)));
}

#[test]
fn mistakes_in_assertions() {
    check(&[
        (
            "CREATE ASSERTION a ON t CHECK (amont > 0)",
            &[(2, 32, "no column 'amont'", "did you mean 'amount'?")],
        ),
        (
            "CREATE ASSERTION a ON tt CHECK (amount > 0)",
            &[(2, 23, "there is no table or view 'tt'", "did you mean 't'?")],
        ),
        (
            "CREATE ASSERTION a CHECK (amount > 0)",
            &[(2, 27, "this rule is about no table", "ON table")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (id IN (SELECT id FROM u))",
            &[(2, 32, "has no subquery", "NOT EXISTS")],
        ),
        (
            "CREATE ASSERTION a CHECK (NOT EXISTS (SELECT id FROM t) AND (SELECT count(*) FROM u) > 0)",
            &[(2, 39, "stand alone", "an assertion for each")],
        ),
        (
            "CREATE ASSERTION a CHECK ((SELECT amount FROM t) > 0)",
            &[(2, 28, "one value", "sum(amount)")],
        ),
        (
            "CREATE ASSERTION a CHECK (NOT EXISTS (SELECT id FROM t)) OPTIONS ('max_ratio' '0.1')",
            &[(2, 67, "ON no table", "'max_rows'")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount > 0) OPTIONS ('severity' 'fatal', 'max_ratio' '5 %', 'max_rows' '-1', 'colour' 'red')",
            &[
                (2, 53, "'fatal' is no severity", "'warn'"),
                (2, 73, "'5 %' is no share", "'0.01'"),
                (2, 92, "'-1' is no number of rows", "whole number"),
                (2, 109, "no option 'colour'", "it has severity"),
            ],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount > 0) OPTIONS ('scope' 'delivery')",
            &[(2, 53, "needs the column", "'column.file' 'path'")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount > 0) OPTIONS ('on_failure' 'ignore')",
            &[(2, 53, "'ignore' is nothing", "'hold'")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount > 0) OPTIONS ('on_failure' 'hold')",
            &[(2, 53, "judged by delivery", "'column.file' 'path'")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount > 0) OPTIONS ('severity' 'warn', 'on_failure' 'publish')",
            &[(2, 72, "never fails", "leave 'on_failure' out")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount > 0) OPTIONS ('severity' 'warn', 'warn_rows' '1')",
            &[(2, 72, "has one limit", "'max_rows'")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount > 0); COPY a TO 'out'",
            &[(2, 50, "is an assertion", "report")],
        ),
        (
            "CREATE ASSERTION t ON t CHECK (amount > 0)",
            &[(2, 18, "'t' is defined on line 1", "another name")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK amount > 0",
            &[(2, 31, "expected", "")],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount)",
            &[(
                2,
                32,
                "CHECK needs a condition, and amount has the type BIGINT",
                "CHECK (amount > 0)",
            )],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (amount + 1)",
            &[(
                2,
                32,
                "amount + 1 has the type BIGINT",
                "CHECK (amount + 1 > 0)",
            )],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (lower(region))",
            &[(
                2,
                32,
                "has the type TEXT",
                "CHECK (lower(region) IS NOT NULL)",
            )],
        ),
        (
            "CREATE ASSERTION a ON t CHECK (day) OPTIONS ('scope' 'delivery', 'delivery' 'region')",
            &[(2, 32, "has the type DATE", "CHECK (day IS NOT NULL)")],
        ),
        (
            "CREATE ASSERTION a CHECK ((SELECT sum(amount) FROM t))",
            &[(2, 28, "CHECK needs a condition", "> 0")],
        ),
        (
            "CREATE ASSERTION a CHECK ((SELECT sum(amount) FROM t) - (SELECT count(*) FROM u))",
            &[(2, 28, "has the type BIGINT", "> 0")],
        ),
    ]);
}

#[test]
fn the_results_are_published_where_the_job_says() {
    let job = assertion("COPY QUALITY TO 'out/q'; CREATE ASSERTION a ON t CHECK (amount > 0)");
    let mut sinks = job.sinks.iter();
    let results = sinks.find(|sink| sink.view == "_quality").expect("results");
    let directory = results.directory().expect("its directory");
    assert_eq!(directory.path.to_str(), Some("out/q"));
    assert_eq!(job.sinks.len(), 3);
    // A relation of that name is what COPY publishes.
    let own = assertion(
        "CREATE MATERIALIZED VIEW quality AS SELECT id FROM t; COPY quality TO 'out/q';
         CREATE ASSERTION a ON t CHECK (amount > 0)",
    );
    assert!(own.sinks.iter().any(|sink| sink.view == "quality"));
    check(&[
        (
            "COPY QUALITY TO 'out/q'",
            &[(
                2,
                6,
                "QUALITY holds the results of assertions",
                "declare one: CREATE ASSERTION",
            )],
        ),
        (
            "CREATE MATERIALIZED VIEW _quality AS SELECT id FROM t",
            &[(
                2,
                26,
                "'_quality' is the name of a table that each job has",
                "COPY QUALITY TO 'path'",
            )],
        ),
    ]);
}
