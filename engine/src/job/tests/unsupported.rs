//! Queries that are not maintained. Columns count within the query's own text.

use super::*;

#[test]
fn what_depends_on_the_clock_or_on_chance() {
    check_queries(&[
        (
            "SELECT now() AS n FROM t",
            8,
            "now() depends on when the job runs",
            "TIMESTAMP '${now}'",
        ),
        (
            "SELECT id FROM t WHERE ts > current_timestamp",
            29,
            "depends on when the job runs",
            "TIMESTAMP '${now}'",
        ),
        (
            "SELECT id FROM t WHERE day = current_date",
            30,
            "depends on when the job runs",
            "DATE '${today}'",
        ),
        (
            "SELECT id FROM t WHERE day = today()",
            30,
            "depends on when the job runs",
            "DATE '${today}'",
        ),
        (
            "SELECT current_time AS n FROM t",
            8,
            "depends on when the job runs",
            "TIME '${time}'",
        ),
        (
            "SELECT random() AS r FROM t",
            8,
            "another value each time",
            "md5",
        ),
        (
            "SELECT uuid() AS r FROM t",
            8,
            "another value each time",
            "md5",
        ),
        (
            "SELECT region, sum(amount * random()) AS r FROM t GROUP BY region",
            29,
            "another value each time",
            "md5",
        ),
        (
            "SELECT id FROM t WHERE id = $1",
            29,
            "$1 has no value",
            "${name}",
        ),
    ]);
}

#[test]
fn subqueries_in_expressions() {
    check_queries(&[
        (
            "SELECT id FROM t WHERE id IN (1, 2) AND id IN (SELECT id FROM u)",
            48,
            "IN (SELECT …)",
            "JOIN (SELECT DISTINCT key FROM …) AS other ON other.key = id",
        ),
        (
            "SELECT id FROM t WHERE id NOT IN (SELECT id FROM u)",
            35,
            "NOT IN (SELECT …)",
            "LEFT JOIN (SELECT DISTINCT key FROM …) AS other ON other.key = id, and keep WHERE other.key IS NULL",
        ),
        (
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
            32,
            "EXISTS",
            "JOIN (SELECT DISTINCT",
        ),
        (
            "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
            36,
            "NOT EXISTS",
            "WHERE other.key IS NULL",
        ),
        (
            "SELECT id FROM t WHERE amount > (SELECT avg(id) FROM u)",
            34,
            "a SELECT as a value",
            "JOIN",
        ),
        (
            "SELECT region, sum(amount) / (SELECT sum(amount) FROM t) AS share FROM t GROUP BY region",
            31,
            "a SELECT as a value",
            "sum(sum(x)) OVER ()",
        ),
        (
            "SELECT id FROM t WHERE id > ALL (SELECT id FROM u)",
            34,
            "ANY and ALL",
            "min(x) or max(x)",
        ),
    ]);
}

#[test]
fn clauses_of_other_systems() {
    check_queries(&[
        (
            "SELECT * FROM t PIVOT (sum(amount) FOR region IN ('web' AS web, 'shop', 'Tel', 'x')) AS p",
            17,
            "PIVOT is not supported",
            "write sum(amount) FILTER (WHERE region = 'web') AS web, sum(amount) FILTER (WHERE region = 'shop') AS shop, \
             sum(amount) FILTER (WHERE region = 'Tel') AS tel, … and GROUP BY the other columns",
        ),
        (
            "SELECT * FROM t UNPIVOT (value FOR name IN (amount, id)) AS p",
            17,
            "UNPIVOT is not supported",
            "SELECT …, 'amount' AS name, amount AS value FROM t UNION ALL SELECT …, 'id' AS name, id AS value FROM t",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY region ORDER BY ts MEASURES A.id AS id PATTERN (A B+) DEFINE B AS B.amount > 1)",
            17,
            "MATCH_RECOGNIZE is not supported",
            "lag(x) and lead(x)",
        ),
        (
            "SELECT (place).lat AS lat FROM t",
            9,
            "in brackets",
            "write place['lat']",
        ),
        (
            "SELECT id FROM t TABLESAMPLE BERNOULLI (10)",
            18,
            "TABLESAMPLE is not supported",
            "md5(key)",
        ),
        (
            "SELECT abs(amount) FILTER (WHERE ok) AS a FROM t",
            8,
            "FILTER belongs to aggregates, and abs",
            "CASE WHEN condition THEN abs(…) END",
        ),
        (
            "SELECT abs(DISTINCT amount) AS a FROM t",
            8,
            "abs is a function of one row",
            "remove",
        ),
        (
            "SELECT id FROM t ORDER BY id FETCH FIRST 3 ROWS ONLY",
            30,
            "FETCH FIRST",
            "write LIMIT 3",
        ),
        (
            "SELECT window_start FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1 hour')",
            26,
            "TUMBLE(…)",
            "date_bin(INTERVAL '1 hour', ts)",
        ),
        (
            "SELECT window_start FROM hop(t, ts, INTERVAL '1 hour', INTERVAL '2 hours')",
            26,
            "table functions are not supported: hop(…)",
            "unnest(hop(ts",
        ),
        (
            "SELECT t.id FROM t ASOF LEFT JOIN u ON t.id = u.id",
            20,
            "ASOF JOIN",
            "UNION ALL",
        ),
        (
            "SELECT t.id FROM t ASOF JOIN u MATCH_CONDITION (t.ts >= u.since) ON t.id = u.id",
            20,
            "ASOF JOIN",
            "UNION ALL",
        ),
        (
            "SELECT region, count(*) AS n FROM t GROUP BY region EMIT ON WINDOW CLOSE",
            53,
            "EMIT is not supported",
            "'retain'",
        ),
        (
            "SELECT * FROM read_csv('x.csv')",
            15,
            "table functions are not supported: read_csv(…)",
            "CREATE EXTERNAL TABLE",
        ),
    ]);
}

