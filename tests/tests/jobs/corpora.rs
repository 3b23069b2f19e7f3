//! Files of each kind in public corpora of hard and broken files. `tests/corpora/files.json` has the options and the
//! expected result of each.

use std::fs;

use serde_json::Value;
use tidewater_tests::binary::{repository, snapshot};

use crate::place::Place;

fn job(case: &Value) -> String {
    let text = |key: &str| case[key].as_str().unwrap();
    let options = case["options"].as_object().unwrap().iter();
    let options: Vec<String> = options
        .map(|(key, value)| {
            let value = value.as_str().unwrap().replace('\'', "''");
            format!("'{key}' '{value}'")
        })
        .collect();
    let options = if options.is_empty() {
        String::new()
    } else {
        format!("OPTIONS ({})", options.join(", "))
    };
    format!(
        "CREATE EXTERNAL TABLE t ({}) STORED AS {} LOCATION '${{input}}/{}' {options};
         CREATE MATERIALIZED VIEW result AS SELECT * FROM t;
         COPY result TO '${{output}}/result' STORED AS CSV;",
        text("columns"),
        text("stored_as"),
        text("file"),
    )
}

/// The lines of the published table without its header, sorted.
fn published(place: &Place) -> Vec<String> {
    let files = snapshot(&place.path("out/result")).into_values();
    let texts = files.map(|bytes| String::from_utf8(bytes).unwrap());
    let mut lines: Vec<String> = texts
        .flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

#[test]
fn files_of_every_kind_are_read_or_refused_with_what_to_do() {
    let corpora = repository().join("tests/corpora");
    let cases = fs::read_to_string(corpora.join("files.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    assert!(cases.len() > 50);
    for case in &cases {
        let file = case["file"].as_str().unwrap();
        let place = Place::new();
        place.deliver(file, fs::read(corpora.join("files").join(file)).unwrap());
        if let Some(error) = case["error"].as_str() {
            let ran = place.run(&job(case), &["--quiet"]).code(1);
            assert!(ran.stderr.contains(error), "{file}: {}", ran.stderr);
            assert!(ran.stderr.contains(file), "{file}: {}", ran.stderr);
            continue;
        }
        let summary = place.run(&job(case), &["--json"]).code(0).json();
        assert_eq!(
            summary["rows_quarantined"], case["bad"],
            "{file}: {summary}"
        );
        let rows = case["rows"].as_array().unwrap().iter();
        let mut rows: Vec<&str> = rows.map(|row| row.as_str().unwrap()).collect();
        rows.sort_unstable();
        assert_eq!(published(&place), rows, "{file}");
    }
}
