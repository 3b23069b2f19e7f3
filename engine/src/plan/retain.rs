//! Retention: rows of closed windows do not reach the aggregation of a view.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use tidewater_operators::aggregate::Aggregation;

use super::{Map, Node, PlanError};

/// `node` with a [`Node::Retain`] before the aggregation whose key is its output column `column`. That key becomes the
/// first of the aggregation, so that closed windows lie side by side in its state.
///
/// # Errors
/// When the column is no key of an aggregation.
pub fn retain(node: Node, column: usize) -> Result<Node, PlanError> {
    match node {
        Node::Map(map) => {
            let expression: &dyn std::any::Any = map.columns[column].as_ref();
            let Some(read) = expression.downcast_ref::<Column>().map(Column::index) else {
                return Err(not_a_key());
            };
            let map = Map {
                input: retain(map.input, read)?,
                ..*map
            };
            Ok(Node::Map(Box::new(map)))
        }
        Node::Aggregate { input, aggregation } if column < aggregation.group.len() => {
            Ok(before(*input, &aggregation, column))
        }
        _ => Err(not_a_key()),
    }
}

fn not_a_key() -> PlanError {
    PlanError::Unsupported(
        "the column by which windows are retained is not a key of the view's GROUP BY, which 'retain' needs: it".to_owned(),
    )
}

fn before(input: Node, aggregation: &Aggregation, column: usize) -> Node {
    let keys = aggregation.group.len();
    let mut order: Vec<usize> = (0..keys).filter(|&key| key != column).collect();
    order.insert(0, column);
    let all = aggregation.output.fields().len();
    let moved: Vec<usize> = order.iter().copied().chain(keys..all).collect();
    let fields = moved
        .iter()
        .map(|&at| Arc::clone(&aggregation.output.fields()[at]));
    let retained = Aggregation {
        group: order.iter().map(|&key| aggregation.group[key]).collect(),
        output: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        ..aggregation.clone()
    };
    let columns = (0..all).map(|at| {
        let place = moved.iter().position(|&from| from == at).unwrap_or(at);
        let name = aggregation.output.field(at).name();
        Arc::new(Column::new(name, place)) as Arc<dyn PhysicalExpr>
    });
    Node::Map(Box::new(Map {
        columns: columns.collect(),
        schema: Arc::clone(&aggregation.output),
        predicate: None,
        input: Node::Aggregate {
            input: Box::new(Node::Retain {
                input: Box::new(input),
                column: aggregation.group[column],
            }),
            aggregation: retained,
        },
    }))
}

/// The times of windows as numbers, in the unit of their column.
///
/// # Errors
/// When the column is no date and no timestamp.
pub fn times(column: &ArrayRef) -> Result<Int64Array, ArrowError> {
    let column = match column.data_type() {
        DataType::Date32 => cast(column, &DataType::Int32)?,
        _ => Arc::clone(column),
    };
    Ok(cast(&column, &DataType::Int64)?
        .as_primitive::<Int64Type>()
        .clone())
}

/// A number as a value of the column's type.
///
/// # Errors
/// When the type is no date and no timestamp.
pub fn to_time(time: i64, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let number: ArrayRef = Arc::new(Int64Array::from(vec![time]));
    match data_type {
        DataType::Date32 => cast(&cast(&number, &DataType::Int32)?, data_type),
        _ => cast(&number, data_type),
    }
}

/// A time or a length of time in the unit of the column's type.
pub fn in_unit(microseconds: i64, data_type: &DataType) -> i64 {
    match data_type {
        DataType::Date32 => microseconds / 86_400_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => microseconds / 1_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => microseconds / 1_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => microseconds.saturating_mul(1_000),
        _ => microseconds,
    }
}
