//! Input that a job cannot use: reported by file and column, or quarantined and counted.

use serde_json::Value;
use tidewater_tests::binary::snapshot;
use tidewater_tests::published::text;

use crate::place::Place;

const SQL: &str = "CREATE EXTERNAL TABLE t (id BIGINT NOT NULL, k TEXT, v DECIMAL(8, 2), at TIMESTAMP)
    STORED AS CSV LOCATION '${input}' OPTIONS ('max_bad_rows' '${bad:-100}', 'max_bad_ratio' '${ratio:-1}');
  CREATE MATERIALIZED VIEW sums AS SELECT k, count(*) AS c, sum(v) AS s FROM t GROUP BY k;
  CREATE MATERIALIZED VIEW rows AS SELECT * FROM t;
  COPY sums TO '${output}/sums' STORED AS CSV;";

const GOOD: &str = "id,k,v,at\n1,a,1.50,2024-01-01 00:00:00\n2,b,2.25,\n";

fn sums(place: &Place) -> String {
    let files = snapshot(&place.path("out/sums"));
    files
        .into_values()
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
}

#[test]
fn bad_rows_are_quarantined_and_poison_no_neighbour() {
    let place = Place::new();
    place.deliver("good.csv", GOOD);
    let rows = [
        "3,a,1.00,2024-02-29 12:00:00", // good
        "x,a,1.00,",                    // not a number
        "4,a,ten,",                     // not a decimal
        "5,a,1.00,2024-02-30 12:00:00", // not a date
        "6,a",                          // too few fields
        "7,a,1.00,,extra",              // too many
        ",a,1.00,",                     // NULL where there is none
        "8,\"a, \"\"b\"\"\nc\",1.00,",  // good: a comma, quotes and a line end in quotes
        "9,a,99999999.99,",             // too many digits
        "10,a,1.00,",                   // good
    ];
    place.deliver("mixed.csv", format!("id,k,v,at\n{}\n", rows.join("\n")));
    for workers in ["1", "3"] {
        let summary = place
            .run(SQL, &["--json", "--workers", workers])
            .code(0)
            .json();
        assert_eq!(count(&summary, "rows_read"), 12, "{summary}");
        assert_eq!(count(&summary, "rows_quarantined"), 7);
        let quarantine = text(&place.quarantine());
        let seen: Vec<(&str, &str)> = quarantine
            .iter()
            .map(|row| (row[1].as_str(), row[3].as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("3", "id"),
                ("4", "v"),
                ("5", "at"),
                ("6", ""),
                ("7", ""),
                ("8", "id"),
                ("11", "v")
            ],
            "{quarantine:?}"
        );
        assert!(
            quarantine.iter().all(|row| row[0].ends_with("mixed.csv")
                && !row[4].is_empty()
                && !row[5].is_empty()),
            "{quarantine:?}"
        );
        assert_eq!(
            sums(&place),
            "k,c,s\na,3,3.50\n\"a, \"\"b\"\"\nc\",1,1.00\nb,1,2.25\n"
        );
    }
    // The next run has no bad rows, and the quarantine says so.
    place.deliver("mixed.csv", GOOD);
    let summary = place.run(SQL, &["--json"]).code(0).json();
    assert_eq!(count(&summary, "rows_quarantined"), 0);
    assert_eq!(place.quarantine().num_rows(), 0);
}

fn count(summary: &Value, what: &str) -> u64 {
    summary[what].as_u64().unwrap()
}

#[test]
fn too_many_bad_rows_publish_nothing() {
    for (gate, value, code) in [
        ("bad", "1", 3),
        ("bad", "2", 0),
        ("ratio", "0.3", 3),
        ("ratio", "0.5", 0),
    ] {
        let place = Place::new();
        place.deliver("a.csv", GOOD);
        let _ = place.run(SQL, &["--quiet"]).code(0);
        let before = sums(&place);
        place.deliver("b.csv", "id,k,v,at\n3,c,1,\n4,c,x,\n5,c,y,\n");
        let ran = place
            .run(SQL, &["--set", &format!("{gate}={value}"), "--json"])
            .code(code);
        if code == 3 {
            let _ = ran.says(&[
                if gate == "bad" {
                    "max_bad_rows"
                } else {
                    "max_bad_ratio"
                },
                "t",
            ]);
            assert_eq!(sums(&place), before);
        } else {
            assert_ne!(sums(&place), before);
            assert_eq!(count(&ran.json(), "rows_quarantined"), 2);
        }
    }
}

