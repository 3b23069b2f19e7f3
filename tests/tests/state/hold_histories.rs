//! Random histories of files that are delivered, corrected, withdrawn and accepted, under rules that hold them and that
//! change. Some runs are killed. After each run, tables and results are those of a cold run over the present files with the same acceptances.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tidewater_tests::maintained::Maintained;
use tidewater_tests::seed;

/// A row of a file: id, region, amount.
type Row = (u8, &'static str, i64);

const REGIONS: [&str; 4] = ["seoul", "busan", "seoul", "jeju"];

/// The limits of the two rules: rows that may break each; `None` without the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    regions: Option<u64>,
    positive: Option<u64>,
}

struct HeldHistory {
    place: Maintained,
    keyed: bool,
    rules: Rules,
    files: BTreeMap<String, Vec<Row>>,
    /// The rows that break a rule in a file, of failures that are accepted.
    accepted: BTreeMap<(&'static str, String), u64>,
    now: u64,
    log: Vec<String>,
}

impl HeldHistory {
    fn new(keyed: bool) -> Self {
        let place = Maintained::new("");
        place.deliver("names/n.csv", "region,name\nseoul,Seoul\njeju,Jeju\n", 0);
        let history = Self {
            place,
            keyed,
            rules: Rules {
                regions: Some(1),
                positive: Some(0),
            },
            files: BTreeMap::new(),
            accepted: BTreeMap::new(),
            now: 0,
            log: Vec::new(),
        };
        history.declare();
        history
    }

    fn declare(&self) {
        let key = if self.keyed { ", PRIMARY KEY (id)" } else { "" };
        let mut sql = format!(
            "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, amount BIGINT, file TEXT{key}) STORED AS CSV
                LOCATION '${{input}}/t' OPTIONS ('column.file' 'path', 'max_withdrawn_ratio' '1', 'on_change' 'replace');
            CREATE EXTERNAL TABLE names (region TEXT, name TEXT) STORED AS CSV LOCATION '${{input}}/names';
            CREATE MATERIALIZED VIEW sums AS SELECT region, sum(amount) AS total, min(id) AS low FROM t GROUP BY region;
            CREATE MATERIALIZED VIEW named AS SELECT t.id, t.file, names.name FROM t JOIN names ON t.region = names.region;
            COPY sums TO '${{output}}/sums' STORED AS CSV;
            COPY named TO '${{output}}/named' STORED AS CSV;
            COPY QUALITY TO '${{output}}/quality';
            CREATE ASSERTION any_row ON t CHECK (id >= 0);"
        );
        let rules = [
            (
                "regions",
                "region IN ('seoul', 'busan')",
                self.rules.regions,
            ),
            ("positive", "amount > 0", self.rules.positive),
        ];
        for (name, check, limit) in rules {
            if let Some(limit) = limit {
                sql += &format!(
                    "CREATE ASSERTION {name} ON t CHECK ({check})
                        OPTIONS ('scope' 'delivery', 'delivery' 'file', 'on_failure' 'hold', 'max_rows' '{limit}');"
                );
            }
        }
        self.place.declare(&sql);
    }

    /// The rows of a file that break a rule, and its limit.
    fn broken(&self, rule: &str, file: &str) -> Option<(u64, u64)> {
        let rows = self.files.get(file)?;
        let count = |breaks: fn(&Row) -> bool| rows.iter().filter(|row| breaks(row)).count() as u64;
        match rule {
            "regions" => Some((count(|row| row.1 == "jeju"), self.rules.regions?)),
            _ => Some((count(|row| row.2 <= 0), self.rules.positive?)),
        }
    }

    fn write(&mut self, file: &str) {
        self.now += 5;
        let rows = self.files[file].iter();
        let rows = rows.map(|(id, region, amount)| format!("{id},{region},{amount}\n"));
        let text = format!("id,region,amount\n{}", rows.collect::<String>());
        self.place.deliver(&format!("t/{file}"), text, self.now);
    }

    /// Changes a file or the rules. Returns arguments for the next run, and what they accept.
    fn step(&mut self, rng: &mut ChaCha8Rng) -> Vec<(&'static str, String)> {
        let file = format!("f{}.csv", rng.random_range(0..5));
        let known = self.files.contains_key(&file);
        let doing = rng.random_range(0..12);
        self.log.push(format!("{doing} {file}"));
        match doing {
            0..=5 => {
                let rows = (0..rng.random_range(0..5)).map(|_| {
                    let amount = rng.random_range(-1..9);
                    (
                        rng.random_range(0..8),
                        *REGIONS.choose(rng).unwrap(),
                        amount,
                    )
                });
                let rows = rows.collect();
                self.files.insert(file.clone(), rows);
                self.write(&file);
            }
            6 if known => {
                self.files.remove(&file);
                self.place.withdraw(&format!("t/{file}"));
            }
            7 if known => self.write(&file),
            8 if known => {
                let to = format!("g{}.csv", rng.random_range(0..9));
                if !self.files.contains_key(&to) {
                    let rows = self.files.remove(&file).unwrap();
                    self.files.insert(to.clone(), rows);
                    let path = |name: &str| self.place.path(&format!("in/t/{name}"));
                    fs::rename(path(&file), path(&to)).unwrap();
                }
            }
            9 => {
                let mut limit = || (rng.random_range(0..4) > 0).then(|| rng.random_range(0..3));
                self.rules = Rules {
                    regions: limit(),
                    positive: limit(),
                };
                self.declare();
            }
            _ => {}
        }
        self.acceptances(rng)
    }

