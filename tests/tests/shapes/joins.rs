//! Inner, left and right joins: NULL and repeated keys, several keys, residual conditions, joins of views.

use tidewater_tests::shapes::{Shape, check};

const INNER: &[Shape] = &[
    (
        "inner",
        "SELECT t.id, t.v, u.id AS uid, u.weight FROM t JOIN u ON t.k = u.k",
    ),
    (
        "duplicates",
        "SELECT t.k, u.k AS uk FROM t JOIN u ON t.k = u.k",
    ),
    (
        "two keys",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k AND t.n = u.n",
    ),
    ("using", "SELECT k, t.v, u.weight FROM t JOIN u USING (k)"),
    (
        "keys by expression",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON upper(t.k) = upper(u.k) AND t.n + 1 = u.n",
    ),
    (
        "keys of two types",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.v = u.n AND t.price = u.price",
    ),
    (
        "a residual condition",
        "SELECT t.id, t.v, u.weight FROM t JOIN u ON t.n = u.n AND t.v < u.weight",
    ),
    (
        "conditions of one side",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.n = u.n AND t.ok AND u.weight > 0 WHERE t.v > 0",
    ),
    (
        "where as a join",
        "SELECT t.id, u.id AS uid FROM t, u WHERE t.k = u.k AND t.v <> u.weight",
    ),
    (
        "self-join",
        "SELECT a.id, b.id AS other FROM t a JOIN t b ON a.k = b.k AND a.id < b.id",
    ),
    (
        "self-join of duplicates",
        "SELECT a.n, b.v FROM t a JOIN t b ON a.n = b.n",
    ),
    (
        "three-way",
        "SELECT t.id, u.id AS uid, w.name FROM t JOIN u ON t.k = u.k JOIN w ON u.n = w.n",
    ),
    (
        "triangle",
        "SELECT t.id, u.id AS uid, w.name FROM t JOIN u ON t.k = u.k JOIN w ON w.n = t.n AND w.k = u.k",
    ),
    (
        "aggregate of a join",
        "SELECT u.label, count(*) AS c, sum(t.v * u.weight) AS s, count(DISTINCT t.k) AS d FROM t JOIN u ON t.n = u.n GROUP BY u.label",
    ),
    (
        "joined aggregates",
        "SELECT a.k, a.s, b.c FROM (SELECT k, sum(v) AS s FROM t GROUP BY k) a JOIN (SELECT k, count(*) AS c FROM u GROUP BY k) b ON a.k = b.k",
    ),
    (
        "each row beside its group",
        "SELECT t.id, t.v, g.hi FROM t JOIN (SELECT k, max(v) AS hi FROM t GROUP BY k) g ON t.k = g.k AND t.v = g.hi",
    ),
    (
        "every row with a total",
        "SELECT t.id, t.v, a.s FROM (SELECT id, v, 1 AS one FROM t) t JOIN (SELECT sum(v) AS s, 1 AS one FROM t) a ON t.one = a.one",
    ),
    (
        "groups by both keys",
        "SELECT t.k, u.k AS other, count(*) AS c FROM t JOIN u ON t.n = u.n GROUP BY t.k, u.k",
    ),
    (
        "with nothing",
        "SELECT t.id, e.id AS eid FROM t JOIN (SELECT * FROM u WHERE FALSE) e ON t.k = e.k",
    ),
    (
        "on lists",
        "SELECT a.id, b.id AS other FROM t a JOIN t b ON a.tags = b.tags",
    ),
    (
        "on times and money",
        "SELECT a.id, b.id AS other FROM t a JOIN t b ON a.ts = b.ts AND a.price = b.price",
    ),
    (
        "natural",
        "SELECT t.id, u.label FROM t JOIN (SELECT k, n, label FROM u) u USING (k, n)",
    ),
    (
        "every column, using",
        "SELECT * FROM (SELECT n, v, k FROM t) t JOIN (SELECT weight, k FROM u) u USING (k)",
    ),
    (
        "one key through three",
        "SELECT k, t.id, u.id AS uid, w.name FROM t JOIN u USING (k) JOIN w USING (k)",
    ),
    (
        "lists and structs carried",
        "SELECT t.id, t.tags, t.place, u.since FROM t JOIN u ON t.n = u.n",
    ),
    (
        "distinct of one side of a join",
        "SELECT DISTINCT t.k, t.ok FROM t JOIN u ON t.k = u.k",
    ),
    (
        "one side, where the other is unique",
        "SELECT t.id, t.v FROM t JOIN (SELECT k, max(weight) AS hi FROM u GROUP BY k) g ON t.k = g.k",
    ),
    (
        "distinct of a join",
        "SELECT DISTINCT t.k, u.label FROM t JOIN u ON t.n = u.n",
    ),
    (
        "NULL equals NULL",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.k IS NOT DISTINCT FROM u.k",
    ),
    (
        "NULL equals NULL in one of two keys",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.n = u.n AND t.k IS NOT DISTINCT FROM u.k",
    ),
    (
        "NULL equals NULL, in other words",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k OR (t.k IS NULL AND u.k IS NULL)",
    ),
    (
        "NULL equals NULL, with a condition",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON (t.k IS NOT DISTINCT FROM u.k) AND t.v < u.weight",
    ),
    (
        "NULL equals NULL in a WHERE",
        "SELECT t.id, u.id AS uid FROM t, u WHERE t.n IS NOT DISTINCT FROM u.n",
    ),
];