#[test]
fn files_that_do_not_fit_are_named_with_what_is_wrong() {
    for (content, parts) in [
        ("id,v,at\n1,2,\n", &["bad.csv", "column", "k"][..]),
        ("id,k,v,at,extra\n1,a,2,,x\n", &["bad.csv", "extra"]),
        (
            "1,a,2.00,2024-01-01 00:00:00\n2,b,2.00,\n",
            &["bad.csv", "header"],
        ),
        ("id,k,k,v,at\n1,a,a,2,\n", &["bad.csv", "k"]),
    ] {
        let place = Place::new();
        place.deliver("a.csv", GOOD);
        let _ = place.run(SQL, &["--quiet"]).code(0);
        let before = sums(&place);
        place.deliver("bad.csv", content);
        let ran = place.run(SQL, &[]).code(1).says(parts);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert_eq!(sums(&place), before, "{content}");
    }
}

#[test]
fn headers_alone_byte_order_marks_and_blank_lines_are_no_rows() {
    let place = Place::new();
    place.deliver("0.csv", "id,k,v,at\n");
    place.deliver("1.csv", "\u{feff}id,k,v,at\r\n1,a,1.50,\r\n\r\n\r\n");
    place.deliver("2.csv", "at,v,k,id\n,2.50,a,2");
    let summary = place.run(SQL, &["--json"]).code(0).json();
    assert_eq!(
        (
            count(&summary, "rows_read"),
            count(&summary, "rows_quarantined")
        ),
        (2, 0)
    );
    assert_eq!(sums(&place), "k,c,s\na,2,4.00\n");
}

#[test]
fn an_empty_file_is_no_rows_and_a_warning() {
    let place = Place::new();
    place.deliver("a.csv", GOOD);
    place.deliver("empty.csv", "");
    let ran = place
        .run(SQL, &["--json"])
        .code(0)
        .says(&["warning", "empty.csv", "header"]);
    assert_eq!(count(&ran.json(), "rows_read"), 2);
    assert_eq!(sums(&place), "k,c,s\na,1,1.50\nb,1,2.25\n");
}

#[test]
fn columns_that_no_row_has_are_warned_about() {
    let place = Place::new();
    place.deliver("a.json", r#"{"ID":1,"k":"x"}"#);
    let sql =
        "CREATE EXTERNAL TABLE t (id BIGINT, k TEXT, note TEXT) STORED AS JSON LOCATION '${input}';
        COPY t TO '${output}/t';";
    let told = [
        "no row has a field 'id', but rows have 'ID'",
        "no row has a field 'note'",
    ];
    let _ = place.run(sql, &["--quiet"]).code(0).says(&told);
}

#[test]
fn no_rows_give_empty_tables_with_columns() {
    let place = Place::new();
    place.deliver("0.csv", "id,k,v,at\n");
    let summary = place.run(SQL, &["--json"]).code(0).json();
    assert_eq!(summary["tables"]["sums"]["rows"], 0);
    assert_eq!(sums(&place), "k,c,s\n");
}

#[test]
fn text_that_is_not_utf8_is_quarantined() {
    let place = Place::new();
    place.deliver(
        "a.csv",
        b"id,k,v,at\n1,a,1.00,\n2,\xff\xfe,1.00,\n3,c,1.00,\n",
    );
    let summary = place.run(SQL, &["--json"]).code(0).json();
    assert_eq!(
        (
            count(&summary, "rows_read"),
            count(&summary, "rows_quarantined")
        ),
        (3, 1)
    );
    let quarantine = text(&place.quarantine());
    assert_eq!(
        (quarantine[0][1].as_str(), quarantine[0][3].as_str()),
        ("3", "k"),
        "{quarantine:?}"
    );
    assert_eq!(sums(&place), "k,c,s\na,1,1.00\nc,1,1.00\n");
}
