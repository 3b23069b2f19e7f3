//! Primary keys: of the rows with one key, the one that was delivered last counts.
//!
//! Later is the row of the file that was modified later; of files modified at the same time that of the greater path;
//! within a file the row further on. So which row counts is a function of the files that are present, and not of the
//! runs in which they arrived, and when a file is withdrawn the row before it counts again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::top::TopSpec;

use crate::job::Source;
use crate::plan::{Map, Node};

/// The columns of a source's rows as they enter the graph: those that are read, and where it has a key those of the
/// row's place.
pub fn incoming_schema(source: &Source) -> SchemaRef {
    if source.primary_key.is_empty() {
        return Arc::clone(&source.schema);
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

/// Rows of a file as they enter the graph: `ordinals` are their places in it, where the source has a key.
///
/// # Errors
/// When the rows are not of `schema`.
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
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// The rows of a source that count, as a view that is read in its place; `None` without a key.
pub fn keyed(source: &Source) -> Option<(String, Node)> {
    if source.primary_key.is_empty() {
        return None;
    }
    let schema = incoming_schema(source);
    let width = source.schema.fields().len();
    let read = source.primary_key.iter();
    let partition = read.filter_map(|key| source.spec.projection.binary_search(key).ok());
    let order = (width..width + 3).map(|column| OrderKey {
        column,
        descending: true,
        nulls_first: false,
    });
    let last = TopSpec {
        schema: Arc::clone(&schema),
        partition: partition.collect(),
        order: order.collect(),
        offset: 0,
        limit: 1,
    };
    let all = Node::Scan {
        relation: source.spec.name.clone(),
        projection: (0..width + 3).collect(),
        schema,
    };
    let columns = source.schema.fields().iter().enumerate();
    let columns =
        columns.map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>);
    let node = Node::Map(Box::new(Map {
        input: Node::Top {
            input: Box::new(all),
            spec: last,
        },
        predicate: None,
        columns: columns.collect(),
        schema: Arc::clone(&source.schema),
    }));
    Some((source.spec.name.clone(), node))
}
