//! Histories for operators: epochs of signed rows over small domains, run by several workers at several paces, and
//! compared at every epoch with an oracle that starts from nothing.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use tidewater_operators::{Delta, Fault, Faults};
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, Stream};
use timely::worker::Worker;

/// A row of nullable integers.
pub type Cells = Vec<Option<i64>>;
/// Rows, with how often each occurs.
pub type Table = BTreeMap<Cells, i64>;
/// The changes of an epoch, by input.
pub type Epoch = Vec<Vec<(Cells, i64)>>;
/// The operator under test.
pub type Render = Arc<
    dyn for<'s> Fn(Vec<Stream<'s, u64, Vec<Delta>>>, Faults) -> Stream<'s, u64, Vec<Delta>>
        + Send
        + Sync,
>;
/// Computes the output that the operator must have for its inputs.
pub type Oracle<'o> = &'o dyn Fn(&[Table]) -> Table;

/// The order in which inputs are fed.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// An epoch is fed after the output of the previous epoch is complete.
    Lockstep,
    /// All epochs are fed at once.
    Racing,
    /// All epochs of one input are fed before the next input starts.
    Staggered,
}

pub const PACES: [Pace; 3] = [Pace::Lockstep, Pace::Racing, Pace::Staggered];

/// The output of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Emitted {
    /// Consolidated.
    pub net: Table,
    /// Rows of either sign, before consolidation.
    pub rows: u64,
}

/// `SplitMix64`.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// NULL, or one of `0..bound`.
    pub fn cell(&mut self, bound: u64) -> Option<i64> {
        let drawn = self.below(bound * 4 + 1);
        (drawn > 0).then(|| ((drawn - 1) % bound) as i64)
    }
}

