//! Readable inputs that are probably mistakes: files without a good row, and sources that lose their files. `run`
//! with and without a state, `follow` and `replay` end with exit code 3, publish nothing and leave the state
//! unchanged.

use serde_json::Value;
use tidewater_tests::binary::{Ran, command};
use tidewater_tests::maintained::Maintained;

const SQL: &str =
    "CREATE EXTERNAL TABLE t (day DATE, k TEXT, v BIGINT) STORED AS CSV LOCATION '${input}/t'
    OPTIONS ('encoding' '${encoding:-utf-8}');
CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k;
COPY sums TO '${output}/sums' STORED AS CSV;";

const GOOD: &str = "day,k,v\n2024-03-01,seoul,1\n2024-03-01,busan,2\n";

fn place(files: &[(&str, &str)]) -> Maintained {
    let place = Maintained::new(SQL);
    for (name, content) in files {
        place.deliver(&format!("t/{name}"), content, 0);
    }
    place
}

/// The content that the state records. A stopped run may leave other content, which the next run removes.
fn records(place: &Maintained) -> Value {
    place.state()["records"].clone()
}

/// Another command of the job than `run`.
fn other(place: &Maintained, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.current_dir(place.path(""));
    command.args(["--set", "input=in", "--set", "output=out"]);
    command.output().unwrap().into()
}

const FOLLOW: &[&str] = &["follow", "job.sql", "--state", "state", "--every", "50ms"];
const REPLAY: &[&str] = &["replay", "job.sql", "--step", "1 day"];

/// Files whose rows cannot be read as declared, and what the message must say.
fn nonsense() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let rows = |of: usize| {
        vec![
            "bad.csv",
            if of == 1 {
                "its one row"
            } else {
                "none of its"
            },
        ]
    };
    let mut cp949 = b"day,k,v\n".to_vec();
    for day in ["2024-03-01", "2024-03-02"] {
        cp949.extend(day.as_bytes());
        cp949.extend(b",\xbc\xad\xbf\xef,7\n");
    }
    vec![
        ("the encoding", cp949, rows(2)),
        (
            "the delimiter of decimals",
            b"day,k,v\n2024-03-01,a,\"1,5\"\n2024-03-01,b,\"2,5\"\n".to_vec(),
            [rows(2), vec!["line 2: column 'v'", "line 3"]].concat(),
        ),
        ("one row", b"day,k,v\n2024-03-01,a,one\n".to_vec(), rows(1)),
        (
            "the number of fields",
            b"day,k,v\n2024-03-01,a,1,x\n2024-03-02,a,1,x\n2024-03-03,a,1,x\n2024-03-04,a,1,x\n"
                .to_vec(),
            [rows(4), vec!["line 4"]].concat(),
        ),
    ]
}

#[test]
fn a_file_without_a_good_row_stops_every_driver() {
    for (what, content, parts) in nonsense() {
        let place = place(&[("a.csv", GOOD)]);
        let _ = place.commits(&["--quiet"]);
        let (tables, state) = (place.tables(), records(&place));
        place.deliver("t/bad.csv", &content, 60);
        for workers in ["1", "3"] {
            let ran = place.run(&["--workers", workers]).code(3).no_panic();
            let ran = ran
                .says(&parts)
                .says(&["--allow bad-files", "min_good_rows"]);
            assert!(!ran.stderr.contains("line 5"), "{what}: {}", ran.stderr);
        }
        let _ = other(&place, FOLLOW).code(3).says(&parts);
        let _ = other(&place, REPLAY).code(3).says(&parts);
        let _ = other(&place, &["run", "job.sql", "--take-over"])
            .code(3)
            .says(&parts);
        assert_eq!(place.tables(), tables, "{what}");
        assert_eq!(records(&place), state, "{what}");
        // The file is removed, or delivered again without the fault.
        place.withdraw("t/bad.csv");
        let again = place.commits(&["--json"]).json();
        assert_eq!(again["epoch"], 1, "{what}: nothing to do");
        place.deliver("t/bad.csv", GOOD, 90);
        let _ = place.commits(&[]);
        place.assert_cold();
    }
}

#[test]
fn it_can_be_let_through_once_or_always() {
    for (what, content, _) in nonsense() {
        let place = place(&[("a.csv", GOOD)]);
        place.deliver("t/bad.csv", &content, 60);
        let _ = place.run(&[]).code(3);
        let _ = other(&place, &[REPLAY, &["--allow", "bad-files"]].concat()).code(0);
        let ran = place.commits(&["--json", "--allow", "bad-files"]).json();
        assert_eq!(ran["rows_quarantined"], 1, "{what}");
        assert_eq!(ran["files_set_aside"][0]["path"], "in/t/bad.csv", "{what}");
        // An accepted file stays accepted, whatever is rebuilt.
        assert_eq!(place.commits(&["--json"]).json()["epoch"], 1, "{what}");
        let _ = place.commits(&["--rebuild"]);
        // The option of the source does the same, and rebuilds nothing.
        place.declare(&SQL.replace("OPTIONS (", "OPTIONS ('on_bad_file' 'quarantine', "));
        assert_eq!(place.commits(&["--json"]).json()["epoch"], 2, "{what}");
        place.assert_cold();
        // Its rows one by one.
        place.declare(&SQL.replace("OPTIONS (", "OPTIONS ('min_good_rows' '0', "));
        let ran = place.commits(&["--json"]).json();
        assert_eq!(ran["epoch"], 3, "{what}");
        place.assert_cold();
        place.deliver("t/worse.csv", &content, 70);
        let _ = place.commits(&[]);
        place.assert_cold();
    }
}

