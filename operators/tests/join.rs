//! `join`, compared with a nested loop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

mod histories;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use histories::{
    Cells, Epoch, PACES, Pace, Render, Rng, Table, apply, check, random, run, schema, seeds,
};
use tidewater_operators::join::{JoinKey, JoinKind, JoinSpec, join};
use tidewater_operators::state::StateHandle;
use tidewater_operators::{Delta, Faults, Sign};
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::ToStream;

const WORKERS: [usize; 3] = [1, 2, 3];

fn keys(left: &[usize], right: &[usize]) -> Vec<JoinKey> {
    let keys = left.iter().zip(right).map(|(&left, &right)| JoinKey {
        left,
        right,
        null_safe: false,
    });
    keys.collect()
}

/// Joins of inputs of two columns each.
fn spec(kind: JoinKind, left_keys: &[usize], right_keys: &[usize]) -> JoinSpec {
    JoinSpec {
        kind,
        left: schema(2),
        right: schema(2),
        keys: keys(left_keys, right_keys),
        schema: schema(4),
    }
}

fn render(spec: JoinSpec) -> Render {
    Arc::new(move |mut inputs, faults| {
        let (right, left) = (inputs.pop().unwrap(), inputs.pop().unwrap());
        join(left, right, "join", &spec, StateHandle::default(), faults)
    })
}

fn nested_loop(spec: &JoinSpec, left: &Table, right: &Table) -> Table {
    let mut joined = Table::new();
    for (l, l_count) in left {
        let mut matched = false;
        for (r, r_count) in right {
            let equal = |key: &JoinKey| {
                let (left, right) = (l[key.left], r[key.right]);
                left == right && (key.null_safe || left.is_some())
            };
            if spec.keys.iter().all(equal) {
                matched = true;
                apply(
                    &mut joined,
                    &[l.clone(), r.clone()].concat(),
                    l_count * r_count,
                );
            }
        }
        if !matched && spec.kind == JoinKind::Left {
            apply(&mut joined, &[l.clone(), vec![None; 2]].concat(), *l_count);
        }
    }
    joined
}

#[test]
fn random_histories_equal_the_nested_loop() {
    let keys: [(&[usize], &[usize]); 6] = [
        (&[0], &[0]),
        (&[1], &[0]),
        (&[0, 1], &[1, 0]),
        (&[0, 0], &[0, 1]),
        (&[0, 1], &[1, 1]),
        (&[], &[]),
    ];
    for seed in seeds(24) {
        for (case, (left, right)) in keys.iter().enumerate() {
            let mut spec = spec(
                if seed % 2 == 0 {
                    JoinKind::Left
                } else {
                    JoinKind::Inner
                },
                left,
                right,
            );
            let mut rng = Rng(seed * 1000 + case as u64);
            for key in &mut spec.keys {
                key.null_safe = rng.below(3) == 0;
            }
            // A right row of NULLs can match a left row, and then the emitted row looks like a left row without a
            // match. The tables have no such right row, so each emitted row has one reason.
            let never_null = |input: usize| input == 1 && spec.keys.iter().all(|key| key.null_safe);
            let history = random(&mut rng, 2, 6, 5, |rng, input| {
                let last = rng.cell(2);
                vec![
                    rng.cell(2),
                    if never_null(input) {
                        last.or(Some(7))
                    } else {
                        last
                    },
                ]
            });
            let oracle = |inputs: &[Table]| nested_loop(&spec, &inputs[0], &inputs[1]);
            let workers = WORKERS[rng.below(3) as usize];
            let context = format!("TIDEWATER_SEED={seed} {:?}", spec.keys);
            let pace = PACES[rng.below(3) as usize];
            check(
                &context,
                workers,
                pace,
                &[2, 2],
                &history,
                &render(spec.clone()),
                &oracle,
            );
        }
    }
}

/// The tables of a key: up to two copies of one left row, one of another, and two right rows that may be absent.
fn states() -> Vec<[i64; 4]> {
    let mut states = Vec::new();
    for twice in 0..3 {
        for rest in 0..8 {
            states.push([twice, rest & 1, (rest >> 1) & 1, rest >> 2]);
        }
    }
    states
}

