//! Window functions. Functions of one `OVER` clause share an operator. Several clauses are operators in sequence.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{
    AggregateUDF, Expr, ExprSchemable, LimitEffect, PartitionEvaluator, Window,
    WindowFunctionDefinition, WindowUDF,
};
use datafusion_physical_expr::aggregate::AggregateExprBuilder;
use datafusion_physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr,
    StandardWindowFunctionExpr, WindowExpr,
};
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::window::WindowSpec;

use super::expression::{Extended, compile, physical_schema, select};
use super::{Node, PlanError};

/// The functions of a `Window` plan node, one operator for each distinct `OVER` clause.
pub fn lower(window: &Window, input: Node) -> Result<Node, PlanError> {
    let width = input.schema().fields().len();
    let mut functions = window
        .window_expr
        .iter()
        .map(function)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .enumerate();
    let mut clauses: Vec<Vec<(usize, &WindowFunction)>> = Vec::new();
    functions.by_ref().for_each(|(at, function)| {
        let same = |clause: &&mut Vec<(usize, &WindowFunction)>| {
            same_clause(&clause[0].1.params, &function.params)
        };
        match clauses.iter_mut().find(same) {
            Some(clause) => clause.push((at, function)),
            None => clauses.push(vec![(at, function)]),
        }
    });
    let schema = window.input.schema();
    let mut node = input;
    // The final column of each function's result.
    let mut results = vec![0; window.window_expr.len()];
    for clause in clauses {
        let mut extended = Extended::new(node, schema);
        let params = &clause[0].1.params;
        let partition = params
            .partition_by
            .iter()
            .map(|key| extended.key(key))
            .collect::<Result<Vec<_>, _>>()?;
        let order = extended.order(&params.order_by)?;
        let input = extended.finish();
        let before = input.schema().fields().len();
        let (spec, names) = specification(input.schema(), schema, partition, order, &clause)?;
        for (offset, (at, _)) in clause.iter().enumerate() {
            results[*at] = before + offset;
        }
        node = Node::Window {
            input: Box::new(input),
            spec,
            functions: names,
        };
    }
    let positions: Vec<usize> = (0..width).chain(results).collect();
    super::expression::conform(select(node, &positions), &physical_schema(&window.schema))
}

fn function(expr: &Expr) -> Result<&WindowFunction, PlanError> {
    match expr {
        Expr::WindowFunction(function) => Ok(function),
        Expr::Alias(alias) => function(&alias.expr),
        other => Err(PlanError::Unsupported(other.to_string())),
    }
}

fn same_clause(a: &WindowFunctionParams, b: &WindowFunctionParams) -> bool {
    a.partition_by == b.partition_by && a.order_by == b.order_by
}

/// The operator of one clause. The columns of `input` begin with those of `schema`, which expressions refer to.
fn specification(
    input: &SchemaRef,
    schema: &DFSchema,
    partition: Vec<usize>,
    order: Vec<OrderKey>,
    clause: &[(usize, &WindowFunction)],
) -> Result<(WindowSpec, Vec<String>), PlanError> {
    let expressions = clause
        .iter()
        .map(|(_, function)| evaluator(function, schema));
    let expressions = expressions.collect::<Result<Vec<_>, _>>()?;
    let mut fields: Vec<FieldRef> = input.fields().iter().cloned().collect();
    for (_, function) in clause {
        let expr = Expr::WindowFunction(Box::new((*function).clone()));
        fields.push(Arc::new(Field::new(
            expr.schema_name().to_string(),
            expr.get_type(schema)?,
            true,
        )));
    }
    let names = clause
        .iter()
        .map(|(_, function)| function.fun.name().to_owned())
        .collect();
    let evaluate = move |batch: &RecordBatch| -> Result<Vec<ArrayRef>, Box<dyn std::error::Error + Send + Sync>> {
        expressions.iter().map(|expression| Ok(expression.evaluate(batch)?)).collect()
    };
    let output = Arc::new(Schema::new(fields));
    Ok((
        WindowSpec {
            input: Arc::clone(input),
            partition,
            order,
            evaluate: Arc::new(evaluate),
            output,
        },
        names,
    ))
}

