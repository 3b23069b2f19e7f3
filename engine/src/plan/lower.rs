//! Translates logical plans into nodes.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::Schema;
use datafusion_common::DFSchema;
use datafusion_expr::{LogicalPlan, Projection, TableScan, Union, Values};

use super::expression::{compile, conform, identity, physical_schema};
use super::{Map, Node, PlanError, aggregate, join, limit, unnest, window};
use crate::job::View;

/// The plan of a view, with the names and types of the view's columns.
///
/// # Errors
/// When a plan node has no operator. [`Job::parse`](crate::job::Job::parse) should have refused it.
pub fn lower(view: &View) -> Result<Node, PlanError> {
    conform(node(&view.plan)?, &view.schema)
}

/// One plan node and all below it.
pub fn node(plan: &LogicalPlan) -> Result<Node, PlanError> {
    match plan {
        LogicalPlan::TableScan(scan) => Ok(table_scan(scan)),
        LogicalPlan::SubqueryAlias(alias) => node(&alias.input),
        LogicalPlan::Projection(projection) => project(projection, node(&projection.input)?),
        LogicalPlan::Filter(filter) => {
            let (schema, input) = (filter.input.schema(), node(&filter.input)?);
            let predicate = compile(&filter.predicate, schema)?;
            let columns = identity(input.schema());
            Ok(Node::Map(Box::new(Map {
                schema: Arc::clone(input.schema()),
                input,
                predicate: Some(predicate),
                columns,
            })))
        }
        LogicalPlan::Aggregate(aggregate) => aggregate::lower(aggregate, node(&aggregate.input)?),
        LogicalPlan::Union(union) => unite(union),
        LogicalPlan::Join(join) => join::lower(join, node(&join.left)?, node(&join.right)?),
        LogicalPlan::Unnest(unnest) => Ok(unnest::lower(unnest, node(&unnest.input)?)),
        LogicalPlan::Window(window) => window::lower(window, node(&window.input)?),
        // Without LIMIT, an order has no meaning for a multiset of rows.
        LogicalPlan::Sort(sort) => match sort.fetch {
            None => node(&sort.input),
            Some(fetch) => limit::lower(sort, fetch, node(&sort.input)?),
        },
        LogicalPlan::EmptyRelation(empty) => {
            let rows = usize::from(empty.produce_one_row);
            let fields = empty.schema.fields().iter();
            let columns = fields
                .map(|field| new_null_array(field.data_type(), rows))
                .collect();
            constant(columns, rows, &empty.schema)
        }
        LogicalPlan::Values(values) => constant_rows(values),
        other => Err(PlanError::Unsupported(other.display().to_string())),
    }
}

fn table_scan(scan: &TableScan) -> Node {
    let all = 0..scan.source.schema().fields().len();
    Node::Scan {
        relation: scan.table_name.table().to_owned(),
        projection: scan.projection.clone().unwrap_or_else(|| all.collect()),
        schema: physical_schema(&scan.projected_schema),
    }
}

/// A projection. A filter directly below it is merged into the same pass.
fn project(projection: &Projection, input: Node) -> Result<Node, PlanError> {
    let columns = projection
        .expr
        .iter()
        .map(|expr| compile(expr, projection.input.schema()));
    let columns = columns.collect::<Result<_, _>>()?;
    let schema = physical_schema(&projection.schema);
    let map = match input {
        Node::Map(filter)
            if filter.predicate.is_some()
                && matches!(*projection.input, LogicalPlan::Filter(_)) =>
        {
            Map {
                columns,
                schema,
                ..*filter
            }
        }
        input => Map {
            input,
            predicate: None,
            columns,
            schema,
        },
    };
    Ok(Node::Map(Box::new(map)))
}

fn unite(union: &Union) -> Result<Node, PlanError> {
    let schema = physical_schema(&union.schema);
    let inputs = union
        .inputs
        .iter()
        .map(|input| conform(node(input)?, &schema));
    Ok(Node::Union {
        inputs: inputs.collect::<Result<_, _>>()?,
        schema,
    })
}

/// `VALUES`, evaluated once, here.
fn constant_rows(values: &Values) -> Result<Node, PlanError> {
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    let nothing = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one)
        .map_err(datafusion_common::DataFusionError::from)?;
    let empty = DFSchema::empty();
    let mut columns = Vec::new();
    for at in 0..values.schema.fields().len() {
        let cells = values
            .values
            .iter()
            .map(|row| -> Result<ArrayRef, PlanError> {
                let cell = compile(&row[at], &empty)?
                    .evaluate(&nothing)?
                    .into_array(1)?;
                Ok(
                    arrow::compute::cast(&cell, values.schema.field(at).data_type())
                        .map_err(datafusion_common::DataFusionError::from)?,
                )
            });
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(AsRef::as_ref).collect();
        columns.push(
            arrow::compute::concat(&cells).map_err(datafusion_common::DataFusionError::from)?,
        );
    }
    constant(columns, values.values.len(), &values.schema)
}

fn constant(columns: Vec<ArrayRef>, rows: usize, schema: &DFSchema) -> Result<Node, PlanError> {
    let batch = super::expression::to_batch(&physical_schema(schema), columns, rows)?;
    Ok(Node::Constant { batch })
}
