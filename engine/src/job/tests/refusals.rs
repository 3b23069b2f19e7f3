//! What is wrong, where it is said to be, and what is said to do. Places are of the second line on; [`SOURCES`] is the first.

use super::*;

/// `(SQL, [(line, column, part of the message, part of the hint)])`
type Case = (&'static str, &'static [(usize, usize, &'static str, &'static str)]);

fn check(cases: &[Case]) {
    let mut failures = Vec::new();
    for (sql, expected) in cases {
        match with_sources(sql) {
            Ok(_) => failures.push(format!("{sql}\n  is accepted")),
            Err(errors) => {
                let found = errors.errors();
                let fits = found.len() == expected.len()
                    && found.iter().zip(*expected).all(|(error, (line, column, message, hint))| {
                        (error.line, error.column) == (*line, *column)
                            && error.message.contains(message)
                            && error.hint.as_deref().unwrap_or_default().contains(hint)
                    });
                if !fits {
                    failures.push(format!("{sql}\n  expected {expected:?}\n  found {found:#?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Cases that are one materialized view `v`, with places in the query's own text.
fn check_queries(cases: &[(&'static str, usize, &'static str, &'static str)]) {
    const BEFORE: &str = "CREATE MATERIALIZED VIEW v AS ";
    let cases: Vec<(String, [(usize, usize, &str, &str); 1])> = cases
        .iter()
        .map(|(query, column, message, hint)| (format!("{BEFORE}{query}"), [(2, BEFORE.len() + column, *message, *hint)]))
        .collect();
    for (sql, expected) in cases {
        let sql: &'static str = Box::leak(sql.into_boxed_str());
        let expected: &'static [_] = Box::leak(Box::new(expected));
        check(&[(sql, expected)]);
    }
}

#[test]
fn statements_that_are_no_part_of_a_job() {
    check(&[
        ("SELECT 1", &[(2, 1, "SELECT on its own", "CREATE MATERIALIZED VIEW")]),
        ("INSERT INTO t VALUES (1)", &[(2, 1, "INSERT", "UNION ALL")]),
        ("CREATE TABLE x (a INT)", &[(2, 1, "CREATE TABLE", "CREATE EXTERNAL TABLE")]),
        ("CREATE TABLE x AS SELECT 1 AS a", &[(2, 1, "CREATE TABLE … AS", "CREATE MATERIALIZED VIEW")]),
        ("DROP TABLE t", &[(2, 1, "DROP", "remove")]),
        ("DELETE FROM t", &[(2, 1, "maintained from their sources", "files")]),
        ("UPDATE t SET id = 1", &[(2, 1, "maintained from their sources", "files")]),
        ("EXPLAIN SELECT 1", &[(2, 1, "EXPLAIN", "tidewater explain")]),
        ("SET a = 1", &[(2, 1, "SET", "--set name=value")]),
        ("RESET a", &[(2, 1, "RESET", "a job has")]),
        ("COPY (SELECT 1) TO 'x'", &[(2, 1, "takes a name", "CREATE MATERIALIZED VIEW")]),
        ("CREATE TEMPORARY VIEW v AS SELECT 1 AS a", &[(2, 1, "takes no TEMPORARY", "COPY name TO")]),
        ("CREATE VIEW s.v AS SELECT 1 AS a", &[(2, 13, "has a schema", "plain names")]),
        ("CREATE VIEW t AS SELECT 1 AS a", &[(2, 13, "'t' is defined on line 1", "another name")]),
    ]);
}

#[test]
fn mistakes_in_the_syntax() {
    check(&[
        ("CREATE VIEW v AS SELECT id FROM (", &[(2, 34, "expected", "")]),
        ("CREATE VIEW v AS SELECT FROM t", &[(2, 18, "selects no columns", "SELECT a, b")]),
        ("CREAT VIEW v AS SELECT 1", &[(2, 1, "expected: an SQL statement, found: CREAT", "a job has")]),
        ("CREATE VIEW v AS SELECT 1 AS a,\n  (2 + ", &[(3, 7, "expected", "")]),
        ("CREATE VIEW v AS SELECT 1 AS a\nCOPY v TO 'x'", &[(3, 1, "'COPY' is not expected here", "semicolon")]),
        ("COPY t STORED AS CSV", &[(2, 21, "missing TO", "COPY name TO")]),
        ("CREATE VIEW v AS SELECT 'abc", &[(2, 25, "unterminated", "close the quote")]),
        ("CREATE EXTERNAL TABLE x (a INT) LOCATION 'x'", &[(2, 45, "missing STORED AS", "STORED AS CSV")]),
        ("CREATE EXTERNAL TABLE x (a INT) STORED AS CSV", &[(2, 46, "missing LOCATION", "a glob")]),
    ]);
}

#[test]
fn one_mistake_hides_no_other_and_starts_no_cascade() {
    check(&[(
        "CREATE VIEW a AS SELECT idd FROM t;\n\
         CREATE VIEW b AS SELECT * FROM a;\n\
         CREATE VIEW c AS SELECT 1 +;\n\
         CREATE MATERIALIZED VIEW d AS SELECT x FROM c JOIN b ON a = b;\n\
         CREATE EXTERNAL TABLE e (a INTT) STORED AS CSV LOCATION 'e';\n\
         CREATE VIEW f AS SELECT * FROM e, missing;\n\
         COPY d TO 's3://bucket/d' STORED AS PARQUET;\n\
         COPY t TO 's3://bucket/t' STORED AS PARQUET;\n\
         COPY nowhere TO 'x' STORED AS PARQUET",
        &[
            (2, 25, "no column 'idd'", "'id'"),
            (4, 28, "expected", ""),
            (6, 26, "type INTT", "did you mean INT?"),
            (7, 35, "no table or view 'missing'", "the job has"),
            (9, 11, "s3:// is not supported by this version", "write a path"),
            (10, 6, "no table or view 'nowhere'", "the job has"),
        ],
    )]);
}

#[test]
fn names_that_do_not_exist() {
    check_queries(&[
        ("SELECT * FROM tt", 15, "no table or view 'tt'", "did you mean 't'?"),
        ("SELECT * FROM x.t", 15, "no table or view 'x.t'", ""),
        ("SELECT amout FROM t", 8, "no column 'amout'", "did you mean 'amount'?"),
        ("SELECT t.amout FROM t", 8, "no column 'amout' in 't'", "did you mean 'amount'?"),
        ("SELECT zzzzzzz FROM u", 8, "no column 'zzzzzzz'", "the columns are id, name, since"),
        ("SELECT 1 AS a FROM t WHERE regoin = 'x'", 28, "no column 'regoin'", "did you mean 'region'?"),
        ("SELECT id FROM t JOIN u ON t.id = u.id", 8, "more than one table has a column 'id'", "table.id"),
        ("SELECT cuont(*) AS n FROM t", 8, "no function 'cuont'", "did you mean 'count'?"),
        ("SELECT date_trun('hour', ts) AS h FROM t", 8, "no function 'date_trun'", "did you mean 'date_trunc'?"),
        ("SELECT t.id, u.id FROM t JOIN u ON t.id = u.id", 10, "two columns 'id'", "with AS"),
        ("SELECT sum(region) AS s FROM t", 8, "sum", ""),
        ("SELECT id + tags AS s FROM t", 8, "", ""),
        ("SELECT region FROM t GROUP BY id", 8, "", "GROUP BY"),
        ("SELECT * FROM generate_series(1, 3)", 15, "table functions", "unnest(range(1, 4))"),
    ]);
}

#[test]
fn what_depends_on_the_clock_or_on_chance() {
    check_queries(&[
        ("SELECT now() AS n FROM t", 8, "now() depends on when the job runs", "TIMESTAMP '${now}'"),
        ("SELECT id FROM t WHERE ts > current_timestamp", 29, "depends on when the job runs", "TIMESTAMP '${now}'"),
        ("SELECT id FROM t WHERE day = current_date", 30, "depends on when the job runs", "DATE '${today}'"),
        ("SELECT id FROM t WHERE day = today()", 30, "depends on when the job runs", "DATE '${today}'"),
        ("SELECT current_time AS n FROM t", 8, "depends on when the job runs", "TIME '${time}'"),
        ("SELECT random() AS r FROM t", 8, "another value each time", "md5"),
        ("SELECT uuid() AS r FROM t", 8, "another value each time", "md5"),
        ("SELECT region, sum(amount * random()) AS r FROM t GROUP BY region", 29, "another value each time", "md5"),
        ("SELECT id FROM t WHERE id = $1", 29, "$1 has no value", "${name}"),
    ]);
}

#[test]
fn subqueries_in_expressions() {
    check_queries(&[
        ("SELECT id FROM t WHERE id IN (SELECT id FROM u)", 27, "IN (SELECT …)", "JOIN"),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id)", 28, "EXISTS", "JOIN"),
        ("SELECT id FROM t WHERE amount > (SELECT avg(id) FROM u)", 34, "a SELECT as a value", "JOIN"),
        ("SELECT (SELECT max(id) FROM u) AS m FROM t", 9, "a SELECT as a value", "JOIN"),
        ("SELECT id FROM t WHERE id > ALL (SELECT id FROM u)", 29, "ANY and ALL", "JOIN"),
    ]);
}

#[test]
fn set_operations_and_recursion() {
    check_queries(&[
        ("SELECT id FROM t INTERSECT SELECT id FROM u", 18, "INTERSECT", "SELECT DISTINCT key"),
        ("SELECT id FROM t EXCEPT SELECT id FROM u", 18, "EXCEPT", "LEFT JOIN"),
        ("SELECT DISTINCT ON (region) region, id FROM t ORDER BY region, id", 8, "DISTINCT ON", "row_number()"),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r", 6, "RECURSIVE", ""),
        ("SELECT region, sum(amount) AS s FROM t GROUP BY ROLLUP (region)", 49, "ROLLUP", "UNION ALL"),
        ("SELECT region, sum(amount) AS s FROM t GROUP BY GROUPING SETS ((region), ())", 49, "GROUPING SETS", "UNION ALL"),
        ("SELECT region, ok, sum(amount) AS s FROM t GROUP BY CUBE (region, ok)", 53, "CUBE", "UNION ALL"),
    ]);
}

#[test]
fn joins_that_are_not_maintained() {
    check_queries(&[
        ("SELECT t.id FROM t FULL JOIN u ON t.id = u.id", 20, "FULL JOIN", "UNION ALL"),
        ("SELECT t.id FROM t CROSS JOIN u", 20, "no equality", "ON a.key = b.key"),
        ("SELECT t.id FROM t, u", 13, "no equality", "ON a.key = b.key"),
        ("SELECT t.id FROM t JOIN u ON t.id < u.id", 30, "no equality", "ON a.key = b.key"),
        ("SELECT t.id FROM t LEFT JOIN u ON t.id = u.id AND t.ts < u.since", 51, "matches by equality alone", "in a view first"),
        ("SELECT t.id FROM t LEFT JOIN u ON t.id = u.id AND t.amount > 5", 51, "matches by equality alone", "in a view first"),
        ("SELECT t.id FROM t LEFT SEMI JOIN u ON t.id = u.id", 25, "SEMI JOIN", "SELECT DISTINCT key"),
        ("SELECT t.id FROM t LEFT ANTI JOIN u ON t.id = u.id", 25, "ANTI JOIN", "IS NULL"),
        ("SELECT t.id FROM t JOIN u ON t.id IS NOT DISTINCT FROM u.id", 35, "IS NOT DISTINCT FROM", "coalesce"),
    ]);
}

#[test]
fn aggregates_that_are_not_maintained() {
    check_queries(&[
        ("SELECT approx_distinct(id) AS n FROM t", 8, "approx_distinct", "count(DISTINCT x)"),
        ("SELECT median(amount) AS n FROM t", 8, "median", "aggregates are count"),
        ("SELECT array_agg(id) AS n FROM t", 8, "array_agg", "aggregates are count"),
        ("SELECT string_agg(region, ',') AS n FROM t", 8, "string_agg", "aggregates are count"),
        ("SELECT bool_and(ok) AS n FROM t", 8, "bool_and", "min(CASE"),
        ("SELECT bool_or(ok) AS n FROM t", 8, "bool_or", "max(CASE"),
        ("SELECT stddev(rate) AS n FROM t", 8, "stddev", "sum(x * x)"),
        ("SELECT var_samp(rate) AS n FROM t", 8, "var", "sum(x * x)"),
        ("SELECT region, first_value(id ORDER BY ts) AS n FROM t GROUP BY region", 16, "first_value", "row_number()"),
        ("SELECT sum(amount ORDER BY ts) AS n FROM t", 8, "ORDER BY inside sum", "remove"),
        ("SELECT count(DISTINCT region, ok) AS n FROM t", 8, "one argument", "struct(a, b)"),
        ("SELECT max(tags) AS n FROM t", 12, "max of List", "take a field"),
        ("SELECT avg(ts - ts) AS n FROM t", 12, "avg of", "CAST"),
    ]);
}

#[test]
fn windows_that_are_not_maintained() {
    check_queries(&[
        ("SELECT count(DISTINCT region) OVER (PARTITION BY ok) AS n FROM t", 8, "DISTINCT", "GROUP BY"),
        ("SELECT sum(amount) FILTER (WHERE ok) OVER (PARTITION BY region) AS n FROM t", 8, "FILTER", "CASE WHEN"),
        ("SELECT lag(amount) IGNORE NULLS OVER (ORDER BY ts) AS n FROM t", 8, "IGNORE NULLS", "IS NOT NULL"),
        ("SELECT stddev(rate) OVER (PARTITION BY region) AS n FROM t", 8, "stddev OVER", "row_number"),
    ]);
}

#[test]
fn orders_and_limits_that_are_not_defined() {
    check_queries(&[
        ("SELECT id FROM t LIMIT 3", 18, "LIMIT without ORDER BY", "add ORDER BY"),
        ("SELECT id FROM (SELECT id FROM t LIMIT 3) AS s ORDER BY id", 34, "LIMIT without ORDER BY", "add ORDER BY"),
        ("SELECT id FROM t ORDER BY id LIMIT 3 OFFSET 2", 38, "OFFSET", "row_number()"),
        ("SELECT id FROM t ORDER BY ts", 27, "no such column", "add it to the SELECT list"),
        ("SELECT id FROM t ORDER BY ts LIMIT 3", 27, "no such column", "add it to the SELECT list"),
        ("SELECT id FROM t ORDER BY id + 1", 18, "no such column", "add it to the SELECT list"),
    ]);
}

#[test]
fn views_in_a_circle() {
    check(&[
        ("CREATE VIEW a AS SELECT * FROM a", &[(2, 32, "'a' reads itself", "")]),
        (
            "CREATE VIEW a AS SELECT * FROM b;\nCREATE VIEW b AS SELECT * FROM c;\nCREATE VIEW c AS SELECT * FROM a;\nCREATE VIEW d AS SELECT * FROM a",
            &[(2, 32, "a → b → c → a", "")],
        ),
        ("CREATE VIEW v (a, b) AS SELECT 1 AS x", &[(2, 13, "names 2 columns, and its query has 1", "once")]),
    ]);
}

#[test]
fn sinks_that_cannot_be() {
    check(&[
        ("COPY t TO 'x' STORED AS ORC", &[(2, 25, "ORC is not known", "")]),
        ("COPY t TO 'x' STORED AS PARQUET OPTIONS (compresion 'zstd')", &[(2, 42, "'compresion'", "")]),
        ("COPY t TO 'x' OPTIONS ('compression' 'brotli')", &[(2, 38, "'brotli'", "")]),
        ("COPY t TO 'x' OPTIONS (compression zstd, compression zstd)", &[(2, 24, "given twice", "remove")]),
        ("COPY t TO ''", &[(2, 11, "empty", "TO 'out/table'")]),
        ("COPY t TO 'kafka://h:9/t' STORED AS JSON", &[(2, 11, "kafka:// is not supported by this version", "write a path")]),
        ("COPY t TO 'x' PARTITIONED BY (regoin)", &[(2, 31, "no column 'regoin'", "did you mean 'region'?")]),
        ("COPY u TO 'x' PARTITIONED BY (name, name)", &[(2, 31, "twice", "remove")]),
        ("COPY u TO 'x' PARTITIONED BY (id, name, since)", &[(2, 15, "every column", "fewer")]),
        ("COPY t TO 'x' PARTITIONED BY (tags)", &[(2, 31, "cannot name a directory", "text")]),
        ("COPY t TO 'x';\nCOPY u TO 'x/'", &[(3, 11, "already where 't' is published", "of its own")]),
        ("COPY t TO 'x';\nCOPY u TO 'x/u'", &[(3, 11, "lie in one another", "of its own")]),
    ]);
}

#[test]
fn what_is_shown_reads_well() {
    let errors = with_sources("CREATE VIEW v AS\n  SELECT amout,\n    now() AS n FROM t;\nCREATE VIEW w AS SELECT * FROM x").unwrap_err();
    let expected = "error: there is no column 'amout'\n --> job.sql:3:10\n  |\n3 |   SELECT amout,\n  |          ^^^^^\n  = hint: did you mean 'amount'?\n\n\
        error: there is no table or view 'x'\n --> job.sql:5:32\n  |\n5 | CREATE VIEW w AS SELECT * FROM x\n  |                                ^\n  = hint: the job has t, u, v, w\n\n\
        2 errors in job.sql";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn variables_without_a_value_are_the_only_mistake_of_their_line() {
    let sql = "CREATE EXTERNAL TABLE t (a INT) STORED AS CSV\n  LOCATION '${input}' OPTIONS ('delimiter' '${delimiter}');\nCOPY t TO '${output:-out}' STORED AS ${format}";
    let errors = Job::parse("job.sql", sql, &|_| None).unwrap_err();
    let found: Vec<_> = errors.errors().iter().map(|e| (e.line, e.column, e.message.as_str())).collect();
    assert_eq!(found, [(2, 13, "variable 'input' has no value"), (2, 45, "variable 'delimiter' has no value"), (3, 38, "variable 'format' has no value")]);
}

#[test]
fn places_are_those_of_the_text_before_variables() {
    let sql = "CREATE VIEW v AS SELECT '${long}' AS x, amout\nFROM t WHERE ${condition} AND regoin = 1";
    let lookup = |name: &str| Some(if name == "long" { "a\nb\nc".to_owned() } else { "id\n>\n1".to_owned() });
    let errors = Job::parse("job.sql", &format!("{SOURCES}\n{sql}"), &lookup).unwrap_err();
    let found: Vec<_> = errors.errors().iter().map(|e| (e.line, e.column, e.length)).collect();
    assert!(found == [(3, 31, 6)] || found == [(2, 41, 5)], "{errors}");
}