/// All sequences of three states, each in a key of its own, in one history.
fn all_sequences() -> Vec<Epoch> {
    let states = states();
    let mut history = vec![vec![Vec::new(), Vec::new()]; 3];
    for sequence in 0..states.len().pow(3) {
        let mut before = [0; 4];
        for (epoch, changes) in history.iter_mut().enumerate() {
            let state = states[sequence / states.len().pow(epoch as u32) % states.len()];
            for row in 0..4 {
                let diff = state[row] - before[row];
                if diff != 0 {
                    changes[row / 2].push((vec![Some(sequence as i64), Some(row as i64)], diff));
                }
            }
            before = state;
        }
    }
    history
}

#[test]
fn all_small_histories_equal_the_nested_loop() {
    let history = all_sequences();
    for (kind, workers, pace) in [
        (JoinKind::Left, 1, Pace::Lockstep),
        (JoinKind::Left, 2, Pace::Racing),
        (JoinKind::Left, 3, Pace::Staggered),
        (JoinKind::Inner, 2, Pace::Lockstep),
    ] {
        let spec = spec(kind, &[0], &[0]);
        let oracle = |inputs: &[Table]| {
            let mut by_key: BTreeMap<Option<i64>, [Table; 2]> = BTreeMap::new();
            for (side, table) in inputs.iter().enumerate() {
                for (row, count) in table {
                    by_key.entry(row[0]).or_default()[side].insert(row.clone(), *count);
                }
            }
            by_key
                .values()
                .flat_map(|[left, right]| nested_loop(&spec, left, right))
                .collect()
        };
        check(
            "exhaustive",
            workers,
            pace,
            &[2, 2],
            &history,
            &render(spec.clone()),
            &oracle,
        );
    }
}

#[test]
fn many_copies_come_in_bounded_batches() {
    let row = |count| vec![(vec![Some(1), Some(1)], count)];
    let history = vec![
        vec![row(150), row(200)],
        vec![row(-149), vec![]],
        vec![row(-1), row(-200)],
    ];
    let spec = spec(JoinKind::Left, &[0], &[0]);
    let oracle = |inputs: &[Table]| nested_loop(&spec, &inputs[0], &inputs[1]);
    check(
        "many copies",
        2,
        Pace::Racing,
        &[2, 2],
        &history,
        &render(spec.clone()),
        &oracle,
    );
}

#[test]
fn one_key_of_many_rows_comes_out_whole() {
    let many = (0..300_000)
        .map(|row| (vec![Some(row % 7), Some(row)], 1))
        .collect();
    let one = (0..7).map(|key| (vec![Some(key), Some(key)], 1)).collect();
    let spec = spec(JoinKind::Inner, &[0], &[0]);
    let emitted = run(1, Pace::Racing, &[2, 2], &[vec![many, one]], &render(spec)).unwrap();
    assert_eq!((emitted[0].rows, emitted[0].net.len()), (300_000, 300_000));
}

#[test]
fn a_spec_that_does_not_fit_is_a_fault() {
    let good = spec(JoinKind::Left, &[0], &[0]);
    let text = Arc::new(Schema::new(
        ["c0", "c1"]
            .map(|name| Field::new(name, DataType::Utf8, true))
            .to_vec(),
    ));
    let texts = Arc::new(Schema::new(
        ["a", "b", "c", "d"]
            .map(|name| Field::new(name, DataType::Utf8, true))
            .to_vec(),
    ));
    let strict =
        ["c0", "c1", "c2", "c3"].map(|name| Field::new(name, DataType::Int64, name < "c2"));
    let strict = Arc::new(Schema::new(strict.to_vec()));
    for (spec, message) in [
        (
            JoinSpec {
                keys: keys(&[2], &[0]),
                ..good.clone()
            },
            "there is no column 2 among 2",
        ),
        (
            JoinSpec {
                keys: keys(&[1], &[3]),
                ..good.clone()
            },
            "there is no column 3 among 2",
        ),
        (
            JoinSpec {
                right: text.clone(),
                ..good.clone()
            },
            "not of the same types",
        ),
        (
            JoinSpec {
                schema: schema(3),
                ..good.clone()
            },
            "4 columns are made, the schema has 3",
        ),
        (
            JoinSpec {
                schema: texts.clone(),
                ..good.clone()
            },
            "column a is Int64, the schema has Utf8",
        ),
        (
            JoinSpec {
                schema: strict,
                ..good.clone()
            },
            "non-nullable",
        ),
        (
            JoinSpec {
                left: text.clone(),
                right: text,
                schema: texts,
                ..good
            },
            "expected Utf8 got Int64",
        ),
    ] {
        let history: Vec<Epoch> = vec![vec![vec![(vec![Some(1), Some(2)], 1)], vec![]]];
        let fault = run(2, Pace::Lockstep, &[2, 2], &history, &render(spec)).expect_err(message);
        assert!(
            fault.to_string().contains(message),
            "{fault} is not: {message}"
        );
    }
}

