//! `ORDER BY … LIMIT`.

use datafusion_expr::Sort;
use tidewater_operators::top::TopSpec;

use super::expression::{Extended, select};
use super::{Node, PlanError};

/// The first `fetch` rows of a sort.
pub fn lower(sort: &Sort, fetch: usize, input: Node) -> Result<Node, PlanError> {
    let width = input.schema().fields().len();
    let mut extended = Extended::new(input, sort.input.schema());
    let order = extended.order(&sort.expr)?;
    let input = extended.finish();
    let spec = TopSpec {
        schema: input.schema().clone(),
        partition: Vec::new(),
        order,
        offset: 0,
        limit: fetch as u64,
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
