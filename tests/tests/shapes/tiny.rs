//! Small and exhaustive tests of the core operators: every history of three single changes, and every step between
//! two sets of rows, over a domain of six rows. Plain Rust computes the expected results, and not DataFusion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use tidewater_engine::{Job, Resident};

const JOB: &str = "
CREATE EXTERNAL TABLE l (k BIGINT, v BIGINT) STORED AS CSV LOCATION 'l';
CREATE EXTERNAL TABLE r (k BIGINT) STORED AS CSV LOCATION 'r';
CREATE MATERIALIZED VIEW grouped AS SELECT k, count(*) AS c, count(DISTINCT v) AS d, sum(v) AS s, min(v) AS lo, max(v) AS hi,
  sum(DISTINCT v) AS ds, CAST(round(avg(v) * 12) AS BIGINT) AS a, count(*) FILTER (WHERE v = 2) AS twos FROM l GROUP BY k;
CREATE MATERIALIZED VIEW global AS SELECT count(*) AS c, sum(v) AS s, max(v) AS hi, count(DISTINCT k) AS d FROM l;
CREATE MATERIALIZED VIEW single AS SELECT DISTINCT v FROM l;
CREATE MATERIALIZED VIEW busy AS SELECT k FROM l GROUP BY k HAVING count(*) > 1;
CREATE MATERIALIZED VIEW inner_join AS SELECT l.k, l.v FROM l JOIN r ON l.k = r.k;
CREATE MATERIALIZED VIEW left_join AS SELECT l.k, l.v, r.k AS rk FROM l LEFT JOIN r ON l.k = r.k;
CREATE MATERIALIZED VIEW self_join AS SELECT a.v, b.v AS w FROM l a JOIN l b ON a.k = b.k;
CREATE MATERIALIZED VIEW united AS SELECT k FROM l UNION ALL SELECT k FROM r;
CREATE MATERIALIZED VIEW either AS SELECT k FROM l UNION SELECT k FROM r;
CREATE MATERIALIZED VIEW ranked AS SELECT k, v, CAST(rank() OVER w AS BIGINT) AS r, CAST(dense_rank() OVER w AS BIGINT) AS d,
  CAST(row_number() OVER w AS BIGINT) AS n, lag(v) OVER w AS p, sum(v) OVER (PARTITION BY k) AS s FROM l WINDOW w AS (PARTITION BY k ORDER BY v);
CREATE MATERIALIZED VIEW best AS SELECT k, v FROM (SELECT k, v, rank() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM l) WHERE r = 1;
CREATE MATERIALIZED VIEW top AS SELECT v, k FROM l ORDER BY v DESC, k NULLS FIRST LIMIT 2;
CREATE MATERIALIZED VIEW second AS SELECT v, k FROM (SELECT v, k, row_number() OVER (ORDER BY v, k NULLS FIRST) AS n FROM l) WHERE n = 2;
";

type Row = Vec<Option<i64>>;
type Rows = BTreeMap<Row, i64>;
type Key = Option<i64>;

/// The domain: rows of `l`, then rows of `r`.
const LEFT: [(Key, i64); 4] = [(Some(1), 1), (Some(1), 2), (None, 1), (None, 2)];
const RIGHT: [Key; 2] = [Some(1), None];

/// The count of each row of the domain.
type Counts = [i64; LEFT.len() + RIGHT.len()];

#[test]
fn every_history_of_three_changes() {
    for workers in [1, 2] {
        let mut walk = Walk::start(workers);
        walk.descend(3);
        assert!(walk.steps > 700, "{}", walk.steps);
    }
}

#[test]
fn every_step_between_two_sets_of_rows() {
    let sets: Vec<Counts> = (0..1_u32 << (LEFT.len() + RIGHT.len()))
        .map(|set| std::array::from_fn(|at| i64::from(set >> at & 1)))
        .collect();
    let mut walk = Walk::start(2);
    for (at, from) in sets.iter().enumerate() {
        walk.go(*from);
        for to in &sets[at + 1..] {
            walk.go(*to);
            walk.go(*from);
        }
    }
}

