//! `UNION ALL`, `UNION`, `VALUES`.

use tidewater_tests::shapes::{Shape, check};

const SHAPES: &[Shape] = &[
    (
        "union all",
        "SELECT k, n FROM t UNION ALL SELECT k, n FROM u",
    ),
    (
        "union all of itself",
        "SELECT k FROM t UNION ALL SELECT k FROM t WHERE ok",
    ),
    ("union", "SELECT k, n FROM t UNION SELECT k, n FROM u"),
    (
        "union of three",
        "SELECT k FROM t UNION ALL SELECT label FROM u UNION ALL SELECT name FROM w",
    ),
    (
        "union of types",
        "SELECT v AS x FROM t UNION ALL SELECT n FROM u UNION ALL SELECT price FROM t",
    ),
    (
        "union by name",
        "SELECT k, n FROM t UNION ALL BY NAME SELECT n, k FROM u",
    ),
    (
        "union of joins",
        "SELECT t.k AS a, u.k AS b FROM t JOIN u ON t.n = u.n UNION ALL SELECT u.k, w.k FROM u JOIN w ON u.n = w.n",
    ),
    (
        "union with nothing",
        "SELECT k, n FROM t UNION ALL SELECT k, n FROM u WHERE FALSE",
    ),
    (
        "aggregate of a union",
        "SELECT k, count(*) AS c, sum(x) AS s FROM (SELECT k, v AS x FROM t UNION ALL SELECT k, weight FROM u) GROUP BY k",
    ),
    (
        "union of aggregates",
        "SELECT 't' AS what, k, count(*) AS c FROM t GROUP BY k UNION ALL SELECT 'u', k, count(*) FROM u GROUP BY k",
    ),
    (
        "union with constants",
        "SELECT 'rows' AS what, v FROM t UNION ALL VALUES ('one', 1), ('none', NULL)",
    ),
    (
        "constants alone",
        "SELECT * FROM (VALUES (1, 'a'), (2, NULL), (2, NULL)) AS c (x, y)",
    ),
    ("a row from nothing", "SELECT 1 AS one, '서울' AS city"),
    (
        "join with constants",
        "SELECT t.id, c.label FROM t JOIN (VALUES ('a', 'first'), ('b', 'second')) AS c (k, label) ON t.k = c.k",
    ),
    (
        "left join with constants",
        "SELECT c.k, t.id FROM (VALUES ('a'), ('zzz')) AS c (k) LEFT JOIN t ON t.k = c.k",
    ),
    (
        "aggregate of constants",
        "SELECT count(*) AS c, sum(x) AS s FROM (VALUES (1), (2), (NULL)) AS c (x)",
    ),
    (
        "join of unions",
        "SELECT a.k, b.k AS other FROM (SELECT k, n FROM t UNION ALL SELECT k, n FROM u) a JOIN (SELECT k, n FROM w UNION SELECT k, n FROM t) b ON a.n = b.n",
    ),
    (
        "full join, said with unions",
        "SELECT t.id AS a, u.id AS b FROM t LEFT JOIN u ON t.k = u.k UNION ALL SELECT t.id, u.id FROM u LEFT JOIN t ON t.k = u.k WHERE t.id IS NULL",
    ),
];

#[test]
fn unions() {
    check("unions", SHAPES);
}
