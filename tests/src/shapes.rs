//! Maintains a shape of SQL over a history, and compares it with the oracle at every epoch.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use tidewater_engine::state::Store;
use tidewater_engine::{Job, Resident};

use crate::history::{Counts, History, Pool, count, deliveries, present, shrink};
use crate::oracle::Oracle;
use crate::rows::Table;
use crate::{draw, history, seed};

/// The sources that shapes select from. `id` is unique, so that an order by it is total.
pub const SOURCES: &str = "
CREATE EXTERNAL TABLE t (
  id BIGINT NOT NULL, k TEXT, n INT, v BIGINT, small SMALLINT, price DECIMAL(10, 2), rate DOUBLE, ratio REAL, ok BOOLEAN,
  day DATE, ts TIMESTAMP, at TIMESTAMPTZ, wild DOUBLE, digits TEXT, numbers TEXT, stamp TEXT, contact TEXT, \"Mixed 이름\" TEXT,
  tags TEXT[], nums BIGINT[], matrix BIGINT[][], items STRUCT<sku TEXT, qty INT>[], place STRUCT<city TEXT, lat DOUBLE>
) STORED AS PARQUET LOCATION 't';
CREATE EXTERNAL TABLE u (id BIGINT NOT NULL, k TEXT, n INT, label TEXT, weight BIGINT, since TIMESTAMP, price DECIMAL(12, 3), wild DOUBLE)
  STORED AS CSV LOCATION 'u';
CREATE EXTERNAL TABLE w (n INT, k TEXT NOT NULL, name TEXT) STORED AS CSV LOCATION 'w';
";

/// Selects from every source, so that a job reads all of them.
const ALL: &str = "CREATE MATERIALIZED VIEW all_t AS SELECT * FROM t; CREATE MATERIALIZED VIEW all_u AS SELECT * FROM u;
CREATE MATERIALIZED VIEW all_w AS SELECT * FROM w;";

/// Rows in a source's pool.
const POOL_ROWS: usize = 14;

/// Seeds for each shape; `TIDEWATER_ROUNDS` multiplies them.
pub const ROUNDS: u64 = 5;

/// Ways to run each history: the number of workers of each epoch's graph, in turn. A single number is one graph for
/// all epochs. Several are graphs that continue from one another's state, with the same or other numbers of workers.
const WORKERS: [&[usize]; 5] = [&[1], &[2], &[3], &[2, 2], &[3, 1, 2]];

/// A shape: its name and its SQL. The SQL is one query, which becomes the table `v`, or all statements over
/// [`SOURCES`].
pub type Shape = (&'static str, &'static str);

/// Checks each shape of a family under [`ROUNDS`] seeds.
///
/// # Panics
/// When a shape fails, with everything needed to reproduce it.
pub fn check(family: &str, shapes: &[Shape]) {
    let mut failures = Vec::new();
    for (name, sql) in shapes.iter().filter(|(name, _)| seed::chosen(name)) {
        let sql = if sql.trim_start().starts_with("CREATE") {
            format!("{SOURCES}{sql}")
        } else {
            format!("{SOURCES}CREATE MATERIALIZED VIEW v AS {sql}")
        };
        let failed = seed::seeds(ROUNDS)
            .into_iter()
            .find_map(|seed| guarded(name, &sql, seed).err());
        failures.extend(failed.map(|why| {
            format!(
                "== {name} ==\n{}\n{why}",
                sql.strip_prefix(SOURCES).unwrap_or(&sql)
            )
        }));
    }
    assert!(
        failures.is_empty(),
        "{} of {} shapes of {family} failed\n\n{}",
        failures.len(),
        shapes.len(),
        failures.join("\n")
    );
}

/// A panic fails its shape only.
fn guarded(name: &str, sql: &str, seed: u64) -> Result<(), String> {
    catch_unwind(|| check_seed(name, sql, seed))
        .unwrap_or_else(|_| Err(format!("seed {seed}: a panic, whose message is above")))
}

/// Checks a job over random histories of these rows, under [`ROUNDS`] seeds.
///
/// # Panics
/// When it fails, with everything needed to reproduce it.
pub fn check_rows(name: &str, sql: &str, pools: &[Pool]) {
    for seed in seed::seeds(ROUNDS) {
        let mut rng = seed::generator(seed, name);
        let history = history::draw(&mut rng, &pool_sizes(pools));
        if let Err(why) = check_history(name, sql, seed, pools, &history) {
            panic!("{why}");
        }
    }
}

fn pool_sizes(pools: &[Pool]) -> Vec<usize> {
    pools.iter().map(|(_, rows)| rows.num_rows()).collect()
}

