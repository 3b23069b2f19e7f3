//! Random jobs over random histories of files, with another number of workers at every commit. After each commit,
//! every table is compared with DataFusion's result over the current rows, and sometimes with a cold run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use tidewater_tests::deliveries::Input;
use tidewater_tests::maintained::{Footprint, Maintained, Sizes};
use tidewater_tests::oracle::Oracle;
use tidewater_tests::rows::Table;
use tidewater_tests::sources::{Format, Source, sales, shops};
use tidewater_tests::{published, seed};

/// A table that a job may have: its name, its query, and its possible partition columns.
type Wish = (&'static str, &'static str, &'static [&'static str]);

/// Tables of every job, which read every column.
const ALWAYS: [Wish; 2] = [
    (
        "all_sales",
        "SELECT * FROM sales",
        &["day", "stamp, v", "v, day", "code"],
    ),
    ("all_shops", "SELECT * FROM shops", &["w", "code"]),
];

const WISHES: [Wish; 12] = [
    (
        "sums",
        "SELECT k, count(*) AS c, count(v) AS n, sum(amount) AS s, avg(v) AS a, sum(x) AS sx FROM sales GROUP BY k",
        &["c", "c, n"],
    ),
    (
        "extremes",
        "SELECT stamp, min(v) AS lo, max(amount) AS hi, min(k) AS first, count(DISTINCT v) AS d FROM sales GROUP BY stamp",
        &["stamp", "d, stamp"],
    ),
    (
        "totals",
        "SELECT count(*) AS c, sum(amount) AS s, max(at) AS latest, count(DISTINCT k) AS d FROM sales",
        &[],
    ),
    (
        "buckets",
        "SELECT day, v % 2 AS odd, count(*) AS c, avg(amount) AS a FROM sales WHERE v IS NOT NULL GROUP BY day, v % 2",
        &["day", "odd, day"],
    ),
    (
        "joined",
        "SELECT sales.code, sales.k, shops.region, sales.v, shops.w FROM sales JOIN shops ON sales.code = shops.code",
        &["v", "w, v"],
    ),
    (
        "outer_joined",
        "SELECT shops.w, count(*) AS c, sum(sales.v) AS s FROM sales LEFT JOIN shops ON sales.code = shops.code GROUP BY shops.w",
        &["w"],
    ),
    (
        "ranked",
        "SELECT code, k, day, v, rank() OVER (PARTITION BY day ORDER BY v, code) AS place, sum(v) OVER (PARTITION BY day) AS s FROM sales",
        &["day"],
    ),
    (
        "best",
        "SELECT * FROM sales ORDER BY v DESC NULLS LAST, code, k, stamp, day, amount, x, at LIMIT 4",
        &["day"],
    ),
    (
        "again",
        "SELECT c, count(*) AS groups, sum(s) AS s FROM (SELECT k, count(*) AS c, sum(v) AS s FROM sales GROUP BY k) GROUP BY c",
        &["groups"],
    ),
    (
        "keys",
        "SELECT code, w AS n FROM shops UNION ALL SELECT code, v AS n FROM sales",
        &["n"],
    ),
    (
        "distinct_days",
        "SELECT DISTINCT day, stamp, v FROM sales",
        &["day"],
    ),
    (
        "ordered",
        "SELECT code, v, amount FROM sales WHERE amount > 0 ORDER BY amount DESC, code",
        &["v"],
    ),
];

#[test]
fn csv() {
    histories("csv", Format::Csv, false);
}

#[test]
fn json() {
    histories("json", Format::JsonLines, false);
}

#[test]
fn parquet() {
    histories("parquet", Format::Parquet, false);
}

#[test]
fn growing_files() {
    histories("growing csv", Format::Csv, true);
    histories("growing json", Format::JsonLines, true);
}

fn histories(name: &str, format: Format, appends: bool) {
    for seed in seed::seeds(if appends { 10 } else { 25 }) {
        let (mut history, mut rng) = History::draw(name, seed, format, appends);
        for _ in 0..rng.random_range(4..=8) {
            history.deliver(&mut rng);
            history.commit(&mut rng);
        }
    }
}

/// A job, its input, and the steps so far, which are printed if a test fails.
pub struct History {
    pub place: Maintained,
    input: Input,
    sql: String,
    tables: Vec<&'static str>,
    oracle: Oracle,
    rows: BTreeMap<PathBuf, Vec<String>>,
    files: Footprint,
    pub log: Vec<String>,
}

impl Drop for History {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log.join("\n"));
        }
    }
}

impl History {
    /// The job of a seed, and its generator for further draws.
    pub fn draw(name: &str, seed: u64, format: Format, appends: bool) -> (Self, ChaCha8Rng) {
        let mut rng = seed::generator(seed, name);
        let mut history = Self::drawn(&mut rng, format, appends);
        let size = history.place.sizes;
        let told = format!(
            "{name}, TIDEWATER_SEED={seed}, {size:?} tables\n{}",
            history.sql
        );
        history.log.push(told);
        (history, rng)
    }

