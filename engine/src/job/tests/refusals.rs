//! Statements and names with mistakes: the place of the message, and its advice. Places begin on the second line;
//! [`SOURCES`] is the first.

use super::*;

#[test]
fn statements_that_are_not_allowed_in_a_job() {
    check(&[
        (
            "SELECT 1",
            &[(2, 1, "SELECT on its own", "CREATE MATERIALIZED VIEW")],
        ),
        ("INSERT INTO t VALUES (1)", &[(2, 1, "INSERT", "UNION ALL")]),
        (
            "CREATE TABLE x (a INT)",
            &[(2, 1, "CREATE TABLE", "CREATE EXTERNAL TABLE")],
        ),
        (
            "CREATE TABLE x AS SELECT 1 AS a",
            &[(2, 1, "CREATE TABLE … AS", "CREATE MATERIALIZED VIEW")],
        ),
        ("DROP TABLE t", &[(2, 1, "DROP", "remove")]),
        (
            "DELETE FROM t",
            &[(2, 1, "maintained from their sources", "files")],
        ),
        (
            "UPDATE t SET id = 1",
            &[(2, 1, "maintained from their sources", "files")],
        ),
        (
            "EXPLAIN SELECT 1",
            &[(2, 1, "EXPLAIN", "tidewater explain")],
        ),
        ("SET a = 1", &[(2, 1, "SET", "--set name=value")]),
        ("RESET a", &[(2, 1, "RESET", "a job has")]),
        (
            "COPY (SELECT 1) TO 'x'",
            &[(2, 1, "takes a name", "CREATE MATERIALIZED VIEW")],
        ),
        (
            "CREATE TEMPORARY VIEW v AS SELECT 1 AS a",
            &[(2, 1, "takes no TEMPORARY", "COPY name TO")],
        ),
        (
            "CREATE VIEW s.v AS SELECT 1 AS a",
            &[(2, 13, "has a schema", "plain names")],
        ),
        (
            "CREATE VIEW t AS SELECT 1 AS a",
            &[(2, 13, "'t' is defined on line 1", "another name")],
        ),
    ]);
}

#[test]
fn mistakes_in_the_syntax() {
    check(&[
        (
            "CREATE VIEW v AS SELECT id FROM (",
            &[(2, 34, "expected", "")],
        ),
        (
            "CREATE VIEW v AS SELECT FROM t",
            &[(2, 18, "selects no columns", "SELECT a, b")],
        ),
        (
            "CREAT VIEW v AS SELECT 1",
            &[(
                2,
                1,
                "expected: an SQL statement, found: CREAT",
                "a job has",
            )],
        ),
        (
            "CREATE VIEW v AS SELECT 1 AS a,\n  (2 + ",
            &[(3, 7, "expected", "")],
        ),
        (
            "CREATE VIEW v AS SELECT 1 AS a\nCOPY v TO 'x'",
            &[(3, 1, "'COPY' is not expected here", "semicolon")],
        ),
        (
            "COPY t STORED AS CSV",
            &[(2, 21, "missing TO", "COPY name TO")],
        ),
        (
            "CREATE VIEW v AS SELECT 'abc",
            &[(2, 25, "unterminated", "close the quote")],
        ),
        (
            "CREATE VIEW w AS SELECT * FROM z;\nCREATE VIEW v AS SELECT 'abc;\nCREATE VIEW z AS SELECT 1 AS a",
            &[(3, 25, "unterminated", "")],
        ),
        (
            "CREATE EXTERNAL TABLE x (a INT) LOCATION 'x'",
            &[(2, 45, "missing STORED AS", "STORED AS CSV")],
        ),
        (
            "CREATE EXTERNAL TABLE x (a INT) STORED AS CSV",
            &[(2, 46, "missing LOCATION", "a glob")],
        ),
    ]);
}

