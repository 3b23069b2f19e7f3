//! A toy source: a text file of rows `id,amount`. Any row may be added, changed or removed between two runs.
//!
//! Its checkpoint has an entry for each row. The changes are the difference between file and checkpoint, so nothing
//! else needs to be kept.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use tidewater_connectors::checkpoint::Checkpoint;
use tidewater_connectors::connector::{
    ChangeRules, DeliveryChange, EpochCounts, InputPart, KeyOrder, ReadBounds, ReadUntil, Source,
    SourceChanges, SourceConnector, SourceOutcome, SourceSession, SourceState,
};
use tidewater_connectors::declaration::{
    DeclarationError, DeclarationPart, ParsedSource, SourceDeclaration,
};
use tidewater_connectors::error::SourceError;
use tidewater_connectors::source::{Dealt, Decoded, NextPiece, Reader, SourceSpec};
use tidewater_connectors::status::SourceStatus;

const SCHEME: &str = "toy://";

/// Amounts, by id.
type Rows = BTreeMap<i64, i64>;

#[derive(Debug)]
pub struct ToySources;

pub static TOY_SOURCES: ToySources = ToySources;

#[derive(Debug)]
struct ToySource {
    path: String,
}

impl SourceConnector for ToySources {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn accepts(&self, location: &str) -> bool {
        location.starts_with(SCHEME)
    }

    fn parse(
        &self,
        declaration: &SourceDeclaration<'_>,
    ) -> Result<ParsedSource, Vec<DeclarationError>> {
        let path = declaration.location.trim_start_matches(SCHEME);
        if path.is_empty() {
            let error = DeclarationError::new(
                DeclarationPart::Location,
                "the location names no file",
                "write 'toy://rows.csv'",
            );
            return Err(vec![error]);
        }
        Ok(ParsedSource {
            location: declaration.location.to_owned(),
            format_options: declaration.options.clone(),
            dictionaries: false,
            source: Arc::new(ToySource {
                path: path.to_owned(),
            }),
        })
    }
}

impl ToySource {
    fn rows(&self) -> Result<Rows, SourceError> {
        let text = fs::read_to_string(&self.path)
            .map_err(|error| SourceError::io("read", self.path.as_ref(), error))?;
        let rows = text.lines().map(|line| {
            let (id, amount) = line.split_once(',').unwrap();
            (id.parse().unwrap(), amount.parse().unwrap())
        });
        Ok(rows.collect())
    }
}

fn kept(checkpoint: &Checkpoint) -> Result<Rows, SourceError> {
    Ok(checkpoint.values::<(i64, i64)>()?.into_iter().collect())
}

impl Source for ToySource {
    fn connector(&self) -> &'static dyn SourceConnector {
        &TOY_SOURCES
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn place_fields(&self) -> Vec<FieldRef> {
        Vec::new()
    }

    fn key_order(&self) -> KeyOrder {
        KeyOrder {
            rounds: Vec::new(),
            deleted: None,
        }
    }

    fn decoded_schema(&self, spec: &SourceSpec) -> SchemaRef {
        Arc::new(spec.schema.project(&spec.projection).unwrap())
    }

    fn open(&self, spec: &SourceSpec, _: &ReadBounds) -> Result<Arc<dyn Reader>, SourceError> {
        Ok(ToyReader::open(spec, self.rows()?))
    }

    fn open_kept(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
    ) -> Result<Arc<dyn Reader>, SourceError> {
        Ok(ToyReader::open(spec, kept(state.checkpoint)?))
    }

    fn resume(
        &self,
        spec: &Arc<SourceSpec>,
        _: &SourceState<'_>,
    ) -> Result<Box<dyn SourceSession>, SourceError> {
        Ok(Box::new(ToySession {
            spec: Arc::clone(spec),
            source: Self {
                path: self.path.clone(),
            },
        }))
    }

    fn status(
        &self,
        _: &SourceSpec,
        state: &SourceState<'_>,
        _: bool,
    ) -> Result<SourceStatus, SourceError> {
        Ok(SourceStatus {
            rows: state.checkpoint.entries.len() as u64,
            ..SourceStatus::default()
        })
    }
}

