//! `ORDER BY … LIMIT … OFFSET`.

use datafusion_common::DataFusionError;
use datafusion_expr::{FetchType, Limit, LogicalPlan, SkipType, Sort};
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::top::TopSpec;

use super::expression::{Extended, select};
use super::lower::{node, project};
use super::{Node, PlanError};

/// Which rows of an order are kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Rows passed over.
    pub skip: usize,
    /// Rows kept after them.
    pub fetch: usize,
}

/// A limit and the sort below it, which projections may part.
pub fn lower(limit: &Limit) -> Result<Node, PlanError> {
    let SkipType::Literal(skip) = limit.get_skip_type()? else {
        return Err(PlanError::Unsupported("an OFFSET that is not a number".into()));
    };
    let FetchType::Literal(fetch) = limit.get_fetch_type()? else {
        return Err(PlanError::Unsupported("a LIMIT that is not a number".into()));
    };
    ordered(&limit.input, Bounds { skip, fetch: fetch.unwrap_or(usize::MAX) })
}

fn ordered(plan: &LogicalPlan, bounds: Bounds) -> Result<Node, PlanError> {
    match plan {
        LogicalPlan::Sort(sort) => {
            let within = sort.fetch.map_or(usize::MAX, |fetch| fetch.saturating_sub(bounds.skip));
            top(sort, Bounds { fetch: bounds.fetch.min(within), ..bounds })
        }
        LogicalPlan::Projection(projection) => project(projection, ordered(&projection.input, bounds)?),
        LogicalPlan::SubqueryAlias(alias) => ordered(&alias.input, bounds),
        LogicalPlan::Limit(inner) => {
            // The inner limit keeps a range of rows; the outer one a range of that.
            let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (inner.get_skip_type()?, inner.get_fetch_type()?)
            else {
                return Err(PlanError::Unsupported("a LIMIT that is not a number".into()));
            };
            let left = fetch.map_or(usize::MAX, |fetch| fetch.saturating_sub(bounds.skip));
            ordered(&inner.input, Bounds { skip: skip + bounds.skip, fetch: bounds.fetch.min(left) })
        }
        other => Err(PlanError::Unsupported(format!("LIMIT over {} without ORDER BY", other.display()))),
    }
}

/// The rows of a sort within `bounds`.
pub fn top(sort: &Sort, bounds: Bounds) -> Result<Node, PlanError> {
    let input = node(&sort.input)?;
    let width = input.schema().fields().len();
    let mut extended = Extended::new(input, sort.input.schema());
    let order = sort.expr.iter().map(|key| {
        let column = extended.column(&key.expr)?;
        Ok(OrderKey { column, descending: !key.asc, nulls_first: key.nulls_first })
    });
    let order = order.collect::<Result<Vec<_>, PlanError>>()?;
    let input = extended.finish();
    let count = |rows: usize| u64::try_from(rows).map_err(|error| DataFusionError::External(Box::new(error)));
    let spec = TopSpec {
        schema: input.schema().clone(),
        partition: Vec::new(),
        order,
        offset: count(bounds.skip)?,
        limit: count(bounds.fetch)?,
    };
    let all: Vec<usize> = (0..width).collect();
    Ok(select(Node::Top { input: Box::new(input), spec }, &all))
}