#[test]
fn one_mistake_hides_no_other_and_starts_no_cascade() {
    check(&[(
        "CREATE VIEW a AS SELECT idd FROM t;\n\
         CREATE VIEW b AS SELECT *, idd + 1 AS more, other FROM a;\n\
         CREATE VIEW c AS SELECT 1 +;\n\
         CREATE MATERIALIZED VIEW d AS SELECT x FROM c JOIN b ON a = b;\n\
         CREATE EXTERNAL TABLE e (a INTT, b INT) STORED AS CSV LOCATION 'e' OPTIONS ('heder' 'x', 'quote' '!!');\n\
         CREATE VIEW f AS SELECT a + b AS s, c FROM e;\n\
         CREATE VIEW g AS SELECT * FROM e, missing;\n\
         COPY d TO 's3://bucket/d' STORED AS PARQUET;\n\
         COPY t TO 's3://bucket/t' STORED AS PARQUET OPTIONS ('compresion' 'zstd', 'row_group_rows' '0');\n\
         COPY a TO 'a' PARTITIONED BY (ids);\n\
         COPY nowhere TO 'x' STORED AS PARQUET",
        &[
            (2, 25, "no column 'idd'", "'id'"),
            (3, 45, "no column 'other'", "the columns are idd"),
            (4, 28, "expected", ""),
            (6, 26, "type INTT", "did you mean INT?"),
            (6, 77, "'heder'", "known are has_header"),
            (6, 90, "'quote'", "one ASCII character"),
            (7, 37, "no column 'c'", "the columns are a, b"),
            (8, 35, "no table or view 'missing'", "the job has"),
            (
                10,
                11,
                "s3:// is not supported by this version",
                "write a path",
            ),
            (10, 54, "'compresion'", "did you mean 'compression'?"),
            (10, 92, "'row_group_rows' cannot be '0'", ""),
            (11, 31, "no column 'ids'", "did you mean 'idd'?"),
            (12, 6, "no table or view 'nowhere'", "the job has"),
        ],
    )]);
}

#[test]
fn all_names_of_a_statement_are_reported() {
    check(&[
        (
            "CREATE VIEW v AS SELECT amout, cuont(*) AS n, year(tss) AS y, median(amount) AS m\n\
             FROM t JOIN u ON t.idd = u.id WHERE regoin = 'x' AND t.id IN (SELECT id FROM u)\n\
             GROUP BY amout, 3 HAVING sum(amuont) > 1 ORDER BY amout LIMIT 3",
            &[
                (2, 25, "no column 'amout'", "'amount'"),
                (2, 32, "no function 'cuont'", "'count'"),
                (2, 47, "no function 'year'", "write date_part('year', ts)"),
                (2, 52, "no column 'tss'", "'ts'"),
                (2, 63, "median is not supported", "row_number()"),
                (3, 18, "no column 'idd' in 't'", "'id'"),
                (3, 37, "no column 'regoin'", "'region'"),
                (3, 63, "IN (SELECT …)", "JOIN"),
                (4, 30, "no column 'amuont'", "'amount'"),
            ],
        ),
        (
            "CREATE VIEW v AS SELECT item['sku'] AS a, foo(1), bar(2) FROM (SELECT unnest(itms) AS item FROM t) AS s",
            &[
                (2, 43, "no function 'foo'", ""),
                (2, 51, "no function 'bar'", ""),
                (2, 78, "no column 'itms'", "'items'"),
            ],
        ),
        (
            "CREATE VIEW v AS SELECT region, count_if(amount > 1 AND regoin = 'x') AS n, idd FROM t GROUP BY region, idd",
            &[
                (
                    2,
                    33,
                    "no function 'count_if'",
                    "count(*) FILTER (WHERE ok)",
                ),
                (2, 57, "no column 'regoin'", "'region'"),
                (2, 77, "no column 'idd'", "'id'"),
            ],
        ),
    ]);
}