    /// Sometimes, some of the present failures.
    fn acceptances(&self, rng: &mut ChaCha8Rng) -> Vec<(&'static str, String)> {
        let mut accepted = Vec::new();
        for rule in ["regions", "positive"] {
            for file in self.files.keys() {
                let broken = self.broken(rule, file);
                let fails = broken.is_some_and(|(broken, limit)| broken > limit);
                if fails && rng.random_range(0..5) == 0 {
                    accepted.push((rule, file.clone()));
                }
            }
        }
        accepted
    }

    /// The acceptances that a run with these new ones goes by.
    fn in_force(&self, new: &[(&'static str, String)]) -> BTreeMap<(&'static str, String), u64> {
        let mut force = BTreeMap::new();
        for (rule, file) in self.accepted.keys().chain(new) {
            let Some((broken, limit)) = self.broken(rule, file) else {
                continue;
            };
            let key = (*rule, file.clone());
            let is_new = new.contains(&key);
            let known = self.accepted.get(&key).is_some_and(|most| broken <= *most);
            if broken > limit && (is_new || known) {
                force.insert(key, broken);
            }
        }
        force
    }

    /// Whether a file would be held.
    fn holds(&self, file: &str, force: &BTreeMap<(&'static str, String), u64>) -> bool {
        ["regions", "positive"].iter().any(|rule| {
            let broken = self.broken(rule, file);
            let fails = broken.is_some_and(|(broken, limit)| broken > limit);
            fails && !force.contains_key(&(*rule, file.to_owned()))
        })
    }

    fn run(&mut self, rng: &mut ChaCha8Rng, new: &[(&'static str, String)]) {
        let arguments = |accepted: &mut dyn Iterator<Item = &(&'static str, String)>| {
            let mut arguments = Vec::new();
            for (rule, file) in accepted {
                arguments.push("--accept".to_owned());
                arguments.push(format!("{rule}=in/t/{file}"));
            }
            if !arguments.is_empty() {
                arguments.extend(["--because".to_owned(), "so".to_owned()]);
            }
            arguments
        };
        let force = self.in_force(new);
        let held = self.files.keys().filter(|file| self.holds(file, &force));
        let held: Vec<&String> = held.collect();
        let is_refused = !held.is_empty() && held.len() == self.files.len();
        let given = arguments(&mut new.iter());
        let mut given: Vec<&str> = given.iter().map(String::as_str).collect();
        if rng.random_range(0..3) == 0 {
            let audited = self.place.audit(&given);
            assert_eq!(
                audited.code,
                Some(if is_refused { 3 } else { 0 }),
                "{}",
                audited.stderr
            );
        }
        given.push("--json");
        if rng.random_range(0..8) == 0 && !is_refused {
            given.push("--rebuild");
        }
        let workers = rng.random_range(1..3).to_string();
        given.extend(["--workers", &workers]);
        self.log
            .push(format!("{given:?} {:?} {:?}", self.rules, self.files));
        if rng.random_range(0..4) == 0 {
            let delay = Duration::from_micros(rng.random_range(0..150_000));
            self.log.push(format!("killed after {delay:?}"));
            let mut child = self.place.start(&given);
            thread::sleep(delay);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let ran = self.place.run(&given);
        if is_refused {
            let _ = ran.code(3).says(&["source t would have no rows"]);
            return;
        }
        let ran = ran.code(0).no_panic().json();
        let files = ran["files_held"].as_array().unwrap().iter();
        let found: Vec<String> = files
            .map(|file| file["path"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> = held.iter().map(|file| format!("in/t/{file}")).collect();
        assert_eq!(found, expected, "{ran}");
        self.accepted = force;
        let cold = arguments(&mut self.accepted.keys());
        let cold: Vec<&str> = cold.iter().map(String::as_str).collect();
        self.place.assert_cold_with(&cold);
    }
}

fn drawn(seed: u64, keyed: bool) {
    let mut rng = seed::generator(seed, if keyed { "held keyed" } else { "held" });
    let mut history = HeldHistory::new(keyed);
    let steps = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        history
            .files
            .insert("a.csv".to_owned(), vec![(1, "seoul", 3)]);
        history.write("a.csv");
        history.run(&mut rng, &[]);
        for _ in 0..12 {
            let accepted = history.step(&mut rng);
            // Several changes may come together.
            if rng.random_range(0..4) > 0 {
                history.run(&mut rng, &accepted);
            }
        }
        history.run(&mut rng, &[]);
    }));
    if let Err(panic) = steps {
        eprintln!("seed {seed}, keyed {keyed}:\n{}", history.log.join("\n"));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn tables_are_those_of_a_cold_run_over_the_present_files() {
    for seed in seed::seeds(4) {
        drawn(seed, false);
    }
}

#[test]
fn and_so_they_are_with_a_primary_key() {
    for seed in seed::seeds(4) {
        drawn(seed, true);
    }
}
