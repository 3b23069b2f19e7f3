//! The same table has the same bytes, however its rows were pushed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampNanosecondArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field};

use super::*;
use tidewater_contract::sink::SortKey;
use tidewater_formats::coded_text;

/// Rows from which tables are drawn. They have few values, so that rows repeat and prefixes tie, and NULL in every
/// column.
fn universe(random: &mut Random, rows: usize, nested: bool) -> RecordBatch {
    let mut pick = |values: usize| -> Vec<Option<usize>> {
        (0..rows)
            .map(|_| random.below(values + 1).checked_sub(1))
            .collect()
    };
    let texts = |picks: Vec<Option<usize>>, values: &[&'static str]| -> ArrayRef {
        Arc::new(
            picks
                .into_iter()
                .map(|pick| pick.map(|at| values[at]))
                .collect::<StringArray>(),
        )
    };
    let text = texts(
        pick(5),
        &[
            "",
            "a",
            "a\"b,c",
            "서울",
            "long enough to take more than one block of a key",
        ],
    );
    let region = texts(pick(4), &["서울", "a/b", "x=1", "%"]);
    let floats = [-0.0, 0.0, f64::NAN, -f64::NAN, 1.5, f64::NEG_INFINITY];
    let float = pick(6)
        .into_iter()
        .map(|pick| pick.map(|at| floats[at]))
        .collect::<Float64Array>();
    let number = pick(3)
        .into_iter()
        .map(|pick| pick.map(|at| at as i64 - 1))
        .collect::<Int64Array>();
    let time = pick(3)
        .into_iter()
        .map(|pick| pick.map(|at| at as i64 * 1000))
        .collect::<TimestampNanosecondArray>();
    let date = pick(2)
        .into_iter()
        .map(|pick| pick.map(|at| at as i32))
        .collect::<Date32Array>();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("text", text),
        ("region", region),
        ("float", Arc::new(float)),
        ("number", Arc::new(number)),
        ("time", Arc::new(time)),
        ("date", Arc::new(date)),
    ];
    if nested {
        let lengths: Vec<usize> = pick(3).into_iter().map(Option::unwrap_or_default).collect();
        let nulls: NullBuffer = pick(3)
            .into_iter()
            .map(|pick| Option::is_some(&pick))
            .collect();
        columns.push(("list", list_of_structs(&lengths, nulls)));
    }
    batch(columns)
}

