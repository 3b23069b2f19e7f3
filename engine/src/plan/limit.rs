//! `ORDER BY … LIMIT`.

use datafusion_common::DataFusionError;
use datafusion_expr::Sort;
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::top::TopSpec;

use super::expression::{Extended, select};
use super::lower::node;
use super::{Node, PlanError};

/// The first `fetch` rows of a sort.
pub fn top(sort: &Sort, fetch: usize) -> Result<Node, PlanError> {
    let input = node(&sort.input)?;
    let width = input.schema().fields().len();
    let mut extended = Extended::new(input, sort.input.schema());
    let order = sort.expr.iter().map(|key| {
        let column = extended.column(&key.expr)?;
        Ok(OrderKey {
            column,
            descending: !key.asc,
            nulls_first: key.nulls_first,
        })
    });
    let order = order.collect::<Result<Vec<_>, PlanError>>()?;
    let input = extended.finish();
    let limit = u64::try_from(fetch).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let spec = TopSpec {
        schema: input.schema().clone(),
        partition: Vec::new(),
        order,
        offset: 0,
        limit,
        forgets: false,
    };
    let all: Vec<usize> = (0..width).collect();
    Ok(select(
        Node::Top {
            input: Box::new(input),
            spec,
        },
        &all,
    ))
}