const LEFT: &[Shape] = &[
    (
        "left",
        "SELECT t.id, t.k, u.id AS uid, u.label FROM t LEFT JOIN u ON t.k = u.k",
    ),
    (
        "left with two keys",
        "SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.k = u.k AND t.n = u.n",
    ),
    (
        "left, duplicates",
        "SELECT t.k, u.n FROM t LEFT JOIN u ON t.k = u.k",
    ),
    (
        "right",
        "SELECT t.id, u.id AS uid, u.k FROM t RIGHT JOIN u ON t.k = u.k",
    ),
    (
        "without a match",
        "SELECT t.id, t.k FROM t LEFT JOIN u ON t.k = u.k WHERE u.id IS NULL",
    ),
    (
        "left, then where on the right",
        "SELECT t.id, u.weight FROM t LEFT JOIN u ON t.k = u.k WHERE u.weight > 0",
    ),
    (
        "left, with defaults",
        "SELECT t.id, coalesce(u.label, '-') AS label, coalesce(u.weight, 0) + 1 AS weight FROM t LEFT JOIN u ON t.n = u.n",
    ),
    (
        "left of a filtered view",
        "SELECT t.id, r.id AS rid FROM t LEFT JOIN (SELECT * FROM u WHERE weight > 0) r ON t.k = r.k",
    ),
    (
        "left self-join",
        "SELECT a.id, b.id AS next FROM t a LEFT JOIN t b ON a.v = b.id",
    ),
    (
        "left of aggregates",
        "SELECT a.k, a.c, b.s FROM (SELECT k, count(*) AS c FROM t GROUP BY k) a LEFT JOIN (SELECT k, sum(weight) AS s FROM u GROUP BY k) b ON a.k = b.k",
    ),
    (
        "left with nothing",
        "SELECT t.id, e.id AS eid FROM t LEFT JOIN (SELECT * FROM u WHERE FALSE) e ON t.k = e.k",
    ),
    (
        "left using",
        "SELECT k, t.id, u.label FROM t LEFT JOIN u USING (k)",
    ),
    (
        "right using",
        "SELECT k, t.id, u.label FROM t RIGHT JOIN u USING (k)",
    ),
    (
        "natural right",
        "SELECT * FROM (SELECT k, n, v FROM t) t NATURAL RIGHT JOIN (SELECT label, n, k FROM u) u",
    ),
    (
        "groups of a right join, using",
        "SELECT k, count(*) AS c, count(t.id) AS d FROM t RIGHT JOIN u USING (k) GROUP BY k",
    ),
    (
        "two lefts",
        "SELECT t.id, u.label, w.name FROM t LEFT JOIN u ON t.k = u.k LEFT JOIN w ON t.n = w.n",
    ),
    (
        "left, then inner",
        "SELECT t.id, u.label, w.name FROM t LEFT JOIN u ON t.k = u.k JOIN w ON t.n = w.n",
    ),
    (
        "inner, then left",
        "SELECT t.id, u.label, w.name FROM t JOIN u ON t.k = u.k LEFT JOIN w ON w.n = u.n",
    ),
    (
        "left side alone",
        "SELECT t.id, t.v FROM t LEFT JOIN (SELECT DISTINCT k FROM u) g ON t.k = g.k",
    ),
    (
        "distinct of the left side",
        "SELECT DISTINCT t.k FROM t LEFT JOIN u ON t.k = u.k",
    ),
    (
        "aggregate of a left join",
        "SELECT t.k, count(u.id) AS matches, count(*) AS rows, sum(u.weight) AS s FROM t LEFT JOIN u ON t.k = u.k GROUP BY t.k",
    ),
    (
        "condition on the left's right",
        "SELECT t.id, u.label FROM t LEFT JOIN u ON t.k = u.k AND u.weight > 0",
    ),
    (
        "left, NULL equals NULL",
        "SELECT t.id, t.k, u.id AS uid FROM t LEFT JOIN u ON t.k IS NOT DISTINCT FROM u.k",
    ),
    (
        "left, NULL equals NULL in one of two keys",
        "SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.n = u.n AND u.k IS NOT DISTINCT FROM t.k",
    ),
    (
        "left, NULL equals NULL in other words",
        "SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON (u.k IS NULL AND t.k IS NULL) OR u.k = t.k",
    ),
    (
        "right, NULL equals NULL",
        "SELECT t.id, u.id AS uid FROM t RIGHT JOIN u ON (t.k IS NOT DISTINCT FROM u.k) AND t.n = u.n",
    ),
];

#[test]
fn inner() {
    check("inner joins", INNER);
}

#[test]
fn left() {
    check("left joins", LEFT);
}
