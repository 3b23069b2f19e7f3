#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, 1)
}

fn decompress(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(bytes, length).ok()
}

fn packed(text: &[u8]) -> Option<Vec<u8>> {
    pack(text, compress).unwrap()
}

fn unpacked(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    unpack(packed, length, decompress)
}

/// Packs a text of lines made by `line`, and unpacks it. Returns the bytes per line.
fn round(rows: usize, line: impl Fn(usize) -> String) -> usize {
    let text: String = (0..rows).map(|row| line(row) + "\n").collect();
    let packed = packed(text.as_bytes()).unwrap();
    let back = unpacked(&packed, text.len()).unwrap();
    assert!(back == text.as_bytes(), "{text:.200}");
    packed.len() / rows
}

#[test]
fn lines_of_a_card_company() {
    let categories = ["식비", "교통", "쇼핑", "문화"];
    let bytes = round(20_000, |row| {
        let some = row.wrapping_mul(2_654_435_761) >> 7;
        format!(
            "TXN{:010},2024-03-{:02} {:02}:{:02}:{:02},****-****-****-{:04},{},{},{}",
            row + 1,
            1 + some % 28,
            some % 24,
            some % 60,
            (some >> 3) % 60,
            1000 + some % 9000,
            categories[some % 4],
            ["approved", "declined"][usize::from(some.is_multiple_of(20))],
            100 * (some % 5000),
        )
    });
    assert!(bytes <= 8, "{bytes}");
}

#[test]
fn numbers_as_they_are_written() {
    let edge = [
        "0",
        "-1",
        "1",
        "-99",
        "999999999999999999",
        "-999999999999999999",
        "7",
        "12345678",
        "",
    ];
    round(100, |row| format!("{},{}", edge[row % edge.len()], row));
    let money = [
        "0.00",
        "1.50",
        "-0.01",
        "12.34",
        "",
        "9999999999999999.99",
        "-5.00",
    ];
    round(100, |row| format!("{},{}", row, money[row % money.len()]));
    // A field in another notation is text.
    for odd in [
        "00",
        "-0",
        "+1",
        "01",
        "-",
        "1.",
        ".5",
        "1.5",
        "1e3",
        "-0.00",
        "1000000000000000000",
        "１",
        " 1",
        "1 ",
    ] {
        round(100, |row| {
            format!("{},{}", row * 3, if row == 70 { odd } else { "5" })
        });
        round(100, |row| {
            format!("{},{}", row * 3, if row == 70 { odd } else { "5.25" })
        });
        round(100, |row| format!("{},{}", row * 3, odd));
    }
}

#[test]
fn moulds() {
    let bytes = round(1000, |row| format!("id-{row:018},a,{row:01}-x"));
    assert!(bytes < 3, "{bytes}");
    // One more digit, another letter, one more byte, an empty field.
    for odd in ["x12y3z", "x1y23", "x12z3", "x12y345", "", "x１2y3"] {
        round(200, |row| {
            format!(
                "{},the same text in all lines,{}",
                row,
                if row == 150 {
                    odd.to_owned()
                } else {
                    format!("x{:02}y{}", row % 100, row % 10)
                }
            )
        });
    }
}

#[test]
fn few_texts_and_many() {
    for length in [0, 1, 7, 8, 9, 15, 16, 17, 40] {
        round(500, |row| {
            format!("{},{}", "x".repeat(length) + &"y".repeat(row % 3), row)
        });
        round(500, |row| {
            format!("{}é{},{}", "x".repeat(row % 5), "z".repeat(length), row)
        });
        // Equal beginnings and ends.
        round(500, |row| {
            format!("{0}{1}{0},{2}", "x".repeat(8), row % 7, "z".repeat(length))
        });
    }
    // A column of many texts beside columns that are packed.
    round(9000, |row| {
        format!("{0:06},{0:06},{0:06},n{0}", row * 7919 % 9000)
    });
}

#[test]
fn what_is_not_a_table_is_left_alone() {
    let line = "a,1,b\n";
    let good = line.repeat(ROWS_MIN);
    assert!(packed(good.as_bytes()).is_some());
    for text in [
        String::new(),
        "\n".repeat(100),
        line.repeat(ROWS_MIN - 1),
        format!("{good}a,1"),
        format!("{good}a,1\n"),
        format!("{good}a,1,b,c\n"),
        format!("{good}\n"),
        format!("\n{good}"),
        "no fields\n".repeat(100),
        // Mostly a column of many texts.
        (0..200).fold(String::new(), |mut text, row| {
            writeln!(text, "{row},some text of its own {row}").unwrap();
            text
        }),
    ] {
        assert!(packed(text.as_bytes()).is_none(), "{text:.100}");
    }
}

#[test]
fn carriage_returns_quotes_and_any_bytes_are_bytes() {
    round(100, |row| format!("{},\"quoted\",{}\r", row % 5, row % 3));
    round(100, |row| {
        format!("{},\"{}\",\"\"\"{}\"\"\"", row % 5, row, row % 3)
    });
    let line = |row: u8| {
        [
            &[(row % 7) | 0x80][..],
            b";",
            b"the same;",
            &[0xff, 0, b'\n'],
        ]
        .concat()
    };
    let text: Vec<u8> = (0..200).flat_map(line).collect();
    let there = packed(&text).unwrap();
    assert_eq!(unpacked(&there, text.len()), Some(text));
}

/// Tables of random fields, also with a flipped bit.
#[test]
fn random_tables() {
    let seed = std::env::var("TIDEWATER_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(7_u64);
    println!("TIDEWATER_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..300 {
        let columns = random.random_range(2..6);
        let kinds: Vec<u32> = (0..columns).map(|_| random.random_range(0..8)).collect();
        let separator = char::from(SEPARATORS[random.random_range(0..4)]);
        let mut text = String::new();
        for row in 0..random.random_range(0..200_u64) {
            for (at, kind) in kinds.iter().enumerate() {
                let any: u64 = random.random();
                let any = any >> random.random_range(0..64);
                match kind {
                    0 => write!(text, "{any}"),
                    1 => write!(text, "{}", any.cast_signed()),
                    2 => write!(text, "{:05}x{:03}", any % 100_000, row),
                    3 => write!(text, "{}.{:02}", any.cast_signed() / 100, any % 100),
                    4 => write!(
                        text,
                        "{}",
                        ["", "a", "some text", "longer than sixteen bytes"][(any % 4) as usize]
                    ),
                    5 => write!(text, "t{}", any % 1000),
                    6 => write!(text, "{}", row + any % 3),
                    _ => write!(
                        text,
                        "{}",
                        if any.is_multiple_of(50) {
                            String::new()
                        } else {
                            any.to_string()
                        }
                    ),
                }
                .unwrap();
                text.push(if at + 1 < columns { separator } else { '\n' });
            }
        }
        let Some(mut packed) = packed(text.as_bytes()) else {
            continue;
        };
        assert_eq!(
            unpacked(&packed, text.len()).as_deref(),
            Some(text.as_bytes())
        );
        assert_eq!(unpacked(&packed, text.len() + 1), None);
        assert_eq!(unpacked(&packed[..packed.len() - 1], text.len()), None);
        for _ in 0..20 {
            let at = random.random_range(0..packed.len());
            let bit = 1 << random.random_range(0..8);
            packed[at] ^= bit;
            // Another text or none is fine here, since the frame has a checksum.
            if let Some(other) = unpacked(&packed, text.len()) {
                assert_eq!(other.len(), text.len());
            }
            packed[at] ^= bit;
        }
    }
}
