//! Columns from folders and names of files, through all changes of files.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use tidewater_tests::binary::{Ran, command};
use tidewater_tests::maintained::Maintained;

/// A format: its name, the columns of its files, and a file of some amounts.
struct Kind {
    stored_as: &'static str,
    column: &'static str,
    extension: &'static str,
    file: fn(&[i64]) -> Vec<u8>,
}

const KINDS: [Kind; 4] = [
    Kind {
        stored_as: "CSV",
        column: "amount BIGINT",
        extension: "csv",
        file: |amounts| {
            let lines = amounts.iter().map(|amount| format!("{amount}\n"));
            format!("amount\n{}", lines.collect::<String>()).into_bytes()
        },
    },
    Kind {
        stored_as: "JSON",
        column: "amount BIGINT",
        extension: "json",
        file: |amounts| {
            let lines = amounts
                .iter()
                .map(|amount| format!("{{\"amount\":{amount}}}\n"));
            lines.collect::<String>().into_bytes()
        },
    },
    Kind {
        stored_as: "TEXT",
        column: "amount TEXT",
        extension: "txt",
        file: |amounts| {
            let lines = amounts.iter().map(|amount| format!("{amount}\n"));
            lines.collect::<String>().into_bytes()
        },
    },
    Kind {
        stored_as: "PARQUET",
        column: "amount BIGINT",
        extension: "parquet",
        file: |amounts| {
            let column: ArrayRef = Arc::new(Int64Array::from(amounts.to_vec()));
            let batch = RecordBatch::try_from_iter([("amount", column)]).unwrap();
            let mut bytes = Vec::new();
            let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            bytes
        },
    },
];

/// A job over `day=…/region=…`, with the path of each file.
fn job(kind: &Kind, key: &str) -> Maintained {
    let (stored_as, column) = (kind.stored_as, kind.column);
    Maintained::new(&format!(
        "CREATE EXTERNAL TABLE s (region TEXT, {column}, day DATE, file TEXT, name TEXT{key})
         STORED AS {stored_as} PARTITIONED BY (day, region) LOCATION '${{input}}'
         OPTIONS ('column.file' 'path', 'column.name' 'file_name');
         CREATE MATERIALIZED VIEW by_day AS
         SELECT day, region, count(*) AS n, sum(CAST(amount AS BIGINT)) AS total FROM s GROUP BY day, region;
         CREATE MATERIALIZED VIEW by_file AS SELECT file, name, max(day) AS day, count(*) AS n FROM s GROUP BY file, name;
         COPY by_day TO '${{output}}/by_day' STORED AS CSV;
         COPY by_file TO '${{output}}/by_file' STORED AS CSV;"
    ))
}

