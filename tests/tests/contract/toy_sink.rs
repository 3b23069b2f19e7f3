//! A toy sink: a JSON file with the rows of a table and their epoch.
//!
//! Staging writes the changed rows to a file beside it. Publishing renames that file to its place. Nothing is
//! published while a file named `refuse` is beside it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde_json::{Value, json};
use tidewater_connectors::declaration::{DeclarationError, DeclarationPart, SinkDeclaration};
use tidewater_connectors::sink::{SinkError, SortKey};
use tidewater_connectors::sink_connector::{
    EpochChanges, KeepTrying, Sink, SinkConnector, SinkSession, SinkState,
};

const SCHEME: &str = "toy://";

/// The count of each row.
pub type Held = BTreeMap<(i64, i64), i64>;

#[derive(Debug)]
pub struct ToySinks;

pub static TOY_SINKS: ToySinks = ToySinks;

#[derive(Debug)]
struct ToySink {
    path: PathBuf,
}

impl SinkConnector for ToySinks {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn title(&self) -> &'static str {
        "a toy"
    }

    fn example(&self) -> &'static str {
        "toy:///changes"
    }

    fn options(&self) -> &'static [&'static str] {
        &[]
    }

    fn accepts(&self, target: &str) -> bool {
        target.starts_with(SCHEME)
    }

    fn parse(
        &self,
        declaration: &SinkDeclaration<'_>,
    ) -> Result<Arc<dyn Sink>, Vec<DeclarationError>> {
        if !declaration.partitioned_by.is_empty() {
            let error = DeclarationError::new(
                DeclarationPart::PartitionedBy,
                "a toy has no partitions",
                "remove it",
            );
            return Err(vec![error]);
        }
        Ok(Arc::new(ToySink {
            path: declaration.target.trim_start_matches(SCHEME).into(),
        }))
    }

    fn check(&self, sinks: &[Arc<dyn Sink>]) -> Result<(), SinkError> {
        let (last, others) = sinks.split_last().unwrap();
        match others.iter().find(|other| path(&***other) == path(&**last)) {
            None => Ok(()),
            Some(_) => Err(SinkError::OptionValue {
                option: "target",
                value: path(&**last).display().to_string(),
                expected: "a file for each table",
            }),
        }
    }

    fn open(
        &self,
        sinks: &[Arc<dyn Sink>],
        _: &SinkState<'_>,
        _: &mut KeepTrying<'_>,
    ) -> Result<Box<dyn SinkSession>, SinkError> {
        let paths = sinks.iter().map(|sink| path(&**sink).to_owned());
        Ok(Box::new(ToySession {
            paths: paths.collect(),
        }))
    }
}

fn path(sink: &dyn Sink) -> &Path {
    let toy: &ToySink = sink.as_any().downcast_ref().unwrap();
    &toy.path
}

impl Sink for ToySink {
    fn connector(&self) -> &'static dyn SinkConnector {
        &TOY_SINKS
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn order(&self) -> Vec<SortKey> {
        Vec::new()
    }

    fn describe(&self) -> Vec<String> {
        vec![format!("toy at {}", self.path.display())]
    }
}

struct ToySession {
    paths: Vec<PathBuf>,
}

impl ToySession {
    fn staged(path: &Path, epoch: u64) -> PathBuf {
        path.with_extension(format!("{epoch}"))
    }
}

impl SinkSession for ToySession {
    fn recover(
        &mut self,
        state: &SinkState<'_>,
        changes: &dyn EpochChanges,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError> {
        if state.epoch == 0 {
            return Ok(());
        }
        self.publish(state.epoch, state.staged, changes, keep_trying)
    }

    fn stage(&mut self, epoch: u64, changes: &dyn EpochChanges) -> Result<Vec<u8>, SinkError> {
        for (sink, path) in self.paths.iter().enumerate() {
            let (_, mut held) = read(path);
            for batch in changes.of_sink(sink)?.into_iter().flatten() {
                let batch = batch?;
                let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().clone();
                let (keys, values, counts) = (column(0), column(1), column(2));
                for row in 0..batch.num_rows() {
                    let key = (keys.value(row), values.value(row));
                    *held.entry(key).or_default() += counts.value(row);
                }
            }
            held.retain(|_, count| *count != 0);
            let rows: Vec<Value> = held
                .iter()
                .map(|((key, value), count)| json!([key, value, count]))
                .collect();
            let document = json!({"epoch": epoch, "rows": rows});
            fs::write(Self::staged(path, epoch), document.to_string()).unwrap();
        }
        Ok(epoch.to_string().into_bytes())
    }

    fn publish(
        &mut self,
        epoch: u64,
        staged: &[u8],
        _: &dyn EpochChanges,
        _: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError> {
        assert_eq!(staged, epoch.to_string().as_bytes(), "what stage gave");
        for path in &self.paths {
            if read(path).0 == epoch {
                continue;
            }
            let refuses = path.with_file_name("refuse");
            if refuses.exists() {
                return Err(SinkError::StagedGone {
                    target: path.clone(),
                    staged: refuses,
                });
            }
            fs::rename(Self::staged(path, epoch), path).unwrap();
        }
        Ok(())
    }
}

/// The epoch and the rows that a toy holds.
pub fn read(path: &Path) -> (u64, Held) {
    let Ok(text) = fs::read(path) else {
        return (0, Held::new());
    };
    let document: Value = serde_json::from_slice(&text).unwrap();
    let number = |value: &Value| value.as_i64().unwrap();
    let rows = document["rows"].as_array().unwrap().iter();
    let rows = rows.map(|row| ((number(&row[0]), number(&row[1])), number(&row[2])));
    (document["epoch"].as_u64().unwrap(), rows.collect())
}