/// Lists of `{x, y}`. NULL lists have elements, which must not count.
fn list_of_structs(lengths: &[usize], nulls: NullBuffer) -> ArrayRef {
    let total = lengths.iter().sum::<usize>();
    let x: ArrayRef = Arc::new(
        (0..total)
            .map(|at| (at % 3 > 0).then_some(at as i64 % 2))
            .collect::<Int64Array>(),
    );
    let y: ArrayRef = Arc::new(
        (0..total)
            .map(|at| (at % 4 > 0).then_some("y"))
            .collect::<StringArray>(),
    );
    let fields = vec![
        Field::new("x", DataType::Int64, true),
        Field::new("y", DataType::Utf8, true),
    ];
    let structs = StructArray::new(fields.into(), vec![x, y], None);
    let item = Arc::new(Field::new("item", structs.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(
        item,
        offsets,
        Arc::new(structs),
        Some(nulls),
    ))
}

fn picked(universe: &RecordBatch, rows: &[usize]) -> RecordBatch {
    take_record_batch(
        universe,
        &UInt32Array::from_iter_values(rows.iter().map(|&row| row as u32)),
    )
    .unwrap()
}

/// `batch` with dictionaries in its text columns.
fn as_coded(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(|column| {
        if *column.data_type() == DataType::Utf8 {
            cast(column, &coded_text()).unwrap()
        } else {
            Arc::clone(column)
        }
    });
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    super::batch(names.zip(columns).collect())
}

/// The rows of `table`, distributed to shards at random in batches of random sizes, some as dictionaries, together
/// with rows that are inserted and retracted.
fn deal(
    random: &mut Random,
    universe: &RecordBatch,
    table: &[usize],
    shards: usize,
) -> Vec<Pushes> {
    let mut changes: Vec<(usize, i64)> = table.iter().map(|&row| (row, 1)).collect();
    for _ in 0..random.below(table.len() + 10) {
        let row = random.below(universe.num_rows());
        changes.extend([(row, 1), (row, -1)]);
    }
    random.shuffle(&mut changes);
    let mut dealt = vec![Vec::new(); shards];
    let mut rest = changes.as_slice();
    while !rest.is_empty() {
        let (some, others) = rest.split_at(1 + random.below(rest.len().min(60)));
        rest = others;
        let shard = random.below(shards);
        for diff in [1, -1] {
            let rows: Vec<usize> = some
                .iter()
                .filter(|(_, d)| *d == diff)
                .map(|(row, _)| *row)
                .collect();
            let batch = picked(universe, &rows);
            let coded = shard == 0 || random.below(3) == 0;
            dealt[shard].push((if coded { as_coded(&batch) } else { batch }, diff));
        }
    }
    dealt
}

fn case(seed: u64) {
    let random = &mut Random(seed);
    let format = ["parquet", "csv", "json"][random.below(3)];
    let universe = {
        let rows = 1 + random.below(80);
        universe(random, rows, format != "csv")
    };
    let table: Vec<usize> = (0..[0, 3, 100, 400][random.below(4)])
        .map(|_| random.below(universe.num_rows()))
        .collect();
    let partition_by: &[usize] = [&[][..], &[1], &[5, 1]][random.below(3)];

    let directory = tempfile::tempdir().unwrap();
    let mut table_spec = spec(directory.path().join("t"), &universe, partition_by, format);
    for column in 0..random.below(3) {
        let (descending, nulls_first) = (random.below(2) == 0, random.below(2) == 0);
        table_spec.order_by.push(SortKey {
            column: (column + seed as usize) % 6,
            descending,
            nulls_first,
        });
    }
    let whole = vec![(picked(&universe, &table), 1)];
    let options = WriteOptions {
        preview_rows: 1000,
        ..WriteOptions::default()
    };
    let (staging, staged) = stage(&table_spec, &[whole], usize::MAX, options).unwrap();
    let plain = &staged[0].written;
    let expected_at = staging.staged(&table_spec.path).unwrap();
    let expected = content(&expected_at);
    assert_eq!(plain.rows as usize, table.len(), "seed {seed}");

    for _ in 0..3 {
        let shards = 1 + random.below(3);
        let dealt = deal(random, &universe, &table, shards);
        let budget_bytes = [0, 20_000, usize::MAX][random.below(3)];
        let options = WriteOptions {
            threads: 1 + random.below(3),
            preview_rows: 1000,
            ..WriteOptions::default()
        };
        let (staging, staged) = stage(&table_spec, &dealt, budget_bytes, options.clone()).unwrap();
        let written = &staged[0].written;
        let what = format!("seed {seed}, {shards} shards, budget {budget_bytes}, {options:?}");
        assert_eq!(
            content(&staging.staged(&table_spec.path).unwrap()),
            expected,
            "{what}"
        );
        assert_eq!(
            (written.rows, written.files),
            (plain.rows, plain.files),
            "{what}"
        );
        assert_eq!(written.preview, plain.preview, "{what}");
    }
    if format == "parquet" {
        let in_files = read_parquet(&expected_at);
        assert_reads_back(
            &table_spec,
            &picked(&universe, &table),
            plain,
            in_files,
            seed,
        );
    }
}

/// Checks that the files have the multiset of pushed rows.
fn assert_reads_back(
    spec: &TableSpec,
    table: &RecordBatch,
    written: &WrittenTable,
    in_files: Vec<String>,
    seed: u64,
) {
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    let canonical = |rows: Vec<String>| -> Vec<String> {
        sorted(
            rows.into_iter()
                .map(|row| row.replace("-0.0", "0.0").replace("-NaN", "NaN"))
                .collect(),
        )
    };
    assert_eq!(
        sorted(rows(&written.preview)),
        canonical(rows(table)),
        "seed {seed}"
    );
    let file_columns: Vec<usize> = (0..table.num_columns())
        .filter(|c| !spec.partition_by.contains(c))
        .collect();
    let expected = rows(&written.preview.project(&file_columns).unwrap());
    assert_eq!(sorted(in_files), sorted(expected), "seed {seed}");
}

#[test]
fn bytes_depend_on_the_rows_alone() {
    for seed in 0..150 {
        case(seed);
    }
}

#[test]
fn rows_are_in_canonical_order() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![
        Some("b"),
        None,
        Some("a"),
        Some("b"),
        Some("a"),
    ]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(1),
        Some(2),
        Some(3),
        None,
        Some(3),
    ]));
    let float: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(0.5),
        None,
        Some(f64::NAN),
        Some(0.0),
        Some(-1.0),
    ]));
    let table = batch(vec![("text", text), ("number", number), ("float", float)]);
    let key = |column, descending, nulls_first| SortKey {
        column,
        descending,
        nulls_first,
    };
    let cases: &[(&[SortKey], &[&str])] = &[
        (
            &[],
            &[
                "NULL|2|NULL",
                "a|3|-1.0",
                "a|3|NaN",
                "b|NULL|0.0",
                "b|1|0.5",
            ],
        ),
        (
            &[key(0, true, false)],
            &[
                "b|NULL|0.0",
                "b|1|0.5",
                "a|3|-1.0",
                "a|3|NaN",
                "NULL|2|NULL",
            ],
        ),
        (
            &[key(1, false, false)],
            &[
                "b|1|0.5",
                "NULL|2|NULL",
                "a|3|-1.0",
                "a|3|NaN",
                "b|NULL|0.0",
            ],
        ),
        (
            &[key(1, true, true), key(2, true, true)],
            &[
                "b|NULL|0.0",
                "a|3|NaN",
                "a|3|-1.0",
                "NULL|2|NULL",
                "b|1|0.5",
            ],
        ),
    ];
    for (order_by, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut table_spec = spec(directory.path().join("t"), &table, &[], "parquet");
        table_spec.order_by = order_by.to_vec();
        let written = run_plainly(&table_spec, vec![(table.clone(), 1)]).unwrap();
        assert_eq!(rows(&written.preview), *expected, "{order_by:?}");
        assert_eq!(read_parquet(&table_spec.path), *expected, "{order_by:?}");
    }
}

