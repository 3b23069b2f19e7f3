//! Arrays, objects over several lines, names in another case, and scalars of other types.

use super::*;

fn id_and_name() -> Vec<Field> {
    vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]
}

/// Ids of the rows, then the line and reason of each bad row.
fn outcome(text: &str, block_bytes: usize) -> (Vec<i64>, Vec<(u64, String)>) {
    let format = JsonLinesFormat::new(&spec(id_and_name(), &[])).unwrap();
    let head = format.begin(&"a.json".into(), text.as_bytes()).unwrap();
    let (mut ids, mut bad) = (Vec::new(), Vec::new());
    let mut at = head.header_bytes;
    loop {
        let rest = &text.as_bytes()[at..];
        let mut length = block_bytes.min(rest.len());
        let whole = |length: usize| head.decoder.whole_records(&rest[..length]);
        while length < rest.len() && whole(length) == 0 {
            length += 1;
        }
        let is_last = length == rest.len();
        let length = if is_last { length } else { whole(length) };
        let block = TextBlock {
            file: "a.json".into(),
            first_line: 1 + text[..at].matches('\n').count() as u64,
            byte_offset: at as u64,
            stored_bytes: length as u64,
            bytes: rest[..length].to_vec(),
        };
        let decoded = if is_last {
            decode_last(&head.decoder, block)
        } else {
            head.decoder.decode(&block)
        };
        ids.extend(decoded.batch.column(0).as_primitive::<Int64Type>().values());
        bad.extend(
            decoded
                .rejected
                .into_iter()
                .map(|row| (row.line, row.reason)),
        );
        at += length;
        if is_last {
            return (ids, bad);
        }
    }
}

#[test]
fn arrays_and_objects_are_read_however_they_are_cut() {
    let pretty = |id: usize| format!("{{\n  \"id\": {id},\n  \"name\": \"a ] }} \\\" {{\"\n}}");
    let cases: &[(String, &[i64], &[(u64, &str)])] = &[
        ("[{\"id\":1},{\"id\":2}]".to_owned(), &[1, 2], &[]),
        ("\u{feff} [\n{\"id\":1}\n,\n{\"id\":2}\n]\n\n".to_owned(), &[1, 2], &[]),
        ("[]".to_owned(), &[], &[]),
        (format!("[{},{}]", pretty(1), pretty(2)), &[1, 2], &[]),
        (format!("{}\n{}\n{}", pretty(1), pretty(2), pretty(3)), &[1, 2, 3], &[]),
        (format!("{}{}\n\n{}\n", pretty(1), pretty(2), pretty(3)), &[1, 2, 3], &[]),
        // Nested objects that are not indented.
        (
            "{\n\"id\": 1,\n\"name\":\n\"x\", \"more\": [\n{\n\"a\": 1\n},\n{\n}\n]\n}\n{\"id\": 2}".to_owned(),
            &[1, 2],
            &[],
        ),
        // A row that is not JSON affects no other row.
        (
            "[\n{\"id\":1},\n{\"id\":x},\n7,\n{\"id\":3}\n]".to_owned(),
            &[1, 3],
            &[(3, "expected a number"), (4, "expected an object, found a number")],
        ),
        (
            "[{\"id\":1} {\"id\":2},,{\"id\":3},]".to_owned(),
            &[1, 3],
            &[(1, "no ','"), (1, "without an element"), (1, "without an element")],
        ),
        // Files that are cut short are reported.
        ("[{\"id\":1},{\"id\":2}".to_owned(), &[1, 2], &[(1, "no closing ']'")]),
        ("[{\"id\":1},\n".to_owned(), &[1], &[(2, "no closing ']'")]),
        ("[{\"id\":1},{\"id\":".to_owned(), &[1], &[(1, "not JSON"), (1, "no closing ']'")]),
        ("[{\"id\":1}]\nmore".to_owned(), &[1], &[(2, "text after the end")]),
        (format!("{}\n{{\n  \"id\": 2", pretty(1)), &[1], &[(5, "not JSON")]),
        // A missing brace costs its object. A first line that is cut short costs its line.
        (format!("{}\n{{\n  \"id\": 2\n{}\n", pretty(1), pretty(3)), &[1, 3], &[(5, "not JSON")]),
        ("{\"id\":1,\"na\n{\"id\":2}\n".to_owned(), &[2], &[(1, "not JSON")]),
    ];
    for (text, ids, bad) in cases {
        for block_bytes in [1, 2, 7, 20, 10_000] {
            let (found, rejected) = outcome(text, block_bytes);
            assert_eq!(found, *ids, "{block_bytes}: {text}");
            assert_eq!(
                rejected.len(),
                bad.len(),
                "{block_bytes}: {text}: {rejected:?}"
            );
            for ((line, reason), (expected, part)) in rejected.iter().zip(*bad) {
                assert_eq!(line, expected, "{block_bytes}: {text}: {reason}");
                assert!(reason.contains(part), "{block_bytes}: {text}: {reason}");
            }
        }
    }
}

