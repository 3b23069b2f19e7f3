//! `window`, compared with sorting and evaluating all rows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

mod histories;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int64Array};
use histories::{
    Cells, Epoch, PACES, Pace, Render, Rng, Table, apply, cells, check, random, run, schema, seeds,
};
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::state::StateHandle;
use tidewater_operators::window::{Evaluate, WindowSpec, window};

/// Row number, rank by column 1, lag of column 2, and the partition's sum of column 2, of rows in window order.
fn results(rows: &[Cells]) -> Vec<Cells> {
    let sum = rows.iter().filter_map(|row| row[2]).sum();
    let rank = |at: usize| 1 + rows.iter().position(|row| row[1] == rows[at][1]).unwrap();
    let result = |at: usize| {
        let lag = at.checked_sub(1).and_then(|before| rows[before][2]);
        vec![Some(at as i64 + 1), Some(rank(at) as i64), lag, Some(sum)]
    };
    (0..rows.len()).map(result).collect()
}

fn evaluate(calls: Arc<AtomicU64>) -> Evaluate {
    Arc::new(move |batch| {
        calls.fetch_add(1, Ordering::Relaxed);
        let results = results(&cells(batch));
        let column = |at: usize| {
            Arc::new(results.iter().map(|row| row[at]).collect::<Int64Array>()) as ArrayRef
        };
        Ok((0..4).map(column).collect())
    })
}

/// By column 1, greatest first, NULLs last.
fn spec(partition: &[usize], evaluate: Evaluate) -> WindowSpec {
    WindowSpec {
        input: schema(3),
        partition: partition.to_vec(),
        order: vec![OrderKey {
            column: 1,
            descending: true,
            nulls_first: false,
        }],
        evaluate,
        output: schema(7),
    }
}

fn render(spec: WindowSpec) -> Render {
    Arc::new(move |mut inputs, faults| {
        window(
            inputs.pop().unwrap(),
            "window",
            &spec,
            StateHandle::default(),
            faults,
        )
    })
}

fn sort_and_evaluate(partition: &[usize], table: &Table) -> Table {
    let mut partitions: BTreeMap<Cells, Vec<Cells>> = BTreeMap::new();
    for (row, count) in table {
        let rows = partitions
            .entry(partition.iter().map(|column| row[*column]).collect())
            .or_default();
        rows.extend(std::iter::repeat_n(row.clone(), *count as usize));
    }
    let mut output = Table::new();
    for mut rows in partitions.into_values() {
        rows.sort_by_key(|row| (row[1].is_none(), Reverse(row[1]), row.clone()));
        for (row, result) in rows.iter().zip(results(&rows)) {
            apply(&mut output, &[row.clone(), result].concat(), 1);
        }
    }
    output
}

#[test]
fn random_histories_equal_sort_and_evaluate() {
    let partitions: [&[usize]; 6] = [&[], &[0], &[1], &[2], &[0, 2], &[2, 1, 0]];
    for seed in seeds(24) {
        for (case, partition) in partitions.iter().enumerate() {
            let mut rng = Rng(seed * 1000 + case as u64);
            let history = random(&mut rng, 1, 8, 6, |rng, _| {
                vec![rng.cell(3), rng.cell(2), rng.cell(2)]
            });
            let oracle = |inputs: &[Table]| sort_and_evaluate(partition, &inputs[0]);
            let context = format!("TIDEWATER_SEED={seed} {partition:?}");
            let (workers, pace) = (1 + rng.below(3) as usize, PACES[rng.below(3) as usize]);
            check(
                &context,
                workers,
                pace,
                &[3],
                &history,
                &render(spec(partition, evaluate(Arc::default()))),
                &oracle,
            );
        }
    }
}

/// All sequences of three tables of three rows, the first of which may occur twice. Each sequence has a partition of
/// its own.
#[test]
fn all_small_histories_equal_sort_and_evaluate() {
    let states = 3 * 4usize;
    let mut history: Vec<Epoch> = vec![vec![Vec::new()]; 3];
    for sequence in 0..states.pow(3) {
        let mut before = [0; 3];
        for (epoch, changes) in history.iter_mut().enumerate() {
            let state = sequence / states.pow(epoch as u32) % states;
            let counts = [
                (state % 3) as i64,
                ((state / 3) & 1) as i64,
                (state / 6) as i64,
            ];
            for row in 0..3 {
                let (value, diff) = ([Some(1), None, Some(2)][row], counts[row] - before[row]);
                if diff != 0 {
                    changes[0].push((vec![Some(sequence as i64), value, Some(row as i64)], diff));
                }
            }
            before = counts;
        }
    }
    for (workers, pace) in [(1, Pace::Lockstep), (2, Pace::Racing), (3, Pace::Lockstep)] {
        let oracle = |inputs: &[Table]| sort_and_evaluate(&[0], &inputs[0]);
        check(
            "exhaustive",
            workers,
            pace,
            &[3],
            &history,
            &render(spec(&[0], evaluate(Arc::default()))),
            &oracle,
        );
    }
}

#[test]
fn only_touched_partitions_are_evaluated() {
    let rows =
        (0..100).flat_map(|key| (0..3).map(move |value| (vec![Some(key), Some(value), None], 1)));
    let one = vec![
        (vec![Some(5), Some(9), None], 1),
        (vec![Some(6), Some(9), None], 1),
        (vec![Some(6), Some(9), None], -1),
    ];
    let calls = Arc::new(AtomicU64::new(0));
    let history = vec![vec![rows.collect()], vec![one]];
    run(
        1,
        Pace::Lockstep,
        &[3],
        &history,
        &render(spec(&[0], evaluate(Arc::clone(&calls)))),
    )
    .unwrap();
    assert_eq!(
        calls.load(Ordering::Relaxed),
        100 + 2,
        "each partition once, then one before and after its change"
    );
}

#[test]
fn what_cannot_be_is_a_fault() {
    let row = |diff| vec![vec![vec![(vec![Some(1), Some(2), None], diff)]]];
    let good = spec(&[0], evaluate(Arc::default()));
    let failing: Evaluate = Arc::new(|_| Err("no such function".into()));
    let short: Evaluate = Arc::new(|_| {
        Ok(vec![
            Arc::new(Int64Array::from(Vec::<i64>::new()))
                as ArrayRef;
            4
        ])
    });
    let few: Evaluate = Arc::new(|batch| Ok(vec![Arc::clone(batch.column(0))]));
    for (spec, diff, message) in [
        (
            good.clone(),
            -1,
            "retracted more often than it was inserted",
        ),
        (
            WindowSpec {
                partition: vec![3],
                ..good.clone()
            },
            1,
            "there is no column 3 among 3",
        ),
        (
            WindowSpec {
                output: schema(2),
                ..good.clone()
            },
            1,
            "3 columns are made, the schema has 2",
        ),
        (
            WindowSpec {
                evaluate: failing,
                ..good.clone()
            },
            1,
            "window: no such function",
        ),
        (
            WindowSpec {
                evaluate: short,
                ..good.clone()
            },
            1,
            "a window column has 0 values for 1 rows",
        ),
        (
            WindowSpec {
                evaluate: few,
                ..good
            },
            1,
            "expected 4 got 1",
        ),
    ] {
        let fault = run(2, Pace::Lockstep, &[3], &row(diff), &render(spec)).expect_err(message);
        assert!(
            fault.to_string().contains(message),
            "{fault} is not: {message}"
        );
    }
}