/// A resident job that moves from state to state and is checked after each step.
struct Walk {
    job: Job,
    resident: Resident,
    counts: Counts,
    tables: BTreeMap<String, Rows>,
    steps: u64,
}

impl Walk {
    fn start(workers: usize) -> Self {
        let job = Job::parse("tiny", JOB, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let resident = Resident::start(&job, workers).unwrap();
        let mut walk = Self {
            job,
            resident,
            counts: Counts::default(),
            tables: BTreeMap::new(),
            steps: 0,
        };
        walk.go(Counts::default());
        walk
    }

    /// Tries every single change, and every history after it.
    fn descend(&mut self, depth: usize) {
        let here = self.counts;
        for at in 0..here.len() {
            for diff in [1, -1] {
                let mut there = here;
                there[at] += diff;
                if there[at] >= 0 && depth > 0 {
                    self.go(there);
                    self.descend(depth - 1);
                    self.go(here);
                }
            }
        }
    }

    fn go(&mut self, to: Counts) {
        let from = std::mem::replace(&mut self.counts, to);
        let mut deliveries = Vec::new();
        for (at, (before, after)) in from.iter().zip(&to).enumerate() {
            let (name, row) = match LEFT.get(at) {
                Some((key, value)) => ("l", vec![*key, Some(*value)]),
                None => ("r", vec![RIGHT[at - LEFT.len()]]),
            };
            for _ in 0..(after - before).abs() {
                deliveries.push((
                    name.to_owned(),
                    self.batch(name, &row),
                    (after - before).signum(),
                ));
            }
        }
        for (name, changes) in self.resident.epoch(deliveries).unwrap() {
            let table = self.tables.entry(name).or_default();
            for (batch, diff) in changes {
                rows(&batch)
                    .into_iter()
                    .for_each(|row| add(table, &row, diff));
            }
        }
        let expected = expected(&to);
        for (name, table) in &self.tables {
            assert_eq!(
                table,
                &expected[name.as_str()],
                "{name}, from {from:?} to {to:?}"
            );
        }
        assert_eq!(self.tables.len(), expected.len());
        self.steps += 1;
    }

    fn batch(&self, source: &str, row: &Row) -> RecordBatch {
        let schema = Arc::clone(&self.job.source(source).unwrap().spec.schema);
        let columns = row
            .iter()
            .map(|value| Arc::new(Int64Array::from(vec![*value])) as _);
        RecordBatch::try_new(schema, columns.collect()).unwrap()
    }
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| cast(column, &DataType::Int64).unwrap())
        .collect();
    let cell = |column: &Arc<dyn Array>, row| {
        column
            .is_valid(row)
            .then(|| column.as_primitive::<Int64Type>().value(row))
    };
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| cell(column, row)).collect())
        .collect()
}

fn add(rows: &mut Rows, row: &Row, diff: i64) {
    let count = rows.entry(row.clone()).or_default();
    *count += diff;
    if *count == 0 {
        rows.remove(row);
    }
}