/// The seeds to try: `TIDEWATER_SEED` alone if it is set.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("TIDEWATER_SEED") {
        Ok(seed) => vec![seed.parse().expect("TIDEWATER_SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

pub fn schema(columns: usize) -> SchemaRef {
    let field = |column| Field::new(format!("c{column}"), DataType::Int64, true);
    Arc::new(Schema::new((0..columns).map(field).collect::<Vec<_>>()))
}

pub fn batch(schema: &SchemaRef, rows: &[&Cells]) -> RecordBatch {
    let column =
        |at: usize| Arc::new(rows.iter().map(|row| row[at]).collect::<Int64Array>()) as ArrayRef;
    RecordBatch::try_new(
        Arc::clone(schema),
        (0..schema.fields().len()).map(column).collect(),
    )
    .unwrap()
}

pub fn cells(batch: &RecordBatch) -> Vec<Cells> {
    let cell = |column: &ArrayRef, row| {
        let column = column.as_primitive::<Int64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    (0..batch.num_rows())
        .map(|row| {
            batch
                .columns()
                .iter()
                .map(|column| cell(column, row))
                .collect()
        })
        .collect()
}

/// Deltas of a few rows each.
fn deltas(schema: &SchemaRef, changes: &[(Cells, i64)]) -> Vec<Delta> {
    let rows = |sign: i64| {
        let of_sign = changes
            .iter()
            .filter(move |(_, diff)| diff.signum() == sign);
        of_sign
            .flat_map(|(row, diff)| std::iter::repeat_n(row, diff.unsigned_abs() as usize))
            .collect::<Vec<_>>()
    };
    let (plus, minus) = (rows(1), rows(-1));
    let plus = plus.chunks(3).map(|rows| Delta::plus(batch(schema, rows)));
    minus
        .chunks(3)
        .map(|rows| Delta::minus(batch(schema, rows)))
        .chain(plus)
        .collect()
}

/// Draws a history: each epoch changes each input by up to `changes` rows, retracting only rows that exist.
pub fn random(
    rng: &mut Rng,
    inputs: usize,
    epochs: usize,
    changes: u64,
    draw: impl Fn(&mut Rng, usize) -> Cells,
) -> Vec<Epoch> {
    let mut tables = vec![Table::new(); inputs];
    let mut history = Vec::new();
    for _ in 0..epochs {
        let mut epoch = Vec::new();
        for (input, table) in tables.iter_mut().enumerate() {
            let mut list = Vec::new();
            for _ in 0..rng.below(changes + 1) {
                if !table.is_empty() && rng.below(2) == 0 {
                    let (row, count) = table
                        .iter()
                        .nth(rng.below(table.len() as u64) as usize)
                        .unwrap();
                    let back = 1 + rng.below(*count as u64) as i64;
                    list.push((row.clone(), -back));
                } else {
                    list.push((draw(rng, input), 1 + rng.below(2) as i64));
                }
                let (row, diff) = list.last().unwrap();
                apply(table, row, *diff);
            }
            epoch.push(list);
        }
        history.push(epoch);
    }
    history
}

pub fn apply(table: &mut Table, row: &Cells, diff: i64) {
    let count = table.entry(row.clone()).or_default();
    *count += diff;
    if *count == 0 {
        table.remove(row);
    }
}

/// Runs an operator over a history: what it emits at each epoch, or the first fault.
pub fn run(
    workers: usize,
    pace: Pace,
    columns: &[usize],
    history: &[Epoch],
    render: &Render,
) -> Result<Vec<Emitted>, Fault> {
    let faults = Faults::default();
    let emitted = Arc::new(Mutex::new(vec![Emitted::default(); history.len()]));
    let (shared, raised) = (Arc::clone(&emitted), faults.clone());
    let (columns, history, render) = (columns.to_vec(), history.to_vec(), Arc::clone(render));
    let guards = timely::execute(config(workers), move |worker| {
        let probe = ProbeHandle::new();
        let (emitted, faults) = (Arc::clone(&shared), raised.clone());
        let mut inputs = worker.dataflow::<u64, _, _>(|scope| {
            let (inputs, streams): (Vec<_>, _) = columns.iter().map(|_| scope.new_input()).unzip();
            let record = move |epoch: &u64, delta: &Delta| {
                let mut emitted = emitted.lock().unwrap();
                let emitted = &mut emitted[usize::try_from(*epoch).unwrap()];
                assert!(
                    (1..=8192).contains(&delta.batch.num_rows()),
                    "{} rows",
                    delta.batch.num_rows()
                );
                emitted.rows += delta.batch.num_rows() as u64;
                for row in cells(&delta.batch) {
                    apply(&mut emitted.net, &row, delta.sign.diff());
                }
            };
            render(streams, faults)
                .inspect_time(record)
                .probe_with(&probe);
            inputs
        });
        feed(worker, pace, &columns, &history, &mut inputs, &probe);
    });
    for worker in guards.unwrap().join() {
        worker.unwrap();
    }
    faults
        .first()
        .map_or_else(|| Ok(emitted.lock().unwrap().clone()), Err)
}

/// Three or more workers exchange bytes, as processes do. Fewer exchange values in memory.
fn config(workers: usize) -> timely::Config {
    let mut config = timely::Config::process(workers);
    if workers > 2 {
        config.communication = timely::CommunicationConfig::ProcessBinary(workers);
    }
    config
}

fn feed(
    worker: &mut Worker,
    pace: Pace,
    columns: &[usize],
    history: &[Epoch],
    inputs: &mut [InputHandleVec<u64, Delta>],
    probe: &ProbeHandle<u64>,
) {
    let (index, peers) = (worker.index(), worker.peers());
    let send = |inputs: &mut [InputHandleVec<u64, Delta>], input: usize, epoch: usize| {
        let dealt = deltas(&schema(columns[input]), &history[epoch][input]);
        dealt
            .into_iter()
            .skip(index)
            .step_by(peers)
            .for_each(|delta| inputs[input].send(delta));
        inputs[input].advance_to(epoch as u64 + 1);
        inputs[input].flush();
    };
    if let Pace::Staggered = pace {
        for input in 0..columns.len() {
            for epoch in 0..history.len() {
                send(inputs, input, epoch);
                worker.step();
            }
        }
        return;
    }
    for epoch in 0..history.len() {
        (0..columns.len()).for_each(|input| send(inputs, input, epoch));
        if let Pace::Lockstep = pace {
            worker.step_while(|| probe.less_than(&(epoch as u64 + 1)));
        }
    }
}

/// Runs a history and compares each epoch with the oracle. `context` says how to reproduce it.
pub fn check(
    context: &str,
    workers: usize,
    pace: Pace,
    columns: &[usize],
    history: &[Epoch],
    render: &Render,
    oracle: Oracle<'_>,
) {
    let context = format!("{context}, {workers} workers, {pace:?}");
    let emitted = run(workers, pace, columns, history, render)
        .unwrap_or_else(|fault| panic!("{context}: {fault}"));
    let mut inputs = vec![Table::new(); columns.len()];
    let mut before = oracle(&inputs);
    for (epoch, changes) in history.iter().enumerate() {
        for (table, changes) in inputs.iter_mut().zip(changes) {
            for (row, diff) in changes {
                apply(table, row, *diff);
            }
        }
        let after = oracle(&inputs);
        let mut expected = after.clone();
        for (row, count) in &before {
            apply(&mut expected, row, -count);
        }
        assert_eq!(
            emitted[epoch].net, expected,
            "{context}, epoch {epoch}: changes\n{history:#?}"
        );
        let net: u64 = expected.values().map(|diff| diff.unsigned_abs()).sum();
        assert_eq!(
            emitted[epoch].rows, net,
            "{context}, epoch {epoch}: rows that cancel\n{history:#?}"
        );
        before = after;
    }
}
