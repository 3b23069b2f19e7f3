//! Structure: headers, quotes and line ends, valid and faulty.

use super::*;
use crate::csv::text::NOT_UTF8;

#[test]
fn records() {
    let after = "text after the closing quote; double the quotes that belong to the field";
    let never = "the field's quote is never closed, or only on a later line with text after it";
    let cases: &[(&str, &[&str])] = &[
        ("a,b\n1,2\n3,4\n", &["1|2", "3|4"]),
        ("a,b\r\n1,2\r\n3,4\r\n", &["1|2", "3|4"]),
        ("a,b\n1,2\r\n3,4", &["1|2", "3|4"]),
        ("a,b\n1,2\r", &["1|2"]),
        ("\u{feff}a,b\n1,2\n", &["1|2"]),
        ("\u{feff}\"a\",\"b\"\n1,2\n", &["1|2"]),
        (" a , b\t\n1, 2\n", &["1| 2"]),
        ("b,a\n1,2\n", &["2|1"]),
        ("\n\r\na,b\n\n1,2\n\r\n\n3,4\n\n", &["1|2", "3|4"]),
        ("a,b\n,\n\"\",\n", &["∅|∅", "|∅"]),
        (
            "a,b\n\"x,y\",\"line\none\"\n3,4\n",
            &["x,y|line\none", "3|4"],
        ),
        (
            "a,b\n\"x\"\"y\",\"\"\"\"\n\"\"\"q\"\"\",z\n",
            &["x\"y|\"", "\"q\"|z"],
        ),
        (
            "a,b\r\n\"x\r\ny\",\"z\"\r\n3,\"4\"\r\n",
            &["x\r\ny|z", "3|4"],
        ),
        ("a,b\n1,\"2\"", &["1|2"]),
        ("a,b\n1,\"2\"\r", &["1|2"]),
        ("a,b\n한국,서울\n", &["한국|서울"]),
        ("a,b\n", &[]),
        ("a,b", &[]),
        ("a,b\r\n\r\n", &[]),
        // Wrong numbers of fields.
        (
            "a,b\n1\n2,3\n",
            &["2|3", "2:4 the row has 1 field, the file 2 (a, b) <1>"],
        ),
        (
            "a,b\n1,2,3\r\n4,5\n",
            &[
                "4|5",
                "2:4 the row has 3 fields, the file 2 (a, b); is a delimiter in a field not quoted? <1,2,3>",
            ],
        ),
        (
            "a,b\n1\n2\n3,4\n",
            &[
                "3|4",
                "2:4 the row has 1 field, the file 2 (a, b) <1>",
                "3:6 the row has 1 field, the file 2 (a, b) <2>",
            ],
        ),
        (
            "a,b\n1\n2\n,3\n",
            &[
                "∅|3",
                "2:4 the row has 1 field, the file 2 (a, b) <1>",
                "3:6 the row has 1 field, the file 2 (a, b) <2>",
            ],
        ),
        (
            "a,b\n1,2\n3",
            &["1|2", "3:8 the row has 1 field, the file 2 (a, b) <3>"],
        ),
        (
            "a,b\n \n1,2\n",
            &["1|2", "2:4 the row has 1 field, the file 2 (a, b) < >"],
        ),
        (
            "a,b\n\"x\ny\"\n3,4\n",
            &[
                "3|4",
                "2:4 the row has 1 field, the file 2 (a, b) <\"x\ny\">",
            ],
        ),
        // Faults of quoting cost one line each; other lines are decoded.
        ("a,b\n1,2\n3,x\"y\n5,6\n", &["1|2", "3|x\"y", "5|6"]),
        (
            "a,b\n1,5\" pipe\n37°36'37.8\"N,1\"2\"\n",
            &["1|5\" pipe", "37°36'37.8\"N|1\"2\""],
        ),
        (
            "a,b\n1,2\n 3,\"y\"z\n5,6\n",
            &["1|2", "5|6", &format!("3:8 b: {after} < 3,\"y\"z>")],
        ),
        (
            "a,b\n1,2\n3,\"y\n5,6\n",
            &["1|2", "5|6", &format!("3:8 b: {never} <3,\"y>")],
        ),
        (
            "a,b\n1,\"y\n2,\"z\"\n5,6\n",
            &["2|z", "5|6", &format!("2:4 b: {never} <1,\"y>")],
        ),
        (
            "a,b\n\"y,1\r\n5,6\r\n",
            &["5|6", &format!("2:4 a: {never} <\"y,1>")],
        ),
        ("a,b\n1,2\n\"", &["1|2", &format!("3:8 a: {never} <\">")]),
        (
            "a,b\n1,\"x\"\ry\n5,6\n",
            &["5|6", &format!("2:4 b: {after} <1,\"x\"\ry>")],
        ),
        (
            "a,b\n1,\"x\"\"\n5,6\n",
            &["5|6", &format!("2:4 b: {never} <1,\"x\"\">")],
        ),
    ];
    for (text, expected) in cases {
        for step in (1..20).chain([1000]) {
            let read = read(&texts(&["a", "b"]), text.as_bytes(), step).unwrap();
            assert_eq!(shown(&read), *expected, "{text:?} by {step}");
            assert!(read.warnings.is_empty());
        }
    }
}

