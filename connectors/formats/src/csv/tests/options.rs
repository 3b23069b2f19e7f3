//! Options for files that are not RFC 4180.

use super::*;

/// Checks the result of a file, however it is cut.
fn check(columns: &[(&str, DataType)], options: &[(&str, &str)], text: &[u8], expected: &[&str]) {
    let spec = spec(columns, options);
    for step in [1, 2, 3, 7, 64, 10_000] {
        let found = read(&spec, text, step).unwrap();
        assert_eq!(shown(&found), *expected, "{options:?} by {step}");
    }
}

fn check_texts(options: &[(&str, &str)], text: &str, expected: &[&str]) {
    let columns = [("a", DataType::Utf8), ("b", DataType::Utf8)];
    check(&columns, options, text.as_bytes(), expected);
}

fn refused(options: &[(&str, &str)], bytes: &[u8]) -> String {
    let spec = spec(&[("a", DataType::Utf8), ("b", DataType::Utf8)], options);
    read(&spec, bytes, 1000).unwrap_err().to_string()
}

#[test]
fn encodings() {
    let columns = [("이름", DataType::Utf8), ("금액", DataType::Int64)];
    let text = "이름,금액\r\n김,1\r\n\"이,\r\n박\",2\r\n최,x\r\n";
    let expected = [
        "김|1",
        "이,\r\n박|2",
        "5:BYTE 금액: 'x' cannot be read as BIGINT: it is not a whole number <최,x>",
    ];
    let (korean, ..) = encoding_rs::EUC_KR.encode(text);
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (name, bytes, byte) in [
        ("cp949", korean.to_vec(), 30),
        ("utf-16le", little.clone(), 46),
        ("utf-16be", big.clone(), 46),
        ("utf-16", [b"\xff\xfe".to_vec(), little].concat(), 48),
        ("utf-16", [b"\xfe\xff".to_vec(), big].concat(), 48),
    ] {
        let expected = expected.map(|line| line.replace("BYTE", &byte.to_string()));
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&columns, &[("encoding", name)], &bytes, &expected);
    }
    let latin = b"a,b\ncaf\xe9,\x80\n";
    let columns = [("a", DataType::Utf8), ("b", DataType::Utf8)];
    check(&columns, &[("encoding", "latin1")], latin, &["café|€"]);
}

#[test]
fn bytes_that_an_encoding_lacks_reject_their_row() {
    let columns = [("a", DataType::Utf8), ("b", DataType::Int64)];
    let why = "it has bytes that are none in the source's encoding";
    check(
        &columns,
        &[("encoding", "euc-kr")],
        b"a,b\n\xb0\xa1,1\n\xff\xb0\xa1,2\n\xb0\n\xb0\xa1,3\n",
        &[
            "가|1",
            "가|3",
            &format!("3:9 a: '\\xFF가' cannot be read as TEXT: {why} <\\xFF가,2>"),
            "4:15 the row has 1 field, the file 2 (a, b) <\\xB0>",
        ],
    );
}

