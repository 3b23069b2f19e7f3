//! Text columns as dictionaries hold the same values as plain columns.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::compute::cast;
use arrow::datatypes::UInt32Type;

use super::*;

fn with_dictionaries(spec: SourceSpec) -> SourceSpec {
    SourceSpec {
        dictionaries: true,
        ..spec
    }
}

/// Decodes blocks one after the other.
fn decode(spec: &SourceSpec, blocks: &[Vec<u8>]) -> Vec<Decoded> {
    let format = Csv::new(spec).unwrap();
    let head = format.begin(&"f.csv".into(), b"").unwrap();
    let block = |bytes: &Vec<u8>| {
        head.decoder.decode(&TextBlock {
            file: "f.csv".into(),
            first_line: 1,
            byte_offset: 0,
            bytes: bytes.clone(),
            stored_bytes: 0,
        })
    };
    blocks.iter().map(block).collect()
}

fn coded(array: &ArrayRef) -> Option<&DictionaryArray<UInt32Type>> {
    array.as_dictionary_opt::<UInt32Type>()
}

/// Decodes with and without dictionaries. Returns whether any column was a dictionary.
fn assert_alike(spec: &SourceSpec, blocks: &[Vec<u8>], seed: u64) -> bool {
    let mut any = false;
    let coded_blocks = decode(&with_dictionaries(spec.clone()), blocks);
    for (plain, other) in decode(spec, blocks).iter().zip(&coded_blocks) {
        assert_eq!(plain.rejected, other.rejected, "seed {seed}");
        assert_eq!(plain.ordinals, other.ordinals, "seed {seed}");
        for (plain, other) in plain.batch.columns().iter().zip(other.batch.columns()) {
            any |= coded(other).is_some();
            let unpacked = cast(other, plain.data_type()).unwrap();
            assert_eq!(plain, &unpacked, "seed {seed}");
        }
    }
    any
}

fn below(state: &mut u64, n: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % n
}

/// Text of a kind, made from a number, so that columns have as many values as there are numbers.
fn text(number: usize, kind: usize) -> Vec<u8> {
    let text = match kind {
        0 => format!("{number}"),
        1 => format!("****-****-****-{number:04}"),
        2 => format!("서울 {number} 한국"),
        3 => "long ".repeat(number % 30) + &number.to_string(),
        4 => "\0".repeat(number % 40),
        _ => "x".repeat(number % 27),
    };
    text.into_bytes()
}

fn field(random: &mut u64, values: usize, quotes: bool) -> Vec<u8> {
    match below(random, 40) {
        0 => return Vec::new(),
        1 => return b"bad \xff".to_vec(),
        2 if quotes => return b"a stray \" quote".to_vec(),
        _ => {}
    }
    let (number, kind) = (below(random, values), below(random, 6));
    let mut text = text(number, kind);
    if quotes && below(random, 3) == 0 {
        if below(random, 2) == 0 {
            text.extend_from_slice(b"\"\"d, \n");
        }
        text = [b"\"", text.as_slice(), b"\""].concat();
    }
    text
}

#[test]
fn random_blocks_hold_the_same() {
    let columns = [
        ("a", DataType::Utf8),
        ("b!", DataType::Utf8),
        ("n", DataType::Int32),
        ("c", DataType::Utf8),
    ];
    let spec = spec(&columns, &[("has_header", "false")]);
    for seed in 0..60 {
        let mut random = seed;
        let quotes = seed % 3 == 0;
        let values = [2, 60, 3000, 100_000][below(&mut random, 4)];
        let line_end: &[u8] = [&b"\n"[..], b"\r\n"][below(&mut random, 2)];
        let mut blocks = Vec::new();
        for _ in 0..4 {
            let mut block = Vec::new();
            for _ in 0..below(&mut random, 4000) {
                let a = field(&mut random, values, quotes);
                let b = field(&mut random, 5, quotes);
                let c = field(&mut random, values, quotes);
                let number: &[u8] = [&b"7"[..], b"x"][usize::from(below(&mut random, 30) == 0)];
                block.extend([a.as_slice(), &b, number, &c].join(&b','));
                block.extend_from_slice(line_end);
            }
            blocks.push(block);
        }
        assert_alike(&spec, &blocks, seed);
    }
}