/// Text, dictionaries and lists keep their types in a join.
#[test]
fn columns_keep_their_types() {
    let dictionary = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    let left = Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("key", dictionary.clone(), true),
        Field::new("list", list.clone(), true),
    ]));
    let right = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]));
    let fields: Vec<Field> = left
        .fields()
        .iter()
        .chain(right.fields())
        .map(|field| field.as_ref().clone())
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let spec = JoinSpec {
        kind: JoinKind::Left,
        left: Arc::clone(&left),
        right: Arc::clone(&right),
        keys: keys(&[1], &[0]),
        schema: Arc::clone(&schema),
    };

    let keys: DictionaryArray<Int32Type> = vec![
        Some("가"),
        None,
        Some("long enough to be kept apart"),
        Some("c"),
    ]
    .into_iter()
    .collect();
    let lists = vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(7)]),
    ];
    let left_columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![
            Some("a"),
            None,
            Some(""),
            Some("d"),
        ])),
        Arc::new(keys),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
    ];
    let right_columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![
            Some("가"),
            None,
            Some("long enough to be kept apart"),
        ])),
        Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
    ];
    let left_batch = RecordBatch::try_new(left, left_columns).unwrap();
    let right_batch = RecordBatch::try_new(right, right_columns).unwrap();

    let faults = Faults::default();
    let (sender, receiver) = std::sync::mpsc::channel();
    let raised = faults.clone();
    timely::example(move |scope| {
        let left = vec![Delta::plus(left_batch)].to_stream(scope);
        let right = vec![Delta::plus(right_batch)].to_stream(scope);
        join(left, right, "join", &spec, StateHandle::default(), raised)
            .inspect(move |delta| sender.send(delta.clone()).unwrap());
    });
    assert!(faults.first().is_none(), "{:?}", faults.first());
    let deltas: Vec<Delta> = receiver.iter().collect();
    assert!(
        deltas
            .iter()
            .all(|delta| delta.sign == Sign::Plus && delta.batch.schema() == schema)
    );
    let mut lines: Vec<String> = deltas
        .iter()
        .flat_map(|delta| lines(&delta.batch))
        .collect();
    lines.sort();
    let expected = [
        ", long enough to be kept apart, [], long enough to be kept apart, NULL",
        "NULL, NULL, NULL, NULL, NULL",
        "a, 가, [1, ], 가, 1",
        "d, c, [7], NULL, NULL",
    ];
    assert_eq!(lines, expected);
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    use arrow::util::display::array_value_to_string;
    let cell = |column: &ArrayRef, row| {
        if column.is_null(row) {
            "NULL".to_owned()
        } else {
            array_value_to_string(column, row).unwrap()
        }
    };
    (0..batch.num_rows())
        .map(|row| {
            batch
                .columns()
                .iter()
                .map(|column| cell(column, row))
                .collect::<Vec<_>>()
                .join(", ")
        })
        .collect()
}

#[test]
fn inputs_are_nullable_rows() {
    let row: Cells = vec![None, Some(1)];
    let history = vec![
        vec![vec![(row.clone(), 2)], vec![(row.clone(), 1)]],
        vec![vec![(row, -1)], vec![]],
    ];
    for kind in [JoinKind::Inner, JoinKind::Left] {
        let spec = spec(kind, &[0], &[0]);
        let oracle = |inputs: &[Table]| nested_loop(&spec, &inputs[0], &inputs[1]);
        check(
            "NULL keys",
            1,
            Pace::Lockstep,
            &[2, 2],
            &history,
            &render(spec.clone()),
            &oracle,
        );
    }
}
