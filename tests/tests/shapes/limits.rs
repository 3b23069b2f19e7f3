//! `ORDER BY … LIMIT` with total orders, and `ORDER BY` alone, which orders the published file but not the table.

use tidewater_tests::shapes::{Shape, check};

const SHAPES: &[Shape] = &[
    ("order by", "SELECT id, v FROM t ORDER BY v DESC, id"),
    ("limit", "SELECT id, v FROM t ORDER BY v, id LIMIT 3"),
    (
        "limit, descending",
        "SELECT id, v FROM t ORDER BY v DESC, id DESC LIMIT 4",
    ),
    (
        "rows after the first ones",
        "SELECT id, v FROM (SELECT id, v, row_number() OVER (ORDER BY v, id) AS n FROM t) WHERE n > 2 AND n <= 5",
    ),
    (
        "limit nulls last",
        "SELECT id, v FROM t ORDER BY v DESC NULLS LAST, id LIMIT 5",
    ),
    (
        "limit nulls first",
        "SELECT id, v FROM t ORDER BY v NULLS FIRST, id LIMIT 2",
    ),
    (
        "limit by a column that nobody selects",
        "SELECT k FROM (SELECT k FROM t ORDER BY v, id LIMIT 3)",
    ),
    (
        "limit by expression",
        "SELECT id, v FROM (SELECT id, v FROM t ORDER BY abs(v), id LIMIT 3)",
    ),
    (
        "limit by text and money",
        "SELECT id, k, price FROM t ORDER BY price DESC, k, id LIMIT 4",
    ),
    ("limit none", "SELECT id FROM t ORDER BY id LIMIT 0"),
    ("limit one", "SELECT id FROM t ORDER BY id LIMIT 1"),
    (
        "limit of an aggregate",
        "SELECT k, sum(v) AS s FROM t GROUP BY k ORDER BY s DESC NULLS LAST, k LIMIT 2",
    ),
    (
        "aggregate of a limit",
        "SELECT count(*) AS c, sum(v) AS s FROM (SELECT v FROM t ORDER BY v, id LIMIT 3)",
    ),
    (
        "limit of a limit",
        "SELECT id FROM (SELECT id, v FROM t ORDER BY v, id LIMIT 5) ORDER BY id DESC LIMIT 2",
    ),
    (
        "limit of a join",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k ORDER BY t.id, u.id LIMIT 4",
    ),
    (
        "limit of distinct",
        "SELECT DISTINCT n FROM t ORDER BY n LIMIT 2",
    ),
    (
        "limit of a union",
        "SELECT k, n FROM t UNION SELECT k, n FROM u ORDER BY k, n LIMIT 3",
    ),
    (
        "join with a limit",
        "SELECT t.id, best.weight FROM t JOIN (SELECT k, weight, id FROM u ORDER BY weight DESC, id LIMIT 3) best ON t.k = best.k",
    ),
];

#[test]
fn limits() {
    check("limits", SHAPES);
}
