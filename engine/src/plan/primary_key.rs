//! Primary keys: of the rows with one key, the one that was delivered last counts.
//!
//! Later is the row of the file that was modified later; of files modified at the same time that of the greater path;
//! within a file the row further on. So which row counts is a function of the files that are present, and not of the
//! runs in which they arrived, and when a file is withdrawn the row before it counts again.
//!
//! Of messages the later one is that of the greater offset in its partition. Where a key is in several partitions (their
//! number was raised, say) the latest messages of each are compared: later is the one of the later timestamp, at equal
//! times of the greater partition. What counts may say that its key is deleted; then no row counts. Messages are never
//! taken back, so of those that were superseded nothing is kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, NotExpr};
use tidewater_connectors::kafka::{self, KafkaSource};
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::top::TopSpec;

use crate::job::Source;
use crate::plan::{Map, Node, PlannedView};

/// The columns of a source's rows as they enter the graph: those that are read, and where it has a key those of the
/// row's place.
pub fn incoming_schema(source: &Source) -> SchemaRef {
    if source.primary_key.is_empty() {
        return Arc::clone(&source.schema);
    }
    if KafkaSource::of(&source.spec).is_some() {
        return kafka::incoming_schema(&source.spec);
    }
    let places = [
        Field::new("modified", DataType::Int64, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("ordinal", DataType::UInt64, false),
    ];
    let fields = source.schema.fields().iter().cloned();
    let fields = fields.chain(places.into_iter().map(Arc::new));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows of a file as they enter the graph: `ordinals` are their places in it, where the source has a key. Their texts
/// stay dictionaries where they are.
///
/// # Errors
/// When the places are not of `schema`, or not as many as the rows.
pub fn incoming(
    schema: &SchemaRef,
    rows: RecordBatch,
    ordinals: Option<Vec<u64>>,
    modified_ns: i64,
    path: &str,
) -> Result<RecordBatch, ArrowError> {
    let Some(ordinals) = ordinals else {
        return Ok(rows);
    };
    let number = rows.num_rows();
    let paths = std::iter::repeat_n(path, number);
    let places: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(vec![modified_ns; number])),
        Arc::new(StringArray::from_iter_values(paths)),
        Arc::new(UInt64Array::from(ordinals)),
    ];
    let mut columns = rows.columns().to_vec();
    columns.extend(places);
    let of_places = schema.fields().iter().skip(rows.num_columns());
    let fields = rows.schema_ref().fields().iter().chain(of_places).cloned();
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns)
}

/// The rows of a source that count, as a view that is read in its place; `None` without a key.
pub fn keyed(source: &Source) -> Option<PlannedView> {
    if source.primary_key.is_empty() {
        return None;
    }
    let schema = incoming_schema(source);
    let width = source.schema.fields().len();
    let read = source.primary_key.iter();
    let key = read.filter_map(|key| source.spec.projection.binary_search(key).ok());
    let key: Vec<usize> = key.collect();
    let all = Node::Scan {
        relation: source.spec.name.clone(),
        projection: (0..schema.fields().len()).collect(),
        schema: Arc::clone(&schema),
    };
    let last = |input, partition, order: &[usize], forgets| Node::Top {
        input: Box::new(input),
        spec: last(&schema, partition, order, forgets),
    };
    let (counting, predicate) = if KafkaSource::of(&source.spec).is_some() {
        let [timestamp, partition, offset, deleted] = [width, width + 1, width + 2, width + 3];
        let in_partition = key.iter().copied().chain([partition]).collect();
        let latest = last(all, in_partition, &[offset], true);
        let there = Arc::new(NotExpr::new(column(&schema, deleted)));
        let of_all = last(latest, key, &[timestamp, partition], false);
        (of_all, Some(there as Arc<dyn PhysicalExpr>))
    } else {
        (last(all, key, &[width, width + 1, width + 2], false), None)
    };
    let columns = (0..width).map(|at| column(&source.schema, at));
    let node = Node::Map(Box::new(Map {
        input: counting,
        predicate,
        columns: columns.collect(),
        schema: Arc::clone(&source.schema),
    }));
    Some(PlannedView {
        name: source.spec.name.clone(),
        node,
    })
}

/// The last row of each partition, in this order of columns.
fn last(schema: &SchemaRef, partition: Vec<usize>, order: &[usize], forgets: bool) -> TopSpec {
    let descending = |&column| OrderKey {
        column,
        descending: true,
        nulls_first: false,
    };
    TopSpec {
        schema: Arc::clone(schema),
        partition,
        order: order.iter().map(descending).collect(),
        offset: 0,
        limit: 1,
        forgets,
    }
}

fn column(schema: &SchemaRef, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(schema.field(at).name(), at))
}
