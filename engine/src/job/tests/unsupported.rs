//! Queries that are not maintained. Columns are those of the query's own text.

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
            "SELECT id FROM t WHERE id IN (SELECT id FROM u)",
            27,
            "IN (SELECT …)",
            "JOIN",
        ),
        (
            "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
            28,
            "EXISTS",
            "JOIN",
        ),
        (
            "SELECT id FROM t WHERE amount > (SELECT avg(id) FROM u)",
            34,
            "a SELECT as a value",
            "JOIN",
        ),
        (
            "SELECT (SELECT max(id) FROM u) AS m FROM t",
            9,
            "a SELECT as a value",
            "JOIN",
        ),
        (
            "SELECT id FROM t WHERE id > ALL (SELECT id FROM u)",
            29,
            "ANY and ALL",
            "JOIN",
        ),
    ]);
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
        (
            "SELECT t.id FROM t JOIN u ON t.id IS NOT DISTINCT FROM u.id",
            35,
            "IS NOT DISTINCT FROM",
            "coalesce",
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
            "aggregates are count",
        ),
        (
            "SELECT array_agg(id) AS n FROM t",
            8,
            "array_agg",
            "aggregates are count",
        ),
        (
            "SELECT string_agg(region, ',') AS n FROM t",
            8,
            "string_agg",
            "aggregates are count",
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
            "max of List",
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
