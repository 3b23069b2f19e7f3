//! `AND` and `OR` that evaluate their right side only for the rows that it decides.

use std::fmt::{Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and_kleene, is_not_null, or_kleene};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result, exec_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::utils::split_binary_owned;
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use tidewater_planner::{rewrite_parts, rewrite_parts_down};

use crate::job::{chain, may_fail};

/// `expr` with a mark at each `AND` and `OR` whose right side may fail. [`unmark`] replaces the marks. Operands that
/// cannot fail come first.
pub fn mark(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let ordered = rewrite_parts_down(expr.clone(), &mut |part| Ok(total_first(part, schema)))?.data;
    let marked = rewrite_parts(ordered, &mut |part| match part {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::And | Operator::Or),
            right,
        }) if may_fail(&right, schema) => {
            let mark = Arc::new(ScalarUDF::new_from_impl(Mark {
                operator: op,
                signature: Signature::any(2, Volatility::Immutable),
            }));
            let call = ScalarFunction::new_udf(mark, vec![*left, *right]);
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(marked?.data)
}

/// A chain of `AND` or of `OR` with the operands that cannot fail before the others. The optimizer changes the order when
/// it merges operands: `(a AND x) OR (b AND x)` becomes `x AND (a OR b)`.
fn total_first(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let operator = match &expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) if matches!(op, Operator::And | Operator::Or) => {
            *op
        }
        _ => return Transformed::no(expr),
    };
    if !may_fail(&expr, schema) {
        return Transformed::no(expr);
    }
    let (fallible, total): (Vec<Expr>, Vec<Expr>) = split_binary_owned(expr, operator)
        .into_iter()
        .partition(|operand| may_fail(operand, schema));
    let operands = total.into_iter().chain(fallible).collect();
    Transformed::yes(chain(operands, operator))
}

/// A compiled expression with [`Guarded`] for each mark.
pub fn unmark(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let guarded = expr.transform_up(|part| {
        let Some(call) = part.downcast_ref::<ScalarFunctionExpr>() else {
            return Ok(Transformed::no(part));
        };
        let (Some(mark), [left, right]) = (call.fun().inner().downcast_ref::<Mark>(), call.args())
        else {
            return Ok(Transformed::no(part));
        };
        let guarded = Guarded {
            left: Arc::clone(left),
            is_and: mark.operator == Operator::And,
            right: Arc::clone(right),
        };
        Ok(Transformed::yes(Arc::new(guarded) as Arc<dyn PhysicalExpr>))
    });
    Ok(guarded?.data)
}

/// A placeholder for a [`Guarded`] while an expression is compiled.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    operator: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("a guard is a mark that is not evaluated: a defect of the engine")
    }
}

/// `left AND right` or `left OR right`.
#[derive(Debug, Eq)]
pub struct Guarded {
    left: Arc<dyn PhysicalExpr>,
    /// `OR` otherwise.
    is_and: bool,
    right: Arc<dyn PhysicalExpr>,
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.is_and == other.is_and && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.left.hash(state);
        self.is_and.hash(state);
        self.right.hash(state);
    }
}

impl Guarded {
    fn operator(&self) -> &'static str {
        if self.is_and { "AND" } else { "OR" }
    }
}

impl Display for Guarded {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} {} {})", self.left, self.operator(), self.right)
    }
}

impl PhysicalExpr for Guarded {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let left = self.left.evaluate(batch)?.into_array(rows)?;
        let left = left.as_boolean();
        // A NULL on the left side decides nothing: NULL AND false is false.
        let is_known = is_not_null(left)?;
        let decides = if self.is_and {
            !left.values()
        } else {
            left.values().clone()
        };
        let is_open = BooleanArray::from(!&(&decides & is_known.values()));
        if !is_open.has_true() {
            return Ok(ColumnarValue::Array(Arc::new(left.clone())));
        }
        // Where the right side is not evaluated, it is NULL, which leaves the left side unchanged.
        let right = self.right.evaluate_selection(batch, &is_open)?;
        let right = right.into_array(rows)?;
        let value = if self.is_and {
            and_kleene(left, right.as_boolean())?
        } else {
            or_kleene(left, right.as_boolean())?
        };
        Ok(ColumnarValue::Array(Arc::new(value)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [left, right] = <[_; 2]>::try_from(children).map_err(|_| {
            datafusion_common::internal_datafusion_err!("{} has two sides", self.operator())
        })?;
        Ok(Arc::new(Self {
            left,
            is_and: self.is_and,
            right,
        }))
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.left.fmt_sql(f)?;
        write!(f, " {} ", self.operator())?;
        self.right.fmt_sql(f)
    }
}