#[test]
fn representations_make_no_difference() {
    let plain = batch(vec![
        (
            "p",
            Arc::new(StringArray::from(vec![Some("x"), None, Some("y")])),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![Some("b"), Some("a"), None])),
        ),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let mut written = BTreeMap::new();
    let dictionary = |keys| DataType::Dictionary(Box::new(keys), Box::new(DataType::Utf8));
    for data_type in [
        DataType::Utf8,
        DataType::Utf8View,
        dictionary(DataType::Int8),
        dictionary(DataType::UInt32),
    ] {
        let columns = plain
            .columns()
            .iter()
            .map(|column| cast(column, &data_type).unwrap());
        let other = batch(["p", "text"].into_iter().zip(columns).collect());
        for like in [&plain, &other] {
            let table_spec = spec(directory.path().join("t"), like, &[0], "parquet");
            run_plainly(&table_spec, vec![(other.clone(), 1)]).unwrap();
            written.insert(content(&table_spec.path), data_type.clone());
        }
    }
    assert_eq!(written.len(), 1, "{:?}", written.values());
}

#[test]
fn a_large_table_that_spills_is_the_same_as_one_that_does_not() {
    let count = 60_000;
    let id = |at: i64| format!("TXN{at:010}");
    let table = batch(vec![
        (
            "id",
            Arc::new(StringArray::from_iter_values((0..count).map(id))),
        ),
        (
            "month",
            Arc::new(Int64Array::from_iter_values(
                (0..count).map(|at| at * 7919 % 5),
            )),
        ),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let table_spec = spec(directory.path().join("t"), &table, &[1], "parquet");
    run_plainly(&table_spec, vec![(table.clone(), 1)]).unwrap();
    let expected = content(&table_spec.path);
    let mut shards = vec![Pushes::new(), Pushes::new()];
    for (at, start) in (0..table.num_rows()).step_by(5_000).enumerate() {
        shards[at % 2].push((table.slice(start, 5_000), 1));
    }
    shards[0].reverse();
    let options = WriteOptions {
        threads: 2,
        ..WriteOptions::default()
    };
    run(&table_spec, &shards, 500_000, options).unwrap();
    assert!(expected == content(&table_spec.path));
}

/// One of two shards has more texts than it keeps codes for.
#[test]
fn a_column_of_many_texts_is_the_same_as_plain_text() {
    let count = 150_000;
    let text = |at: i64| (at % 7 != 0).then(|| format!("{}", at * 7919 % 90_001));
    let table = batch(vec![
        (
            "few",
            Arc::new((0..count).map(|at| text(at % 9)).collect::<StringArray>()),
        ),
        (
            "many",
            Arc::new((0..count).map(text).collect::<StringArray>()),
        ),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let table_spec = spec(directory.path().join("t"), &table, &[], "parquet");
    run_plainly(&table_spec, vec![(table.clone(), 1)]).unwrap();
    let expected = content(&table_spec.path);
    let pushes = |from: usize, to: usize, rows: usize| -> Pushes {
        let cut = (from..to).step_by(rows);
        cut.map(|start| (as_coded(&table.slice(start, rows)), 1))
            .collect()
    };
    for shards in [
        vec![pushes(0, 150_000, 150_000)],
        vec![pushes(0, 20_000, 20_000), pushes(20_000, 150_000, 10_000)],
        vec![pushes(0, 70_000, 5_000), pushes(70_000, 150_000, 8_000)],
    ] {
        for budget_bytes in [300_000, usize::MAX] {
            run(&table_spec, &shards, budget_bytes, WriteOptions::default()).unwrap();
            assert!(expected == content(&table_spec.path));
        }
    }
}
