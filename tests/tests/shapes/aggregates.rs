//! `GROUP BY`, global aggregates, `DISTINCT` forms, `FILTER`, `HAVING`, `SELECT DISTINCT`.

use tidewater_tests::shapes::{Shape, check};

const GROUPED: &[Shape] = &[
    ("count", "SELECT k, count(*) AS n FROM t GROUP BY k"),
    (
        "count of a column",
        "SELECT k, count(v) AS n, count(ok) AS oks, count(tags) AS lists FROM t GROUP BY k",
    ),
    (
        "sum",
        "SELECT k, sum(v) AS v, sum(n) AS n, sum(small) AS small FROM t GROUP BY k",
    ),
    (
        "avg",
        "SELECT k, avg(v) AS v, avg(n) AS n, avg(small) AS small FROM t GROUP BY k",
    ),
    (
        "min and max",
        "SELECT k, min(v) AS least, max(v) AS most FROM t GROUP BY k",
    ),
    (
        "decimals",
        "SELECT k, sum(price) AS s, avg(price) AS a, min(price) AS lo, max(price) AS hi, count(DISTINCT price) AS d FROM t GROUP BY k",
    ),
    (
        "doubles",
        "SELECT k, sum(rate) AS s, avg(rate) AS a, min(rate) AS lo, max(rate) AS hi, count(DISTINCT rate) AS d FROM t GROUP BY k",
    ),
    (
        "reals",
        "SELECT k, sum(ratio) AS s, avg(ratio) AS a, min(ratio) AS lo, max(ratio) AS hi FROM t GROUP BY k",
    ),
    (
        "texts",
        "SELECT n, min(k) AS lo, max(k) AS hi, count(DISTINCT k) AS d, min(contact) AS first FROM t GROUP BY n",
    ),
    (
        "dates",
        "SELECT k, min(day) AS lo, max(day) AS hi, count(DISTINCT day) AS d FROM t GROUP BY k",
    ),
    (
        "timestamps",
        "SELECT k, min(ts) AS lo, max(ts) AS hi, count(DISTINCT ts) AS d, min(at) AS lo_at, max(at) AS hi_at FROM t GROUP BY k",
    ),
    (
        "booleans",
        "SELECT k, min(ok) AS lo, max(ok) AS hi, count(DISTINCT ok) AS d FROM t GROUP BY k",
    ),
    (
        "distinct sums",
        "SELECT k, sum(DISTINCT v) AS s, avg(DISTINCT v) AS a, count(DISTINCT v) AS c, min(DISTINCT v) AS lo, max(DISTINCT v) AS hi FROM t GROUP BY k",
    ),
    (
        "distinct and plain",
        "SELECT k, count(DISTINCT n) AS d, count(n) AS c, sum(v) AS s, count(*) AS rows, max(v) AS hi, avg(v) AS a FROM t GROUP BY k",
    ),
    (
        "distinct of several columns",
        "SELECT ok, count(DISTINCT k) AS ks, count(DISTINCT n) AS ns, count(DISTINCT day) AS days, sum(DISTINCT n) AS s FROM t GROUP BY ok",
    ),
    (
        "distinct decimals",
        "SELECT k, sum(DISTINCT price) AS s, avg(price) AS a FROM t GROUP BY k",
    ),
    (
        "several keys",
        "SELECT k, n, ok, day, count(*) AS c, sum(v) AS s FROM t GROUP BY k, n, ok, day",
    ),
    (
        "keys by expression",
        "SELECT upper(k) AS key, v % 3 AS rest, count(*) AS c, min(v) AS lo FROM t GROUP BY upper(k), v % 3",
    ),
    (
        "keys by position",
        "SELECT n, k, max(rate) AS hi FROM t GROUP BY 1, 2",
    ),
    (
        "keys that nobody selects",
        "SELECT count(*) AS c, max(v) AS hi FROM t GROUP BY k",
    ),
    (
        "keys of every type",
        "SELECT price, rate, ratio, ts, at, count(*) AS c FROM t GROUP BY price, rate, ratio, ts, at",
    ),
    (
        "nested keys",
        "SELECT tags, place, count(*) AS c FROM t GROUP BY tags, place",
    ),
    (
        "expressions over aggregates",
        "SELECT k, sum(v) * 2 + count(*) AS x, coalesce(max(v), 0) - coalesce(min(v), 0) AS spread, CAST(round(avg(v)) AS BIGINT) AS a FROM t GROUP BY k",
    ),
    (
        "aggregates of expressions",
        "SELECT k, sum(v * n) AS s, max(CASE WHEN ok THEN v ELSE -v END) AS m, avg(price * 2) AS a, count(nullif(v, 0)) AS c FROM t GROUP BY k",
    ),
    (
        "filter",
        "SELECT k, count(*) FILTER (WHERE ok) AS oks, sum(v) FILTER (WHERE v > 0) AS s, count(DISTINCT n) FILTER (WHERE NOT ok) AS d, min(v) FILTER (WHERE n = 1) AS lo, avg(v) FILTER (WHERE n > 0) AS a FROM t GROUP BY k",
    ),
    (
        "filters of one argument",
        "SELECT k, max(v) FILTER (WHERE ok) AS a, max(v) FILTER (WHERE NOT ok) AS b, max(v) AS c, count(DISTINCT v) FILTER (WHERE ok) AS d, count(DISTINCT v) AS e FROM t GROUP BY k",
    ),
    (
        "having",
        "SELECT k, count(*) AS c FROM t GROUP BY k HAVING count(*) > 1 AND max(v) > 2",
    ),
    (
        "having an aggregate that nobody selects",
        "SELECT k FROM t GROUP BY k HAVING sum(v) BETWEEN 0 AND 10",
    ),
    (
        "having a key",
        "SELECT k, sum(v) AS s FROM t GROUP BY k HAVING k IS NOT NULL",
    ),
    (
        "where before",
        "SELECT k, count(*) AS c, min(v) AS lo FROM t WHERE ok AND v > -2 GROUP BY k",
    ),
    (
        "aggregate of an aggregate",
        "SELECT c, count(*) AS groups, sum(s) AS s FROM (SELECT k, count(*) AS c, sum(v) AS s FROM t GROUP BY k) GROUP BY c",
    ),
    (
        "distinct of an aggregate",
        "SELECT DISTINCT c FROM (SELECT k, count(*) AS c FROM t GROUP BY k)",
    ),
    (
        "the same aggregate twice",
        "SELECT k, sum(v) AS a, sum(v) AS b, sum(v) + 1 AS c FROM t GROUP BY k",
    ),
    (
        "a constant key",
        "SELECT 'all' AS what, count(*) AS c, sum(v) AS s FROM t GROUP BY 'all'",
    ),
    (
        "of a constant",
        "SELECT k, sum(1) AS ones, count(1) AS rows, min(7) AS seven, count(DISTINCT 3) AS d, count(NULL) AS none FROM t GROUP BY k",
    ),
    (
        "of a null column",
        "SELECT k, sum(v) AS s, avg(v) AS a, min(v) AS lo, count(DISTINCT v) AS d FROM t WHERE v IS NULL GROUP BY k",
    ),
];

