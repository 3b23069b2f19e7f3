//! `settle` against a matching of retractions with insertions.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

mod histories;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use histories::{Epoch, PACES, Render, Rng, Table, apply, check, schema, seeds};
use tidewater_operators::settle::{SettleSpec, THERE, settle};
use tidewater_operators::state::StateHandle;

/// Partition and position.
type Event = (i64, i64);

fn render() -> Render {
    let spec = SettleSpec {
        schema: schema(3),
        partition: 1,
        position: 2,
    };
    Arc::new(move |mut inputs, faults| {
        let input = inputs.pop().unwrap();
        settle(input, "settle", &spec, StateHandle::default(), faults)
    })
}

fn inserts((_, position): Event) -> bool {
    position % 2 == 1
}

/// Tries to match a retraction by augmenting paths. Returns whether it succeeds.
fn is_matched(
    retraction: Event,
    insertions: &[Event],
    seen: &mut BTreeSet<Event>,
    of: &mut BTreeMap<Event, Event>,
) -> bool {
    for &insertion in insertions {
        let is_seen = insertion.0 != retraction.0 || insertion.1 < retraction.1;
        if is_seen && seen.insert(insertion) {
            let other = of.get(&insertion).copied();
            if other.is_none_or(|other| is_matched(other, insertions, seen, of)) {
                of.insert(insertion, retraction);
                return true;
            }
        }
    }
    false
}

/// The events of a row at which the excess of retractions over insertions in their partition reaches a new maximum,
/// in order.
fn ahead(events: &[Event]) -> Vec<Event> {
    let mut balances: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut ahead = Vec::new();
    for &event in events {
        let (balance, least) = balances.entry(event.0).or_default();
        *balance += if inserts(event) { 1 } else { -1 };
        if *balance < *least {
            *least = *balance;
            ahead.push(event);
        }
    }
    ahead
}

fn settled(events: &Table) -> Table {
    let mut rows: BTreeMap<Option<i64>, Vec<Event>> = BTreeMap::new();
    for cells in events.keys() {
        let event = (cells[1].unwrap(), cells[2].unwrap());
        rows.entry(cells[0]).or_default().push(event);
    }
    let mut expected = Table::new();
    for (row, events) in rows {
        let (insertions, retractions): (Vec<Event>, Vec<Event>) =
            events.iter().partition(|event| inserts(**event));
        let mut of = BTreeMap::new();
        for &retraction in &retractions {
            is_matched(retraction, &insertions, &mut BTreeSet::new(), &mut of);
        }
        let there = (insertions.len() - of.len()) as i64;
        if there > 0 {
            apply(&mut expected, &vec![row, Some(0), Some(THERE)], there);
        }
        let unmatched = retractions.len() - of.len();
        for (partition, position) in ahead(&events).into_iter().take(unmatched) {
            apply(
                &mut expected,
                &vec![row, Some(partition), Some(position)],
                1,
            );
        }
    }
    expected
}

/// Epochs of events whose positions ascend in each partition.
fn history(rng: &mut Rng, partitions: u64) -> Vec<Epoch> {
    let mut offsets = vec![0; partitions as usize];
    let mut history = Vec::new();
    for _ in 0..8 {
        let mut events = Vec::new();
        for _ in 0..rng.below(9) {
            let partition = rng.below(partitions) as usize;
            let row = rng.cell(2);
            offsets[partition] += rng.below(3) as i64;
            let mut event = |position| {
                let place = [Some(partition as i64), Some(position)];
                events.push((vec![row, place[0], place[1]], 1));
            };
            let at = 2 * offsets[partition];
            match rng.below(4) {
                0 => event(at),
                1 => {
                    // A change without an effect.
                    event(at);
                    event(at + 1);
                }
                _ => event(at + 1),
            }
            offsets[partition] += 1;
        }
        history.push(vec![events]);
    }
    history
}

#[test]
fn random_events_equal_a_matching() {
    for seed in seeds(400) {
        let mut rng = Rng(seed);
        let partitions = 1 + rng.below(3);
        let history = history(&mut rng, partitions);
        let (workers, pace) = (1 + rng.below(3) as usize, PACES[rng.below(3) as usize]);
        let oracle = |inputs: &[Table]| settled(&inputs[0]);
        let context = format!("TIDEWATER_SEED={seed}");
        check(&context, workers, pace, &[3], &history, &render(), &oracle);
    }
}