struct ToySession {
    spec: Arc<SourceSpec>,
    source: ToySource,
}

impl SourceSession for ToySession {
    fn changes(
        &mut self,
        checkpoint: &Checkpoint,
        _: ChangeRules<'_>,
    ) -> Result<Box<dyn SourceChanges>, SourceError> {
        let (old, new) = (kept(checkpoint)?, self.source.rows()?);
        let missing = |from: &Rows, other: &Rows| {
            let rows = from.iter().filter(|(id, row)| other.get(id) != Some(row));
            rows.map(|(id, amount)| (*id, *amount)).collect::<Rows>()
        };
        Ok(Box::new(ToyChanges {
            spec: Arc::clone(&self.spec),
            inserted: missing(&new, &old),
            retracted: missing(&old, &new),
            unchanged: old
                .into_iter()
                .filter(|(id, row)| new.get(id) == Some(row))
                .collect(),
            new,
        }))
    }
}

struct ToyChanges {
    spec: Arc<SourceSpec>,
    inserted: Rows,
    retracted: Rows,
    unchanged: Rows,
    new: Rows,
}

impl SourceChanges for ToyChanges {
    fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.retracted.is_empty()
    }

    fn open(&self, part: InputPart, _: ReadUntil) -> Result<Option<Arc<dyn Reader>>, SourceError> {
        let rows = match part {
            InputPart::Inserted => &self.inserted,
            InputPart::Retracted => &self.retracted,
            InputPart::Unchanged | InputPart::JudgedAgain => &self.unchanged,
        };
        let rows = (!rows.is_empty()).then(|| rows.clone());
        Ok(rows.map(|rows| ToyReader::open(&self.spec, rows)))
    }

    fn outcome(&self, counts: &EpochCounts) -> Result<SourceOutcome, SourceError> {
        let mut outcome = SourceOutcome {
            has_deliveries: true,
            rows: self.new.len() as u64,
            ..SourceOutcome::default()
        };
        let read: u64 = counts.inserted.iter().map(|count| count.read).sum();
        assert_eq!(read, self.inserted.len() as u64);
        if self.is_empty() {
            return Ok(outcome);
        }
        for id in self.retracted.keys() {
            outcome.checkpoint.removed.insert(id.to_string());
        }
        for row in &self.inserted {
            outcome.checkpoint.removed.remove(&row.0.to_string());
            outcome.checkpoint.put(&row.0.to_string(), &row)?;
        }
        outcome.deliveries.push(DeliveryChange {
            name: "rows".to_owned(),
            kind: "compared",
            rows_in: read,
            rejected: 0,
            rows_out: self.retracted.len() as u64,
        });
        Ok(outcome)
    }
}

/// Hands out all rows in one piece.
struct ToyReader(Mutex<Option<RecordBatch>>);

impl ToyReader {
    fn open(spec: &SourceSpec, rows: Rows) -> Arc<dyn Reader> {
        let (ids, amounts): (Vec<i64>, Vec<i64>) = rows.into_iter().unzip();
        let columns: [ArrayRef; 2] = [
            Arc::new(Int64Array::from(ids)),
            Arc::new(Int64Array::from(amounts)),
        ];
        let schema: Schema = spec.schema.project(&spec.projection).unwrap();
        let columns = spec.projection.iter().map(|at| Arc::clone(&columns[*at]));
        let batch = RecordBatch::try_new(Arc::new(schema), columns.collect()).unwrap();
        Arc::new(Self(Mutex::new(Some(batch))))
    }
}

impl Reader for ToyReader {
    fn next_piece(&self) -> Result<NextPiece, SourceError> {
        let batch = self.0.lock().unwrap().take();
        Ok(batch.map_or(NextPiece::Done, |batch| {
            let decoded = Decoded {
                batch,
                rejected: Vec::new(),
                ordinals: None,
                places: None,
                bytes: 0,
            };
            NextPiece::Dealt(Dealt::new(0, Box::new(std::iter::once(Ok(decoded)))))
        }))
    }

    fn deliveries(&self) -> usize {
        1
    }

    fn bytes_total(&self) -> u64 {
        0
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