/// Floats: NaN, infinities, both zeros.
const WILD: &[Shape] = &[
    (
        "wild keys",
        "SELECT wild, count(*) AS c FROM t GROUP BY wild",
    ),
    ("wild rows", "SELECT DISTINCT wild FROM t"),
    // DataFusion's min of infinities alone is the largest finite number.
    (
        "wild extremes",
        "SELECT k, min(x) AS lo, max(x) AS hi FROM (SELECT k, CASE WHEN wild = 0 THEN 0.0 ELSE wild END AS x FROM t) AS q WHERE abs(x) <= 1e300 GROUP BY k",
    ),
    (
        "wild distinct",
        "SELECT k, count(DISTINCT wild) AS d FROM t GROUP BY k",
    ),
    (
        "wild sums",
        "SELECT k, sum(wild) AS s, avg(wild) AS a FROM t WHERE abs(wild) < 1e300 OR isnan(wild) GROUP BY k",
    ),
    ("wild filter", "SELECT id FROM t WHERE wild > 0 OR wild = 0"),
    (
        "wild join",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.wild = u.wild",
    ),
    (
        "wild order",
        "SELECT id, rank() OVER (ORDER BY wild) AS r FROM t",
    ),
    (
        "wild limit",
        "SELECT id, wild FROM t ORDER BY wild DESC, id LIMIT 3",
    ),
];

const GLOBAL: &[Shape] = &[
    ("all rows", "SELECT count(*) AS c FROM t"),
    (
        "all of it",
        "SELECT count(*) AS c, sum(v) AS s, avg(v) AS a, min(k) AS lo, max(day) AS hi, count(DISTINCT k) AS d, sum(price) AS p, avg(rate) AS r FROM t",
    ),
    (
        "over nothing",
        "SELECT count(*) AS c, count(v) AS cv, sum(v) AS s, avg(price) AS a, min(k) AS lo, count(DISTINCT k) AS d FROM t WHERE 1 = 0",
    ),
    (
        "over nothing left",
        "SELECT count(*) AS c, sum(rate) AS s, max(ts) AS hi FROM t WHERE v > 100",
    ),
    (
        "filters only",
        "SELECT count(*) FILTER (WHERE ok) AS c, sum(v) FILTER (WHERE v > 100) AS s FROM t",
    ),
    (
        "having over all",
        "SELECT count(*) AS c FROM t HAVING count(*) > 3",
    ),
    ("distinct only", "SELECT count(DISTINCT v) AS d FROM t"),
    (
        "distinct sum only",
        "SELECT sum(DISTINCT v) AS d, avg(DISTINCT v) AS a FROM t",
    ),
    (
        "a count of groups",
        "SELECT count(*) AS groups, max(c) AS most FROM (SELECT k, n, count(*) AS c FROM t GROUP BY k, n)",
    ),
];

const DISTINCT: &[Shape] = &[
    ("distinct", "SELECT DISTINCT k FROM t"),
    ("distinct rows", "SELECT DISTINCT k, n, ok FROM t"),
    (
        "distinct expressions",
        "SELECT DISTINCT lower(k) AS key, abs(v) AS size FROM t",
    ),
    (
        "distinct of every type",
        "SELECT DISTINCT price, rate, day, ts, at FROM t",
    ),
    (
        "distinct lists and structs",
        "SELECT DISTINCT tags, place FROM t",
    ),
    (
        "distinct where",
        "SELECT DISTINCT n FROM t WHERE k IS NOT NULL",
    ),
    (
        "group without aggregates",
        "SELECT n, k FROM t GROUP BY n, k",
    ),
    (
        "distinct with aggregates over it",
        "SELECT count(*) AS c, sum(n) AS s FROM (SELECT DISTINCT n, k FROM t)",
    ),
];

#[test]
fn grouped() {
    check("grouped", GROUPED);
}

#[test]
fn wild() {
    check("wild floats", WILD);
}

#[test]
fn global() {
    check("global", GLOBAL);
}

#[test]
fn distinct() {
    check("distinct", DISTINCT);
}
