//! Random payloads, valid and invalid: messages give the same rows as the same lines in a file.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use tidewater_contract::source::{TextBlock, TextFormat};
use tidewater_formats::csv::Csv;
use tidewater_formats::json_lines::JsonLinesFormat;

const PIECES: [&str; 14] = [
    "1", "-7", "x", ",", "\"", "\"\"", "{", "}", ":", "\"id\"", "\"text\"", "null", " ", "가",
];

/// A line that may be a row.
fn line(random: &mut ChaCha8Rng, format: Format) -> String {
    let id = random.random_range(-9..99_i64);
    let text =
        ["a", "한글", "", "a,b", "long enough to be no short text"][random.random_range(0..5)];
    match (format, random.random_range(0..10)) {
        (_, 0) => {
            let pieces = (1..random.random_range(2..8)).map(|_| {
                let piece = random.random_range(0..PIECES.len());
                PIECES[piece]
            });
            let line: String = pieces.collect();
            // Files have no row for a blank line.
            format!("x{line}")
        }
        (Format::Csv, 1) => format!("{id},\"{text}\""),
        (Format::Csv, _) if text.contains(',') => format!("{id},\"{text}\""),
        (Format::Csv, _) => format!("{id},{text}"),
        (_, 1) => format!("{{\"text\":\"{text}\"}}"),
        (_, 2) => format!("{{\"text\":{id},\"id\":{id}}}"),
        (_, 3) => format!(" {{ \"text\" : null , \"id\" :{id}}} "),
        _ => format!("{{\"id\":{id},\"text\":\"{text}\"}}"),
    }
}

fn of_file(
    spec: &SourceSpec,
    lines: &[String],
) -> (Vec<String>, Vec<(usize, Option<String>, String)>) {
    let spec = SourceSpec {
        source: None,
        options: match spec.format {
            Format::Csv => BTreeMap::from([("has_header".to_owned(), "false".to_owned())]),
            _ => BTreeMap::new(),
        },
        ..spec.clone()
    };
    let format: Box<dyn TextFormat> = match spec.format {
        Format::Csv => Box::new(Csv::new(&spec).unwrap()),
        _ => Box::new(JsonLinesFormat::new(&spec).unwrap()),
    };
    let text = lines.join("\n");
    let file: Arc<str> = "file".into();
    let head = format.begin(&file, text.as_bytes()).unwrap();
    let decoded = head.decoder.decode(&TextBlock {
        file,
        first_line: 0,
        byte_offset: 0,
        stored_bytes: 0,
        bytes: text.into_bytes(),
    });
    let rejected = decoded.rejected.iter().map(|rejected| {
        let line = usize::try_from(rejected.line).unwrap();
        let column = rejected.column.as_deref().map(str::to_owned);
        (line, column, rejected.reason.clone())
    });
    (shown(&decoded.batch), rejected.collect())
}

#[test]
fn messages_are_decoded_as_the_lines_of_a_file() {
    let columns = [("id!", DataType::Int64), ("text", DataType::Utf8)];
    for seed in 0..400 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let format = [Format::Csv, Format::JsonLines][random.random_range(0..2)];
        let mut some = spec(format, &columns, &[]);
        if random.random_bool(0.2) {
            some.projection = vec![random.random_range(0..2)];
        }
        let count = random.random_range(1..60);
        let lines: Vec<String> = (0..count).map(|_| line(&mut random, format)).collect();
        let (rows, rejected) = of_file(&some, &lines);
        let mut batch = Messages::new(3, 0);
        for line in &lines {
            // Offsets have gaps.
            let offset = batch.next_offset + random.random_range(0..3);
            batch.push((offset, -1), None, Some(line.as_bytes()), []);
        }
        let found = MessageDecoder::new(&some).unwrap().decode(&batch).unwrap();
        assert_eq!(shown(&found.batch), rows, "seed {seed}");
        let found = found.rejected.iter().map(|rejected| {
            let offset = i64::try_from(rejected.byte_offset).unwrap();
            let line = batch.iter().position(|message| message.offset == offset);
            assert_eq!(rejected.raw, lines[line.unwrap()], "seed {seed}");
            let column = rejected.column.as_deref().map(str::to_owned);
            (line.unwrap(), column, rejected.reason.clone())
        });
        assert_eq!(found.collect::<Vec<_>>(), rejected, "seed {seed}");
    }
}

/// Inserted rows minus retracted rows equal a model of the table, whatever was rejected.
#[test]
fn changes_add_up_to_the_table() {
    let columns = [("id!", DataType::Int64), ("n!", DataType::Int64)];
    let some = spec(Format::JsonLines, &columns, &[("envelope", "debezium")]);
    let decoder = MessageDecoder::new(&some).unwrap();
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut table: BTreeMap<i64, i64> = BTreeMap::new();
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let mut taken = 0;
        for _ in 0..random.random_range(1..6) {
            let mut batch = Messages::new(3, 0);
            for offset in 0..random.random_range(0..30) {
                let (id, n) = (random.random_range(0..5), random.random_range(0..9));
                let row = |n: i64| format!(r#"{{"id":{id},"n":{n}}}"#);
                let payload = match (table.get(&id).copied(), random.random_range(0..6)) {
                    (_, 0) => {
                        Some(r#"{"op":"u","before":{"id":1,"n":1},"after":{"id":1}}"#.to_owned())
                    }
                    (None, 1) => None,
                    (Some(was), 1) => {
                        table.remove(&id);
                        Some(format!(r#"{{"op":"d","before":{}}}"#, row(was)))
                    }
                    (was, _) => {
                        table.insert(id, n);
                        let after = row(n);
                        Some(match was {
                            Some(was) => {
                                format!(r#"{{"op":"u","before":{},"after":{after}}}"#, row(was))
                            }
                            None => format!(r#"{{"op":"c","after":{after}}}"#),
                        })
                    }
                };
                batch.push((offset, 0), None, payload.as_deref().map(str::as_bytes), []);
            }
            let decoded = decoder.decode(&batch).unwrap();
            taken += decoded.batch.num_rows() + decoded.rejected.len();
            for change in shown(&decoded.batch) {
                let (row, position) = change.rsplit_once('|').unwrap();
                let (row, _) = row.rsplit_once('|').unwrap();
                let inserts = position.parse::<i64>().unwrap() % 2 == 1;
                *counts.entry(row.to_owned()).or_default() += if inserts { 1 } else { -1 };
            }
        }
        counts.retain(|_, count| *count != 0);
        let expected = table.iter().map(|(id, n)| (format!("{id}|{n}"), 1));
        assert_eq!(counts, expected.collect(), "seed {seed} ({taken} taken)");
    }
}
