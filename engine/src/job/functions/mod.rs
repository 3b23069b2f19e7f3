//! Our functions, in addition to DataFusion's or in place of them.

mod arithmetic;
mod arrays;
mod bounded;
mod date_bin;
mod date_trunc;
mod exact;
mod float_key;
mod hop;
mod rounding;
mod to_timestamp;

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult};
use datafusion_expr::{AggregateUDF, Expr, ScalarUDF};

pub(crate) use self::arithmetic::{Arithmetic, check_arithmetic};
pub(crate) use self::float_key::float_key;

/// All scalar functions that DataFusion does not have or that differ from DataFusion's. To be registered with a
/// `SessionContext` that plans the same SQL.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions: Vec<Arc<ScalarUDF>> = bounded::bounded().into_iter().map(Arc::new).collect();
    functions.extend([
        Arc::new(ScalarUDF::new_from_impl(hop::Hop::new())),
        Arc::new(ScalarUDF::new_from_impl(date_bin::DateBin::new())),
        Arc::new(ScalarUDF::new_from_impl(date_trunc::DateTrunc::new())),
        date_part(),
        Arc::new(ScalarUDF::new_from_impl(rounding::RoundOutwards::ceil())),
        Arc::new(ScalarUDF::new_from_impl(rounding::RoundOutwards::floor())),
        Arc::new(ScalarUDF::new_from_impl(to_timestamp::ToTimestamp::new())),
    ]);
    functions
}

/// All aggregate functions that differ from DataFusion's. To be registered likewise.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        Arc::new(AggregateUDF::new_from_impl(exact::Exact::sum())),
        Arc::new(AggregateUDF::new_from_impl(exact::Exact::avg())),
    ]
}

fn date_part() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(date_trunc::DatePart::new()))
}

/// Plans `EXTRACT(part FROM time)`.
#[derive(Debug)]
pub(super) struct ExtractPlanner;

impl ExprPlanner for ExtractPlanner {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let call = ScalarFunction::new_udf(date_part(), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}
