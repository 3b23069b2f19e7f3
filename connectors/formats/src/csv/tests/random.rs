//! Random tables, written in random ways and cut everywhere, compared with what was written. Also random garbage.

use super::*;

/// A small random generator. Every failure prints its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self, pieces: &[&str], longest: usize) -> String {
        (0..self.below(longest + 1))
            .map(|_| self.pick(pieces))
            .collect()
    }
}

/// Writes a field as RFC 4180 allows: quoted if it must be, and sometimes if it need not be.
fn encode(random: &mut Random, value: Option<&str>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let must = value.is_empty() || value.contains([',', '"', '\n', '\r']);
    if must || random.below(5) == 0 {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// A simple reader of valid CSV, byte by byte. NULL is an empty field without quotes.
fn reference(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut inside, mut any) = (false, false, false);
    let mut characters = text.trim_start_matches('\u{feff}').chars().peekable();
    let end_field = |field: &mut String, quoted: &mut bool, record: &mut Vec<String>| {
        let null = field.is_empty() && !*quoted;
        record.push(if null {
            "∅".to_owned()
        } else {
            std::mem::take(field)
        });
        *quoted = false;
    };
    while let Some(character) = characters.next() {
        match character {
            '"' if inside && characters.peek() == Some(&'"') => {
                field.push(characters.next().unwrap());
            }
            '"' => {
                inside = !inside;
                quoted = true;
                any = true;
            }
            ',' if !inside => {
                end_field(&mut field, &mut quoted, &mut record);
                any = true;
            }
            '\r' if !inside && characters.peek() == Some(&'\n') => {}
            '\n' if !inside => {
                if any {
                    end_field(&mut field, &mut quoted, &mut record);
                    records.push(std::mem::take(&mut record));
                }
                any = false;
            }
            other => {
                field.push(other);
                any = true;
            }
        }
    }
    if any {
        end_field(&mut field, &mut quoted, &mut record);
        records.push(record);
    }
    records
}

#[test]
fn random_tables_read_back() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let columns = 2 + random.below(3);
        let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
        let quotes = random.below(3) > 0;
        let pieces: &[&str] = if quotes {
            &["a", "bc", ",", "\"", "\n", "\r\n", "한", " ", "\"\""]
        } else {
            &["a", "bc", "한", " ", "xyz"]
        };
        let line_ends: &[&str] = [
            &["\n"][..],
            &["\r\n"],
            &["\n", "\r\n"],
            &["\n\n", "\r\n", "\n"],
        ][random.below(4)];
        let mut table = Vec::new();
        let mut text = if random.below(2) == 0 {
            "\u{feff}".to_owned()
        } else {
            String::new()
        };
        text.push_str(&names.join(","));
        for _ in 0..random.below(8) {
            text.push_str(random.pick(line_ends));
            let mut row = Vec::new();
            for column in 0..columns {
                let value = (random.below(6) > 0).then(|| random.text(pieces, 5));
                let field = if quotes || value.as_deref() != Some("") {
                    encode(&mut random, value.as_deref())
                } else {
                    String::new()
                };
                text.push_str(if column == 0 { "" } else { "," });
                row.push(if field.is_empty() {
                    "∅".to_owned()
                } else {
                    value.unwrap_or_default()
                });
                text.push_str(&field);
            }
            table.push(row);
        }
        if random.below(2) == 0 {
            text.push_str(random.pick(line_ends));
        }
        assert_eq!(
            reference(&text)[1..],
            table,
            "seed {seed}: the test's own reader, {text:?}"
        );
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for step in 1..=text.len() {
            let read = read(&texts(&names), text.as_bytes(), step).unwrap();
            assert_eq!(read.rows, table, "seed {seed} by {step}: {text:?}");
            assert_eq!(read.rejected, [], "seed {seed} by {step}: {text:?}");
        }
    }
}

#[test]
fn garbage_is_cut_anywhere_alike_and_no_record_is_lost() {
    let pieces = [
        "a", "1", ",", ",", "\"", "\"\"", "\n", "\n", "\r\n", "\r", "é",
    ];
    for seed in 0..1500 {
        let mut random = Random(seed);
        let text = format!("a,b\n{}", random.text(&pieces, 40));
        let spec = spec(&[("a", DataType::Int8), ("b", DataType::Utf8)], &[]);
        let whole = read(&spec, text.as_bytes(), usize::MAX / 2).unwrap();
        let dialect = Dialect {
            delimiter: record::Mark::new(b",").unwrap(),
            quote: Some(b'"'),
            escape: None,
            comment: None,
        };
        let (mut at, mut records) = (4, 0);
        while let Some(record) = dialect.record(text.as_bytes(), at, true, |_| ()) {
            records += usize::from(record.end > at);
            at = record.next;
        }
        assert_eq!(
            whole.rows.len() + whole.rejected.len(),
            records,
            "seed {seed}: {text:?}"
        );
        for rejected in &whole.rejected {
            let before = &text.as_bytes()[..rejected.byte_offset as usize];
            assert!(
                text.as_bytes()[before.len()..].starts_with(rejected.raw.as_bytes()),
                "seed {seed}: {rejected:?}"
            );
            let line = 1 + memchr::memchr_iter(b'\n', before).count();
            assert_eq!(rejected.line, line as u64, "seed {seed}: {rejected:?}");
        }
        for step in 1..=text.len() {
            assert_eq!(
                read(&spec, text.as_bytes(), step).unwrap(),
                whole,
                "seed {seed} by {step}: {text:?}"
            );
        }
    }
}

#[test]
fn garbage_bytes_are_never_lost() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut bytes = b"a,b\n".to_vec();
        for _ in 0..random.below(300) {
            bytes.push([b'a', b',', b'\n', b'"', 0xff, 0xc3, 0xa9, b'7'][random.below(8)]);
        }
        let whole = read(&texts(&["a", "b"]), &bytes, usize::MAX / 2).unwrap();
        for step in [1, 2, 3, 5, 64, 65] {
            assert_eq!(
                read(&texts(&["a", "b"]), &bytes, step).unwrap(),
                whole,
                "seed {seed} by {step}"
            );
        }
    }
}
