//! Compiled expressions: filters, projections, and computed columns for operators that need their keys as columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use datafusion_common::{DFSchema, DataFusionError, ToDFSchema};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::Sort as SortExpr;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use tidewater_operators::row_codec::OrderKey;

use super::evaluate::Evaluation;
use super::guard::{mark, unmark};
use super::{Map, Node, PlanError};
use crate::job::functions::float_key;
use crate::job::plain_type;

/// Compiles an expression over the columns of `schema`.
pub fn compile(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    unmark(create_physical_expr(
        &mark(expr, schema)?,
        schema,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )?)
}

/// The columns of a plan, as batches have them. All are nullable, so that no batch needs to prove again that a column
/// is not NULL.
pub fn physical_schema(schema: &DFSchema) -> SchemaRef {
    nullable(schema.as_arrow())
}

/// `schema` with nullable columns of plain types, and no metadata.
pub fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    Arc::new(Schema::new(
        fields
            .map(|field| Field::new(field.name(), plain_type(field.data_type()), true))
            .collect::<Vec<_>>(),
    ))
}

/// The columns of `schema`, as they are.
pub fn identity(schema: &Schema) -> Vec<Arc<dyn PhysicalExpr>> {
    let columns = schema.fields().iter().enumerate();
    columns
        .map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>)
        .collect()
}

impl Map {
    /// Filters and projects one batch.
    ///
    /// # Errors
    /// When an expression fails on a row (a cast, an overflow, a division by zero).
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let filtered;
        let batch = match &self.predicate {
            None => batch,
            Some(predicate) => {
                let keep = Evaluation::over(batch).predicate(predicate)?;
                // NULL is not true; the kernel drops such rows.
                filtered = filter_record_batch(batch, keep.as_boolean())?;
                &filtered
            }
        };
        let mut evaluation = Evaluation::over(batch);
        let columns = self.columns.iter();
        let columns = columns.map(|column| evaluation.column(column));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        to_batch(&self.schema, columns, batch.num_rows())
    }
}

/// A batch of `schema`. Columns whose physical type differs from the planned type are cast. A dictionary column is
/// cast by its values.
///
/// # Errors
/// When a column cannot be cast.
pub fn to_batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, DataFusionError> {
    let typed = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| typed(column, field.data_type()));
    let typed = typed.collect::<Result<Vec<_>, _>>()?;
    let is_planned =
        |(column, field): (&ArrayRef, &FieldRef)| column.data_type() == field.data_type();
    let schema = if typed.iter().zip(schema.fields()).all(is_planned) {
        Arc::clone(schema)
    } else {
        let fields = schema.fields().iter().zip(&typed).map(|(field, column)| {
            let field = field.as_ref().clone();
            field.with_data_type(column.data_type().clone())
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, typed, &options)?)
}

fn typed(column: ArrayRef, planned: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == planned {
        return Ok(column);
    }
    match column.as_dictionary_opt::<UInt32Type>() {
        Some(dictionary) if dictionary.values().data_type() == planned => Ok(column),
        Some(dictionary) => Ok(Arc::new(
            dictionary.with_values(cast(dictionary.values(), planned)?),
        )),
        None => cast(&column, planned),
    }
}

/// A node with computed columns after those of `input`.
pub struct Extended {
    /// `input`'s columns, then the computed ones.
    pub node: Node,
    input_schema: DFSchema,
    columns: Vec<Arc<dyn PhysicalExpr>>,
    /// The first position of each of `columns`.
    positions: HashMap<Arc<dyn PhysicalExpr>, usize>,
    fields: Vec<Field>,
}

impl Extended {
    /// Begins with the columns of `input`, which expressions name by `schema`.
    pub fn new(input: Node, schema: &DFSchema) -> Self {
        let fields: Vec<Field> = input
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let columns = identity(input.schema());
        let positions = columns.iter().enumerate().rev();
        let positions = positions.map(|(at, column)| (Arc::clone(column), at));
        Self {
            positions: positions.collect(),
            columns,
            node: input,
            input_schema: schema.clone(),
            fields,
        }
    }

    /// The position of the column for `expr`, which is added if it does not exist.
    ///
    /// # Errors
    /// When the expression does not compile.
    pub fn column(&mut self, expr: &Expr) -> Result<usize, PlanError> {
        let compiled = compile(expr, &self.input_schema)?;
        if let Some(known) = self.positions.get(&compiled) {
            return Ok(*known);
        }
        let data_type = plain_type(&expr.get_type(&self.input_schema)?);
        self.fields
            .push(Field::new(expr.schema_name().to_string(), data_type, true));
        let at = self.columns.len();
        self.positions.insert(Arc::clone(&compiled), at);
        self.columns.push(compiled);
        Ok(at)
    }

    /// Like [`column`](Self::column), for values that are compared by their bytes. Floats have one zero and one NaN
    /// then.
    ///
    /// # Errors
    /// When the expression does not compile.
    pub fn key(&mut self, expr: &Expr) -> Result<usize, PlanError> {
        let data_type = expr.get_type(&self.input_schema)?;
        if !data_type.is_floating() {
            return self.column(expr);
        }
        self.column(&float_key(expr.clone()))
    }

    /// The columns that hold the keys of an order.
    ///
    /// # Errors
    /// When an expression does not compile.
    pub fn order(&mut self, keys: &[SortExpr]) -> Result<Vec<OrderKey>, PlanError> {
        let keys = keys.iter().map(|key| {
            Ok(OrderKey {
                column: self.column(&key.expr)?,
                descending: !key.asc,
                nulls_first: key.nulls_first,
            })
        });
        keys.collect()
    }

    /// The node that computes the added columns, or `input` itself if there are none.
    pub fn finish(self) -> Node {
        if self.columns.len() == self.node.schema().fields().len() {
            return self.node;
        }
        let schema = Arc::new(Schema::new(self.fields));
        Node::Map(Box::new(Map {
            input: self.node,
            predicate: None,
            columns: self.columns,
            schema,
        }))
    }
}

/// `input` reduced to the columns at `positions`, or `input` itself if that changes nothing.
pub fn select(input: Node, positions: &[usize]) -> Node {
    let fields = input.schema().fields();
    if positions.iter().copied().eq(0..fields.len()) {
        return input;
    }
    let chosen: Vec<Field> = positions
        .iter()
        .map(|&at| fields[at].as_ref().clone())
        .collect();
    let columns = positions
        .iter()
        .map(|&at| Arc::new(Column::new(fields[at].name(), at)) as Arc<dyn PhysicalExpr>);
    let columns = columns.collect();
    Node::Map(Box::new(Map {
        predicate: None,
        columns,
        schema: Arc::new(Schema::new(chosen)),
        input,
    }))
}

/// `input` with the names and types of `schema`, column by column.
///
/// # Errors
/// When a type cannot be cast.
pub fn conform(input: Node, schema: &SchemaRef) -> Result<Node, PlanError> {
    let schema = nullable(schema);
    if *input.schema() == schema {
        return Ok(input);
    }
    let from = Arc::clone(input.schema()).to_dfschema()?;
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(from.field(at).name(), at));
        if from.field(at).data_type() == field.data_type() {
            return Ok(column);
        }
        Ok(datafusion_physical_expr::expressions::cast(
            column,
            from.as_arrow(),
            field.data_type().clone(),
        )?)
    });
    let columns = columns.collect::<Result<Vec<_>, PlanError>>()?;
    Ok(Node::Map(Box::new(Map {
        input,
        predicate: None,
        columns,
        schema,
    })))
}