#[test]
fn names_that_do_not_exist() {
    check_queries(&[
        (
            "SELECT * FROM tt",
            15,
            "no table or view 'tt'",
            "did you mean 't'?",
        ),
        ("SELECT * FROM x.t", 15, "no table or view 'x.t'", ""),
        (
            "SELECT amout FROM t",
            8,
            "no column 'amout'",
            "did you mean 'amount'?",
        ),
        (
            "SELECT t.amout FROM t",
            8,
            "no column 'amout' in 't'",
            "did you mean 'amount'?",
        ),
        (
            "SELECT zzzzzzz FROM u",
            8,
            "no column 'zzzzzzz'",
            "the columns are id, name, since",
        ),
        (
            "SELECT 1 AS a FROM t WHERE regoin = 'x'",
            28,
            "no column 'regoin'",
            "did you mean 'region'?",
        ),
        (
            "SELECT id FROM t JOIN u ON t.id = u.id",
            8,
            "more than one table has a column 'id'",
            "table.id",
        ),
        (
            "SELECT cuont(*) AS n FROM t",
            8,
            "no function 'cuont'",
            "did you mean 'count'?",
        ),
        (
            "SELECT date_trun('hour', ts) AS h FROM t",
            8,
            "no function 'date_trun'",
            "did you mean 'date_trunc'?",
        ),
        (
            "SELECT t.id, u.id FROM t JOIN u ON t.id = u.id",
            10,
            "two columns 'id'",
            "with AS",
        ),
        (
            "SELECT sum(region) AS s FROM t",
            8,
            "there is no sum(TEXT)",
            "sum(BIGINT)",
        ),
        (
            "SELECT date_part(ts, 'hour') AS s FROM t",
            8,
            "date_part",
            "",
        ),
        (
            "SELECT upper(region, 1) AS s FROM t",
            8,
            "upper",
            "there is upper(",
        ),
        (
            "SELECT id + tags AS s FROM t",
            8,
            "there is no BIGINT + TEXT[]",
            "CAST",
        ),
        (
            "SELECT t.region FROM t GROUP BY id",
            8,
            "t.region in SELECT is neither in GROUP BY nor inside an aggregate",
            "add t.region to GROUP BY, or take min(t.region) or max(t.region)",
        ),
        (
            "SELECT place['LAT'] AS l FROM t",
            14,
            "no field 'LAT'",
            "did you mean 'lat'?",
        ),
        (
            "SELECT sum(NULL) AS s FROM t",
            8,
            "sum of NULL has no type",
            "CAST(NULL AS BIGINT)",
        ),
        (
            "SELECT count(*) AS n, region FROM t GROUP BY 1",
            46,
            "GROUP BY 1 is count(*), an aggregate",
            "GROUP BY 2",
        ),
        (
            "SELECT * FROM generate_series(1, 3)",
            15,
            "table functions",
            "unnest(range(1, 4))",
        ),
    ]);
}

#[test]
fn views_in_a_circle() {
    check(&[
        (
            "CREATE VIEW a AS SELECT * FROM a",
            &[(2, 32, "'a' reads itself", "")],
        ),
        (
            "CREATE VIEW a AS SELECT * FROM b;\nCREATE VIEW b AS SELECT * FROM c;\nCREATE VIEW c AS SELECT * FROM a;\nCREATE VIEW d AS SELECT * FROM a",
            &[(2, 32, "a → b → c → a", "")],
        ),
        (
            "CREATE VIEW v (a, b) AS SELECT 1 AS x",
            &[(2, 13, "names 2 columns, and its query has 1", "once")],
        ),
    ]);
}