#[test]
fn windows_of_hop_are_unnested_before_they_are_grouped() {
    let hop = "hop(ts, INTERVAL '1 hour', INTERVAL '2 hours')";
    let refused = [
        format!("SELECT {hop} AS w, count(*) AS n FROM t GROUP BY {hop}"),
        format!("SELECT {hop} AS w, count(*) AS n FROM t GROUP BY w"),
        format!("SELECT {hop} AS w, count(*) AS n FROM t GROUP BY 1"),
        format!("SELECT w, count(*) AS n FROM (SELECT {hop} AS w FROM t) AS s GROUP BY w"),
    ];
    for query in refused {
        let errors =
            with_sources(&format!("CREATE MATERIALIZED VIEW v AS {query}")).expect_err(&query);
        let [error] = errors.errors() else {
            panic!("{query}\n{errors}")
        };
        assert!(
            error.message.contains("hop gives a list of windows"),
            "{query}\n{errors}"
        );
        assert!(
            error
                .hint
                .as_deref()
                .unwrap_or_default()
                .contains("unnest(hop(…))"),
            "{query}\n{errors}"
        );
    }
    plan(&format!(
        "SELECT w, count(*) AS n FROM (SELECT unnest({hop}) AS w FROM t) AS s GROUP BY w"
    ));
}

#[test]
fn frames_that_hold_nothing() {
    let frame =
        |frame: &str| format!("SELECT id, sum(amount) OVER (ORDER BY id {frame}) AS s FROM t");
    let refused = [
        "ROWS BETWEEN 0 PRECEDING AND 2 PRECEDING",
        "ROWS BETWEEN 1 PRECEDING AND 10 PRECEDING",
        "ROWS BETWEEN 10 FOLLOWING AND 1 FOLLOWING",
        "ROWS BETWEEN CURRENT ROW AND 1 PRECEDING",
        "ROWS BETWEEN 1 FOLLOWING AND CURRENT ROW",
        "RANGE BETWEEN 1 PRECEDING AND 10 PRECEDING",
        "RANGE BETWEEN 10 FOLLOWING AND 1 FOLLOWING",
        "GROUPS BETWEEN 1 PRECEDING AND 2 PRECEDING",
    ];
    for refused in refused {
        let query = frame(refused);
        let errors =
            with_sources(&format!("CREATE MATERIALIZED VIEW v AS {query}")).expect_err(refused);
        let [error] = errors.errors() else {
            panic!("{query}\n{errors}")
        };
        assert!(
            error
                .message
                .contains(&format!("ends before it begins: {refused}")),
            "{errors}"
        );
        assert_eq!((error.line, error.column), (2, 72), "{errors}");
    }
    for accepted in [
        "ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
        "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING",
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING",
        "ROWS 3 PRECEDING",
    ] {
        plan(&frame(accepted));
    }
}

#[test]
fn set_operations_and_recursion() {
    check_queries(&[
        (
            "SELECT id FROM t INTERSECT SELECT id FROM u",
            18,
            "INTERSECT",
            "SELECT DISTINCT key",
        ),
        (
            "SELECT id FROM t EXCEPT SELECT id FROM u",
            18,
            "EXCEPT",
            "LEFT JOIN",
        ),
        (
            "SELECT DISTINCT ON (region) region, id FROM t ORDER BY region, id",
            8,
            "DISTINCT ON",
            "row_number()",
        ),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r",
            6,
            "RECURSIVE",
            "",
        ),
        (
            "SELECT region, sum(amount) AS s FROM t GROUP BY ROLLUP (region)",
            49,
            "ROLLUP",
            "UNION ALL",
        ),
        (
            "SELECT region, sum(amount) AS s FROM t GROUP BY GROUPING SETS ((region), ())",
            49,
            "GROUPING SETS",
            "UNION ALL",
        ),
        (
            "SELECT region, ok, sum(amount) AS s FROM t GROUP BY CUBE (region, ok)",
            53,
            "CUBE",
            "UNION ALL",
        ),
    ]);
}

