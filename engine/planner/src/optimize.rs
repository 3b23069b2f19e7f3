//! Applies the rules of the analyzer and the optimizer to plans.

use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::LogicalPlan;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerConfig};

/// A plan with types coerced, by DataFusion's analyzer.
///
/// # Errors
/// When types do not fit.
pub fn analyzed(plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
    Analyzer::new().execute_and_check(plan, options, |_, _| {})
}

/// A plan after the rules of an optimizer.
///
/// # Errors
/// When a rule fails.
pub fn optimized(
    optimizer: &Optimizer,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<LogicalPlan> {
    optimizer.optimize(plan, config, |_, _| {})
}
