//! Equi-joins.

use datafusion_common::NullEquality;
use datafusion_expr::{Join, JoinType};
use tidewater_operators::join::{JoinKey, JoinKind, JoinSpec};

use super::expression::{Extended, compile, identity, nullable, select};
use super::{Map, Node, PlanError};

/// A join whose keys become columns of both sides, and whose other conditions a filter above it.
pub fn lower(join: &Join, left: Node, right: Node) -> Result<Node, PlanError> {
    let kind = match (join.join_type, &join.filter) {
        (JoinType::Inner, _) => JoinKind::Inner,
        (JoinType::Left, None) => JoinKind::Left,
        (other, _) => return Err(PlanError::Unsupported(format!("this {other} join"))),
    };
    let (left_width, right_width) = (left.schema().fields().len(), right.schema().fields().len());
    let mut left = Extended::new(left, join.left.schema());
    let mut right = Extended::new(right, join.right.schema());
    let mut keys = Vec::new();
    for (left_key, right_key) in &join.on {
        keys.push(JoinKey {
            left: left.key(left_key)?,
            right: right.key(right_key)?,
            null_safe: join.null_equality == NullEquality::NullEqualsNull,
        });
    }
    let (left, right) = (left.finish(), right.finish());
    let fields = left.schema().fields().iter().chain(right.schema().fields());
    let schema = nullable(&arrow::datatypes::Schema::new(
        fields.cloned().collect::<Vec<_>>(),
    ));
    let offset = left.schema().fields().len();
    let spec = JoinSpec {
        kind,
        left: left.schema().clone(),
        right: right.schema().clone(),
        keys,
        schema,
    };
    let joined = Node::Join {
        left: Box::new(left),
        right: Box::new(right),
        spec,
    };
    let own: Vec<usize> = (0..left_width)
        .chain(offset..offset + right_width)
        .collect();
    let joined = select(joined, &own);
    let Some(filter) = &join.filter else {
        return Ok(joined);
    };
    let predicate = Some(compile(filter, &join.schema)?);
    let columns = identity(joined.schema());
    Ok(Node::Map(Box::new(Map {
        schema: joined.schema().clone(),
        input: joined,
        predicate,
        columns,
    })))
}