#[test]
fn one_column() {
    let cases: &[(&str, &[&str])] = &[
        ("a\nx\n\n\r\ny", &["x", "∅", "∅", "y"]),
        ("a\n\"\"\n\n\"y\"\n", &["", "∅", "y"]),
        ("\n\na\nx\n\n", &["x", "∅"]),
        (
            "a\nx,y\nz\n",
            &[
                "z",
                "2:2 the row has 2 fields, the file 1 (a); is a delimiter in a field not quoted? <x,y>",
            ],
        ),
    ];
    for (text, expected) in cases {
        for step in [1, 2, 3, 1000] {
            assert_eq!(
                shown(&read(&texts(&["a"]), text.as_bytes(), step).unwrap()),
                *expected,
                "{text:?}"
            );
        }
    }
}

#[test]
fn dialects() {
    let cases: &[(&[(&str, &str)], &str, &[&str])] = &[
        (&[("delimiter", ";")], "a;b\n1,5;2\n", &["1,5|2"]),
        (&[("delimiter", "\\t")], "a\tb\n1\t2\n", &["1|2"]),
        (&[("quote", "'")], "a,b\n'x,''y',\"2\"\n", &["x,'y|\"2\""]),
        (&[("quote", "")], "a,b\n\"x,y\"\n", &["\"x|y\""]),
        (
            &[("null_value", "NA")],
            "a,b\nNA,\n\"NA\",x\n",
            &["∅|", "NA|x"],
        ),
        (&[("has_header", "false")], "1,2\n3,4\n", &["1|2", "3|4"]),
        (&[("has_header", "false")], "\u{feff}\n1,2\n", &["1|2"]),
        (
            &[("has_header", "false")],
            "1,2,3\n3,4\n",
            &[
                "3|4",
                "1:0 the row has 3 fields, the file 2 (a, b); is a delimiter in a field not quoted? <1,2,3>",
            ],
        ),
        (
            &[("unknown_columns", "ignore")],
            "x,b,y,a\n1,2,3,4\n1,2\n",
            &[
                "4|2",
                "3:16 the row has 2 fields, the file 4 (x, b, y, a) <1,2>",
            ],
        ),
        (
            &[("unknown_columns", "ignore")],
            "a,b,,\n1,2,3,4\n",
            &["1|2"],
        ),
        (&[("missing_columns", "null")], "b\n1\n", &["∅|1"]),
    ];
    for (options, text, expected) in cases {
        let spec = spec(&[("a", DataType::Utf8), ("b", DataType::Utf8)], options);
        assert_eq!(
            shown(&read(&spec, text.as_bytes(), 4).unwrap()),
            *expected,
            "{options:?} {text:?}"
        );
    }
}

