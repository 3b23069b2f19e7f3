//! Views on views, CTEs, several tables in one job, names.

use tidewater_tests::shapes::{Shape, check};

const SHAPES: &[Shape] = &[
    ("view on a view", "
CREATE VIEW good AS SELECT k, v, n FROM t WHERE ok;
CREATE VIEW sums AS SELECT k, sum(v) AS s FROM good GROUP BY k;
CREATE MATERIALIZED VIEW v AS SELECT s, count(*) AS groups FROM sums GROUP BY s;"),
    ("view with many readers", "
CREATE VIEW good AS SELECT id, k, v, n, upper(k) AS key FROM t WHERE v > 0;
CREATE MATERIALIZED VIEW a AS SELECT key, count(*) AS c FROM good GROUP BY key;
CREATE MATERIALIZED VIEW b AS SELECT n, max(v) AS hi FROM good GROUP BY n;
CREATE MATERIALIZED VIEW c AS SELECT * FROM good WHERE n = 1;
CREATE MATERIALIZED VIEW d AS SELECT DISTINCT n FROM good;"),
    ("materialized view that another reads", "
CREATE MATERIALIZED VIEW daily AS SELECT day, k, sum(v) AS s, count(*) AS c FROM t GROUP BY day, k;
CREATE MATERIALIZED VIEW total AS SELECT k, sum(s) AS s, sum(c) AS c, max(s) AS best FROM daily GROUP BY k;
CREATE MATERIALIZED VIEW best AS SELECT daily.day, daily.k FROM daily JOIN total ON daily.k = total.k AND daily.s = total.best;"),
    ("view with named columns", "
CREATE VIEW renamed (key, \"값\") AS SELECT k, v FROM t;
CREATE MATERIALIZED VIEW v (a, \"합계\") AS SELECT key, sum(\"값\") FROM renamed GROUP BY key;"),
    ("cte", "WITH good AS (SELECT k, v FROM t WHERE ok) SELECT k, sum(v) AS s FROM good GROUP BY k"),
    ("cte read twice", "WITH g AS (SELECT k, sum(v) AS s FROM t GROUP BY k) SELECT a.k, b.k AS other FROM g a JOIN g b ON a.s = b.s"),
    ("ctes on ctes", "WITH a AS (SELECT k, n, v FROM t), b AS (SELECT k, max(v) AS hi FROM a GROUP BY k), c AS (SELECT a.k, a.n FROM a JOIN b ON a.k = b.k AND a.v = b.hi) SELECT k, count(*) AS c FROM c GROUP BY k"),
    ("growth, quarter by quarter", "
CREATE MATERIALIZED VIEW v AS
WITH quarters AS (SELECT date_part('year', day) AS y, date_part('quarter', day) AS q, sum(v) AS s, count(DISTINCT k) AS ks FROM t GROUP BY 1, 2),
beside AS (SELECT *, lag(s) OVER (ORDER BY y, q) AS p FROM quarters)
SELECT y, q, s, ks, p, CAST(round((s - p) * 10000.0 / nullif(p, 0)) / 100.0 AS DECIMAL(18, 2)) AS growth FROM beside;"),
    ("ranking over joins over unions", "
CREATE VIEW moves AS SELECT k, n, v FROM t UNION ALL SELECT k, n, weight FROM u;
CREATE VIEW sums AS SELECT k, n, sum(v) AS s, count(*) AS c FROM moves GROUP BY k, n;
CREATE VIEW named AS SELECT sums.*, w.name FROM sums LEFT JOIN w ON sums.n = w.n;
CREATE MATERIALIZED VIEW v AS SELECT * FROM (SELECT name, k, n, s, c, dense_rank() OVER (PARTITION BY name ORDER BY s DESC) AS place FROM named) WHERE place < 3;"),
    ("a table and its complement", "
CREATE MATERIALIZED VIEW known AS SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k AND t.n = u.n;
CREATE MATERIALIZED VIEW unknown AS SELECT t.id FROM t LEFT JOIN (SELECT DISTINCT id FROM known) seen ON t.id = seen.id WHERE seen.id IS NULL;"),
    ("quoted names of relations", "
CREATE VIEW \"Good Rows\" AS SELECT k AS \"K\", v FROM t WHERE ok;
CREATE MATERIALIZED VIEW \"합계\" AS SELECT \"K\", sum(v) AS \"Sum\" FROM \"Good Rows\" GROUP BY \"K\";"),
    ("a source as it is", "CREATE MATERIALIZED VIEW v AS SELECT * FROM w;"),
    ("derived tables", "SELECT x.k, x.c + 1 AS c FROM (SELECT k, count(*) AS c FROM (SELECT k FROM t WHERE ok) y GROUP BY k) x WHERE x.c > 0"),
];

#[test]
fn views() {
    check("views", SHAPES);
}
