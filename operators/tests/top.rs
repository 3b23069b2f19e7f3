//! `top`, compared with sorting all rows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

mod histories;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use histories::{
    Cells, Epoch, PACES, Pace, Render, Rng, Table, apply, check, random, run, schema, seeds,
};
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::state::StateHandle;
use tidewater_operators::top::{TopSpec, top};

fn spec(partition: &[usize], order: &[OrderKey], offset: u64, limit: u64) -> TopSpec {
    TopSpec {
        schema: schema(3),
        partition: partition.to_vec(),
        order: order.to_vec(),
        offset,
        limit,
        forgets: false,
    }
}

fn by(column: usize, descending: bool, nulls_first: bool) -> OrderKey {
    OrderKey {
        column,
        descending,
        nulls_first,
    }
}

fn render(spec: TopSpec) -> Render {
    Arc::new(move |mut inputs, faults| {
        top(
            inputs.pop().unwrap(),
            "top",
            &spec,
            StateHandle::default(),
            faults,
        )
    })
}

/// By the keys, then by all columns.
fn compare(order: &[OrderKey], one: &Cells, other: &Cells) -> Ordering {
    let by_key = |key: &OrderKey| match (one[key.column], other[key.column]) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) if key.nulls_first => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) if key.nulls_first => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if key.descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
    };
    order
        .iter()
        .map(by_key)
        .find(|ordering| ordering.is_ne())
        .unwrap_or_else(|| one.cmp(other))
}

fn sort_and_cut(spec: &TopSpec, table: &Table) -> Table {
    let mut partitions: BTreeMap<Cells, Vec<&Cells>> = BTreeMap::new();
    for (row, count) in table {
        let partition = partitions
            .entry(spec.partition.iter().map(|column| row[*column]).collect())
            .or_default();
        partition.extend(std::iter::repeat_n(row, *count as usize));
    }
    let mut kept = Table::new();
    for mut rows in partitions.into_values() {
        rows.sort_by(|one, other| compare(&spec.order, one, other));
        let rows = rows
            .into_iter()
            .skip(spec.offset as usize)
            .take(spec.limit as usize);
        rows.for_each(|row| apply(&mut kept, row, 1));
    }
    kept
}

#[test]
fn random_histories_equal_sort_and_cut() {
    let orders: [&[OrderKey]; 6] = [
        &[],
        &[by(1, true, false)],
        &[by(1, false, true), by(2, true, true)],
        &[by(2, false, false), by(2, true, true), by(0, true, true)],
        &[by(0, true, true)],
        &[by(2, true, true)],
    ];
    let partitions: [&[usize]; 4] = [&[], &[0], &[0, 1], &[2, 0, 1]];
    for seed in seeds(24) {
        for (case, order) in orders.iter().enumerate() {
            let mut rng = Rng(seed * 1000 + case as u64);
            let partition = partitions[rng.below(4) as usize];
            let spec = spec(partition, order, rng.below(3), rng.below(4));
            let history = random(&mut rng, 1, 8, 6, |rng, _| {
                vec![rng.cell(2), rng.cell(2), rng.cell(2)]
            });
            let oracle = |inputs: &[Table]| sort_and_cut(&spec, &inputs[0]);
            let context = format!("TIDEWATER_SEED={seed} {spec:?}");
            let (workers, pace) = (1 + rng.below(3) as usize, PACES[rng.below(3) as usize]);
            check(
                &context,
                workers,
                pace,
                &[3],
                &history,
                &render(spec.clone()),
                &oracle,
            );
        }
    }
}

/// All sequences of three tables of four rows, the first of which may occur twice. Each sequence has a partition of
/// its own.
#[test]
fn all_small_histories_equal_sort_and_cut() {
    let states = 3 * 8usize;
    let mut history: Vec<Epoch> = vec![vec![Vec::new()]; 3];
    for sequence in 0..states.pow(3) {
        let mut before = [0; 4];
        for (epoch, changes) in history.iter_mut().enumerate() {
            let state = sequence / states.pow(epoch as u32) % states;
            let counts = [
                (state % 3) as i64,
                ((state / 3) & 1) as i64,
                ((state / 6) & 1) as i64,
                (state / 12) as i64,
            ];
            for row in 0..4 {
                let (value, diff) = (
                    [Some(1), None, Some(2), Some(0)][row],
                    counts[row] - before[row],
                );
                if diff != 0 {
                    changes[0].push((vec![Some(sequence as i64), value, None], diff));
                }
            }
            before = counts;
        }
    }
    for (workers, pace, offset, limit) in [
        (1, Pace::Lockstep, 0, 2),
        (2, Pace::Racing, 1, 2),
        (3, Pace::Lockstep, 2, 1),
    ] {
        let spec = spec(&[0], &[by(1, true, false)], offset, limit);
        let oracle = |inputs: &[Table]| sort_and_cut(&spec, &inputs[0]);
        check(
            "exhaustive",
            workers,
            pace,
            &[3],
            &history,
            &render(spec.clone()),
            &oracle,
        );
    }
}

/// Each row was the first one once, and was then retracted. Retracted rows are skipped, whether or not they were
/// merged away.
#[test]
fn a_prefix_of_retracted_rows_is_passed_over() {
    let row = |value: i64| vec![Some(0), Some(value), Some(value % 3)];
    let mut history: Vec<Epoch> = vec![vec![(0..500).map(|value| (row(value), 1)).collect()]];
    for batch in 0..48 {
        history.push(vec![
            (batch * 10..batch * 10 + 10)
                .map(|value| (row(value), -1))
                .collect(),
        ]);
    }
    history.push(vec![vec![(row(0), 2)]]);
    history.push(vec![vec![(row(0), -2), (row(485), 1)]]);
    for (workers, pace) in [(1, Pace::Lockstep), (2, Pace::Racing), (3, Pace::Lockstep)] {
        let spec = spec(&[0], &[by(1, false, false)], 1, 3);
        let oracle = |inputs: &[Table]| sort_and_cut(&spec, &inputs[0]);
        check(
            "retracted prefix",
            workers,
            pace,
            &[3],
            &history,
            &render(spec.clone()),
            &oracle,
        );
    }
}

#[test]
fn unlimited_and_empty_tops() {
    let rows = vec![vec![vec![
        (vec![Some(1), None, None], 3),
        (vec![Some(2), None, None], 1),
    ]]];
    for (offset, limit, kept) in [
        (0, u64::MAX, 4),
        (u64::MAX, u64::MAX, 0),
        (1, u64::MAX, 3),
        (0, 0, 0),
        (3, 9, 1),
    ] {
        let emitted = run(
            2,
            Pace::Lockstep,
            &[3],
            &rows,
            &render(spec(&[], &[], offset, limit)),
        )
        .unwrap();
        assert_eq!(emitted[0].rows, kept, "offset {offset}, limit {limit}");
    }
}

#[test]
fn what_cannot_be_is_a_fault() {
    let rows: Vec<Epoch> = vec![vec![vec![(vec![Some(1), None, None], -1)]]];
    for (spec, message) in [
        (
            spec(&[], &[], 0, 2),
            "retracted more often than it was inserted",
        ),
        (spec(&[3], &[], 0, 2), "there is no column 3 among 3"),
        (
            spec(&[], &[by(7, true, true)], 0, 2),
            "there is no column 7 among 3",
        ),
    ] {
        let fault = run(2, Pace::Lockstep, &[3], &rows, &render(spec)).expect_err(message);
        assert!(
            fault.to_string().contains(message),
            "{fault} is not: {message}"
        );
    }
}
