//! `'on_bad_file' 'quarantine'`: a bad file is one row of the quarantine, and the tables are those of the other
//! files, whichever runs added, corrected and removed it.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use tidewater_tests::binary::{Ran, command};
use tidewater_tests::maintained::Maintained;
use tidewater_tests::packed;

const CSV: &str = "CREATE EXTERNAL TABLE t (k TEXT, v BIGINT NOT NULL) STORED AS CSV LOCATION '${input}/t'
    OPTIONS ('on_bad_file' 'quarantine', 'encoding' '${encoding:-utf-8}');
CREATE MATERIALIZED VIEW sums AS SELECT k, count(*) AS c, sum(v) AS s, max(v) AS hi FROM t GROUP BY k;
COPY sums TO '${output}/sums' STORED AS CSV;
COPY t TO '${output}/entries';";

const GOOD: &str = "k,v\na,1\nb,2\nbad,x\n";

/// The job over another format.
fn job(stored_as: &str) -> String {
    let options = match stored_as {
        "PARQUET" => CSV.replace(", 'encoding' '${encoding:-utf-8}'", ""),
        _ => CSV.to_owned(),
    };
    options.replace(
        "STORED AS CSV LOCATION",
        &format!("STORED AS {stored_as} LOCATION"),
    )
}

/// Rows as CSV, more than a block of the reader.
fn many() -> String {
    let rows = (0..70_000).map(|row| format!("k{:0>99},{row}\n", row % 7));
    "k,v\n".to_owned() + &rows.collect::<String>()
}