fn rows(place: &Maintained, table: &str) -> Vec<String> {
    let tables = place.tables().into_iter();
    let files = tables.filter(|(path, _)| {
        path.starts_with(table) && path.extension().is_some_and(|extension| extension == "csv")
    });
    let text = files.map(|(_, bytes)| String::from_utf8(bytes).unwrap());
    text.flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn delivered(ran: &Ran) -> Vec<String> {
    let deliveries = ran.json()["deliveries"].as_array().unwrap().clone();
    let told = deliveries.iter().map(|delivery| {
        format!(
            "{} {}",
            delivery["change"].as_str().unwrap(),
            delivery["path"].as_str().unwrap()
        )
    });
    told.collect()
}

#[test]
fn folders_are_columns_through_all_changes() {
    for kind in &KINDS {
        for key in ["", ", PRIMARY KEY (day, amount)"] {
            let place = job(kind, key);
            let put = |folder: &str, amounts: &[i64], modified: u64| {
                let name = format!("{folder}/f.{}", kind.extension);
                place.deliver(&name, (kind.file)(amounts), modified);
            };
            let expect = |by_day: &[&str]| {
                assert_eq!(rows(&place, "by_day"), by_day, "{}", kind.stored_as);
                place.assert_cold();
            };
            put("day=2024-01-01/region=seoul", &[1, 2], 0);
            put("day=2024-01-01/region=a%2Fb", &[10], 0);
            put("day=2024-01-02/region=__HIVE_DEFAULT_PARTITION__", &[3], 0);
            put("_temporary/day=2024-01-02/region=x", &[9], 0);
            let _ = place.commits(&[]);
            expect(&[
                "2024-01-01,a/b,1,10",
                "2024-01-01,seoul,2,3",
                "2024-01-02,,1,3",
            ]);
            let by_file = rows(&place, "by_file");
            assert_eq!(by_file.len(), 3, "{by_file:?}");
            let first = format!(
                "day=2024-01-01/region=a%2Fb/f.{0},f.{0},2024-01-01,1",
                kind.extension
            );
            assert!(by_file[0].ends_with(&first), "{by_file:?}");

            // A late file, a corrected one, and a withdrawn one.
            put("day=2024-01-03/region=busan", &[4], 10);
            put("day=2024-01-01/region=seoul", &[1, 5], 10);
            place.withdraw(&format!("day=2024-01-01/region=a%2Fb/f.{}", kind.extension));
            let _ = place.commits(&[]);
            expect(&[
                "2024-01-01,seoul,2,6",
                "2024-01-02,,1,3",
                "2024-01-03,busan,1,4",
            ]);

            // A folder that is renamed changes the rows of its files.
            let input = place.path("in");
            fs::rename(input.join("day=2024-01-03"), input.join("day=2024-02-03")).unwrap();
            let ran = place.commits(&["--json"]);
            assert_eq!(delivered(&ran).len(), 2, "{:?}", delivered(&ran));
            expect(&[
                "2024-01-01,seoul,2,6",
                "2024-01-02,,1,3",
                "2024-02-03,busan,1,4",
            ]);
            assert!(
                rows(&place, "by_file")
                    .iter()
                    .any(|row| row.contains("day=2024-02-03"))
            );

            // Stored content has the columns of its path too.
            let _ = place.commits(&["--rebuild"]);
            expect(&[
                "2024-01-01,seoul,2,6",
                "2024-01-02,,1,3",
                "2024-02-03,busan,1,4",
            ]);
        }
    }
}

#[test]
fn a_move_that_changes_no_column_reads_nothing_again() {
    let place = Maintained::new(
        "CREATE EXTERNAL TABLE s (amount BIGINT, day DATE) STORED AS CSV PARTITIONED BY (day) LOCATION '${input}';
         CREATE MATERIALIZED VIEW t AS SELECT day, sum(amount) AS total FROM s GROUP BY day;
         COPY t TO '${output}/t' STORED AS CSV;",
    );
    place.deliver("day=2024-01-01/a.csv", "amount\n1\n", 0);
    let _ = place.commits(&[]);
    let (footprint, input) = (place.footprint(), place.path("in/day=2024-01-01"));
    fs::rename(input.join("a.csv"), input.join("b.csv")).unwrap();
    let ran = place.commits(&["--json"]);
    assert_eq!(delivered(&ran), ["renamed in/day=2024-01-01/b.csv"]);
    assert_eq!(ran.json()["rows_read"], 0);
    assert_eq!(place.footprint(), footprint);
    place.assert_cold();
}

#[test]
fn a_folder_that_says_nothing_useful_stops_the_run_and_names_the_path() {
    for kind in &KINDS {
        let place = job(kind, "");
        let put = |name: &str| {
            let name = format!("{name}/f.{}", kind.extension);
            place.deliver(&name, (kind.file)(&[1]), 0);
        };
        put("day=2024-01-01/region=seoul");
        let _ = place.commits(&[]);
        let before = place.tables();
        for (folder, says) in [
            (
                "day=yesterday/region=x",
                "column 'day': the value of its folder cannot be read",
            ),
            ("region=x", "no folder of the path is 'day=…'"),
            ("Day=2024-01-01/region=x", "declare the column as \"Day\""),
        ] {
            put(folder);
            let _ = place.run(&[]).code(1).no_panic().says(&[folder, says]);
            assert_eq!(place.tables(), before, "{}", kind.stored_as);
            fs::remove_dir_all(place.path("in").join(folder.split('/').next().unwrap())).unwrap();
        }
        let _ = place.commits(&[]);
        place.assert_cold();
    }
}

/// A table in partitions is read back with the columns that are in its folders.
#[test]
fn tables_are_read_back_with_their_partitions() {
    for (stored_as, extension) in [("PARQUET", "parquet"), ("CSV", "csv"), ("JSON", "jsonl")] {
        let place = Maintained::new(&format!(
            "CREATE EXTERNAL TABLE s (k TEXT, d DATE, at TIMESTAMP, n DECIMAL(10,2), v BIGINT) STORED AS CSV LOCATION '${{input}}';
             CREATE VIEW t AS SELECT * FROM s;
             COPY t TO '${{output}}/t' STORED AS {stored_as} PARTITIONED BY (k, d, at, n);"
        ));
        place.deliver(
            "f.csv",
            "k,d,at,n,v\na b/c%,2024-01-01,2024-01-01T01:02:03.5,1.50,1\n\"x=\"\"y\"\",z\",,,,2\n서울,2024-02-29,,-7,\n",
            0,
        );
        let _ = place.commits(&["--quiet"]);
        let again = place.path("again.sql");
        fs::write(
            &again,
            format!(
                "CREATE EXTERNAL TABLE t (v BIGINT) STORED AS {stored_as}
                 PARTITIONED BY (k TEXT, d DATE, at TIMESTAMP, n DECIMAL(10,2)) LOCATION 'out/t';
                 CREATE VIEW a AS SELECT k, d, at, n, v FROM t;
                 COPY a TO 'again' STORED AS CSV;"
            ),
        )
        .unwrap();
        let run = |job: &str| {
            let mut command = command(&["run", job, "--quiet"]);
            let ran: Ran = command.current_dir(place.path("")).output().unwrap().into();
            let _ = ran.code(0);
        };
        run("again.sql");
        fs::write(
            place.path("direct.sql"),
            "CREATE EXTERNAL TABLE s (k TEXT, d DATE, at TIMESTAMP, n DECIMAL(10,2), v BIGINT) STORED AS CSV LOCATION 'in';
             CREATE VIEW a AS SELECT * FROM s;
             COPY a TO 'direct' STORED AS CSV;",
        )
        .unwrap();
        run("direct.sql");
        let table = |name: &str| {
            let files = tidewater_tests::binary::snapshot(&place.path(name)).into_iter();
            let mut files =
                files.filter(|(path, _)| path.extension().is_some_and(|is| is == "csv"));
            String::from_utf8(files.next().unwrap().1).unwrap()
        };
        assert_eq!(table("again"), table("direct"), "{stored_as} ({extension})");
        assert_eq!(table("again").lines().count(), 4);
    }
}

/// Two columns are only in the folders: the message says what to write.
#[test]
fn a_missing_column_that_is_a_folder_is_told() {
    for kind in KINDS
        .iter()
        .filter(|kind| matches!(kind.stored_as, "CSV" | "PARQUET"))
    {
        let place = Maintained::new(&format!(
            "CREATE EXTERNAL TABLE s (amount BIGINT, day DATE) STORED AS {} LOCATION '${{input}}/**/*';
             CREATE MATERIALIZED VIEW t AS SELECT day, sum(amount) AS total FROM s GROUP BY day;
             COPY t TO '${{output}}/t';",
            kind.stored_as
        ));
        place.deliver(
            &format!("day=2024-01-01/f.{}", kind.extension),
            (kind.file)(&[1]),
            0,
        );
        let _ = place.run(&[]).code(1).says(&["PARTITIONED BY (day)"]);
    }
}

/// Views depend on whether a column comes from the path.
#[test]
fn a_column_that_moves_into_the_path_rebuilds_its_views() {
    let sql = |clauses: &str| {
        format!(
            "CREATE EXTERNAL TABLE s (amount BIGINT, file TEXT) STORED AS CSV LOCATION '${{input}}' OPTIONS ({clauses});
             CREATE MATERIALIZED VIEW t AS SELECT file, sum(amount) AS total FROM s GROUP BY file;
             COPY t TO '${{output}}/t' STORED AS CSV;"
        )
    };
    let place = Maintained::new(&sql("'missing_columns' 'null'"));
    place.deliver("f.csv", "amount\n1\n", 0);
    let _ = place.commits(&[]);
    assert_eq!(rows(&place, "t"), [",1"]);
    for (what, expected) in [("path", "in/f.csv,1"), ("file_name", "f.csv,1")] {
        place.declare(&sql(&format!(
            "'missing_columns' 'null', 'column.file' '{what}'"
        )));
        let _ = place.commits(&[]);
        assert_eq!(rows(&place, "t"), [expected]);
        place.assert_cold();
    }
}

/// macOS spells Korean and accented names decomposed (NFD).
#[test]
fn names_match_in_every_unicode_spelling() {
    let decomposed = "\u{1100}\u{1173}\u{11b7}";
    for location in [
        "${input}/금",
        "${input}/금/**/금*.csv",
        "${input}/{금,x}/*/*",
    ] {
        let place = Maintained::new(&format!(
            "CREATE EXTERNAL TABLE s (금 BIGINT, k TEXT) STORED AS CSV PARTITIONED BY (k) LOCATION '{location}';
             CREATE MATERIALIZED VIEW sums AS SELECT k, sum(금) AS s FROM s GROUP BY k;
             COPY sums TO '${{output}}/sums' STORED AS CSV;"
        ));
        let name = |number| format!("{decomposed}/k={decomposed}/{decomposed}{number}.csv");
        place.deliver(&name(1), format!("{decomposed}\n1\n"), 0);
        let _ = place.commits(&[]);
        assert_eq!(rows(&place, "sums"), ["금,1"], "{location}");
        place.deliver(&name(2), "금\n2\n", 10);
        let _ = place.commits(&[]);
        assert_eq!(rows(&place, "sums"), ["금,3"], "{location}");
        place.withdraw(&name(1));
        let _ = place.commits(&[]);
        assert_eq!(rows(&place, "sums"), ["금,2"], "{location}");
        place.assert_cold();
    }
}