#[test]
fn files_in_another_encoding_say_which_option_reads_them() {
    for (options, bytes, expected) in [
        (
            &[][..],
            &b"\xff\xfea\0,\0b\0\n\0"[..],
            "f.csv: is UTF-16LE, as its byte order mark says",
        ),
        (&[], b"a\0,\0b\0\n\0", "write OPTIONS (encoding 'utf-16le')"),
        (&[], b"\0a\0,\0b\0\n", "write OPTIONS (encoding 'utf-16be')"),
        (
            &[("encoding", "utf-16")],
            b"a,b\n",
            "has no byte order mark",
        ),
        (
            &[("encoding", "cp949")],
            b"\xef\xbb\xbfa,b\n",
            "write OPTIONS (encoding 'utf-8')",
        ),
    ] {
        let message = refused(options, bytes);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn lines_around_the_rows() {
    check_texts(
        &[("skip_lines", "2")],
        "Report \"of\n2024,,,\na,b\n1,2\n",
        &["1|2"],
    );
    check_texts(
        &[("skip_lines", "1"), ("has_header", "false")],
        "x\n1,2\n",
        &["1|2"],
    );
    check_texts(&[("header_lines", "3")], "a,b\nkg,m\n-,-\n1,2\n", &["1|2"]);
    check_texts(
        &[("comment", "#")],
        "# made by\na,b\n1,2\n#3,\"4\n5,#6\n\"#7\",8\n",
        &["1|2", "5|#6", "#7|8"],
    );
    check_texts(&[("comment", "--")], "a,b\n-1,2\n--3,4\n", &["-1|2"]);
    let empty = spec(&[("a", DataType::Utf8)], &[("skip_lines", "5")]);
    let read = read(&empty, b"a\n1\n", 1000).unwrap();
    assert_eq!((read.rows.len(), read.warnings.len()), (0, 1));
}

#[test]
fn headers() {
    check_texts(&[("column_names", "any_case")], "B,A\n1,2\n", &["2|1"]);
    check_texts(&[("column_names", "position")], "x,,x,y\n1,2\n", &["1|2"]);
    check_texts(&[("column_names", "position")], "\"x\n1,2\n", &["1|2"]);
    let message = refused(&[("column_names", "any_case")], b"A,A,b\n");
    assert!(
        message.contains("column 'a': is in the header twice, as fields 1 and 2"),
        "{message}"
    );
    let null = [("missing_columns", "null"), ("unknown_columns", "ignore")];
    let columns = [("a", DataType::Utf8), ("b", DataType::Utf8)];
    let read = read(&spec(&columns, &null), b"a,B\n1,2\n", 1000).unwrap();
    assert_eq!(read.rows, [["1", "∅"]]);
    assert_eq!(
        read.warnings,
        [
            "f.csv: column 'b' is not in the header, which has 'B': it is NULL in all rows; write OPTIONS (column_names 'any_case') to match names in any case"
        ]
    );
}

#[test]
fn header_names_match_in_every_unicode_spelling() {
    let decomposed = "\u{1100}\u{1173}\u{11b7}";
    for (declared, header) in [("금", decomposed), (decomposed, "금"), ("금", "금")] {
        let columns = [("a", DataType::Utf8), (declared, DataType::Utf8)];
        let text = format!("{header},a\n1,2\n");
        check(&columns, &[], text.as_bytes(), &["2|1"]);
    }
    // A column that is spelled exactly so goes first, and the other one is not declared.
    let columns = [("a", DataType::Utf8), ("금", DataType::Utf8)];
    let text = format!("{decomposed},금,a\n1,2,3\n");
    check(
        &columns,
        &[("unknown_columns", "ignore")],
        text.as_bytes(),
        &["3|2"],
    );
    let refused = read(&spec(&columns, &[]), text.as_bytes(), 1000).unwrap_err();
    assert!(refused.to_string().contains("not declared"), "{refused}");
    let twice = format!("{decomposed},a,{decomposed}\n");
    let refused = read(&spec(&columns, &[]), twice.as_bytes(), 1000).unwrap_err();
    assert!(
        refused.to_string().contains("in the header twice"),
        "{refused}"
    );
}

#[test]
fn headers_that_cannot_be_read_say_why() {
    let mixed = format!("a,b\r{}x,y\n", "1,2\r".repeat(20_000));
    let cases = [
        (&[][..], mixed.as_bytes(), "write OPTIONS (line_end 'any')"),
        (
            &[("encoding", "cp949")],
            "가,b\n".as_bytes(),
            "none in EUC-KR, which the source declares",
        ),
        (&[], b"\xb0\xa1,b\n", "the header is not UTF-8"),
    ];
    for (options, bytes, expected) in cases {
        let message = refused(options, bytes);
        assert!(message.contains(expected), "{message}");
    }
    // A byte order mark may be written twice.
    check_texts(&[], "\u{feff}\u{feff}a,b\n1,2\n", &["1|2"]);
}

#[test]
fn delimiters_of_several_bytes() {
    check_texts(
        &[("delimiter", ", ")],
        "a, b\n1,2, \"x, y\"\n3, 4\n",
        &["1,2|x, y", "3|4"],
    );
    check_texts(
        &[("delimiter", "||")],
        "a||b\n1|x||2\r\n||\n",
        &["1|x|2", "∅|∅"],
    );
    check_texts(&[("delimiter", "¦")], "a¦b\n\"1\"¦2\n", &["1|2"]);
    check_texts(
        &[("delimiter", "::")],
        "a::b\n1::2::3\n4\n5::6",
        &[
            "5|6",
            "2:5 the row has 3 fields, the file 2 (a, b); is a delimiter in a field not quoted? <1::2::3>",
            "3:13 the row has 1 field, the file 2 (a, b) <4>",
        ],
    );
}

#[test]
fn escapes() {
    let escape = [("escape", "\\")];
    check_texts(
        &escape,
        "a,b\n\"x\\\"y\",z\\,w\n\\\\,\"\\\\\"\n\"a\"\"b\",\\\nc\n",
        &["x\"y|z,w", "\\|\\", "a\"b|\nc"],
    );
    check_texts(
        &[("escape", "\\"), ("null_value", "\\N")],
        "a,b\n\\N,\n",
        &["∅|"],
    );
    check_texts(
        &[("escape", "\\"), ("quote", "")],
        "a,b\n\"x\\,y,z\n",
        &["\"x,y|z"],
    );
    check_texts(
        &[("quote", "'"), ("escape", "\"")],
        "a,b\n'it\"'s',1\n",
        &["it's|1"],
    );
    check_texts(
        &escape,
        "a,b\n\"x\\\",1\n2,3\n",
        &[
            "2|3",
            "2:4 a: the field's quote is never closed, or only on a later line with text after it <\"x\\\",1>",
        ],
    );
}

#[test]
fn line_ends() {
    check_texts(&[], "a,b\r1,2\r\"x\ry\",4\r", &["1|2", "x\ry|4"]);
    check_texts(
        &[("line_end", "any")],
        "a,b\n1,2\r3,4\r\n5,6",
        &["1|2", "3|4", "5|6"],
    );
    check_texts(&[("line_end", "lf")], "a,b\n1,2\r3\n", &["1|2\r3"]);
    check_texts(
        &[],
        "a,b\r1\r2,3\r",
        &["2|3", "2:4 the row has 1 field, the file 2 (a, b) <1>"],
    );
}

#[test]
fn nulls() {
    check_texts(
        &[("null_values", "NA, \"\", n/a")],
        "a,b\nNA,\n\"NA\",n/a\nN/A,\"\"\n",
        &["∅|∅", "NA|∅", "N/A|"],
    );
    let columns = [("a", DataType::Utf8), ("b", DataType::Date32)];
    check(
        &columns,
        &[("null_values", "NULL, -")],
        b"a,b\n\"\",\"\"\n-,\"NULL\"\n,-\n",
        &["|∅", "∅|∅", "|∅"],
    );
}

#[test]
fn ragged_rows() {
    let text = "a,b\n1\n1,2,3\n1,2\n";
    let short = "2:4 the row has 1 field, the file 2 (a, b) <1>";
    let long = "3:6 the row has 3 fields, the file 2 (a, b); is a delimiter in a field not quoted? <1,2,3>";
    check_texts(&[("ragged", "pad")], text, &["1|∅", "1|2", long]);
    check_texts(&[("ragged", "cut")], text, &["1|2", "1|2", short]);
    check_texts(&[("ragged", "pad_and_cut")], text, &["1|∅", "1|2", "1|2"]);
    check_texts(
        &[("ragged", "pad"), ("null_value", "NA")],
        "a,b\n1\n,\n",
        &["1|∅", "|"],
    );
    check_texts(
        &[("ragged", "pad_and_cut"), ("delimiter", "||")],
        "a||b\n1\n1||2||3\n",
        &["1|∅", "1|2"],
    );
    let columns = [("a", DataType::Int64), ("b!", DataType::Int64)];
    check(
        &columns,
        &[("ragged", "pad_and_cut")],
        b"a,b\n1\nx,2,3\n",
        &[
            "2:4 b: NULL in a column that is NOT NULL (BIGINT) <1>",
            "3:6 a: 'x' cannot be read as BIGINT: it is not a whole number <x,2,3>",
        ],
    );
}

#[test]
fn numbers_and_times_as_a_source_writes_them() {
    let columns = [
        ("n", DataType::Int64),
        ("d", DataType::Decimal128(10, 2)),
        ("t", DataType::Timestamp(TimeUnit::Second, None)),
    ];
    check(
        &columns,
        &[
            ("delimiter", ";"),
            ("decimal_separator", ","),
            ("thousands_separator", "."),
            ("negative_parentheses", "true"),
            ("timestamp_formats", "%d.%m.%Y %H:%M, iso, epoch_seconds"),
        ],
        b"n;d;t\n1.234;-1.234,50;10.03.2024 07:23\n(7);12;2024-03-10\n7;1.5;1\n",
        &[
            "1234|-1234.50|2024-03-10T07:23:00",
            "-7|12.00|2024-03-10T00:00:00",
            "4:57 d: '1.5' cannot be read as DECIMAL(10, 2): its thousands separators do not stand before groups of three digits <7;1.5;1>",
        ],
    );
}

#[test]
fn many_bad_rows_come_in_steps() {
    let text = format!("a,b\n{}", "x\n".repeat(20_000));
    let format = Csv::new(&texts(&["a", "b"])).unwrap();
    let file: Arc<str> = "f.csv".into();
    let head = format.begin(&file, text.as_bytes()).unwrap();
    let block = TextBlock {
        file,
        first_line: 2,
        byte_offset: 4,
        bytes: text.as_bytes()[4..].to_vec(),
        stored_bytes: 7,
    };
    let steps: Vec<_> = head.decoder.steps(Arc::new(block)).collect();
    assert!(steps.len() > 3);
    assert!(steps.iter().all(|step| step.rejected.len() < 5000));
    assert_eq!(steps.iter().map(|step| step.bytes).sum::<u64>(), 7);
    let rejected: Vec<_> = steps.iter().flat_map(|step| &step.rejected).collect();
    assert_eq!(rejected.len(), 20_000);
    for (at, row) in rejected.iter().enumerate() {
        let at = at as u64;
        assert_eq!((row.line, row.byte_offset), (at + 2, at * 2 + 4));
    }
}