#[test]
fn sinks_that_cannot_be() {
    check(&[
        (
            "COPY t TO 'x' STORED AS ORC",
            &[(2, 25, "ORC is not known", "")],
        ),
        (
            "COPY t TO 'x' STORED AS PARQUET OPTIONS (compresion 'zstd')",
            &[(2, 42, "'compresion'", "")],
        ),
        (
            "COPY t TO 'x' OPTIONS ('compression' 'brotli')",
            &[(2, 38, "'brotli'", "")],
        ),
        (
            "COPY t TO 'x' OPTIONS (compression zstd, compression zstd)",
            &[(2, 24, "given twice", "remove")],
        ),
        ("COPY t TO ''", &[(2, 11, "empty", "TO 'out/table'")]),
        (
            "COPY t TO 's3://b/t' STORED AS PARQUET",
            &[(
                2,
                11,
                "s3:// is not supported by this version",
                "write a path",
            )],
        ),
        (
            "COPY t TO 'kafka://h:port/t' STORED AS JSON OPTIONS ('key' 'id')",
            &[(2, 11, "port is not a port", "kafka://host:9092/topic")],
        ),
        (
            "COPY t TO 'kafka://h:9/t' STORED AS CSV OPTIONS ('key' 'id')",
            &[(2, 37, "messages are JSON, not CSV", "STORED AS JSON")],
        ),
        (
            "COPY t TO 'kafka://h:9/t' STORED AS JSON OPTIONS ('mode' 'append', 'key' 'id')",
            &[(2, 51, "cannot be 'append'", "'upsert' or 'changelog'")],
        ),
        (
            "COPY t TO 'x' PARTITIONED BY (regoin)",
            &[(2, 31, "no column 'regoin'", "did you mean 'region'?")],
        ),
        (
            "COPY u TO 'x' PARTITIONED BY (name, name)",
            &[(2, 31, "twice", "remove")],
        ),
        (
            "COPY u TO 'x' PARTITIONED BY (id, name, since)",
            &[(2, 15, "every column", "fewer")],
        ),
        (
            "COPY t TO 'x' PARTITIONED BY (tags)",
            &[(2, 31, "cannot name a directory", "text")],
        ),
        (
            "COPY t TO 'x';\nCOPY u TO 'x/'",
            &[(3, 11, "already where 't' is published", "of its own")],
        ),
        (
            "COPY t TO 'x';\nCOPY u TO 'x/u'",
            &[(3, 11, "overlap", "of its own")],
        ),
    ]);
}

#[test]
fn what_is_shown_reads_well() {
    let errors = with_sources("CREATE VIEW v AS\n  SELECT amout,\n    now() AS n FROM t;\nCREATE VIEW w AS SELECT * FROM x").unwrap_err();
    let expected = "error: there is no column 'amout'\n --> job.sql:3:10\n  |\n3 |   SELECT amout,\n  |          ^^^^^\n  = hint: did you mean 'amount'?\n\n\
        error: now() depends on when the job runs: a maintained table cannot hold it\n --> job.sql:4:5\n  |\n4 |     now() AS n FROM t;\n  |     ^^^\n  = hint: give the moment as a variable: TIMESTAMP '${now}', and --set now='2024-03-01 00:00:00'\n\n\
        error: there is no table or view 'x'\n --> job.sql:5:32\n  |\n5 | CREATE VIEW w AS SELECT * FROM x\n  |                                ^\n  = hint: the job has t, u, v, w\n\n\
        3 errors in job.sql";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn variables_without_a_value_are_the_only_mistake_of_their_line() {
    let sql = "CREATE EXTERNAL TABLE t (a INT) STORED AS CSV\n  LOCATION '${input}' OPTIONS ('delimiter' '${delimiter}');\nCOPY t TO '${output:-out}' STORED AS ${format}";
    let errors = Job::parse("job.sql", sql, &|_| None).unwrap_err();
    let found: Vec<_> = errors
        .errors()
        .iter()
        .map(|e| (e.line, e.column, e.message.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (2, 13, "variable 'input' has no value"),
            (2, 45, "variable 'delimiter' has no value"),
            (3, 38, "variable 'format' has no value")
        ]
    );
}

#[test]
fn places_are_those_of_the_text_before_variables() {
    let sql =
        "CREATE VIEW v AS SELECT '${long}' AS x, amout\nFROM t WHERE ${condition} AND regoin = 1";
    let lookup = |name: &str| {
        Some(if name == "long" {
            "a\nb\nc".to_owned()
        } else {
            "id\n>\n1".to_owned()
        })
    };
    let errors = Job::parse("job.sql", &format!("{SOURCES}\n{sql}"), &lookup).unwrap_err();
    let found: Vec<_> = errors
        .errors()
        .iter()
        .map(|e| (e.line, e.column, e.length))
        .collect();
    assert_eq!(found, [(2, 41, 5), (3, 31, 6)], "{errors}");
}
