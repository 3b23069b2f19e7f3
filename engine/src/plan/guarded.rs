//! Guards for an executor that evaluates both sides of `AND` and `OR` for all rows, as DataFusion's does.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, Result};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_physical_expr::PhysicalExpr;
use tidewater_planner::{map_exprs, rewrite_nodes, rewrite_parts_down};

use super::expression::compile;
use super::guard::mark;

/// `plan` with each `AND` and `OR` whose right side may fail as a call that evaluates it as jobs do: only for the rows
/// that the left side leaves open. Columns keep their names and types.
///
/// # Errors
/// When an expression does not compile.
pub fn guarded(plan: LogicalPlan) -> Result<LogicalPlan> {
    let guarded = rewrite_nodes(plan, &mut |node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        map_exprs(node, &mut |expr| {
            let name = names.save(&expr);
            let expr = rewrite_parts_down(expr, &mut |part| as_call(part, &schema))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
    });
    Ok(guarded?.data)
}

/// Whether a rule for physical plans, by its name, leaves expressions where they are. The others move them to rows that
/// never reach them.
pub fn keeps_guards(rule: &str) -> bool {
    !rule.starts_with("FilterPushdown") && rule != "ProjectionPushdown"
}

fn as_call(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_connective = matches!(
        &part,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::And | Operator::Or,
            ..
        })
    );
    let mut columns: Vec<Column> = part.column_refs().into_iter().cloned().collect();
    if !is_connective || columns.is_empty() || mark(&part, schema)? == part {
        return Ok(Transformed::no(part));
    }
    columns.sort();
    let fields = columns.iter().map(|column| {
        let (qualifier, field) = schema.qualified_field_from_column(column)?;
        Ok((qualifier.cloned(), Arc::clone(field)))
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let arguments = DFSchema::new_with_metadata(fields, HashMap::new())?;
    let condition = ScalarUDF::new_from_impl(GuardedCondition {
        compiled: compile(&part, &arguments)?,
        is_nullable: part.nullable(schema)?,
        signature: Signature::any(columns.len(), Volatility::Immutable),
        condition: part,
    });
    let columns = columns.into_iter().map(Expr::Column).collect();
    let call = ScalarFunction::new_udf(Arc::new(condition), columns);
    Ok(Transformed::yes(Expr::ScalarFunction(call)))
}

/// A condition as a function of its columns, in the order of their names.
#[derive(Debug)]
struct GuardedCondition {
    condition: Expr,
    compiled: Arc<dyn PhysicalExpr>,
    is_nullable: bool,
    signature: Signature,
}

impl PartialEq for GuardedCondition {
    fn eq(&self, other: &Self) -> bool {
        self.condition == other.condition
    }
}

impl Eq for GuardedCondition {}

impl Hash for GuardedCondition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl ScalarUDFImpl for GuardedCondition {
    fn name(&self) -> &'static str {
        "guarded"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        let field = Field::new(self.name(), DataType::Boolean, self.is_nullable);
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = call.number_rows;
        let columns = call.args.into_iter().map(|column| column.into_array(rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let fields = columns
            .iter()
            .map(|column| Field::new("", column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        self.compiled.evaluate(&batch)
    }
}
