//! `latest` against a loop over the rows in the order of their offsets.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use tidewater_operators::latest::{LatestSpec, latest};
use tidewater_operators::state::StateHandle;
use tidewater_operators::{Delta, Faults};
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};

/// The key, the deciding value, and whether the row deletes. The offset is the index.
type Row = (i64, Option<String>, bool);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("by", DataType::Utf8, true),
        Field::new("offset", DataType::Int64, false),
        Field::new("deleted", DataType::Boolean, false),
    ]))
}

fn batch(first: usize, rows: &[Row]) -> RecordBatch {
    let offsets = (first..first + rows.len()).map(|at| at as i64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.1.clone())
                .collect::<StringArray>(),
        ),
        Arc::new(Int64Array::from_iter_values(offsets)),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The offset of the row of each key that counts.
fn expected(rows: &[Row]) -> BTreeMap<i64, i64> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for (at, (key, by, deleted)) in rows.iter().enumerate() {
        let stays = counts
            .get(key)
            .is_some_and(|now| !deleted && !rows[*now].2 && rows[*now].1 > *by);
        if !stays {
            counts.insert(*key, at);
        }
    }
    let counts = counts.into_iter();
    counts.map(|(key, at)| (key, at as i64)).collect()
}

fn random(seed: u64) -> Vec<Row> {
    let mut state = seed;
    let mut draw = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        (state >> 33) % bound
    };
    let row = |_| {
        let by = [
            None,
            Some(""),
            Some("a"),
            Some("a much longer text than eight bytes"),
            Some("b"),
        ];
        let by = by[draw(5) as usize].map(str::to_owned);
        let deleted = draw(5) == 0;
        (draw(3) as i64, by.filter(|_| !deleted), deleted)
    };
    (0..40).map(row).collect()
}

#[test]
fn random_rows_equal_a_loop() {
    for seed in 0..60 {
        let rows = random(seed);
        let faults = Faults::default();
        let found: Arc<Mutex<BTreeMap<(i64, i64), i64>>> = Arc::default();
        let (shared, raised, input) = (Arc::clone(&found), faults.clone(), rows.clone());
        timely::execute_directly(move |worker| {
            let probe = ProbeHandle::new();
            let mut handle: InputHandleVec<u64, Delta> = worker.dataflow(|scope| {
                let (handle, stream) = scope.new_input();
                let spec = LatestSpec {
                    schema: schema(),
                    key: vec![0],
                    offset: 2,
                    deleted: 3,
                    by: 1,
                };
                let counted = latest(stream, "latest", &spec, StateHandle::default(), raised);
                let emitted = Arc::clone(&shared);
                counted
                    .inspect(move |delta: &Delta| {
                        let numbers = |at: usize| {
                            let column = delta.batch.column(at).as_primitive::<Int64Type>();
                            column.values().to_vec()
                        };
                        for row in numbers(0).into_iter().zip(numbers(2)) {
                            *emitted.lock().unwrap().entry(row).or_default() += delta.sign.diff();
                        }
                    })
                    .probe_with(&probe);
                handle
            });
            for (epoch, at) in (0..input.len()).step_by(7).enumerate() {
                let end = input.len().min(at + 7);
                handle.send(Delta::plus(batch(at, &input[at..end])));
                handle.advance_to(epoch as u64 + 1);
                worker.step_while(|| probe.less_than(&(epoch as u64 + 1)));
                let mut found = shared.lock().unwrap();
                found.retain(|_, count| *count != 0);
                let counts = expected(&input[..end]).into_iter().map(|row| (row, 1));
                assert_eq!(*found, counts.collect(), "seed {seed}, epoch {epoch}");
            }
        });
        assert!(faults.first().is_none(), "{:?}", faults.first());
    }
}
