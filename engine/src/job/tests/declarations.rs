//! Declarations of sources and sinks.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use tidewater_connectors::sink::Encoding;
use tidewater_connectors::source::Format;

use super::*;

/// A map of texts to values.
fn map(value: DataType) -> DataType {
    let entries = vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", value, true),
    ];
    let entries = Field::new("entries", DataType::Struct(entries.into()), false);
    DataType::Map(Arc::new(entries), false)
}

#[test]
fn types_are_those_of_sql() {
    let cases = [
        ("TEXT", DataType::Utf8),
        ("VARCHAR(20)", DataType::Utf8),
        ("STRING", DataType::Utf8),
        ("CHARACTER VARYING(5)", DataType::Utf8),
        ("BOOLEAN", DataType::Boolean),
        ("SMALLINT", DataType::Int16),
        ("INT", DataType::Int32),
        ("BIGINT", DataType::Int64),
        ("REAL", DataType::Float32),
        ("DOUBLE", DataType::Float64),
        ("DOUBLE PRECISION", DataType::Float64),
        ("DECIMAL(12, 2)", DataType::Decimal128(12, 2)),
        ("DECIMAL(40, 2)", DataType::Decimal256(40, 2)),
        ("DATE", DataType::Date32),
        (
            "TIMESTAMP",
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
        (
            "TIMESTAMP(9)",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
        ),
        (
            "TIMESTAMPTZ",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
        (
            "TIMESTAMP WITH TIME ZONE",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
        ("INT[]", DataType::new_list(DataType::Int32, true)),
        ("ARRAY<TEXT>", DataType::new_list(DataType::Utf8, true)),
        (
            "STRUCT<a INT, b STRUCT<c TEXT>[]>",
            DataType::Struct(
                vec![
                    Field::new("a", DataType::Int32, true),
                    Field::new(
                        "b",
                        DataType::new_list(
                            DataType::Struct(vec![Field::new("c", DataType::Utf8, true)].into()),
                            true,
                        ),
                        true,
                    ),
                ]
                .into(),
            ),
        ),
        (
            "STRUCT(a INT, b TEXT)",
            DataType::Struct(
                vec![
                    Field::new("a", DataType::Int32, true),
                    Field::new("b", DataType::Utf8, true),
                ]
                .into(),
            ),
        ),
        ("MAP(TEXT, INT)", map(DataType::Int32)),
        ("MAP<TEXT, INT>", map(DataType::Int32)),
        (
            "map<text, TIMESTAMP>",
            map(DataType::Timestamp(TimeUnit::Microsecond, None)),
        ),
        (
            "ARRAY<MAP<TEXT, STRUCT<a INT>>>",
            DataType::new_list(
                map(DataType::Struct(
                    vec![Field::new("a", DataType::Int32, true)].into(),
                )),
                true,
            ),
        ),
        (
            "STRUCT(a MAP<TEXT, MAP(TEXT, BIGINT)>)",
            DataType::Struct(vec![Field::new("a", map(map(DataType::Int64)), true)].into()),
        ),
    ];
    for (written, expected) in cases {
        let sql = format!(
            "CREATE EXTERNAL TABLE s (x {written}) STORED AS PARQUET LOCATION 'x'; \
             CREATE MATERIALIZED VIEW v AS SELECT count(x) AS n FROM s; COPY v TO 'y'"
        );
        let job = parse(&sql).unwrap_or_else(|errors| panic!("{written}\n{errors}"));
        assert_eq!(
            *job.sources[0].schema.field(0).data_type(),
            expected,
            "{written}"
        );
    }
}

#[test]
fn a_source_is_what_it_declares() {
    let sql = "-- late at night\nCREATE EXTERNAL TABLE IF NOT EXISTS S (\"Key\" TEXT NOT NULL, b INT, c DATE, PRIMARY KEY (\"Key\", c)) /* , */\n\
        STORED AS jsonl LOCATION 'file:///data/x' OPTIONS ('FORMAT.max_bad_rows' 3); COPY s TO 'y';;";
    let job = parse(sql).unwrap_or_else(|errors| panic!("{errors}"));
    let source = job.source("s").unwrap();
    assert_eq!(
        (source.spec.format, source.spec.location.as_str()),
        (Format::JsonLines, "/data/x")
    );
    assert_eq!(source.primary_key, [0, 2]);
    assert_eq!(
        source.spec.schema.field(0),
        &Field::new("Key", DataType::Utf8, false)
    );
    // A key is NOT NULL, whether that is written or not.
    let nullable: Vec<_> = source
        .spec
        .schema
        .fields()
        .iter()
        .map(|field| field.is_nullable())
        .collect();
    assert_eq!(nullable, [false, true, false]);
    assert_eq!(
        source
            .spec
            .options
            .get("format.max_bad_rows")
            .map(String::as_str),
        Some("3")
    );
}

#[test]
fn sources_that_cannot_be() {
    let cases = [
        (
            "x STORED AS CSV LOCATION 'x'",
            23,
            "declares no columns",
            "CREATE EXTERNAL TABLE x (name TEXT",
        ),
        (
            "x (a INT, A TEXT) STORED AS CSV LOCATION 'x'",
            33,
            "'a' is declared twice",
            "rename",
        ),
        (
            "x (a BIGIN) STORED AS CSV LOCATION 'x'",
            26,
            "type BIGIN",
            "BIGINT",
        ),
        ("x (a JSON) STORED AS CSV LOCATION 'x'", 26, "type JSON", ""),
        (
            "x (a INT DEFAULT 3) STORED AS CSV LOCATION 'x'",
            26,
            "DEFAULT 3",
            "coalesce",
        ),
        (
            "x (a INT, PRIMARY KEY (b)) STORED AS CSV LOCATION 'x'",
            46,
            "no column 'b'",
            "the columns are a",
        ),
        (
            "x (a INT PRIMARY KEY, b INT, PRIMARY KEY (b)) STORED AS CSV LOCATION 'x'",
            32,
            "two primary keys",
            "PRIMARY KEY (a, b)",
        ),
        (
            "x (a INT, UNIQUE (a)) STORED AS CSV LOCATION 'x'",
            41,
            "no constraint",
            "PRIMARY KEY",
        ),
        (
            "x (a INT) STORED AS PARKET LOCATION 'x'",
            43,
            "no format 'PARKET'",
            "did you mean PARQUET?",
        ),
        (
            "x (a INT) STORED AS AVRO LOCATION 'x'",
            43,
            "no format 'AVRO'",
            "CSV, JSON",
        ),
        (
            "x (a INT) STORED AS CSV LOCATION 's3://b/x'",
            56,
            "s3:// is not supported by this version",
            "LOCATION 'data/*.csv'",
        ),
        (
            "x (a INT) STORED AS CSV LOCATION ''",
            56,
            "empty",
            "write a path",
        ),
        (
            "x (a INT) STORED AS CSV LOCATION ('x', 'y')",
            47,
            "one location",
            "UNION ALL",
        ),
        (
            "x (a INT) STORED AS CSV PARTITIONED BY (b) LOCATION 'x'",
            63,
            "no column 'b'",
            "the columns are a",
        ),
        (
            "x (a INT) STORED AS CSV PARTITIONED BY (a) LOCATION 'x'",
            47,
            "every column is in PARTITIONED BY",
            "fewer",
        ),
        (
            "x (a INT, b INT) STORED AS CSV PARTITIONED BY (a, a) LOCATION 'x'",
            70,
            "'a' is in PARTITIONED BY twice",
            "remove one",
        ),
        (
            "x (a INT, b REAL) STORED AS CSV PARTITIONED BY (b) LOCATION 'x'",
            71,
            "cannot name a directory",
            "dates",
        ),
        (
            "x (a INT, b INT) STORED AS JSON PARTITIONED BY (b) LOCATION 'kafka://h:9092/t'",
            55,
            "a topic has no folders",
            "remove PARTITIONED BY",
        ),
        (
            "x (a INT, b INT) STORED AS CSV LOCATION 'x' OPTIONS ('column.b' 'path')",
            76,
            "column 'b' is not TEXT",
            "b TEXT",
        ),
        (
            "x (a INT) STORED AS CSV WITH ORDER (a) LOCATION 'x'",
            47,
            "no order",
            "remove",
        ),
        (
            "x (a INT) STORED AS CSV LOCATION 'x' OPTIONS (delimeter ';')",
            69,
            "delimeter",
            "delimiter",
        ),
    ];
    for (rest, column, message, hint) in cases {
        let errors = parse(&format!("CREATE EXTERNAL TABLE {rest}")).expect_err(rest);
        assert_eq!(errors.errors().len(), 1, "{errors}");
        let error = &errors.errors()[0];
        assert_eq!((error.line, error.column), (1, column), "{errors}");
        assert!(
            error.message.contains(message)
                && error.hint.as_deref().unwrap_or_default().contains(hint),
            "{errors}"
        );
    }
}

#[test]
fn columns_may_be_called_key() {
    let job = parse(
        "CREATE EXTERNAL TABLE s (key TEXT NOT NULL, Index INT, PRIMARY KEY (key)) STORED AS CSV LOCATION 's'; COPY s TO 'y'",
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<&String> = job.sources[0]
        .schema
        .fields()
        .iter()
        .map(|field| field.name())
        .collect();
    assert_eq!(names, ["key", "index"]);
    assert_eq!(job.sources[0].primary_key, [0]);
}

#[test]
fn structs_are_cast_in_either_spelling() {
    for spelled in [
        "STRUCT(lat INT, at STRUCT(b TEXT))",
        "STRUCT<lat INT, at STRUCT<b TEXT>>",
    ] {
        let sql = format!(
            "CREATE MATERIALIZED VIEW v AS SELECT CAST(NULL AS {spelled}) AS p, struct(id) AS q FROM t; COPY v TO 'v'"
        );
        assert_eq!(
            crate::spelling::type_name(good(&sql).views[0].schema.field(0).data_type()),
            "STRUCT<lat INT, at STRUCT<b TEXT>>"
        );
    }
}

#[test]
fn every_wrong_option_is_reported() {
    check(&[
        (
            "CREATE EXTERNAL TABLE x (a INT) STORED AS CSV LOCATION 'x' OPTIONS ('header' 'true', 'sep' ';', 'has_header' 'maybe')",
            &[
                (2, 69, "'header'", "did you mean 'has_header'?"),
                (2, 86, "'sep'", "delimiter"),
                (
                    2,
                    97,
                    "'has_header': cannot be 'maybe'",
                    "'true' or 'false'",
                ),
            ],
        ),
        (
            "CREATE EXTERNAL TABLE x (a INT) STORED AS JSON LOCATION 'kafka://h:9/t' OPTIONS ('strat' 'latest', 'isolation' 'none', 'column.b' 'key')",
            &[
                (2, 82, "'strat'", ""),
                (2, 100, "'isolation': cannot be 'none'", "read_committed"),
                (2, 120, "does not name a declared column", "column.a"),
            ],
        ),
        (
            "COPY t TO 'x' OPTIONS ('retian' '3 days', 'key' 'id')",
            &[
                (
                    2,
                    24,
                    "'retian' is not known",
                    "did you mean 'retain'? Known are compression, row_group_rows, retain, retain_by",
                ),
                (2, 43, "'key' is not known", "tables that go to Kafka"),
            ],
        ),
    ]);
}

#[test]
fn a_sink_is_what_it_declares() {
    let job = good(
        "CREATE MATERIALIZED VIEW v AS SELECT region, ok, amount FROM t ORDER BY amount DESC, region; \
        COPY v TO 'out/v' STORED AS CSV PARTITIONED BY (ok, region) OPTIONS ('delimiter' ';')",
    );
    let [sink] = &job.sinks[..] else {
        panic!("one sink")
    };
    let directory = sink.directory().unwrap();
    assert_eq!(
        (sink.view.as_str(), &directory.path),
        ("v", &PathBuf::from("out/v"))
    );
    assert_eq!(directory.partition_by, [1, 0]);
    assert_eq!(
        directory.encoding,
        Encoding::Csv {
            delimiter: b';',
            null_text: String::new()
        }
    );
    let order: Vec<_> = sink
        .order_by
        .iter()
        .map(|key| (key.column, key.descending, key.nulls_first))
        .collect();
    assert_eq!(order, [(2, true, true), (0, false, false)]);
    assert!(
        matches!(
            good("COPY u TO 'x'").sinks[0].directory().unwrap().encoding,
            Encoding::Parquet { .. }
        ),
        "Parquet unless said otherwise"
    );
}

#[test]
fn warnings_say_what_comes_to_nothing() {
    let job = good(
        "CREATE MATERIALIZED VIEW kept AS SELECT id FROM t;\nCREATE VIEW lost AS SELECT * FROM u;\n\
        CREATE MATERIALIZED VIEW n AS SELECT CAST(ts AS TIMESTAMP(9)) AS at, date_trunc('month', day) AS m FROM t;\nCOPY n TO 'n'",
    );
    let warnings: Vec<_> = job
        .warnings
        .iter()
        .map(|w| (w.line, w.message.as_str()))
        .collect();
    let expected = [
        (1, "'u' is not read by any table"),
        (2, "'kept' is kept up to date and published nowhere"),
        (3, "'lost' is not read by any table"),
    ];
    assert_eq!(warnings, expected);
    assert_eq!(
        job.views
            .iter()
            .map(|v| v.name.as_str())
            .collect::<Vec<_>>(),
        ["kept", "n"]
    );
}

#[test]
fn warnings_of_published_tables() {
    let job = good(
        "CREATE MATERIALIZED VIEW v AS SELECT region, sum(amount), count(*) AS n FROM t GROUP BY region;\n\
        COPY v TO 'out/v.parquet' STORED AS PARQUET;\nCOPY u TO 'u.d'",
    );
    let warnings: Vec<_> = job
        .warnings
        .iter()
        .map(|w| {
            (
                w.line,
                w.column,
                w.message.as_str(),
                w.hint.as_deref().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        (
            2,
            46,
            "a column without a name is published as 'sum(t.amount)'",
            "name it: sum(amount) AS name",
        ),
        (
            3,
            11,
            "'v.parquet' becomes a directory: a table is a directory of files",
            "name it like one, 'v', and give readers the directory",
        ),
    ];
    assert_eq!(warnings, expected);
    let named = good(
        "CREATE MATERIALIZED VIEW v (a) AS SELECT sum(amount) FROM t; COPY v TO 'v'; COPY u TO 'u'",
    );
    assert_eq!(named.warnings, []);
}

#[test]
fn tables_do_not_lie_where_sources_read() {
    let source = |location: &str| {
        format!("CREATE EXTERNAL TABLE s (a INT) STORED AS CSV LOCATION '{location}';\n")
    };
    let refused = [
        ("self/x", "self/x"),
        ("no-such/in/**/*.csv", "no-such/in/out"),
        ("no-such/in/**/*.csv", "./no-such/other/../in/out"),
        ("file:///no-such/in/*.csv", "file:///no-such"),
        ("no-such/out/t/in.csv", "no-such/out"),
    ];
    for (location, target) in refused {
        let sql = format!("{}COPY s TO '{target}' STORED AS CSV", source(location));
        let errors = parse(&sql).expect_err(location);
        let [error] = errors.errors() else {
            panic!("{errors}")
        };
        assert_eq!((error.line, error.column), (2, 11), "{errors}");
        assert!(error.message.contains("overlap"), "{errors}");
    }
    parse(&format!(
        "{}COPY s TO 'no-such/out' STORED AS CSV",
        source("no-such/in/**/*.csv")
    ))
    .unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn jobs_that_do_nothing_are_errors() {
    for (sql, message) in [
        ("", "the job is empty"),
        ("-- nothing\n", "the job is empty"),
        (
            "CREATE VIEW v AS SELECT 1 AS a",
            "the job publishes nothing",
        ),
    ] {
        let errors = parse(sql).expect_err(message);
        assert_eq!(errors.errors()[0].message, message);
    }
}

#[test]
fn columns_that_cannot_be_partitions() {
    check(&[
        (
            "COPY t TO 'x' PARTITIONED BY (rate)",
            &[(
                2,
                31,
                "'rate' is a DOUBLE, which cannot name a directory",
                "dates",
            )],
        ),
        (
            "COPY t TO 'x' PARTITIONED BY (place)",
            &[(
                2,
                31,
                "'place' is a STRUCT<lat DOUBLE, lon DOUBLE>, which",
                "text",
            )],
        ),
    ]);
    good("COPY t TO 'x' PARTITIONED BY (day, price, ok, region, at)");
}