/// One shape under one seed.
fn check_seed(name: &str, sql: &str, seed: u64) -> Result<(), String> {
    let job = Job::parse(name, sql, &|_| None)
        .map_err(|errors| format!("the job is refused:\n{errors}"))?;
    let mut rng = seed::generator(seed, name);
    // All sources have pools, for the oracle. Only sources that the job reads have a history.
    let all = Job::parse("sources", &format!("{SOURCES}{ALL}"), &|_| None)
        .map_err(|errors| errors.to_string())?;
    let (read, unread): (Vec<_>, Vec<_>) = all
        .sources
        .iter()
        .partition(|source| job.source(&source.spec.name).is_some());
    let pools: Vec<Pool> = read
        .iter()
        .chain(&unread)
        .map(|source| {
            (
                source.spec.name.clone(),
                draw::rows(&mut rng, &source.spec.schema, POOL_ROWS),
            )
        })
        .collect();
    let history = history::draw(&mut rng, &pool_sizes(&pools[..read.len()]));
    check_history(name, sql, seed, &pools, &history)
}

/// One history, run in each of the [`WORKERS`] ways.
fn check_history(
    name: &str,
    sql: &str,
    seed: u64,
    pools: &[Pool],
    history: &History,
) -> Result<(), String> {
    let job = Job::parse(name, sql, &|_| None)
        .map_err(|errors| format!("the job is refused:\n{errors}"))?;
    let oracle =
        Oracle::new(sql).map_err(|error| format!("the oracle does not parse it: {error}"))?;
    let expected = expectations(&oracle, pools, history)
        .map_err(|error| format!("seed {seed}: the oracle fails: {error}"))?;
    for workers in WORKERS {
        let Err(why) = follow(&job, workers, pools, history, &expected) else {
            continue;
        };
        let again = |history: &History| {
            expectations(&oracle, pools, history)
                .and_then(|expected| follow(&job, workers, pools, history, &expected))
        };
        let smallest = shrink(history, |history| again(history).is_err());
        let why = again(&smallest).err().unwrap_or(why);
        return Err(report(name, seed, workers, pools, &smallest, &why));
    }
    Ok(())
}

/// The content of every table at the end of each epoch.
type Expected = Vec<BTreeMap<String, Table>>;

fn expectations(oracle: &Oracle, pools: &[Pool], history: &History) -> Result<Expected, String> {
    let mut counts = Counts::new();
    let epochs = history.iter().map(|changes| {
        changes.iter().for_each(|change| count(&mut counts, change));
        let tables = oracle
            .run(&present(pools, &counts))
            .map_err(|error| error.strip_backtrace())?;
        Ok(tables
            .into_iter()
            .map(|(name, batch)| (name, Table::of(&batch)))
            .collect())
    });
    epochs.collect()
}

/// Runs a history and compares the accumulated changes of each epoch.
fn follow(
    job: &Job,
    workers: &[usize],
    pools: &[Pool],
    history: &History,
    expected: &Expected,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let store = Store::in_memory().map_err(|error| text(&error))?;
    let store = store.levelled_from(1);
    let mut resident =
        Resident::start(job, workers[0]).map_err(|error| format!("does not start: {error}"))?;
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for view in job.views.iter().filter(|view| view.materialized) {
        tables.insert(view.name.clone(), Table::new(Arc::clone(&view.schema)));
    }
    for (epoch, (changes, expected)) in history.iter().zip(expected).enumerate() {
        if epoch > 0 && workers.len() > 1 {
            let transaction = store.write().map_err(|error| text(&error))?;
            resident.keep(&transaction).map_err(|error| text(&error))?;
            transaction.commit().map_err(|error| text(&error))?;
            let state = store.read().map_err(|error| text(&error))?;
            resident = Resident::resume(job, workers[epoch % workers.len()], state)
                .map_err(|error| format!("epoch {epoch}: does not go on: {error}"))?;
        }
        let changed = resident
            .epoch(deliveries(pools, changes))
            .map_err(|error| format!("epoch {epoch}: {error}"))?;
        for (name, changes) in changed {
            let table = tables.get_mut(&name).ok_or_else(|| {
                format!("epoch {epoch}: changes of {name}, which is not materialized")
            })?;
            for (batch, diff) in &changes {
                table
                    .add(batch, *diff)
                    .map_err(|error| format!("epoch {epoch}, table {name}: {error}"))?;
            }
        }
        for (name, table) in &tables {
            let wrong = table
                .negative()
                .map(|rows| format!("rows there less often than never\n{rows}"));
            let wrong = wrong.or_else(|| table.difference(&expected[name]));
            wrong.map_or(Ok(()), |wrong| {
                Err(format!("epoch {epoch}, table {name}: {wrong}"))
            })?;
        }
    }
    Ok(())
}

fn report(
    name: &str,
    seed: u64,
    workers: &[usize],
    pools: &[Pool],
    history: &History,
    why: &str,
) -> String {
    let mut text = format!(
        "seed {seed}, {workers:?} workers; again with TIDEWATER_SEED={seed} TIDEWATER_SHAPE='{name}'\n{why}\nThe smallest history that fails so:\n"
    );
    for (epoch, changes) in history.iter().enumerate() {
        let _ = writeln!(text, "epoch {epoch}");
        for (source, batch, diff) in deliveries(pools, changes) {
            let _ = writeln!(
                text,
                "{source} {diff:+}\n{}",
                pretty_format_batches(&[batch]).unwrap()
            );
        }
    }
    text
}