#[test]
fn headers_that_do_not_fit() {
    let ignore: &[(&str, &str)] = &[("unknown_columns", "ignore")];
    let null: &[(&str, &str)] = &[("missing_columns", "null")];
    let cases: &[(&[(&str, &str)], &[u8], &str)] = &[
        (
            &[],
            b"id,amount\n",
            "f.csv: column 'Name': is declared but not in the header (the header has id, amount); add it to the file or write OPTIONS (missing_columns 'null')",
        ),
        (
            &[],
            b"id,name,amount\n",
            "f.csv: column 'Name': is declared but not in the header (the header has 'name': write OPTIONS (column_names 'any_case'), or declare it in double quotes); add",
        ),
        (
            &[],
            b"id,Names,amount\n",
            "f.csv: column 'Name': is declared but not in the header (the header has 'Names'); add",
        ),
        (
            &[],
            b"id,Name,amount,extra\n",
            "f.csv: has a column that is not declared; write OPTIONS (unknown_columns 'ignore'), or add this line to the declaration:\n  extra TEXT",
        ),
        (
            &[],
            b"id,Name,amount,\n",
            "f.csv: field 4 of the header has no name; name it, or write",
        ),
        (
            &[],
            b"id,Name,amount,id\n",
            "f.csv: column 'id': is in the header twice, as fields 1 and 4; rename one",
        ),
        (
            ignore,
            b"id,Name,Name,x,x\n",
            "f.csv: column 'Name': is in the header twice, as fields 2 and 3",
        ),
        (
            &[],
            b"ID,NAME,Amount\n",
            "f.csv: the header, 'ID,NAME,Amount', names the declared columns in another case, such as 'ID': write OPTIONS (column_names 'any_case')",
        ),
        (
            &[],
            b"sep=;\nid;Name;amount\n",
            "the first line, 'sep=;', names none",
        ),
        (
            &[],
            b"\x1b[31mred\x07;x\n",
            "the first line, '\\u{1b}[31mred\\u{7};x'",
        ),
        (
            null,
            b"Name,amount\n",
            "f.csv: column 'id': is declared NOT NULL but is not in the header",
        ),
        (
            null,
            b"7,kim,100\n8,lee,200\n",
            "f.csv: has no header: the first line, '7,kim,100', names none of the declared columns; if it is data, write OPTIONS (has_header 'false')",
        ),
        (
            &[],
            b"1,kim,1\n",
            "has no header: the first line, '1,kim,1'",
        ),
        (&[], b"id;Name;amount\n", "check the delimiter"),
        (
            &[],
            b"id,N\xff,amount\n",
            "f.csv: the header is not UTF-8: field 2 is 'N\\xFF'; set the option encoding, such as OPTIONS (encoding 'cp949'), or save the file as UTF-8",
        ),
        (
            &[],
            b"id,\"Name,amount\n1,2,3\n",
            "f.csv: the header cannot be read: field 2: the field's quote is never closed",
        ),
    ];
    let columns = [
        ("id!", DataType::Int64),
        ("Name", DataType::Utf8),
        ("amount", DataType::Int64),
    ];
    for (options, bytes, expected) in cases {
        let message = read(&spec(&columns, options), bytes, 1000)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn empty_files_warn_and_headers_alone_do_not() {
    for text in ["", "\u{feff}", "\n\r\n"] {
        let read = read(&texts(&["a"]), text.as_bytes(), 10).unwrap();
        assert!(read.rows.is_empty() && read.rejected.is_empty());
        assert_eq!(
            read.warnings,
            ["f.csv: is empty, not even a header; it counts as no rows"],
            "{text:?}"
        );
    }
    assert_eq!(read(&texts(&["a"]), b"a\n", 10).unwrap(), Read::default());
}

#[test]
fn invalid_utf8_rejects_its_row_alone() {
    let text = b"a,b\nx,1\n\xff\xfe,2\ny,\xe3\x81\n\x82z,3\nw,4\n";
    let expected = [
        "x|1",
        "w|4",
        "3:8 a: '\\xFF\\xFE' cannot be read as TEXT: WHY <\\xFF\\xFE,2>",
        "4:13 b: '\\xE3\\x81' cannot be read as TEXT: WHY <y,\\xE3\\x81>",
        "5:18 a: '\\x82z' cannot be read as TEXT: WHY <\\x82z,3>",
    ]
    .map(|line| line.replace("WHY", NOT_UTF8));
    for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        let spec = spec(&[("a", data_type.clone()), ("b", data_type)], &[]);
        for step in [1, 7, 1000] {
            assert_eq!(shown(&read(&spec, text, step).unwrap()), expected);
        }
    }
}

#[test]
fn declared_columns_are_checked_whoever_reads_them() {
    let columns = [
        ("a", DataType::Int64),
        ("b!", DataType::Int64),
        ("c", DataType::Utf8),
        ("d!", DataType::Utf8),
    ];
    let text =
        b"c,b,a,d\nx,no,1,k\n\xff,2,3,k\nx,2\ny,4,no,k\nz,,5,k\nz,6,7,\nw,8,9,k\nw,\"\",10,k\n";
    let rejected = [
        "2:8 b: 'no' cannot be read as BIGINT: it is not a whole number <x,no,1,k>",
        "3:17 c: '\\xFF' cannot be read as TEXT: WHY <\\xFF,2,3,k>",
        "4:25 the row has 2 fields, the file 4 (c, b, a, d) <x,2>",
        "5:29 a: 'no' cannot be read as BIGINT: it is not a whole number <y,4,no,k>",
        "6:38 b: NULL in a column that is NOT NULL (BIGINT) <z,,5,k>",
        "7:45 d: NULL in a column that is NOT NULL (TEXT) <z,6,7,>",
        "9:60 b: NULL in a column that is NOT NULL (BIGINT) <w,\"\",10,k>",
    ];
    let cases: &[(&[usize], &str)] = &[
        (&[0], "9"),
        (&[1, 2], "8|w"),
        (&[], ""),
        (&[0, 1, 2, 3], "9|8|w|k"),
    ];
    for (projection, row) in cases {
        let spec = SourceSpec {
            projection: projection.to_vec(),
            ..spec(&columns, &[])
        };
        let mut expected = vec![(*row).to_owned()];
        expected.extend(rejected.map(|line| line.replace("WHY", NOT_UTF8)));
        for step in [1, 20, 1000] {
            let read = read(&spec, text, step).unwrap();
            assert_eq!(shown(&read), expected, "{projection:?} by {step}");
        }
    }
}

#[test]
fn columns_that_are_not_read_may_be_left_unchecked() {
    let columns = [
        ("a", DataType::Int64),
        ("b", DataType::Int64),
        ("c", DataType::Utf8),
    ];
    let options = [("check", "read_columns")];
    let text = b"c,b,a\nx,no,1\n\xff,2,3\nx,2\ny,4,no\n";
    let cases: &[(&[usize], &[&str])] = &[
        (
            &[0],
            &[
                "1",
                "3",
                "4:19 the row has 2 fields, the file 3 (c, b, a) <x,2>",
                "5:23 a: 'no' cannot be read as BIGINT: it is not a whole number <y,4,no>",
            ],
        ),
        (
            &[],
            &[
                "",
                "",
                "",
                "4:19 the row has 2 fields, the file 3 (c, b, a) <x,2>",
            ],
        ),
    ];
    for (projection, expected) in cases {
        let spec = SourceSpec {
            projection: projection.to_vec(),
            ..spec(&columns, &options)
        };
        for step in [1, 1000] {
            assert_eq!(
                shown(&read(&spec, text, step).unwrap()),
                *expected,
                "{projection:?}"
            );
        }
    }
}

#[test]
fn one_fault_a_row() {
    let spec = spec(&[("a", DataType::Int8), ("b", DataType::Int8)], &[]);
    let read = read(&spec, b"b,a\nx,y\n300,1\n1,1\n", 1000).unwrap();
    assert_eq!(
        shown(&read),
        [
            "1|1",
            "2:4 a: 'y' cannot be read as TINYINT: it is not a whole number <x,y>",
            "3:8 b: '300' cannot be read as TINYINT: it is out of range <300,1>",
        ]
    );
}

#[test]
fn types_that_csv_has_not() {
    let list = DataType::new_list(DataType::Int64, true);
    let cases = [
        (
            list,
            "source 't': column 'a': CSV has no BIGINT[]; declare the column TEXT and take it apart in SQL",
        ),
        (
            DataType::Struct(vec![Field::new("x", DataType::Int64, true)].into()),
            "source 't': column 'a': CSV has no Struct(",
        ),
        (
            DataType::Duration(TimeUnit::Second),
            "are not read; declare TEXT and CAST in SQL",
        ),
        (
            DataType::Timestamp(TimeUnit::Second, Some("Mars/Olympus".into())),
            "its time zone 'Mars/Olympus' is unknown",
        ),
    ];
    for (data_type, expected) in cases {
        let message = Csv::new(&spec(&[("a", data_type)], &[]))
            .err()
            .unwrap()
            .to_string();
        assert!(message.contains(expected), "{message}");
    }
}
