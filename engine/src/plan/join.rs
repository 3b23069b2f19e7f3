//! Equi-joins.

use datafusion_expr::{Join, JoinType};
use tidewater_operators::join::{JoinKey, JoinKind, JoinSpec};

use super::expression::{Extended, compile, identity, nullable, select};
use super::{Map, Node, PlanError};
use crate::job::JoinCondition;

/// A join. Its keys become columns of both sides, and its other conditions a filter above it.
pub fn lower(join: &Join, left: Node, right: Node) -> Result<Node, PlanError> {
    let condition = JoinCondition::new(join)?;
    let kind = match (join.join_type, &condition.rest) {
        (JoinType::Inner, _) => JoinKind::Inner,
        (JoinType::Left, None) => JoinKind::Left,
        (other, _) => return Err(PlanError::Unsupported(format!("this {other} join"))),
    };
    let (left_width, right_width) = (left.schema().fields().len(), right.schema().fields().len());
    let mut left = Extended::new(left, join.left.schema());
    let mut right = Extended::new(right, join.right.schema());
    let mut keys = Vec::new();
    for key in &condition.keys {
        keys.push(JoinKey {
            left: left.key(&key.left)?,
            right: right.key(&key.right)?,
            null_safe: key.null_safe,
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
    let Some(filter) = &condition.rest else {
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