#[test]
fn values_are_shared_until_one_is_added() {
    let spec = with_dictionaries(spec(&[("a", DataType::Utf8)], &[("has_header", "false")]));
    let blocks = ["x\ny\nx\n", "y\ny\n\"x\"\n", "z\nx\n", "\n", "\"\"\ny\n"];
    let blocks = blocks.map(|block| block.as_bytes().to_vec());
    let decoded = decode(&spec, &blocks);
    let columns: Vec<_> = decoded.iter().map(|part| part.batch.column(0)).collect();
    let codes = |at: usize| coded(columns[at]).unwrap().keys().values().to_vec();
    let values = |at: usize| coded(columns[at]).unwrap().values();
    assert_eq!(codes(0), [0, 1, 0]);
    assert_eq!(codes(1), [1, 1, 0]);
    assert_eq!(codes(2), [2, 0]);
    assert_eq!(codes(4), [3, 1]);
    assert!(Arc::ptr_eq(values(0), values(1)));
    assert!(!Arc::ptr_eq(values(1), values(2)));
    assert!(Arc::ptr_eq(values(2), values(3)));
    assert_eq!(values(4).len(), 4);
}

#[test]
fn rows_left_out_leave_the_values_shared() {
    let columns = [("a", DataType::Utf8), ("n", DataType::Int8)];
    let spec = with_dictionaries(spec(&columns, &[("has_header", "false")]));
    let blocks = [&b"x,1\ny,2\n"[..], b"y,no\ny,3\n"].map(<[u8]>::to_vec);
    let decoded = decode(&spec, &blocks);
    let [whole, part] = [&decoded[0], &decoded[1]].map(|part| coded(part.batch.column(0)).unwrap());
    assert!(Arc::ptr_eq(whole.values(), part.values()));
    assert_eq!(part.keys().values().to_vec(), [1]);
}

#[test]
fn a_column_of_many_values_becomes_plain_for_good() {
    let spec = spec(&[("a", DataType::Utf8)], &[("has_header", "false")]);
    let block = |numbers: &mut dyn Iterator<Item = usize>| {
        numbers.fold(Vec::new(), |mut block, number| {
            block.extend(text(number, 1));
            block.push(b'\n');
            block
        })
    };
    let is_coded = |blocks: &[Vec<u8>]| {
        let decoded = decode(&with_dictionaries(spec.clone()), blocks);
        let is_coded = |part: &Decoded| coded(part.batch.column(0)).is_some();
        decoded.iter().map(is_coded).collect::<Vec<_>>()
    };
    let few = block(&mut (0..3000).map(|row| row % 10));
    // Each value occurs three times, but there are more values than a dictionary may have.
    let many = block(&mut (0..210_000).map(|row| row / 3));
    let distinct = block(&mut (0..3000));
    for blocks in [[&few, &many, &few], [&distinct, &few, &few]] {
        let blocks = blocks.map(Vec::clone);
        assert_alike(&spec, &blocks, 0);
        let first = blocks[0] == few;
        assert_eq!(is_coded(&blocks), [first, false, false]);
    }
    // All values may be distinct if they are few. Otherwise half of them may be.
    let half = block(&mut (0..9000).map(|row| row / 2));
    assert_eq!(is_coded(&[block(&mut (0..1000)), half]), [true, true]);
    // Values of many bytes.
    let long: Vec<u8> = (0..10).flat_map(|row| vec![b'a' + row; 1 << 20]).collect();
    let long = long.chunks(1 << 20).collect::<Vec<_>>().join(&b'\n');
    assert!(!assert_alike(&spec, &[long], 0));
}

#[test]
fn threads_share_the_sets() {
    let spec = with_dictionaries(spec(&[("a", DataType::Utf8)], &[("has_header", "false")]));
    let format = Csv::new(&spec).unwrap();
    let head = format.begin(&"f.csv".into(), b"").unwrap();
    let work = |thread: usize| {
        for round in 0..200 {
            let rows = (0..50).map(|row| (row * 7 + round * thread) % 300);
            let rows: Vec<String> = rows.map(|row| row.to_string()).collect();
            let decoded = head.decoder.decode(&TextBlock {
                file: "f.csv".into(),
                first_line: 1,
                byte_offset: 0,
                bytes: rows.join("\n").into_bytes(),
                stored_bytes: 0,
            });
            let texts = cast(decoded.batch.column(0), &DataType::Utf8).unwrap();
            let texts: Vec<_> = texts.as_string::<i32>().iter().flatten().collect();
            assert_eq!(texts, rows);
        }
    };
    std::thread::scope(|scope| {
        let work = &work;
        for thread in 1..5 {
            scope.spawn(move || work(thread));
        }
    });
}
