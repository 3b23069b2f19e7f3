//! Scalar functions of our own, beside all that DataFusion has.

mod hop;

use std::sync::Arc;

use datafusion_expr::ScalarUDF;

/// Every function that jobs have beyond DataFusion's, to be registered with a `SessionContext` that shall plan the
/// same SQL.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::new_from_impl(hop::Hop::new()))]
}
