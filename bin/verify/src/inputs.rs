//! The stored inputs, as a source for DataFusion, and their rejected rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use tidewater_engine::drive::RowCheck;
use tidewater_engine::error::SourceError;
use tidewater_engine::job::Source;
use tidewater_engine::source::{Dealt, Decoded, NextPiece, Reader, Rejected, SourceSpec};
use tidewater_engine::{Job, KeptSource, RunError};

use tidewater_cli::failure::Failure;

/// The name of a place column, distinct from every declared column.
pub fn place_name(name: &str) -> String {
    format!("tidewater: {name}")
}

/// Most batches that wait for DataFusion.
const WAITING: usize = 4;

/// The deliveries of a source.
pub struct KeptInput {
    spec: SourceSpec,
    kept: KeptSource,
    /// The check that rejects rows on which an expression fails, if the source asks for it.
    check: Option<RowCheck>,
    /// Number of decoding threads.
    decoders: usize,
    schema: SchemaRef,
}

impl fmt::Debug for KeptInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.spec.name)
    }
}

impl KeptInput {
    /// A source of a job, read from its stored content.
    ///
    /// # Errors
    /// When the job's views have no dataflow.
    pub fn new(
        job: &Job,
        source: &Source,
        kept: KeptSource,
        decoders: usize,
    ) -> std::result::Result<Self, RunError> {
        let spec = source.spec.clone();
        let check = RowCheck::of(job, source, &spec)?;
        let deletes = source.input.key_order().deleted.is_some();
        let columns = spec.schema.fields().iter().enumerate();
        let columns = columns.map(|(at, field)| {
            // A column that no view reads is not decoded, and NULL.
            let read = spec.projection.binary_search(&at).is_ok();
            let field = field.as_ref().clone();
            // A row that deletes its key has only the key's columns.
            let nullable = field.is_nullable() || !read || (spec.ordinals && deletes);
            field.with_nullable(nullable)
        });
        let mut fields: Vec<Field> = columns.collect();
        if spec.ordinals {
            let places = source.input.place_fields().into_iter();
            fields.extend(places.map(|field| {
                let field = field.as_ref().clone();
                let name = place_name(field.name());
                field.with_name(name)
            }));
        }
        Ok(Self {
            // DataFusion gets plain columns.
            spec: SourceSpec {
                dictionaries: false,
                ..spec
            },
            kept,
            check,
            decoders,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    fn reader(&self) -> std::result::Result<Arc<dyn Reader>, String> {
        let opened = self.kept.open(&self.spec);
        let reader = opened.map_err(|error| self.failed(&error))?;
        Ok(match &self.check {
            Some(check) => check.clone().before(reader),
            None => reader,
        })
    }

    fn failed(&self, error: &SourceError) -> String {
        format!("source {}: {error}", self.spec.name)
    }

    /// Passes all rejected rows to `take`.
    pub fn rejected(
        &self,
        mut take: impl FnMut(&[Rejected]) -> std::result::Result<(), Failure>,
    ) -> std::result::Result<(), Failure> {
        let failed = |error: SourceError| Failure::failed(self.failed(&error));
        let reader = self.reader().map_err(Failure::failed)?;
        while let Some(dealt) = next(&*reader).map_err(failed)? {
            for decoded in dealt.piece {
                let decoded = decoded.map_err(failed)?;
                if !decoded.rejected.is_empty() {
                    take(&decoded.rejected)?;
                }
            }
        }
        Ok(())
    }

    /// The rows with all declared columns and their place columns.
    fn widen(&self, decoded: &Decoded) -> Result<RecordBatch> {
        let rows = decoded.batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (at, field) in self.spec.schema.fields().iter().enumerate() {
            columns.push(match self.spec.projection.binary_search(&at) {
                Ok(found) => Arc::clone(decoded.batch.column(found)),
                Err(_) => new_null_array(field.data_type(), rows),
            });
        }
        // Places follow the columns that are read.
        let places = decoded.batch.columns().iter();
        columns.extend(places.skip(self.spec.projection.len()).cloned());
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Decodes pieces until there are no more, or their rows are not wanted any more.
    fn decode(
        &self,
        reader: &dyn Reader,
        mut send: impl FnMut(Result<RecordBatch>) -> bool,
    ) -> Result<()> {
        let failed = |error: SourceError| DataFusionError::External(self.failed(&error).into());
        while let Some(dealt) = next(reader).map_err(failed)? {
            for decoded in dealt.piece {
                let decoded = decoded.map_err(failed)?;
                if decoded.batch.num_rows() > 0 && !send(self.widen(&decoded)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Waits for the next piece; `None` after the last.
fn next(reader: &dyn Reader) -> std::result::Result<Option<Dealt>, SourceError> {
    loop {
        match reader.next_piece()? {
            NextPiece::Dealt(dealt) => return Ok(Some(dealt)),
            NextPiece::Wait => std::thread::yield_now(),
            NextPiece::Done => return Ok(None),
        }
    }
}

/// [`KeptInput`] for DataFusion, which gets a new stream each time.
#[derive(Debug)]
pub struct InputStream(pub Arc<KeptInput>);

impl PartitionStream for InputStream {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.0.schema), WAITING);
        let reader = self.0.reader();
        for _ in 0..self.0.decoders.max(1) {
            let (input, reader, to) = (Arc::clone(&self.0), reader.clone(), stream.tx());
            stream.spawn_blocking(move || {
                let reader = reader.map_err(|error| DataFusionError::External(error.into()))?;
                input.decode(&*reader, |batch| to.blocking_send(batch).is_ok())
            });
        }
        stream.build()
    }
}
