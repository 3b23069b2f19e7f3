//! Window functions. Orders are made total by `id` if ties would leave the result open. Copies of one row still tie,
//! so a query then has at most one function that distinguishes them.

use tidewater_tests::shapes::{Shape, check};

const RANKS: &[Shape] = &[
    (
        "row_number",
        "SELECT id, k, row_number() OVER (PARTITION BY k ORDER BY v, id) AS r FROM t",
    ),
    (
        "rank",
        "SELECT id, k, rank() OVER (PARTITION BY k ORDER BY v) AS r FROM t",
    ),
    (
        "dense_rank",
        "SELECT id, k, dense_rank() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM t",
    ),
    (
        "ranks of one clause",
        "SELECT id, rank() OVER w AS r, dense_rank() OVER w AS d, percent_rank() OVER w AS p, cume_dist() OVER w AS c FROM t WINDOW w AS (PARTITION BY k ORDER BY v)",
    ),
    (
        "nulls first and last",
        "SELECT id, rank() OVER (PARTITION BY ok ORDER BY v NULLS FIRST) AS a, rank() OVER (PARTITION BY ok ORDER BY v DESC NULLS LAST) AS b, rank() OVER (PARTITION BY ok ORDER BY v DESC NULLS FIRST) AS c FROM t",
    ),
    (
        "order by several",
        "SELECT id, rank() OVER (PARTITION BY ok ORDER BY k DESC, n, price DESC) AS r FROM t",
    ),
    (
        "order by expression",
        "SELECT id, rank() OVER (PARTITION BY n % 2 ORDER BY abs(v), lower(k)) AS r FROM t",
    ),
    (
        "no partition",
        "SELECT id, rank() OVER (ORDER BY day, n) AS r FROM t",
    ),
    (
        "several partitions",
        "SELECT id, row_number() OVER (PARTITION BY k, ok ORDER BY id) AS a, rank() OVER (PARTITION BY n ORDER BY id) AS b FROM t",
    ),
    (
        "ntile",
        "SELECT id, ntile(3) OVER (PARTITION BY ok ORDER BY id) AS tile FROM t",
    ),
    (
        "top by rank",
        "SELECT k, id, v FROM (SELECT k, id, v, rank() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM t) WHERE r <= 2",
    ),
    (
        "top by dense_rank of an aggregate",
        "SELECT * FROM (SELECT ok, k, s, dense_rank() OVER (PARTITION BY ok ORDER BY s DESC) AS place FROM (SELECT ok, k, sum(v) AS s FROM t GROUP BY ok, k)) WHERE place <= 2",
    ),
    (
        "latest of each",
        "SELECT k, id, ts FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY ts DESC, id) AS r FROM t) WHERE r = 1",
    ),
    (
        "qualify",
        "SELECT id, k FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY v, id) = 1",
    ),
];

const OFFSETS: &[Shape] = &[
    (
        "lag",
        "SELECT id, v, lag(v) OVER (PARTITION BY k ORDER BY id) AS p FROM t",
    ),
    (
        "lead",
        "SELECT id, v, lead(v) OVER (PARTITION BY k ORDER BY id) AS p FROM t",
    ),
    (
        "lag by two with a default",
        "SELECT id, lag(v, 2, -100) OVER (PARTITION BY ok ORDER BY id) AS p, lead(k, 1, 'none') OVER (PARTITION BY ok ORDER BY id) AS q FROM t",
    ),
    (
        "differences",
        "SELECT id, v - lag(v) OVER (PARTITION BY k ORDER BY id) AS d FROM t",
    ),
    (
        "lag of an aggregate",
        "SELECT day, s, lag(s) OVER (ORDER BY day) AS p, s - lag(s) OVER (ORDER BY day) AS d FROM (SELECT day, sum(v) AS s FROM t GROUP BY day)",
    ),
    (
        "first and last",
        "SELECT id, first_value(v) OVER (PARTITION BY k ORDER BY id) AS f, last_value(v) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS l, nth_value(v, 2) OVER (PARTITION BY k ORDER BY id) AS s FROM t",
    ),
    (
        "lag of lists",
        "SELECT id, lag(tags) OVER (PARTITION BY ok ORDER BY id) AS p FROM t",
    ),
];