#[test]
fn a_declaration_that_reads_no_row_any_more_stops() {
    let korean = "day,k,v\n2024-03-01,서울,1\n";
    let place = place(&[("a.csv", korean), ("b.csv", korean)]);
    let _ = place.commits(&["--quiet"]);
    let tables = place.tables();
    let utf16 = ["--set", "encoding=utf-16le"];
    let ran = place.run(&utf16);
    assert_ne!(ran.code, Some(0), "{}", ran.stdout);
    assert_eq!(place.tables(), tables);
    let ascii = SQL.replace("k TEXT", "k BIGINT");
    place.declare(&ascii);
    let _ = place
        .run(&[])
        .code(3)
        .says(&["t/a.csv", "for 1 file more", "t/b.csv"]);
    assert_eq!(place.tables(), tables);
}

#[test]
fn empty_files_and_files_with_few_good_rows_are_no_nonsense() {
    let bad = "day,k,v\n2024-03-01,a,x\n2024-03-01,a,y\n2024-03-01,a,z\n2024-03-01,a,1\n";
    let place = place(&[
        ("a.csv", GOOD),
        ("header.csv", "day,k,v\n"),
        ("none.csv", ""),
        ("few.csv", bad),
    ]);
    let _ = place.commits(&[]);
    place.assert_cold();
    place.declare(&SQL.replace("OPTIONS (", "OPTIONS ('min_good_rows' '2', "));
    place.deliver("t/few.csv", format!("{bad}2024-03-01,b,x\n"), 60);
    let _ = place
        .run(&[])
        .code(3)
        .says(&["few.csv: only 1 of its 5 rows"]);
}

#[test]
fn a_file_that_grows_is_judged_whole() {
    let place = place(&[("a.csv", "day,k,v\n2024-03-01,a,1\n")]);
    place.declare(&SQL.replace("OPTIONS (", "OPTIONS ('on_change' 'append', "));
    let _ = place.commits(&[]);
    // The file has a good row, so an addition without one is treated as bad rows.
    place.deliver("t/a.csv", "day,k,v\n2024-03-01,a,1\n2024-03-01,a,x\n", 60);
    let _ = place.commits(&[]);
    place.assert_cold();
    place.deliver("t/b.csv", "day,k,v\n", 60);
    let _ = place.commits(&[]);
    place.deliver("t/b.csv", "day,k,v\n2024-03-01,a,x\n", 70);
    let _ = place.run(&[]).code(3).says(&["b.csv: its one row"]);
    place.deliver("t/b.csv", "day,k,v\n2024-03-01,a,x\n2024-03-01,a,5\n", 80);
    let _ = place.commits(&[]);
    place.assert_cold();
}

#[test]
fn a_source_that_loses_its_files_stops() {
    let files = ["a.csv", "b.csv", "c.csv"].map(|name| (name, GOOD));
    // Removed files, added files, and whether the run stops.
    let cases: [(&[&str], &[&str], bool); 6] = [
        (&["a.csv"], &[], false),
        (&["a.csv", "b.csv"], &[], true),
        (&["a.csv", "b.csv"], &["d.csv"], false),
        (&["a.csv", "b.csv", "c.csv"], &[], true),
        (&["a.csv", "b.csv", "c.csv"], &["d.csv"], true),
        (&["a.csv", "b.csv", "c.csv"], &["d.csv", "e.csv"], false),
    ];
    for (gone, came, stops) in cases {
        let place = place(&files);
        let _ = place.commits(&["--quiet"]);
        let (tables, state) = (place.tables(), records(&place));
        for name in gone {
            place.withdraw(&format!("t/{name}"));
        }
        for (at, name) in came.iter().enumerate() {
            place.deliver(
                &format!("t/{name}"),
                format!("{GOOD}2024-03-01,c,{at}\n"),
                60,
            );
        }
        if !stops {
            let _ = place.commits(&[]);
            place.assert_cold();
            continue;
        }
        let parts = [
            "LOCATION 'in/t'",
            "t/a.csv",
            "--allow withdrawn",
            "max_withdrawn_ratio",
        ];
        let _ = place.run(&[]).code(3).no_panic().says(&parts);
        let _ = other(&place, FOLLOW).code(3).says(&parts);
        assert_eq!(place.tables(), tables);
        assert_eq!(records(&place), state);
        // The disk is mounted again.
        for name in gone {
            place.deliver(&format!("t/{name}"), GOOD, 0);
        }
        for name in came {
            place.withdraw(&format!("t/{name}"));
        }
        assert_eq!(place.commits(&["--json"]).json()["epoch"], 1);
        assert_eq!(place.tables(), tables);
    }
}

#[test]
fn files_are_withdrawn_where_that_is_allowed() {
    for (option, arguments) in [
        (None, &["--allow", "withdrawn"][..]),
        (Some("OPTIONS ('max_withdrawn_ratio' '1', "), &[]),
    ] {
        let place = place(&[("a.csv", GOOD), ("b.csv", GOOD), ("c.csv", GOOD)]);
        let _ = place.commits(&["--quiet"]);
        place.withdraw("t/a.csv");
        place.withdraw("t/b.csv");
        let _ = place.run(&[]).code(3);
        if let Some(option) = option {
            place.declare(&SQL.replace("OPTIONS (", option));
        }
        let ran = place.commits(&[arguments, &["--json"]].concat()).json();
        assert_eq!(ran["epoch"], 2);
        place.assert_cold();
        // The last file is removed, and the tables are empty.
        place.withdraw("t/c.csv");
        let _ = place.commits(arguments);
        place.deliver("t/d.csv", GOOD, 60);
        let _ = place.commits(&[]);
        place.assert_cold();
    }
}
