//! The condition of a join: its keys, and the rest.

use datafusion_common::{DataFusionError, NullEquality};
use datafusion_expr::utils::{find_valid_equijoin_key_pair, split_conjunction};
use datafusion_expr::{BinaryExpr, Expr, Join, Operator};

/// The condition of a join.
pub struct JoinCondition {
    /// The pairs of values that must be equal.
    pub keys: Vec<EqualKeys>,
    /// The terms of the join's filter that are among the keys.
    pub key_terms: Option<Expr>,
    /// The rest of the condition.
    pub rest: Option<Expr>,
}

/// A value of each side that must be equal.
pub struct EqualKeys {
    /// Over the left input.
    pub left: Expr,
    /// Over the right input.
    pub right: Expr,
    /// Whether NULL equals NULL.
    pub null_safe: bool,
}

/// Two sides of a comparison.
struct Comparison<'a> {
    one: &'a Expr,
    other: &'a Expr,
    null_safe: bool,
}

impl JoinCondition {
    /// The condition of `join`. The optimizer has extracted the equalities, but not null-safe ones among other
    /// conditions.
    ///
    /// # Errors
    /// When a column belongs to neither side.
    pub fn new(join: &Join) -> Result<Self, DataFusionError> {
        let null_safe = join.null_equality == NullEquality::NullEqualsNull;
        let keys = join.on.iter().map(|(left, right)| EqualKeys {
            left: left.clone(),
            right: right.clone(),
            null_safe,
        });
        let mut keys: Vec<EqualKeys> = keys.collect();
        let (mut key_terms, mut rest) = (Vec::new(), Vec::new());
        for term in join.filter.iter().flat_map(split_conjunction) {
            match null_safe_keys(term, join)? {
                Some(key) => {
                    keys.push(key);
                    key_terms.push(term.clone());
                }
                None => rest.push(term.clone()),
            }
        }
        Ok(Self {
            keys,
            key_terms: key_terms.into_iter().reduce(Expr::and),
            rest: rest.into_iter().reduce(Expr::and),
        })
    }
}

/// The keys that a term compares null-safely, if it compares the two sides.
fn null_safe_keys(term: &Expr, join: &Join) -> Result<Option<EqualKeys>, DataFusionError> {
    let Some(Comparison { one, other, .. }) =
        comparison(term).filter(|comparison| comparison.null_safe)
    else {
        return Ok(None);
    };
    let pair = find_valid_equijoin_key_pair(one, other, join.left.schema(), join.right.schema())?;
    Ok(pair.map(|(left, right)| EqualKeys {
        left,
        right,
        null_safe: true,
    }))
}

/// Recognises `a = b`, `a IS NOT DISTINCT FROM b`, and its longer form `a = b OR (a IS NULL AND b IS NULL)`.
fn comparison(term: &Expr) -> Option<Comparison<'_>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = term else {
        return None;
    };
    let null_safe = match op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        Operator::Or => {
            return nulls_beside(left, right).or_else(|| nulls_beside(right, left));
        }
        _ => return None,
    };
    Some(Comparison {
        one: left,
        other: right,
        null_safe,
    })
}

/// The comparison in `equality`, if `nulls` says that both of its sides are NULL.
fn nulls_beside<'a>(equality: &'a Expr, nulls: &Expr) -> Option<Comparison<'a>> {
    let comparison = comparison(equality)?;
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::And,
        right,
    }) = nulls
    else {
        return None;
    };
    let (Expr::IsNull(left), Expr::IsNull(right)) = (left.as_ref(), right.as_ref()) else {
        return None;
    };
    let (left, right) = (left.as_ref(), right.as_ref());
    let sides = (comparison.one, comparison.other);
    (sides == (left, right) || sides == (right, left)).then_some(Comparison {
        null_safe: true,
        ..comparison
    })
}