const FRAMES: &[Shape] = &[
    (
        "running sum",
        "SELECT id, sum(v) OVER (PARTITION BY k ORDER BY id) AS s FROM t",
    ),
    (
        "running sum with ties",
        "SELECT id, sum(v) OVER (PARTITION BY ok ORDER BY n) AS s, count(*) OVER (PARTITION BY ok ORDER BY n) AS c FROM t",
    ),
    (
        "share of a group",
        "SELECT id, v, sum(v) OVER (PARTITION BY k) AS s, count(*) OVER (PARTITION BY k) AS c, avg(v) OVER (PARTITION BY k) AS a FROM t",
    ),
    (
        "over all",
        "SELECT id, sum(v) OVER () AS s, count(*) OVER () AS c FROM t",
    ),
    (
        "rows between",
        "SELECT id, sum(v) OVER (PARTITION BY ok ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s, avg(v) OVER (PARTITION BY ok ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a FROM t",
    ),
    (
        "rows to the end",
        "SELECT id, sum(v) OVER (PARTITION BY ok ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS s FROM t",
    ),
    (
        "range between",
        "SELECT id, sum(v) OVER (PARTITION BY ok ORDER BY n RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s FROM t WHERE n IS NOT NULL",
    ),
    (
        "groups between",
        "SELECT id, count(*) OVER (PARTITION BY ok ORDER BY n GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) AS c FROM t",
    ),
    (
        "range of time",
        "SELECT id, count(*) OVER (PARTITION BY ok ORDER BY ts RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) AS c FROM t WHERE ts IS NOT NULL",
    ),
    (
        "sums of money",
        "SELECT id, sum(price) OVER (PARTITION BY ok ORDER BY id) AS s, sum(price) OVER (PARTITION BY ok) AS t FROM t",
    ),
    (
        "sums of floats",
        "SELECT id, sum(rate) OVER (PARTITION BY ok ORDER BY id) AS s FROM t",
    ),
    (
        "min and max",
        "SELECT id, min(v) OVER (PARTITION BY k) AS lo, max(v) OVER (PARTITION BY k ORDER BY id) AS hi, max(k) OVER (PARTITION BY ok) AS text FROM t",
    ),
    (
        "clauses of all kinds",
        "SELECT id, sum(v) OVER (PARTITION BY k ORDER BY id) AS a, rank() OVER (PARTITION BY ok ORDER BY v) AS b, lag(n) OVER (ORDER BY id) AS c, count(*) OVER (PARTITION BY n) AS d FROM t",
    ),
    (
        "aggregate over a window",
        "SELECT ok, max(s) AS hi, count(*) AS c FROM (SELECT ok, sum(v) OVER (PARTITION BY ok ORDER BY id) AS s FROM t) GROUP BY ok",
    ),
    (
        "window over a join",
        "SELECT t.id, u.id AS uid, row_number() OVER (PARTITION BY t.k ORDER BY t.id, u.id) AS r FROM t JOIN u ON t.k = u.k",
    ),
    (
        "window over namesakes",
        "SELECT t.id, rank() OVER (PARTITION BY u.k ORDER BY t.id, u.id) AS r, lag(u.n) OVER (PARTITION BY t.k ORDER BY t.id, u.id) AS p FROM t JOIN u ON t.n = u.n",
    ),
    (
        "window over nothing",
        "SELECT id, rank() OVER (PARTITION BY k ORDER BY id) AS r FROM t WHERE FALSE",
    ),
    (
        "window over a group",
        "SELECT k, sum(v) AS s, rank() OVER (ORDER BY sum(v) DESC) AS r FROM t GROUP BY k",
    ),
];

#[test]
fn ranks() {
    check("ranks", RANKS);
}

#[test]
fn offsets() {
    check("offsets", OFFSETS);
}

#[test]
fn frames() {
    check("frames", FRAMES);
}
