//! Maintained tables, compared with a model of their rows.

mod bytes;
mod changes;
mod history;
mod measure;
mod types;

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;

use arrow::array::{
    AsArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray,
    TimestampNanosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;

use super::super::amended::AmendSizes;
use super::super::layout::Layout;
use super::super::publish_step::apply_with;
use super::super::run::KeptFile;
use super::super::{
    CRASH_POINTS, OwnerCommit, PublishStep, PublishedPartition, PublishedRecord, Run, StagedChange,
    TableChange, TableOwner, apply_steps, stage_changes, write_changes,
};
use super::*;
use tidewater_contract::disk;
use tidewater_contract::sink::{Encoding, SortKey};
use tidewater_formats::parquet::encode::{ParquetWriteOptions, read_back};

/// The record that the engine would keep.
#[derive(Default)]
struct Record {
    tables: BTreeMap<String, BTreeMap<String, PublishedPartition>>,
    asked: RefCell<Vec<String>>,
}

impl PublishedRecord for Record {
    fn partition(&self, table: &str, path: &str) -> Result<Option<PublishedPartition>, SinkError> {
        self.asked.borrow_mut().push(path.to_owned());
        let table = self.tables.get(table);
        Ok(table.and_then(|table| table.get(path)).cloned())
    }

    fn partitions(&self, table: &str) -> Result<Vec<String>, SinkError> {
        let table = self.tables.get(table);
        Ok(table.map_or_else(Vec::new, |table| table.keys().cloned().collect()))
    }
}

impl Record {
    fn commit(&mut self, staged: &StagedChange) {
        let table = self.tables.entry(staged.spec.name.to_string()).or_default();
        // The record is kept as bytes.
        let bytes = serde_json::to_vec(&staged.partitions).unwrap();
        let partitions: Vec<(String, Option<PublishedPartition>)> =
            serde_json::from_slice(&bytes).unwrap();
        for (path, partition) in partitions {
            match partition {
                Some(partition) => drop(table.insert(path, partition)),
                None => drop(table.remove(&path)),
            }
        }
    }
}

/// The rows with these numbers. Each number identifies a row.
fn rows_of(numbers: &[usize]) -> RecordBatch {
    let some = |number: &usize| !number.is_multiple_of(7);
    let ints = |of: fn(usize) -> usize| -> Int32Array {
        numbers.iter().map(|&n| Some(of(n) as i32)).collect()
    };
    let list: ListArray = ListArray::from_iter_primitive::<Int32Type, _, _>(
        numbers
            .iter()
            .map(|n| some(n).then(|| (0..n % 4).map(|at| Some(at as i32)))),
    );
    let times = numbers
        .iter()
        .map(|&n| some(&n).then_some(n as i64 * 1_000));
    let money = numbers
        .iter()
        .map(|&n| some(&n).then_some(n as i128 * 3 - 500));
    let floats = numbers.iter().map(|&n| match n % 5 {
        0 => f64::NAN,
        1 => -0.0,
        _ => f64::from(n as u32) / 3.0,
    });
    batch(vec![
        ("a", Arc::new(ints(|n| n % 3)) as ArrayRef),
        ("b", Arc::new(ints(|n| n % 2))),
        ("same", Arc::new(ints(|n| n % 11))),
        (
            "text",
            Arc::new(
                numbers
                    .iter()
                    .map(|n| Some(format!("{:060}-{n}", 0)))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "money",
            Arc::new(
                money
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
        (
            "time",
            Arc::new(times.collect::<TimestampNanosecondArray>()),
        ),
        ("float", Arc::new(floats.collect::<Float64Array>())),
        ("list", Arc::new(list)),
    ])
}

struct Tables {
    root: tempfile::TempDir,
    specs: Vec<Arc<TableSpec>>,
    record: Record,
    /// The count of each row in each table.
    model: Vec<BTreeMap<usize, i64>>,
    epoch: u64,
    sizes: AmendSizes,
    options: WriteOptions,
}

const TINY: AmendSizes = AmendSizes::TINY;

impl Tables {
    fn new(sizes: AmendSizes) -> Self {
        let root = tempfile::tempdir().unwrap();
        let like = rows_of(&[0]);
        let flat = like.project(&[0, 1, 2, 3, 4, 5, 6]).unwrap();
        let table = |name: &str, like: &RecordBatch, by: &[usize], format: &str| {
            let mut spec = spec(root.path().join("out").join(name), like, by, format);
            spec.name = name.into();
            spec
        };
        let mut ordered = table("ordered", &like, &[], "PARQUET");
        ordered.order_by = vec![SortKey {
            column: 4,
            descending: true,
            nulls_first: false,
        }];
        let specs = vec![
            table("nested", &like, &[0, 1], "PARQUET"),
            table("plain", &like, &[], "PARQUET"),
            table("csv", &flat, &[1], "CSV"),
            table("json", &like, &[], "JSON"),
            ordered,
        ];
        Self {
            model: specs.iter().map(|_| BTreeMap::new()).collect(),
            specs: specs.into_iter().map(Arc::new).collect(),
            record: Record::default(),
            epoch: 0,
            root,
            sizes,
            options: WriteOptions {
                threads: 2,
                ..WriteOptions::default()
            },
        }
    }

    fn shadow(&self, spec: &TableSpec) -> Option<PathBuf> {
        let is_text = !matches!(spec.encoding, Encoding::Parquet { .. });
        is_text.then(|| self.root.path().join("state").join(&*spec.name))
    }

    fn owner(&self, table: usize) -> TableOwner {
        let commit = OwnerCommit {
            state: "test".to_owned(),
            epoch: self.epoch,
            committed_at: 0,
        };
        TableOwner::new("job", &self.specs[table].name, Some(commit))
    }

    fn paths(&self) -> Vec<PathBuf> {
        let shadows = self.specs.iter().filter_map(|spec| self.shadow(spec));
        self.specs
            .iter()
            .map(|spec| spec.path.clone())
            .chain(shadows)
            .collect()
    }

    fn staging(&mut self) -> Staging {
        self.epoch += 1;
        let paths = self.paths();
        Staging::for_state(paths.iter().map(PathBuf::as_path), "test", self.epoch).unwrap()
    }

    fn clean(&self) {
        let paths = self.paths();
        Staging::clean(paths.iter().map(PathBuf::as_path), "test").unwrap();
    }

    fn runs(
        &self,
        staging: &Staging,
        table: usize,
        changes: &[(usize, i64)],
        budget: usize,
    ) -> Vec<Run> {
        let spec = &self.specs[table];
        let shards = 2;
        let mut shards: Vec<TableShard> = (0..shards)
            .map(|_| TableShard::new(Arc::clone(spec), staging, budget).unwrap())
            .collect();
        for (at, &(number, count)) in changes.iter().enumerate() {
            let columns: Vec<usize> = (0..spec.schema.fields().len()).collect();
            let row = rows_of(&[number]).project(&columns).unwrap();
            let shard = at % shards.len();
            shards[shard].push(&row, count).unwrap();
        }
        shards
            .into_iter()
            .flat_map(|shard| shard.finish().unwrap())
            .collect()
    }

    /// Stages changes of all tables.
    fn stage(
        &mut self,
        changes: &[(Vec<(usize, i64)>, bool)],
    ) -> Result<(Staging, Vec<StagedChange>), SinkError> {
        let staging = self.staging();
        let changes = changes
            .iter()
            .enumerate()
            .map(|(table, (changes, replace))| TableChange {
                spec: Arc::clone(&self.specs[table]),
                runs: self.runs(&staging, table, changes, 1 << 20),
                replace: *replace,
                shadow: self.shadow(&self.specs[table]),
                owner: Some(self.owner(table)),
            });
        let changes = changes.collect();
        let staged = stage_changes(&staging, changes, &self.record, &self.options, self.sizes)?;
        Ok((staging, staged))
    }

    /// Stages, commits and applies changes. `how` determines how the steps are interrupted.
    fn take(&mut self, changes: &[(Vec<(usize, i64)>, bool)], how: usize) -> Result<(), SinkError> {
        let (mut staging, staged) = self.stage(changes)?;
        staging.keep();
        let steps: Vec<PublishStep> = staged.iter().flat_map(|s| s.steps.clone()).collect();
        let steps: Vec<PublishStep> =
            serde_json::from_slice(&serde_json::to_vec(&steps).unwrap()).unwrap();
        let cannot = |_: &Path, _: &Path| Err(rustix::io::Errno::INVAL.into());
        let exchange: fn(&Path, &Path) -> std::io::Result<()> = if how.is_multiple_of(3) {
            cannot
        } else {
            disk::exchange
        };
        apply_with(&steps[..how % (steps.len() + 1)], exchange).unwrap();
        apply_with(&steps, exchange).unwrap();
        apply_steps(&steps).unwrap();
        self.committed(&staged, changes);
        Ok(())
    }

    /// Records the published files.
    fn committed(&mut self, staged: &[StagedChange], changes: &[(Vec<(usize, i64)>, bool)]) {
        self.clean();
        for (table, (staged, (changes, replace))) in staged.iter().zip(changes).enumerate() {
            self.record.commit(staged);
            if !staged.partitions.is_empty() {
                let marked = TableOwner::of(&self.specs[table].path).unwrap();
                assert_eq!(marked, Some(self.owner(table)));
            }
            let model = &mut self.model[table];
            if *replace {
                model.clear();
            }
            for &(number, count) in changes {
                *model.entry(number).or_default() += count;
            }
            model.retain(|_, count| *count != 0);
        }
    }

    /// The inode and time of each file, by path.
    fn stamps(&self) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let out = self.root.path().join("out");
        let stamp = |path: &PathBuf| {
            let metadata = fs::metadata(out.join(path)).unwrap();
            (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
        };
        content(&out)
            .into_keys()
            .map(|path| (path.clone(), stamp(&path)))
            .collect()
    }

    /// Checks that every table has the rows of its model, in the files of the record.
    fn check(&self) {
        for (table, spec) in self.specs.iter().enumerate() {
            let fresh = tempfile::tempdir().unwrap();
            let mut whole = TableSpec::clone(spec);
            whole.path = fresh.path().join("t");
            let columns: Vec<usize> = (0..spec.schema.fields().len()).collect();
            let pushes = self.model[table].iter();
            let pushes =
                pushes.map(|(&n, &count)| (rows_of(&[n]).project(&columns).unwrap(), count));
            run_plainly(&whole, pushes.collect()).unwrap();
            assert_eq!(
                by_partition(&spec.path),
                by_partition(&whole.path),
                "table {}",
                spec.name
            );
            self.check_record(spec);
        }
        let litter: Vec<_> = fs::read_dir(self.root.path().join("out"))
            .unwrap()
            .collect();
        assert_eq!(litter.len(), self.specs.len(), "{litter:?}");
    }

    /// Checks that the record lists the existing files, and that each is in order.
    fn check_record(&self, spec: &Arc<TableSpec>) {
        let layout = Layout::new(Arc::clone(spec)).unwrap();
        let shadow = self.shadow(spec);
        let mut names = Vec::new();
        for (path, partition) in &self.record.tables[&*spec.name] {
            assert!(
                partition.files.len() <= self.sizes.files_max,
                "{partition:?}"
            );
            for file in &partition.files {
                let published = spec.path.join(path).join(&file.name);
                assert_eq!(fs::metadata(&published).unwrap().len(), file.bytes);
                names.push(
                    PathBuf::from(path)
                        .join(&file.name)
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
                let kept = match &shadow {
                    Some(shadow) => shadow.join(path).join(&file.name).with_extension("parquet"),
                    None => published,
                };
                let rows = read_kept(&layout, kept, shadow.is_some());
                assert_eq!(rows.num_rows() as u64, file.rows);
                let keyed = layout.key(rows).unwrap();
                for row in 1..keyed.batch.num_rows() {
                    let order = layout.compare((&keyed, row - 1), (&keyed, row)).unwrap();
                    assert!(order.is_le(), "{} row {row} of {}", spec.name, file.name);
                }
                let groups: u64 = file.groups.iter().map(|group| group.rows).sum();
                assert_eq!(groups, file.rows);
            }
        }
        names.sort();
        assert_eq!(names, self::names(&spec.path));
        if let Some(shadow) = shadow {
            assert_eq!(names.len(), self::names(&shadow).len());
        }
    }
}

fn read_kept(layout: &Layout, path: PathBuf, exact: bool) -> RecordBatch {
    let kept = KeptFile {
        table: "t".into(),
        path,
        options: ParquetWriteOptions {
            compression: parquet::basic::Compression::SNAPPY,
            row_group_rows: 1,
            exact,
        },
    };
    let (file, groups) = kept.open(&layout.file).unwrap();
    let batches: Result<Vec<_>, ArrowError> = read_back(file, &groups, None).unwrap().collect();
    concat_batches(&layout.file, &batches.unwrap()).unwrap()
}

/// The rows of each partition as sorted text. Checks that each text file has its header.
fn by_partition(table: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut all: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for (path, bytes) in content(table) {
        let rows = all.entry(path.parent().unwrap().to_owned()).or_default();
        if path.extension().unwrap() == "parquet" {
            let file = fs::File::open(table.join(&path)).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            rows.extend(
                reader
                    .build()
                    .unwrap()
                    .flat_map(|b| self::rows(&b.unwrap())),
            );
        } else {
            let text = String::from_utf8(bytes).unwrap();
            let header = usize::from(path.extension().unwrap() == "csv");
            rows.extend(text.lines().skip(header).map(str::to_owned));
        }
    }
    for rows in all.values_mut() {
        rows.sort();
    }
    all
}

fn index_of(tables: &Tables, name: &str) -> usize {
    tables
        .specs
        .iter()
        .position(|spec| &*spec.name == name)
        .unwrap()
}

/// Net changes of the table with this name, and none of the others.
fn only(tables: &Tables, name: &str, changes: Vec<(usize, i64)>) -> Vec<(Vec<(usize, i64)>, bool)> {
    let mut all: Vec<_> = tables.specs.iter().map(|_| (Vec::new(), false)).collect();
    all[index_of(tables, name)].0 = changes;
    all
}

fn filled(sizes: AmendSizes) -> Tables {
    let mut tables = Tables::new(sizes);
    let first: Vec<_> = tables
        .specs
        .iter()
        .map(|_| ((0..300).map(|n| (n, 1)).collect(), true))
        .collect();
    tables.take(&first, 0).unwrap();
    tables
}