    fn drawn(rng: &mut ChaCha8Rng, format: Format, appends: bool) -> Self {
        let mut sales = Source::draw(rng, "sales", format, &sales());
        let formats = [Format::Csv, Format::JsonLines, Format::Parquet];
        let other = *formats.choose(rng).unwrap();
        let mut shops = Source::draw(rng, "shops", other, &shops());
        sales.appends = appends;
        for (source, keys) in [
            (&mut sales, &["", "code", "code day"][..]),
            (&mut shops, &["", "code"]),
        ] {
            let key = keys.choose(rng).unwrap().split_whitespace().collect();
            source.key_by(rng, key);
        }
        let mut wishes = WISHES.to_vec();
        wishes.shuffle(rng);
        let chosen: Vec<Wish> = ALWAYS
            .into_iter()
            .chain(wishes.into_iter().take(4))
            .collect();
        let mut sql = sales.declaration() + &shops.declaration();
        let mut views = String::new();
        for (name, query, partitions) in &chosen {
            views += &format!("CREATE VIEW {name} AS {query};\n");
            sql += &format!("CREATE MATERIALIZED VIEW {name} AS {query};\n");
            let encoding = ["PARQUET", "PARQUET", "CSV", "JSON"].choose(rng).unwrap();
            let partition = partitions.choose(rng).filter(|_| rng.random_bool(0.6));
            let partition = partition.map_or(String::new(), |by| format!(" PARTITIONED BY ({by})"));
            sql +=
                &format!("COPY {name} TO '${{output}}/{name}' STORED AS {encoding}{partition};\n");
        }
        let mut place = Maintained::new(&sql);
        place.sizes = Sizes::ALL[rng.random_range(0..Sizes::ALL.len())];
        Self {
            input: Input::new(&place, vec![sales, shops]),
            place,
            oracle: Oracle::new(&views).unwrap(),
            tables: chosen.iter().map(|(name, ..)| *name).collect(),
            sql,
            rows: BTreeMap::new(),
            files: Footprint::new(),
            log: Vec::new(),
        }
    }

    /// Some deliveries. Every source has some before the first commit.
    pub fn deliver(&mut self, rng: &mut ChaCha8Rng) {
        for _ in 0..rng.random_range(1..=4) {
            let step = self.input.step(rng, &self.place);
            self.log.push(step);
        }
        let is_first = self.rows.is_empty();
        while is_first && self.input.is_any_empty() {
            let step = self.input.step(rng, &self.place);
            self.log.push(step);
        }
    }

    /// Commits, and checks the tables.
    pub fn commit(&mut self, rng: &mut ChaCha8Rng) {
        let workers = rng.random_range(1..=3).to_string();
        self.log.push(format!("run with {workers} workers"));
        let ran = self
            .place
            .commits(&["--json", "--workers", &workers])
            .no_panic();
        self.input.committed();
        self.equals_the_oracle();
        assert_eq!(ran.json()["rows_in_quarantine"], self.input.bad());
        self.leaves_what_did_not_change();
        if rng.random_bool(0.3) && !self.input.is_any_empty() {
            self.place.assert_cold();
        }
        if rng.random_bool(0.3) {
            self.nothing_to_do(&ran.json());
        }
    }

    fn equals_the_oracle(&mut self) {
        let expected = self.oracle.run(&self.input.present()).unwrap();
        for name in &self.tables {
            let expected = &expected[*name];
            let dir = self.place.path("out").join(name);
            let table = published::table(&dir, &expected.schema());
            let difference = Table::of(&table).difference(&Table::of(expected));
            assert!(difference.is_none(), "{name}: {}", difference.unwrap());
        }
    }

    /// Asserts that partitions without changed rows keep their files.
    fn leaves_what_did_not_change(&mut self) {
        let rows = published::rows_by_partition(&self.place.path("out"));
        let files = self.place.footprint();
        for (partition, old) in &self.rows {
            if rows.get(partition) == Some(old) {
                let of = |files: &Footprint| -> Vec<_> {
                    let files = files
                        .iter()
                        .filter(|(path, _)| path.parent() == Some(partition));
                    files.map(|(path, place)| (path.clone(), *place)).collect()
                };
                assert_eq!(of(&files), of(&self.files), "{}", partition.display());
            }
        }
        (self.rows, self.files) = (rows, files);
    }

    fn nothing_to_do(&mut self, before: &serde_json::Value) {
        self.log.push("run with nothing to do".to_owned());
        let ran = self.place.commits(&["--json"]);
        assert_eq!(self.place.footprint(), self.files);
        if !self.input.is_any_unfinished() {
            assert_eq!(ran.json()["epoch"], before["epoch"]);
        }
        let left = fs::read_dir(self.place.path("out")).unwrap();
        let left = left.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            Path::new(&name).to_str().unwrap().starts_with("_tidewater")
        });
        assert_eq!(left.count(), 0, "staging directories are left");
    }
}
