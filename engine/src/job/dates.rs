//! Dates beside timestamps: in comparisons, in branches of `CASE`, in arguments of functions like `coalesce`, and in the
//! inputs of a union.
//!
//! DataFusion makes both sides timestamps in nanoseconds, which end in the year 2262. Jobs make a date the timestamp at
//! which it begins, in the unit and zone of the timestamps beside it. A literal text beside timestamps is one too.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, Result};
use datafusion_expr::expr::{Between, Cast, InList};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Union,
};

use super::exact_literals::is_comparison;

/// An expression whose operands that are dates or literal texts are cast to timestamps, if others are timestamps.
pub(super) fn dates_as_timestamps(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let mut changed = match &mut expr {
        Expr::ScalarFunction(call) if call.func.name() == "array_has" => {
            list_of_timestamps(&mut call.args, schema)
        }
        _ => false,
    };
    let is_compared =
        !matches!(&expr, Expr::BinaryExpr(difference) if difference.op == Operator::Minus);
    for operands in operands(&mut expr) {
        let types = operands.iter().map(|operand| match operand {
            // A text may be an interval in a difference. Elsewhere it is a time, as the others are.
            Expr::Literal(value, _) if is_compared && value.data_type().is_string() => {
                Some(DataType::Date32)
            }
            // An operand without a type is a mistake that type coercion reports.
            _ => operand.get_type(schema).ok().filter(may_be_beside_dates),
        });
        let Some(types) = types.collect::<Option<Vec<_>>>() else {
            continue;
        };
        let Some(timestamp) = common_timestamp(&types) else {
            continue;
        };
        let dates = operands.into_iter().zip(types);
        for (operand, _) in dates.filter(|(_, data_type)| *data_type == DataType::Date32) {
            let to = match (&*operand, &timestamp) {
                // A text may have more digits than times in seconds.
                (Expr::Literal(value, _), DataType::Timestamp(unit, zone))
                    if value.data_type().is_string() =>
                {
                    DataType::Timestamp(TimeUnit::Microsecond.max(*unit), zone.clone())
                }
                _ => timestamp.clone(),
            };
            *operand = cast(std::mem::take(operand), &to);
            changed = true;
        }
    }
    Transformed::new_transformed(expr, changed)
}

/// The same for a list and a value that is looked for in it.
fn list_of_timestamps(args: &mut [Expr], schema: &DFSchema) -> bool {
    let [list, value] = args else {
        return false;
    };
    let (Ok(DataType::List(item)), Ok(value_type)) =
        (list.get_type(schema), value.get_type(schema))
    else {
        return false;
    };
    let types = [item.data_type().clone(), value_type];
    let Some(timestamp) = common_timestamp(&types) else {
        return false;
    };
    if types[0] == DataType::Date32 {
        let item = item.as_ref().clone().with_data_type(timestamp);
        *list = cast(std::mem::take(list), &DataType::List(Arc::new(item)));
    } else {
        *value = cast(std::mem::take(value), &timestamp);
    }
    true
}

/// Operands that get a common type, in groups.
fn operands(expr: &mut Expr) -> Vec<Vec<&mut Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_comparison(*op) || *op == Operator::Minus =>
        {
            vec![vec![left, right]]
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) => vec![vec![expr, low, high]],
        Expr::InList(InList { expr, list, .. }) => {
            vec![std::iter::once(&mut **expr).chain(list).collect()]
        }
        Expr::Case(case) => {
            let (whens, thens): (Vec<_>, Vec<_>) = case
                .when_then_expr
                .iter_mut()
                .map(|(when, then)| (&mut **when, &mut **then))
                .unzip();
            let otherwise = case.else_expr.iter_mut().map(|expr| &mut **expr);
            let results = thens.into_iter().chain(otherwise).collect();
            let compared = case.expr.iter_mut().map(|expr| &mut **expr);
            vec![results, compared.chain(whens).collect()]
        }
        Expr::ScalarFunction(call) => match call.func.name() {
            "coalesce" | "nvl" | "nvl2" | "nullif" | "greatest" | "least" | "make_array" => {
                vec![call.args.iter_mut().collect()]
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether dates may become timestamps because of a value of this type, or in spite of it.
fn may_be_beside_dates(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Null
    )
}

/// The type of dates beside timestamps: the finest unit and the first zone among them. `None` if there are no dates or
/// no timestamps, or values that are neither.
fn common_timestamp(types: &[DataType]) -> Option<DataType> {
    let mut common: Option<(TimeUnit, Option<Arc<str>>)> = None;
    for data_type in types {
        match data_type {
            DataType::Timestamp(unit, zone) => {
                let (finest, first) = common.unwrap_or((*unit, None));
                common = Some((finest.max(*unit), first.or_else(|| zone.clone())));
            }
            DataType::Date32 | DataType::Null => {}
            _ => return None,
        }
    }
    let (unit, zone) = common?;
    types
        .contains(&DataType::Date32)
        .then_some(DataType::Timestamp(unit, zone))
}

fn cast(expr: Expr, to: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to.clone()))
}

/// The same for the columns of a union, and for the keys of a join.
pub(super) fn dates_of_inputs(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Union(union) => union_of_timestamps(union),
        LogicalPlan::Join(join) => Ok(Transformed::yes(join_of_timestamps(join))),
        other => Ok(Transformed::no(other)),
    }
}

fn join_of_timestamps(mut join: Join) -> LogicalPlan {
    for (left, right) in &mut join.on {
        let types = [
            left.get_type(join.left.schema()),
            right.get_type(join.right.schema()),
        ];
        let [Ok(left_type), Ok(right_type)] = types else {
            continue;
        };
        let types = [left_type, right_type];
        let Some(timestamp) = common_timestamp(&types) else {
            continue;
        };
        let date = if types[0] == DataType::Date32 {
            left
        } else {
            right
        };
        *date = cast(std::mem::take(date), &timestamp);
    }
    LogicalPlan::Join(join)
}

fn union_of_timestamps(union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    if union
        .inputs
        .iter()
        .any(|input| input.schema().fields().len() != width)
    {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let timestamps: Vec<Option<DataType>> = (0..width)
        .map(|at| {
            let types = union
                .inputs
                .iter()
                .map(|input| input.schema().field(at).data_type().clone());
            common_timestamp(&types.collect::<Vec<_>>())
        })
        .collect();
    if timestamps.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = union.inputs.into_iter().map(|input| {
        let columns = input
            .schema()
            .columns()
            .into_iter()
            .zip(input.schema().fields());
        let columns = columns
            .zip(&timestamps)
            .map(|((column, field), timestamp)| {
                let (qualifier, name) = (column.relation.clone(), column.name.clone());
                match timestamp {
                    Some(timestamp) if *field.data_type() == DataType::Date32 => {
                        cast(Expr::Column(column), timestamp).alias_qualified(qualifier, name)
                    }
                    _ => Expr::Column(column),
                }
            });
        let columns: Vec<Expr> = columns.collect();
        let input = LogicalPlanBuilder::from(Arc::unwrap_or_clone(input));
        input.project(columns)?.build().map(Arc::new)
    });
    let union = Union::try_new_with_loose_types(inputs.collect::<Result<Vec<_>>>()?)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}
