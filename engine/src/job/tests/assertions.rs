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
fn rules_on_one_relation_share_a_view() {
    let job = assertion(
        "CREATE ASSERTION a ON t CHECK (amount > 0);
         CREATE ASSERTION b ON u CHECK (id > 0);
         CREATE ASSERTION c ON t CHECK (amount < 100);
         CREATE ASSERTION d ON t CHECK (amount < 100) OPTIONS ('scope' 'delivery', 'delivery' 'region')",
    );
    let of = |name: &str| {
        let rule = job.assertion(name).expect("the rule");
        (rule.counts.as_str(), rule.broken_column.as_str())
    };
    assert_eq!(of("a"), ("assertions on t", "a"));
    assert_eq!(of("b"), ("b", "broken"));
    assert_eq!(of("c"), ("assertions on t", "c"));
    assert_eq!(of("d"), ("d", "broken"));
    let shared = job.view("assertions on t").expect("the view");
    let names: Vec<&String> = shared.schema.fields().iter().map(|f| f.name()).collect();
    assert_eq!(names, ["a", "c", "all rows"]);
    assert!(job.warnings.is_empty(), "{:?}", job.warnings);
}

#[test]
fn mistakes_in_rules_that_share_a_view_are_found_at_each_rule() {
    check(&[(
        "CREATE ASSERTION a ON t CHECK (amount > 0);\nCREATE ASSERTION b ON t CHECK (amont > 0);\nCREATE ASSERTION c ON t CHECK (idd > 0)",
        &[
            (3, 32, "no column 'amont'", "did you mean 'amount'?"),
            (4, 32, "no column 'idd'", "did you mean 'id'?"),
        ],
    )]);
    check(&[(
        "CREATE ASSERTION a ON t CHECK (amount > 0);\nCREATE ASSERTION b ON t CHECK (amount);\nCREATE ASSERTION c ON t CHECK (region)",
        &[
            (3, 32, "amount has the type BIGINT", "CHECK (amount > 0)"),
            (
                4,
                32,
                "region has the type TEXT",
                "CHECK (region IS NOT NULL)",
            ),
        ],
    )]);
    check(&[(
        "CREATE ASSERTION a ON tt CHECK (amount > 0);\nCREATE ASSERTION b ON tt CHECK (amount > 1)",
        &[
            (2, 23, "there is no table or view 'tt'", "did you mean 't'?"),
            (3, 23, "there is no table or view 'tt'", "did you mean 't'?"),
        ],
    )]);
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

/// A source of files `f`, and a rule that holds its files.
const HOLD: &str = "'scope' 'delivery', 'delivery' 'file', 'on_failure' 'hold'";

fn holding(source: &str, view: &str, rule: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE f ({source};\n{view}\nCREATE ASSERTION a ON {rule};\nCOPY f TO 'out/f';"
    )
}

const FILES: &str =
    "k TEXT, n BIGINT, file TEXT) STORED AS CSV LOCATION 'in' OPTIONS ('column.file' 'path')";

#[test]
fn files_are_held_by_rules_on_rows_that_come_from_one_of_their_rows() {
    let views = [
        "SELECT * FROM f",
        "SELECT file, n * 2 AS n FROM f WHERE k <> 'x'",
        "SELECT file, n FROM (SELECT n + 1 AS n, k, file FROM f) AS q",
        "SELECT file, n FROM f UNION ALL SELECT file, -n FROM f WHERE n < 0",
        "SELECT file, unnest(make_array(n, 1)) AS n FROM f",
    ];
    let _ = good(&holding(
        FILES,
        "",
        &format!("f CHECK (n > 0) OPTIONS ({HOLD}, 'max_ratio' '0.1')"),
    ));
    for view in views {
        let view = format!("CREATE VIEW v AS {view};");
        let _ = good(&holding(
            FILES,
            &view,
            &format!("v CHECK (n > 0) OPTIONS ({HOLD})"),
        ));
    }
    let keyed = FILES.replace("file TEXT", "file TEXT, PRIMARY KEY (k)");
    let _ = good(&holding(
        &keyed,
        "",
        &format!("f CHECK (n > 0) OPTIONS ({HOLD}, 'max_rows' '3')"),
    ));
}

#[test]
fn other_rules_hold_no_files() {
    let named = FILES.replace("'path'", "'file_name'");
    let keyed = FILES.replace("file TEXT", "file TEXT, PRIMARY KEY (k)");
    let topic = "k TEXT, n BIGINT, file BIGINT) STORED AS JSON LOCATION 'kafka://localhost:9092/t' OPTIONS ('column.file' 'partition')";
    let cases = [
        (
            FILES,
            "SELECT file, sum(n) AS n FROM f GROUP BY file",
            "",
            "computed one by one",
        ),
        (
            FILES,
            "SELECT upper(file) AS file, n FROM f",
            "",
            "as the source has it",
        ),
        (
            FILES,
            "SELECT k AS file, n FROM f",
            "",
            "file is not the path",
        ),
        (
            FILES,
            "SELECT f.file, g.n FROM f JOIN f AS g ON f.k = g.k",
            "",
            "computed one by one",
        ),
        (
            FILES,
            "SELECT file, row_number() OVER (PARTITION BY k ORDER BY n) AS n FROM f",
            "",
            "computed one by one",
        ),
        (
            FILES,
            "SELECT file, n FROM f UNION ALL SELECT region, amount FROM t",
            "",
            "computed one by one",
        ),
        (
            FILES,
            "SELECT file, n FROM f UNION ALL SELECT 'x' AS file, 1 AS n",
            "",
            "computed one by one",
        ),
        (&named, "SELECT file, n FROM f", "", "file is not the path"),
        (topic, "SELECT file, n FROM f", "", "'f' is a topic"),
        (
            &keyed,
            "SELECT file, n FROM f",
            ", 'max_ratio' '0.5'",
            "'f' has a primary key",
        ),
    ];
    for (source, view, more, message) in cases {
        let view = format!("CREATE VIEW v AS {view};");
        let sql = holding(
            source,
            &view,
            &format!("v CHECK (n > 0) OPTIONS ({HOLD}{more})"),
        );
        let found = with_sources(&sql).expect_err(&sql);
        let [error] = found.errors() else {
            panic!("{sql}\n{found}");
        };
        assert!(error.message.contains(message), "{sql}\n{found}");
        let option = if more.is_empty() {
            "'on_failure'"
        } else {
            "'max_ratio'"
        };
        let line = sql.lines().nth(error.line - 2).unwrap_or_default();
        assert_eq!(line.find(option), Some(error.column - 1), "{sql}\n{found}");
        assert!(error.hint.is_some(), "{sql}");
    }
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