/// A window function over one sorted partition, as `DataFusion` evaluates it.
fn evaluator(
    function: &WindowFunction,
    schema: &DFSchema,
) -> Result<Arc<dyn WindowExpr>, DataFusionError> {
    let WindowFunctionParams {
        args,
        partition_by,
        order_by,
        window_frame,
        filter,
        null_treatment,
        distinct,
    } = &function.params;
    let compile_all = |exprs: &[Expr]| {
        exprs
            .iter()
            .map(|expr| compile(expr, schema))
            .collect::<Result<Vec<_>, _>>()
    };
    let (args, partition_by) = (compile_all(args)?, compile_all(partition_by)?);
    let order_by = order_by.iter().map(|key| {
        let options = arrow::compute::SortOptions {
            descending: !key.asc,
            nulls_first: key.nulls_first,
        };
        Ok(PhysicalSortExpr {
            expr: compile(&key.expr, schema)?,
            options,
        })
    });
    let order_by = order_by.collect::<Result<Vec<_>, DataFusionError>>()?;
    let frame = Arc::new(window_frame.clone());
    let ignore_nulls = *null_treatment == Some(NullTreatment::IgnoreNulls);
    let filter = filter
        .as_deref()
        .map(|filter| compile(filter, schema))
        .transpose()?;
    Ok(match &function.fun {
        WindowFunctionDefinition::WindowUDF(udf) => {
            let input_fields = args
                .iter()
                .map(|arg| arg.return_field(schema.as_arrow()))
                .collect::<Result<_, _>>()?;
            let name = udf.name().to_owned();
            let standard = Standard {
                udf: Arc::clone(udf),
                args,
                input_fields,
                name,
                ignore_nulls,
            };
            Arc::new(StandardWindowExpr::new(
                Arc::new(standard),
                &partition_by,
                &order_by,
                frame,
            ))
        }
        WindowFunctionDefinition::AggregateUDF(udaf) => {
            let udaf = exact_aggregate(udaf);
            let builder = AggregateExprBuilder::new(Arc::clone(&udaf), args)
                .schema(Arc::clone(schema.inner()))
                .alias(udaf.name())
                .with_ignore_nulls(ignore_nulls)
                .with_distinct(*distinct);
            let aggregate = Arc::new(builder.build()?);
            if frame.is_ever_expanding() {
                Arc::new(PlainAggregateWindowExpr::new(
                    aggregate,
                    &partition_by,
                    &order_by,
                    frame,
                    filter,
                ))
            } else {
                Arc::new(SlidingAggregateWindowExpr::new(
                    aggregate,
                    &partition_by,
                    &order_by,
                    frame,
                    filter,
                ))
            }
        }
    })
}

/// Sums and averages that do not wrap, in place of DataFusion's. A plan that was built in Rust may contain those.
fn exact_aggregate(function: &Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    let exact = crate::job::aggregate_functions().into_iter();
    let mut exact = exact.filter(|exact| exact.name() == function.name());
    exact.next().unwrap_or_else(|| Arc::clone(function))
}

/// A window function such as `rank` or `lag` for [`StandardWindowExpr`]. (`DataFusion` has this adapter in its executor,
/// which the engine does without.)
#[derive(Debug)]
struct Standard {
    udf: Arc<WindowUDF>,
    args: Vec<Arc<dyn PhysicalExpr>>,
    input_fields: Vec<FieldRef>,
    name: String,
    ignore_nulls: bool,
}

impl StandardWindowFunctionExpr for Standard {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn field(&self) -> Result<FieldRef, DataFusionError> {
        self.udf
            .field(WindowUDFFieldArgs::new(&self.input_fields, &self.name))
    }

    fn expressions(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.udf
            .expressions(ExpressionArgs::new(&self.args, &self.input_fields))
    }

    fn create_evaluator(&self) -> Result<Box<dyn PartitionEvaluator>, DataFusionError> {
        let args =
            PartitionEvaluatorArgs::new(&self.args, &self.input_fields, false, self.ignore_nulls);
        self.udf.partition_evaluator_factory(args)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn limit_effect(&self) -> LimitEffect {
        self.udf.inner().limit_effect(&self.args)
    }
}
