//! Random histories.

use super::*;

/// Random changes that retract only existing rows.
fn random_changes(random: &mut Random, model: &BTreeMap<usize, i64>) -> Vec<(usize, i64)> {
    let (from, width) = match random.below(3) {
        0 => (0, 600),
        1 => (random.below(600), 30),
        _ => (random.below(600), 3),
    };
    let mut changes = Vec::new();
    let style = random.below(5);
    if style != 0 {
        for _ in 0..random.below(40) {
            changes.push((from + random.below(width), 1 + random.below(2) as i64));
        }
    }
    if style != 1 {
        for (&number, &count) in model.range(from..from + width) {
            let goes = style == 2 && number.is_multiple_of(2) || random.below(4) == 0;
            if goes {
                changes.push((number, -(1 + random.below(count as usize) as i64)));
            }
        }
    }
    if random.below(3) == 0 {
        let noise = random.below(600);
        changes.extend([(noise, 2), (noise, -2)]);
    }
    random.shuffle(&mut changes);
    changes
}

fn history(seed: u64, epochs: usize) {
    let mut random = Random(seed);
    let mut sizes = TINY;
    if random.below(3) == 0 {
        sizes.small_partition_bytes = 8_000;
        sizes.small_file_bytes = 3_000;
    }
    let mut tables = Tables::new(sizes);
    let first: Vec<_> = tables
        .specs
        .iter()
        .map(|_| ((0..200).map(|_| (random.below(600), 1)).collect(), true))
        .collect();
    tables.take(&first, random.below(20)).unwrap();
    tables.check();
    for _ in 0..epochs {
        let changes: Vec<_> = (0..tables.specs.len())
            .map(|table| {
                let replace = random.below(15) == 0;
                let nothing = BTreeMap::new();
                let model = if replace {
                    &nothing
                } else {
                    &tables.model[table]
                };
                let changes = match random.below(6) {
                    0 => Vec::new(),
                    1 if !replace => model.iter().map(|(&n, &count)| (n, -count)).collect(),
                    _ => random_changes(&mut random, model),
                };
                (changes, replace)
            })
            .collect();
        let before = tables.stamps();
        let old = tables.record.tables.clone();
        tables.take(&changes, random.below(40)).unwrap();
        tables.check();
        let after = tables.stamps();
        for (table, partitions) in &old {
            for (path, partition) in partitions {
                let now = tables.record.tables[table].get(path);
                for file in &partition.files {
                    let same = now.is_some_and(|now| now.files.contains(file));
                    let place = PathBuf::from(table).join(path).join(&file.name);
                    let replaced = changes[index_of(&tables, table)].1;
                    if same && !replaced {
                        assert_eq!(before[&place], after[&place], "{}", place.display());
                    }
                }
            }
        }
    }
}

#[test]
fn any_history_ends_in_the_rows_that_are_left() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
    };
    let (first, rounds) = (number("TIDEWATER_SEED", 1), number("TIDEWATER_ROUNDS", 6));
    for seed in first..first + rounds {
        eprintln!("TIDEWATER_SEED={seed}");
        history(seed, 12);
    }
}

/// The file with the steps for [`applies_steps_for_another_process`].
const SWAPS: &str = "TIDEWATER_TEST_SWAPS";

fn cannot_exchange(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(rustix::io::Errno::INVAL.into())
}

#[test]
#[ignore = "run by a_process_that_dies_while_it_publishes"]
fn applies_steps_for_another_process() {
    let Ok(path) = std::env::var(SWAPS) else {
        return;
    };
    let steps: Vec<PublishStep> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    apply_with(&steps, cannot_exchange).unwrap();
}

#[test]
fn a_process_that_dies_while_it_publishes() {
    for point in CRASH_POINTS {
        let mut tables = filled(TINY);
        // Files that are rewritten and added, partitions that are removed and added, and a table that is rebuilt.
        let changes: Vec<(usize, i64)> = (0..300).step_by(3).map(|n| (n, -1)).collect();
        let mut all: Vec<_> = tables
            .specs
            .iter()
            .map(|_| (changes.clone(), false))
            .collect();
        all[1] = (vec![(301, 1)], true);
        all[2].0.push((501, 1));
        let (mut staging, staged) = tables.stage(&all).unwrap();
        staging.keep();
        let steps: Vec<PublishStep> = staged.iter().flat_map(|s| s.steps.clone()).collect();
        let path = tables.root.path().join("steps");
        fs::write(&path, serde_json::to_vec(&steps).unwrap()).unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("tests::maintain::history::applies_steps_for_another_process")
            .env(SWAPS, &path)
            .env("TIDEWATER_INJECT", format!("abort:{point}"))
            .output()
            .unwrap();
        assert_eq!(child.status.code(), None, "{point}: {child:?}");
        apply_steps(&steps).unwrap();
        tables.committed(&staged, &all);
        tables.check();
    }
}
