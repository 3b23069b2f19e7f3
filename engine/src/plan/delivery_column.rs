//! The column of a source that names the delivery of each row that a rule is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use super::Node;
use super::assemble::{ViewError, unkeyed_views};
use crate::job::Job;

/// A column of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// The source.
    pub source: String,
    /// The column, as an index into the columns that are read.
    pub column: usize,
}

/// The column of a source that an assertion is judged by. `None` if the rows that the rule is about are not computed one
/// by one from those of a single source, or their delivery is not a column of it.
///
/// # Errors
/// When a view has no dataflow.
pub fn delivery_column(job: &Job, assertion: &str) -> Result<Option<SourceColumn>, ViewError> {
    let views = unkeyed_views(job, [assertion.to_owned()])?;
    let nodes = views.iter().map(|view| (view.name.as_str(), &view.node));
    let nodes: BTreeMap<&str, &Node> = nodes.collect();
    let counts = nodes.get(assertion).copied();
    Ok(counts.and_then(|counts| {
        let (input, group) = grouped(counts)?;
        origin(input, group, &nodes)
    }))
}

/// The input of an aggregation by one column, and that column.
fn grouped(node: &Node) -> Option<(&Node, usize)> {
    match node {
        Node::Aggregate { input, aggregation } => match aggregation.group.as_slice() {
            [group] => Some((input, *group)),
            _ => None,
        },
        Node::Map(map) => grouped(&map.input),
        _ => None,
    }
}

/// The column of the source that a column of a node is a copy of.
fn origin(node: &Node, column: usize, nodes: &BTreeMap<&str, &Node>) -> Option<SourceColumn> {
    match node {
        Node::Scan {
            relation,
            projection,
            ..
        } => {
            let column = *projection.get(column)?;
            match nodes.get(relation.as_str()) {
                Some(view) => origin(view, column, nodes),
                None => Some(SourceColumn {
                    source: relation.clone(),
                    column,
                }),
            }
        }
        Node::Map(map) => {
            let copied: &Arc<dyn PhysicalExpr> = map.columns.get(column)?;
            let copied = copied.downcast_ref::<Column>()?;
            origin(&map.input, copied.index(), nodes)
        }
        Node::Union { inputs, .. } => {
            let (first, others) = inputs.split_first()?;
            let first = origin(first, column, nodes)?;
            let mut others = others.iter().map(|input| origin(input, column, nodes));
            let is_same = others.all(|other| other.as_ref() == Some(&first));
            is_same.then_some(first)
        }
        Node::Unnest { input, unnest } => {
            // Columns keep their places up to the first struct, whose columns take its place.
            let is_list = unnest.lists.iter().any(|list| list.column <= column);
            let is_struct = unnest.structs.iter().any(|at| *at <= column);
            let is_copied = !is_list && !is_struct;
            is_copied.then(|| origin(input, column, nodes))?
        }
        Node::Constant { .. }
        | Node::Aggregate { .. }
        | Node::Retain { .. }
        | Node::Join { .. }
        | Node::Window { .. }
        | Node::Latest { .. }
        | Node::Settle { .. }
        | Node::Top { .. } => None,
    }
}
