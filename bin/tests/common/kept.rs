//! A job with a state, for tests of the commands that inspect it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

use super::{Ran, snapshot, text, tidewater};

/// Two tables of sales: one as text, one in partitions.
pub const JOB: &str = "\
CREATE EXTERNAL TABLE sales (id TEXT NOT NULL, day DATE, region TEXT, amount BIGINT, rate DOUBLE)
  STORED AS CSV LOCATION '${input}';
CREATE VIEW kept AS SELECT * FROM sales WHERE amount >= 0;
CREATE MATERIALIZED VIEW by_region (region, sales, total, rate) AS
  SELECT region, count(*), sum(amount), avg(rate) FROM kept GROUP BY region;
CREATE MATERIALIZED VIEW by_day AS
  SELECT day, region, count(*) AS sales, sum(amount) AS total FROM kept GROUP BY day, region;
COPY by_region TO '${output}/by_region' STORED AS CSV;
COPY by_day TO '${output}/by_day' STORED AS PARQUET PARTITIONED BY (day);
";

/// A job, its files, tables and state, in a directory of its own.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new(sql: &str) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(place.path("data")).unwrap();
        fs::write(place.path("sales.sql"), sql).unwrap();
        place
    }

    /// Makes four commits: two files (with a bad row), a late one, a corrected one, a withdrawn one.
    pub fn kept() -> Self {
        let place = Self::new(JOB);
        place.deliver(
            "a.csv",
            "1,2024-03-01,seoul,100,0.1\n2,2024-03-01,busan,50,0.2\n",
        );
        place.deliver("b.csv", "3,2024-03-02,seoul,7,0.3\nx,someday,seoul,7,0.3\n");
        place.run();
        place.deliver("late.csv", "4,2024-03-01,seoul,1,0.7\n");
        place.run();
        place.deliver(
            "a.csv",
            "1,2024-03-01,seoul,100,0.1\n2,2024-03-01,jeju,60,0.2\n",
        );
        place.run();
        fs::remove_file(place.path("data/b.csv")).unwrap();
        place.run();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn deliver(&self, name: &str, rows: &str) {
        let content = format!("id,day,region,amount,rate\n{rows}");
        fs::write(self.path("data").join(name), content).unwrap();
    }

    pub fn arguments(&self, name: &str, more: &[&str]) -> Vec<String> {
        let of = |name: &str, path: &str| format!("{name}={}", text(&self.path(path)));
        let own = [
            name.to_owned(),
            text(&self.path("sales.sql")).to_owned(),
            "--set".to_owned(),
            of("input", "data"),
            "--set".to_owned(),
            of("output", "out"),
            "--state".to_owned(),
            text(&self.path("state")).to_owned(),
        ];
        own.into_iter()
            .chain(more.iter().map(|&more| more.to_owned()))
            .collect()
    }

    pub fn tidewater(&self, name: &str, more: &[&str]) -> Ran {
        let arguments = self.arguments(name, more);
        tidewater(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn run(&self) {
        self.tidewater("run", &["--quiet"]).expect_code(0);
    }

    pub fn json(&self, name: &str, more: &[&str]) -> Value {
        let ran = self.tidewater(name, more).expect_code(0);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// All files except the lock, which names its last holder.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = snapshot(self.dir.path());
        files.remove(Path::new("state/lock"));
        files
    }

    /// The only data file of a table's partition.
    pub fn data_file(&self, partition: &str) -> PathBuf {
        let mut files = fs::read_dir(self.path("out").join(partition)).unwrap();
        files.next().unwrap().unwrap().path()
    }
}

/// Reads a Parquet file, changes its rows and writes it again.
pub fn rewrite(path: &Path, change: impl FnOnce(RecordBatch) -> RecordBatch) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let batch = change(concat_batches(&schema, &batches).unwrap());
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