#[test]
fn joins_that_are_not_maintained() {
    check_queries(&[
        (
            "SELECT t.id FROM t FULL JOIN u ON t.id = u.id",
            20,
            "FULL JOIN",
            "UNION ALL",
        ),
        (
            "SELECT t.id FROM t CROSS JOIN u",
            20,
            "no equality",
            "ON a.key = b.key",
        ),
        (
            "SELECT t.id FROM t, u",
            13,
            "no equality",
            "ON a.key = b.key",
        ),
        (
            "SELECT t.id FROM t JOIN u ON t.id < u.id",
            30,
            "no equality",
            "ON a.key = b.key",
        ),
        (
            "SELECT t.id FROM t LEFT JOIN u ON t.id = u.id AND t.ts < u.since",
            51,
            "matches by equality alone",
            "in a view first",
        ),
        (
            "SELECT t.id FROM t LEFT JOIN u ON t.id = u.id AND t.amount > 5",
            51,
            "matches by equality alone",
            "in a view first",
        ),
        (
            "SELECT t.id FROM t LEFT SEMI JOIN u ON t.id = u.id",
            25,
            "SEMI JOIN",
            "SELECT DISTINCT key",
        ),
        (
            "SELECT t.id FROM t LEFT ANTI JOIN u ON t.id = u.id",
            25,
            "ANTI JOIN",
            "IS NULL",
        ),
    ]);
}

#[test]
fn aggregates_that_are_not_maintained() {
    check_queries(&[
        (
            "SELECT approx_distinct(id) AS n FROM t",
            8,
            "approx_distinct",
            "count(DISTINCT x)",
        ),
        (
            "SELECT median(amount) AS n FROM t",
            8,
            "median",
            "row_number()",
        ),
        (
            "SELECT array_agg(id) AS n FROM t",
            8,
            "array_agg",
            "publish one row for each value",
        ),
        (
            "SELECT string_agg(region, ',') AS n FROM t",
            8,
            "string_agg",
            "publish one row for each value",
        ),
        ("SELECT bool_and(ok) AS n FROM t", 8, "bool_and", "min(CASE"),
        ("SELECT bool_or(ok) AS n FROM t", 8, "bool_or", "max(CASE"),
        ("SELECT stddev(rate) AS n FROM t", 8, "stddev", "sum(x * x)"),
        ("SELECT var_samp(rate) AS n FROM t", 8, "var", "sum(x * x)"),
        (
            "SELECT region, first_value(id ORDER BY ts) AS n FROM t GROUP BY region",
            16,
            "first_value",
            "row_number()",
        ),
        (
            "SELECT sum(amount ORDER BY ts) AS n FROM t",
            8,
            "ORDER BY inside sum",
            "remove",
        ),
        (
            "SELECT count(DISTINCT region, ok) AS n FROM t",
            8,
            "one argument",
            "struct(a, b)",
        ),
        (
            "SELECT max(tags) AS n FROM t",
            12,
            "max of TEXT[]",
            "take a field",
        ),
        ("SELECT avg(ts - ts) AS n FROM t", 12, "avg of", "CAST"),
    ]);
}

#[test]
fn windows_that_are_not_maintained() {
    check_queries(&[
        (
            "SELECT count(DISTINCT region) OVER (PARTITION BY ok) AS n FROM t",
            8,
            "DISTINCT",
            "GROUP BY",
        ),
        (
            "SELECT sum(amount) FILTER (WHERE ok) OVER (PARTITION BY region) AS n FROM t",
            8,
            "FILTER",
            "CASE WHEN",
        ),
        (
            "SELECT lag(amount) IGNORE NULLS OVER (ORDER BY ts) AS n FROM t",
            8,
            "IGNORE NULLS",
            "IS NOT NULL",
        ),
        (
            "SELECT stddev(rate) OVER (PARTITION BY region) AS n FROM t",
            8,
            "stddev OVER",
            "row_number",
        ),
    ]);
}

#[test]
fn orders_and_limits_that_are_not_defined() {
    check_queries(&[
        (
            "SELECT id FROM t LIMIT 3",
            18,
            "LIMIT without ORDER BY",
            "add ORDER BY",
        ),
        (
            "SELECT id FROM (SELECT id FROM t LIMIT 3) AS s ORDER BY id",
            34,
            "LIMIT without ORDER BY",
            "add ORDER BY",
        ),
        (
            "SELECT id FROM t ORDER BY id LIMIT 3 OFFSET 2",
            38,
            "OFFSET",
            "row_number()",
        ),
        (
            "SELECT id FROM t ORDER BY ts",
            27,
            "no such column",
            "add it to the SELECT list",
        ),
        (
            "SELECT id FROM t ORDER BY ts LIMIT 3",
            27,
            "no such column",
            "add it to the SELECT list",
        ),
        (
            "SELECT id FROM t ORDER BY id + 1",
            18,
            "no such column",
            "add it to the SELECT list",
        ),
    ]);
}