/// The expected content of each table, computed from scratch.
fn expected(counts: &Counts) -> BTreeMap<&'static str, Rows> {
    let repeat = |at: usize| 0..counts[at];
    let mut left: Vec<(Key, i64)> = (0..LEFT.len())
        .flat_map(|at| repeat(at).map(move |_| LEFT[at]))
        .collect();
    let right: Vec<Key> = (0..RIGHT.len())
        .flat_map(|at| repeat(LEFT.len() + at).map(move |_| RIGHT[at]))
        .collect();
    left.sort_by_key(|(key, value)| (*value, *key));
    let keys: BTreeSet<Key> = left.iter().map(|(key, _)| *key).collect();
    let values: Vec<i64> = left.iter().map(|(_, value)| *value).collect();
    let matches = |key: Key| {
        right
            .iter()
            .filter(|other| key.is_some() && **other == key)
            .count()
    };

    let mut tables: BTreeMap<&str, Rows> = BTreeMap::new();
    let mut put = |table, row: Row| add(tables.entry(table).or_default(), &row, 1);
    for key in &keys {
        let group: Vec<i64> = left
            .iter()
            .filter(|(of, _)| of == key)
            .map(|(_, value)| *value)
            .collect();
        put("grouped", [vec![*key], aggregates(&group)].concat());
        (group.len() > 1).then(|| put("busy", vec![*key]));
        for (at, value) in group.iter().enumerate() {
            let rank = 1 + count(group.iter().filter(|other| *other < value));
            let dense = count(group[..=at].iter().collect::<BTreeSet<_>>());
            let before = at.checked_sub(1).map(|before| group[before]);
            let sum = group.iter().sum();
            put(
                "ranked",
                vec![
                    *key,
                    Some(*value),
                    Some(rank),
                    Some(dense),
                    Some(count(&group[..=at])),
                    before,
                    Some(sum),
                ],
            );
            (Some(value) == group.last()).then(|| put("best", vec![*key, Some(*value)]));
        }
    }
    put(
        "global",
        vec![
            Some(count(&left)),
            sum(&values),
            values.last().copied(),
            Some(count(keys.iter().flatten())),
        ],
    );
    values
        .iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .for_each(|value| put("single", vec![Some(*value)]));
    for (key, value) in &left {
        let found = matches(*key);
        (0..found).for_each(|_| put("inner_join", vec![*key, Some(*value)]));
        (0..found).for_each(|_| put("left_join", vec![*key, Some(*value), *key]));
        (found == 0).then(|| put("left_join", vec![*key, Some(*value), None]));
        for (other, with) in &left {
            (key.is_some() && key == other)
                .then(|| put("self_join", vec![Some(*value), Some(*with)]));
        }
    }
    let all: Vec<Key> = left
        .iter()
        .map(|(key, _)| *key)
        .chain(right.iter().copied())
        .collect();
    all.iter().for_each(|key| put("united", vec![*key]));
    all.iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .for_each(|key| put("either", vec![*key]));
    // `left` is ordered by value, then by key with NULL first.
    left.iter()
        .skip(1)
        .take(1)
        .for_each(|(key, value)| put("second", vec![Some(*value), *key]));
    let mut falling = left.clone();
    falling.sort_by_key(|(key, value)| (-*value, *key));
    falling
        .iter()
        .take(2)
        .for_each(|(key, value)| put("top", vec![Some(*value), *key]));
    for table in [
        "grouped",
        "busy",
        "ranked",
        "best",
        "single",
        "inner_join",
        "left_join",
        "self_join",
        "united",
        "either",
        "second",
        "top",
    ] {
        tables.entry(table).or_default();
    }
    tables
}

/// `count(*)`, `count(DISTINCT)`, `sum`, `min`, `max`, `sum(DISTINCT)`, twelve times `avg`, and the number of twos in
/// a group.
fn aggregates(group: &[i64]) -> Row {
    let distinct: BTreeSet<i64> = group.iter().copied().collect();
    let total: i64 = group.iter().sum();
    let twos = group.iter().filter(|value| **value == 2);
    vec![
        Some(count(group)),
        Some(count(&distinct)),
        Some(total),
        distinct.first().copied(),
        distinct.last().copied(),
        Some(distinct.iter().sum()),
        Some(total * 12 / count(group)),
        Some(count(twos)),
    ]
}

fn sum(values: &[i64]) -> Option<i64> {
    (!values.is_empty()).then(|| values.iter().sum())
}

fn count(items: impl IntoIterator) -> i64 {
    i64::try_from(items.into_iter().count()).unwrap()
}