#[test]
fn fields_match_in_every_unicode_spelling() {
    let decomposed = "\u{1100}\u{1173}\u{11b7}";
    for (declared, field) in [("금", decomposed), (decomposed, "금")] {
        let fields = vec![Field::new(declared, DataType::Int64, false)];
        let format = JsonLinesFormat::new(&spec(fields, &[("unknown_columns", "error")])).unwrap();
        let text = format!("{{\"{field}\":7}}\n{{\"{declared}\":8}}\n");
        let head = format.begin(&"a.json".into(), text.as_bytes()).unwrap();
        let decoded = head.decoder.decode(&TextBlock {
            file: "a.json".into(),
            first_line: 1,
            byte_offset: 0,
            stored_bytes: text.len() as u64,
            bytes: text.into_bytes(),
        });
        assert_eq!(decoded.rejected, []);
        let values = decoded.batch.column(0).as_primitive::<Int64Type>();
        assert_eq!(values.values(), &[7, 8]);
    }
}

#[test]
fn fields_that_no_row_has_are_warned_about() {
    let warnings = |options: &[(&str, &str)], text: &str| {
        let format = JsonLinesFormat::new(&spec(
            vec![Field::new("id", DataType::Int64, true)],
            options,
        ))
        .unwrap();
        let head = format.begin(&"a.json".into(), text.as_bytes()).unwrap();
        decode_last(
            &head.decoder,
            TextBlock {
                file: "a.json".into(),
                first_line: 1,
                byte_offset: 0,
                stored_bytes: text.len() as u64,
                bytes: text.as_bytes().to_vec(),
            },
        );
        format.warnings().join("\n")
    };
    let other_case = warnings(&[], "{\"ID\":1}\n{\"ID\":2}\n");
    assert!(
        other_case.contains("'id', but rows have 'ID'"),
        "{other_case}"
    );
    assert!(
        other_case.contains("column_names to 'any_case'"),
        "{other_case}"
    );
    assert!(warnings(&[], "{\"x\":1}\n").contains("NULL in all of them"));
    assert_eq!(warnings(&[("missing_columns", "null")], "{\"x\":1}\n"), "");
    assert_eq!(
        warnings(&[("column_names", "any_case")], "{\"ID\":1}\n"),
        ""
    );
    assert_eq!(warnings(&[], "{\"ID\":1}\n{\"id\":2}\n"), "");
    assert_eq!(warnings(&[], ""), "");
}

#[test]
fn scalars_written_as_others_are_taken_on_request() {
    let fields = vec![
        Field::new("i", DataType::Int64, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("b", DataType::Boolean, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("t", DataType::Time64(TimeUnit::Nanosecond), true),
        Field::new("y", DataType::Binary, true),
        Field::new("I", DataType::Int64, true),
    ];
    let text = "{\"i\":\"12\",\"d\":\"1.50\",\"b\":\"true\",\"s\":0.10,\"t\":\"07:23:12.5\",\"y\":\"00fF\"}\n\
                {\"i\":\"\",\"d\":\" \",\"b\":0,\"s\":true,\"t\":\"\",\"y\":\"\\\\x00\"}\n\
                {\"i\":\"x\"}\n{\"b\":2}\n{\"y\":\"0g\"}\n{\"t\":\"25:00\"}\n{\"s\":[1]}\n";
    let decoded = decode(&spec(fields.clone(), &[("scalars", "convert")]), text);
    let row = |row| {
        let columns = decoded.batch.columns().iter();
        columns
            .map(|column| text_of(column, row))
            .collect::<Vec<_>>()
            .join("|")
    };
    assert_eq!(row(0), "12|1.50|true|0.10|07:23:12.500|00ff|NULL");
    assert_eq!(row(1), "NULL|NULL|false|true|NULL|00|NULL");
    let reasons: Vec<_> = decoded
        .rejected
        .iter()
        .map(|row| row.reason.as_str())
        .collect();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    for (reason, part) in
        reasons
            .iter()
            .zip(["BIGINT", "BOOLEAN", "BYTEA", "TIME", "expected text"])
    {
        assert!(reason.contains(part), "{reason}");
    }
    let strict = decode(&spec(fields, &[]), text);
    assert_eq!((strict.batch.num_rows(), strict.rejected.len()), (0, 7));

    let bytes = vec![Field::new("y", DataType::Binary, true)];
    for (format, expected) in [("base64", "68656c6c6f"), ("text", "6147567362473d")] {
        let text = if format == "base64" {
            "aGVsbG8="
        } else {
            "aGVsbG="
        };
        let decoded = decode(
            &spec(bytes.clone(), &[("bytes", format)]),
            format!("{{\"y\":\"{text}\"}}"),
        );
        assert_eq!(text_of(decoded.batch.column(0), 0), expected, "{format}");
    }
}
