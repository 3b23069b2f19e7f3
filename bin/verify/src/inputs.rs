//! The inputs as they were last read: a source for DataFusion, and the rows that cannot be decoded.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use tidewater_engine::error::SourceError;
use tidewater_engine::file::{Delivery, Depot, open};
use tidewater_engine::kafka::KafkaSource;
use tidewater_engine::kafka::{LogReader, StreamPosition, place_fields};
use tidewater_engine::source::{Decoded, Reader, Rejected, SourceSpec};

use tidewater_cli::failure::Failure;

/// Columns that hold the place of a row, for sources with a primary key: in a file, and in a topic.
pub const PLACES: [&str; 3] = ["tidewater: modified", "tidewater: path", "tidewater: row"];
pub const MESSAGE_PLACES: [&str; 4] = [
    "tidewater: timestamp",
    "tidewater: partition",
    "tidewater: offset",
    "tidewater: deleted",
];

/// Batches that wait for DataFusion.
const WAITING: usize = 4;

/// The stored content of a source.
pub enum KeptContent {
    /// Files, and when each was last modified.
    Files(Vec<(Delivery, i64)>, Arc<Depot>),
    /// Messages, kept in a directory.
    Messages(PathBuf, StreamPosition),
}

/// The deliveries of a source.
pub struct KeptInput {
    spec: SourceSpec,
    content: KeptContent,
    /// Threads that decode.
    decoders: usize,
    schema: SchemaRef,
}

impl fmt::Debug for KeptInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.spec.name)
    }
}

impl KeptInput {
    /// A source, read from its stored content.
    pub fn new(spec: SourceSpec, content: KeptContent, decoders: usize) -> Self {
        let columns = spec.schema.fields().iter().enumerate();
        let columns = columns.map(|(at, field)| {
            // A column that no view reads is not decoded: it is NULL.
            let read = spec.projection.binary_search(&at).is_ok();
            let field = field.as_ref().clone();
            // Of a message that deletes a row only the key is there.
            let nullable =
                field.is_nullable() || !read || (spec.ordinals && KafkaSource::of(&spec).is_some());
            field.with_nullable(nullable)
        });
        let mut fields: Vec<Field> = columns.collect();
        fields.extend(match (spec.ordinals, KafkaSource::of(&spec)) {
            (false, _) => Vec::new(),
            (true, None) => named(&PLACES, [DataType::Int64, DataType::Utf8, DataType::UInt64]),
            (true, Some(_)) => named(
                &MESSAGE_PLACES,
                place_fields().map(|field| field.data_type().clone()),
            ),
        });
        Self {
            // DataFusion gets plain columns.
            spec: SourceSpec {
                dictionaries: false,
                ..spec
            },
            content,
            decoders,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    fn reader(&self) -> std::result::Result<Arc<dyn Reader>, String> {
        let opened = match &self.content {
            KeptContent::Files(deliveries, depot) => {
                let deliveries = deliveries.iter().map(|(delivery, _)| delivery.clone());
                open(&self.spec, deliveries.collect(), Some(depot))
            }
            KeptContent::Messages(directory, position) => {
                let (segments, partitions) = (&position.segments, &position.partitions);
                LogReader::open(&self.spec, directory, segments, partitions)
            }
        };
        opened.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &SourceError) -> String {
        format!("source {}: {error}", self.spec.name)
    }

    /// Gives `take` all rows that cannot be decoded.
    pub fn rejected(
        &self,
        mut take: impl FnMut(&[Rejected]) -> std::result::Result<(), Failure>,
    ) -> std::result::Result<(), Failure> {
        let failed = |error: SourceError| Failure::failed(self.failed(&error));
        let reader = self.reader().map_err(Failure::failed)?;
        while let Some(dealt) = reader.next_piece().map_err(failed)? {
            for decoded in dealt.piece {
                let decoded = decoded.map_err(failed)?;
                if !decoded.rejected.is_empty() {
                    take(&decoded.rejected)?;
                }
            }
        }
        Ok(())
    }

    /// The rows under all declared columns, and their places.
    fn widen(&self, decoded: Decoded, delivery: usize) -> Result<RecordBatch> {
        let rows = decoded.batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (at, field) in self.spec.schema.fields().iter().enumerate() {
            columns.push(match self.spec.projection.binary_search(&at) {
                Ok(found) => Arc::clone(decoded.batch.column(found)),
                Err(_) => new_null_array(field.data_type(), rows),
            });
        }
        if let (Some(ordinals), KeptContent::Files(deliveries, _)) =
            (decoded.ordinals, &self.content)
        {
            let (delivery, modified_ns) = &deliveries[delivery];
            columns.push(Arc::new(Int64Array::from(vec![*modified_ns; rows])));
            let paths = std::iter::repeat_n(&delivery.name, rows);
            columns.push(Arc::new(StringArray::from_iter_values(paths)));
            columns.push(Arc::new(UInt64Array::from(ordinals)));
        }
        // Messages bring their place, behind the columns that are read.
        let places = decoded.batch.columns().iter();
        columns.extend(places.skip(self.spec.projection.len()).cloned());
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Decodes pieces until there are none, or nobody wants their rows.
    fn decode(
        &self,
        reader: &dyn Reader,
        mut send: impl FnMut(Result<RecordBatch>) -> bool,
    ) -> Result<()> {
        let failed = |error: SourceError| DataFusionError::External(self.failed(&error).into());
        while let Some(dealt) = reader.next_piece().map_err(failed)? {
            for decoded in dealt.piece {
                let decoded = decoded.map_err(failed)?;
                if decoded
                    .retracted
                    .as_ref()
                    .is_some_and(|rows| rows.num_rows() > 0)
                {
                    let name = &self.spec.name;
                    let message = format!("source {name}: messages retract rows");
                    return Err(DataFusionError::NotImplemented(message));
                }
                if decoded.batch.num_rows() > 0 && !send(self.widen(decoded, dealt.delivery)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn named<const N: usize>(names: &[&str; N], types: [DataType; N]) -> Vec<Field> {
    let fields = names.iter().zip(types);
    fields
        .map(|(name, kind)| Field::new(*name, kind, false))
        .collect()
}

/// [`KeptInput`] as DataFusion reads it: a stream of its own each time.
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