fn parquet(rows: i64, numbers: bool) -> Vec<u8> {
    let keys = StringArray::from_iter_values((0..rows).map(|row| format!("k{}", row % 5)));
    let values: ArrayRef = if numbers {
        Arc::new(Int64Array::from_iter_values(0..rows))
    } else {
        Arc::new(StringArray::from_iter_values(
            (0..rows).map(|row| row.to_string()),
        ))
    };
    let columns = [("k", Arc::new(keys) as ArrayRef), ("v", values)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(1000))
        .set_dictionary_enabled(false)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A Parquet file whose third row group is damaged.
fn damaged_parquet() -> Vec<u8> {
    let mut bytes = parquet(4000, true);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let column = reader.metadata().row_group(2).column(1);
    let at = usize::try_from(column.data_page_offset()).unwrap();
    bytes[at..at + 16].fill(0xff);
    bytes
}

/// A bad file: its name, its content, and words that say what is wrong with it.
struct Bad {
    name: &'static str,
    content: Vec<u8>,
    reason: &'static str,
}

fn bad(name: &'static str, content: impl Into<Vec<u8>>, reason: &'static str) -> Bad {
    Bad {
        name,
        content: content.into(),
        reason,
    }
}

fn of_csv() -> Vec<Bad> {
    let packed = packed::gzip(many().as_bytes());
    let mut wrong_sum = packed.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let half = packed.len() * 9 / 10;
    vec![
        bad("cut.csv.gz", &packed[..half], "damaged or cut short"),
        bad("sum.csv.gz", wrong_sum, "damaged or cut short"),
        bad("text.csv.gz", GOOD, "not compressed"),
        bad("zip.csv", b"PK\x03\x04 and more".as_slice(), "zip"),
        bad("headless.csv", "a,1\nb,2\n", "header"),
        bad("other.csv", "k,w\na,1\n", "column"),
        bad("sheet.xlsx", "k,v\na,1\n", "format"),
        bad(
            "cp949.csv",
            b"k,v\n\xbc\xad,1\n\xb4\xeb,2\n".as_slice(),
            "none of its 2 rows",
        ),
        bad("delimiter.csv", "k,v\na,1,5\nb,2,5\n", "none of its 2 rows"),
    ]
}

fn of_parquet() -> Vec<Bad> {
    let good = parquet(3000, true);
    vec![
        bad("cut.parquet", &good[..good.len() - 20], "Parquet"),
        bad("text.parquet", GOOD, "Parquet"),
        bad("types.parquet", parquet(10, false), "column 'v'"),
        bad("page.parquet", damaged_parquet(), "damaged"),
    ]
}

/// Another command of the job than `run`.
fn other(place: &Maintained, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.current_dir(place.path(""));
    command.args(["--set", "input=in", "--set", "output=out"]);
    command.output().unwrap().into()
}

/// A bad file is added, first or late, is shown, stays, is corrected, is bad again, and is removed.
fn comes_and_goes(job: &str, good: &[u8], name: &str, bad: &Bad) {
    let place = Maintained::new(job);
    place.deliver(name, good, 0);
    let path = format!("t/{}", bad.name);
    let _ = place.commits(&["--quiet"]);
    let before = place.tables();
    place.deliver(&path, &bad.content, 10);
    let ran = place
        .commits(&["--json", "--workers", "3"])
        .no_panic()
        .json();
    assert_eq!(ran["rows_quarantined"], 1, "{}: {ran}", bad.name);
    assert_eq!(ran["rows_read"], 1, "{}: {ran}", bad.name);
    let set_aside = &ran["files_set_aside"];
    assert_eq!(set_aside[0]["path"], format!("in/{path}"), "{ran}");
    let reason = set_aside[0]["reason"].as_str().unwrap();
    assert!(reason.contains(bad.reason), "{}: {reason}", bad.name);
    place.assert_cold();
    let status = other(&place, &["status", "job.sql", "--state", "state", "--json"]);
    let status = status.code(0).json();
    assert_eq!(
        &status["sources"]["t"]["files_set_aside"][0]["reason"],
        reason
    );
    let text = other(&place, &["status", "job.sql", "--state", "state"]).code(0);
    assert!(text.stdout.contains("1 file set aside:"), "{}", text.stdout);
    // The next run has nothing to do, and a rebuild sets the file aside again.
    assert_eq!(place.commits(&["--json"]).json()["epoch"], 2);
    let _ = place.commits(&["--rebuild", "--quiet"]);
    place.assert_cold();
    // Corrected; bad again; gone.
    let corrected = if bad.name.contains(".gz") {
        packed::gzip(good)
    } else {
        good.to_vec()
    };
    let can_be_corrected = !bad.name.contains(".xlsx");
    if can_be_corrected {
        place.deliver(&path, corrected, 20);
        let ran = place.commits(&["--json"]).json();
        assert_eq!(ran["files_set_aside"].as_array().unwrap().len(), 0);
        place.assert_cold();
        place.deliver(&path, &bad.content, 30);
        let _ = place
            .commits(&["--quiet"])
            .says(&["1 file set aside", &path, bad.reason]);
        place.assert_cold();
    }
    place.withdraw(&path);
    let _ = place.commits(&["--quiet"]);
    assert_eq!(place.tables(), before, "{}", bad.name);
}

#[test]
fn bad_csv_files_come_and_go() {
    for bad in of_csv() {
        comes_and_goes(&job("CSV"), GOOD.as_bytes(), "t/a.csv", &bad);
    }
}

#[test]
fn bad_parquet_files_come_and_go() {
    for bad in of_parquet() {
        comes_and_goes(&job("PARQUET"), &parquet(20, true), "t/a.parquet", &bad);
    }
}

#[test]
fn bad_json_files_come_and_go() {
    let good = b"{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\",\"v\":2}\n";
    let job = job("JSON").replace(", 'encoding' '${encoding:-utf-8}'", "");
    for bad in [
        bad(
            "html.json",
            "<html>\n<body>\n</html>\n",
            "none of its 3 rows",
        ),
        bad("utf16.json", b"\xff\xfe{\0\"\0".as_slice(), "UTF-16"),
        bad("cut.json.gz", &packed::gzip(good)[..40], "damaged"),
    ] {
        comes_and_goes(&job, good, "t/a.json", &bad);
    }
}

#[test]
fn all_of_them_at_once_leave_the_good_ones() {
    for keyed in [false, true] {
        let mut sql = job("CSV");
        if keyed {
            sql = sql.replace("v BIGINT NOT NULL)", "v BIGINT NOT NULL, PRIMARY KEY (k))");
        }
        let place = Maintained::new(&sql);
        for (at, bad) in of_csv().iter().enumerate() {
            place.deliver(&format!("t/{}", bad.name), &bad.content, 10);
            place.deliver(&format!("t/{at}.csv"), format!("{GOOD}k{at},{at}\n"), 10);
        }
        let ran = place.commits(&["--json", "--workers", "2"]).json();
        assert_eq!(
            ran["files_set_aside"].as_array().unwrap().len(),
            of_csv().len()
        );
        place.assert_cold();
        // A view that comes later is built from the same files.
        let view =
            "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t; COPY n TO '${output}/n';";
        place.declare(&format!("{sql}{view}"));
        let ran = place.commits(&["--json"]).json();
        assert_eq!(ran["files_set_aside"].as_array().unwrap().len(), 0, "{ran}");
        place.assert_cold();
    }
}

#[test]
fn another_declaration_judges_again() {
    let place = Maintained::new(&job("CSV"));
    place.deliver("t/a.csv", "k,v\na,1\n", 0);
    place.deliver("t/cp949.csv", b"k,v\n\xbc\xad,1\n\xb4\xeb,2\n", 10);
    place.deliver("t/w.csv", "k,v,w\na,1,3\n", 10);
    place.deliver("t/cut.csv.gz", &packed::gzip(GOOD.as_bytes())[..25], 10);
    let ran = place.commits(&["--json"]).json();
    assert_eq!(ran["files_set_aside"].as_array().unwrap().len(), 3, "{ran}");
    place.assert_cold();
    let wider = job("CSV").replace("'encoding'", "'unknown_columns' 'ignore', 'encoding'");
    place.declare(&wider);
    let _ = place.commits(&[]);
    place.assert_cold();
    let korean = wider.replace("'${encoding:-utf-8}'", "'cp949'");
    place.declare(&korean);
    let _ = place.commits(&[]);
    place.assert_cold();
    // The files are read from the content store. The second one is good now, and can be retracted.
    place.withdraw("t/cp949.csv");
    let _ = place.commits(&[]);
    place.assert_cold();
    place.declare(&job("CSV"));
    let _ = place.commits(&[]);
    place.assert_cold();
    // A column more makes all of them bad but one.
    place.deliver("t/w.csv", "k,v,w\na,1,3\nb,1,4\n", 20);
    let more = "v BIGINT NOT NULL, w BIGINT)";
    place.declare(&job("CSV").replace("v BIGINT NOT NULL)", more));
    let ran = place.commits(&["--json"]).json();
    assert_eq!(ran["files_set_aside"].as_array().unwrap().len(), 2, "{ran}");
    place.assert_cold();
}

#[test]
fn files_that_may_not_change_may_be_mended() {
    for on_change in ["fail", "append"] {
        let sql = job("CSV").replace(
            "OPTIONS (",
            &format!("OPTIONS ('on_change' '{on_change}', "),
        );
        let place = Maintained::new(&sql);
        place.deliver("t/a.csv", GOOD, 0);
        place.deliver("t/b.csv", "a,1\n", 0);
        place.deliver("t/c.csv", "k,v\na,x\nb,", 0);
        let _ = place.commits(&[]);
        place.assert_cold();
        assert_eq!(place.commits(&["--json"]).json()["epoch"], 1, "{on_change}");
        place.deliver("t/b.csv", "k,v\na,1\n", 10);
        place.deliver("t/c.csv", "k,v\na,x\nb,5\n", 10);
        let _ = place.commits(&[]);
        place.assert_cold();
        // Files that were added since are judged by it.
        place.deliver("t/b.csv", "k,v\na,7\n", 20);
        let _ = place.run(&[]).code(1).says(&["b.csv", on_change]);
    }
}

/// A file without a good row that grows is judged as a whole, whatever `min_good_rows` says.
#[test]
fn a_file_that_grows_into_a_bad_one_is_set_aside() {
    let options = "OPTIONS ('on_change' 'append', 'min_good_rows' '0', ";
    let place = Maintained::new(&job("CSV").replace("OPTIONS (", options));
    place.deliver("t/a.csv", GOOD, 0);
    place.deliver("t/b.csv", "k,", 0);
    let _ = place.commits(&[]);
    place.deliver("t/b.csv", "k,w\na,1\n", 10);
    let set_aside = place.commits(&["--json"]).json()["files_set_aside"].clone();
    assert_eq!(set_aside.as_array().unwrap().len(), 1, "{set_aside}");
    place.assert_cold();
    place.deliver("t/b.csv", "k,v\na,1\n", 20);
    let _ = place.commits(&[]);
    place.assert_cold();
}

#[test]
fn replay_and_follow_set_aside_too() {
    let place = Maintained::new(&job("CSV"));
    place.deliver("t/a.csv", GOOD, 0);
    for bad in of_csv() {
        place.deliver(&format!("t/{}", bad.name), &bad.content, 10);
    }
    let replay = ["replay", "job.sql", "--step", "1 day", "--changes", "-"];
    let ran = other(&place, &replay)
        .code(0)
        .says(&["t/cut.csv.gz is set aside: damaged"]);
    let rows = |text: &str| {
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    };
    let alone = Maintained::new(&job("CSV"));
    alone.deliver("t/a.csv", GOOD, 0);
    let expected = other(&alone, &replay).code(0);
    assert_eq!(rows(&ran.stdout), rows(&expected.stdout));
}

#[test]
fn without_the_option_a_damaged_file_still_stops_the_run() {
    let sql = job("CSV").replace("'quarantine'", "'stop'");
    for bad in of_csv() {
        let place = Maintained::new(&sql);
        place.deliver("t/a.csv", GOOD, 0);
        let _ = place.commits(&["--quiet"]);
        let before = place.tables();
        place.deliver(&format!("t/{}", bad.name), &bad.content, 10);
        let ran = place.run(&[]).no_panic().says(&[bad.name]);
        assert!(
            matches!(ran.code, Some(1 | 3)),
            "{}: {}",
            bad.name,
            ran.stderr
        );
        assert_eq!(place.tables(), before, "{}", bad.name);
        let _ = place
            .commits(&["--allow", "bad-files", "--quiet"])
            .says(&[bad.name]);
        let _ = place.commits(&["--rebuild", "--quiet"]);
        place.withdraw(&format!("t/{}", bad.name));
        let _ = place.commits(&["--quiet"]);
        place.assert_cold();
    }
}
