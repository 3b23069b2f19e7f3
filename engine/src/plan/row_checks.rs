//! Expressions of views that are evaluated on rows of one source, before any join, aggregation or window. For these,
//! the row of the source on which they fail can be found.
//!
//! 1. A row fails here exactly if an expression fails on it in the graph, since the same plans are applied.
//! 2. Which rows of a batch fail does not depend on the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use datafusion_common::{DataFusionError, exec_err};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use tidewater_operators::plain::plain;
use tidewater_operators::unnest::Unnest;

use super::assemble::{ViewError, add_scanned, unkeyed_views};
use super::row_error::message;
use super::{Map, Node};
use crate::job::{Assertion, Job, is_total};

/// The expressions of views on the rows of a source.
#[derive(Debug, Default)]
pub struct RowChecks {
    chains: Vec<RowChain>,
}

/// The expressions of one view on each row.
#[derive(Clone, Debug)]
struct RowChain {
    view: String,
    steps: Vec<RowStep>,
    /// A boolean column after the last step. A row for which it is true fails too.
    broken: Option<usize>,
}

#[derive(Clone, Debug)]
enum RowStep {
    Project(Vec<usize>),
    Map(Arc<Map>),
    Unnest(Unnest),
}

/// A row on which an expression fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// Its place in the batch.
    pub row: usize,
    /// The view whose expression it is.
    pub view: String,
    /// The expression, the error and the values.
    pub reason: String,
}

impl RowChecks {
    /// The expressions of the job's tables on the rows of a source, by its columns as they are read.
    ///
    /// # Errors
    /// When a view has no dataflow.
    pub fn of(job: &Job, source: &str) -> Result<Self, ViewError> {
        let wanted = job.sinks.iter().map(|sink| sink.view.clone());
        let views = unkeyed_views(job, wanted)?;
        let nodes: BTreeMap<&str, &Node> = views
            .iter()
            .map(|view| (view.name.as_str(), &view.node))
            .collect();
        let mut scanned = BTreeSet::new();
        for view in &views {
            add_scanned(&view.node, &mut scanned);
        }
        let finder = ChainFinder {
            source,
            nodes: &nodes,
        };
        let mut chains = Vec::new();
        for view in &views {
            let is_part = scanned.contains(&view.name) && finder.is_row_level(&view.node);
            if is_part {
                // Its readers evaluate all of its expressions too.
                continue;
            }
            let mut found = Vec::new();
            finder.add(&view.node, &mut found);
            chains.extend(found.into_iter().filter_map(|steps| {
                let view = view.name.clone();
                let broken = None;
                RowChain {
                    view,
                    steps,
                    broken,
                }
                .trimmed()
            }));
        }
        Ok(Self { chains })
    }

    /// A check that fails on the rows of a source that break an assertion's rule. It is empty if the rows that the
    /// rule is about are not computed one by one from those of the source.
    ///
    /// # Errors
    /// When a view has no dataflow.
    pub fn of_rule(job: &Job, assertion: &Assertion, source: &str) -> Result<Self, ViewError> {
        let counts = assertion.counts.as_str();
        let views = unkeyed_views(job, [counts.to_owned()])?;
        let nodes: BTreeMap<&str, &Node> = views
            .iter()
            .map(|view| (view.name.as_str(), &view.node))
            .collect();
        let finder = ChainFinder {
            source,
            nodes: &nodes,
        };
        let counted = nodes.get(counts).and_then(|node| {
            let column = node.schema().index_of(&assertion.broken_column).ok()?;
            counted(node, column)
        });
        let chains = counted.into_iter().flat_map(|(input, broken)| {
            let chains = finder.chains(input).into_iter();
            chains.map(move |mut steps| {
                let broken = narrow(&mut steps, broken);
                RowChain {
                    view: assertion.name.clone(),
                    steps,
                    broken: Some(broken),
                }
            })
        });
        Ok(Self {
            chains: chains.collect(),
        })
    }

    /// Whether nothing can fail.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// The number of rows that a rule is about among those computed from a batch, and of those that break it. The checks
    /// are those [of a rule](Self::of_rule).
    ///
    /// # Errors
    /// When an expression fails on a row.
    pub fn count(&self, batch: &RecordBatch) -> Result<(u64, u64), DataFusionError> {
        let mut counts = (0, 0);
        for chain in &self.chains {
            let batch = chain.evaluate(batch)?;
            counts.0 += batch.num_rows() as u64;
            counts.1 += chain.broken(&batch)? as u64;
        }
        Ok(counts)
    }

    /// The rows on which an expression fails, each once, in order.
    pub fn failing(&self, batch: &RecordBatch) -> Vec<FailedRow> {
        let mut failed: BTreeMap<usize, FailedRow> = BTreeMap::new();
        for chain in &self.chains {
            let mut found = Vec::new();
            chain.find(batch, 0, &mut found);
            for one in found {
                failed.entry(one.row).or_insert(one);
            }
        }
        failed.into_values().collect()
    }
}

impl RowChain {
    /// The chain up to the last step that may fail.
    fn trimmed(mut self) -> Option<Self> {
        let last = self.steps.iter().rposition(RowStep::may_fail)?;
        self.steps.truncate(last + 1);
        Some(self)
    }

    /// Finds failing rows by bisection. A batch without failing rows is evaluated once.
    fn find(&self, batch: &RecordBatch, first: usize, failed: &mut Vec<FailedRow>) {
        let rows = batch.num_rows();
        let Err(error) = self.apply(batch) else {
            return;
        };
        if rows <= 1 {
            failed.push(FailedRow {
                row: first,
                view: self.view.clone(),
                reason: message(&error),
            });
            return;
        }
        let half = rows / 2;
        self.find(&batch.slice(0, half), first, failed);
        self.find(&batch.slice(half, rows - half), first + half, failed);
    }

    fn apply(&self, batch: &RecordBatch) -> Result<(), DataFusionError> {
        match self.broken(&self.evaluate(batch)?)? {
            0 => Ok(()),
            _ => exec_err!("the row breaks the rule"),
        }
    }

    /// The rows after the last step.
    fn evaluate(&self, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let mut batch = batch.clone();
        for step in &self.steps {
            if batch.num_rows() == 0 {
                break;
            }
            batch = match step {
                RowStep::Project(columns) => batch.project(columns)?,
                RowStep::Map(map) => map.apply(&batch)?,
                RowStep::Unnest(unnest) => unnest.apply(&plain(&batch)?)?,
            };
        }
        Ok(batch)
    }

    /// How many rows after the last step break the rule.
    fn broken(&self, batch: &RecordBatch) -> Result<usize, DataFusionError> {
        match self.broken.filter(|_| batch.num_rows() > 0) {
            Some(broken) => Ok(plain(batch)?.column(broken).as_boolean().true_count()),
            None => Ok(0),
        }
    }
}

/// Leaves only one column of the last step, so that the other rules of a shared view are not evaluated. Returns its
/// place.
fn narrow(steps: &mut [RowStep], column: usize) -> usize {
    let Some(RowStep::Map(map)) = steps.last_mut() else {
        return column;
    };
    let (Some(expression), Ok(schema)) = (map.columns.get(column), map.schema.project(&[column]))
    else {
        return column;
    };
    *map = Arc::new(Map {
        columns: vec![Arc::clone(expression)],
        schema: Arc::new(schema),
        ..(**map).clone()
    });
    0
}

/// For a column that counts rows: the rows, and the column of theirs that is true for those that are counted.
fn counted(node: &Node, column: usize) -> Option<(&Node, usize)> {
    match node {
        Node::Aggregate { input, aggregation } => {
            let call = column.checked_sub(aggregation.group.len())?;
            Some((input, aggregation.calls.get(call)?.filter?))
        }
        Node::Map(map) => {
            let below = map.columns.get(column)?.downcast_ref::<Column>()?;
            counted(&map.input, below.index())
        }
        _ => None,
    }
}

impl RowStep {
    fn may_fail(&self) -> bool {
        match self {
            Self::Map(map) => !map.predicate.iter().chain(&map.columns).all(is_safe),
            Self::Project(_) | Self::Unnest(_) => false,
        }
    }
}

/// Finds the expressions on a source's rows.
struct ChainFinder<'a> {
    source: &'a str,
    nodes: &'a BTreeMap<&'a str, &'a Node>,
}

impl ChainFinder<'_> {
    /// Adds the chains of a view: the longest ones.
    fn add(&self, node: &Node, found: &mut Vec<Vec<RowStep>>) {
        let chains = self.chains(node);
        if chains.is_empty() || matches!(node, Node::Union { .. }) {
            node.inputs()
                .into_iter()
                .for_each(|input| self.add(input, found));
        } else {
            found.extend(chains);
        }
    }

    /// The steps that compute each row of a node from one row of the source; none if rows are not computed one by
    /// one.
    fn chains(&self, node: &Node) -> Vec<Vec<RowStep>> {
        let with = |input: &Node, step: RowStep| {
            let mut chains = self.chains(input);
            for chain in &mut chains {
                chain.push(step.clone());
            }
            chains
        };
        match node {
            Node::Scan {
                relation,
                projection,
                ..
            } => {
                let mut chains = match self.nodes.get(relation.as_str()) {
                    Some(view) => self.chains(view),
                    None if relation == self.source => vec![Vec::new()],
                    None => Vec::new(),
                };
                for chain in &mut chains {
                    chain.push(RowStep::Project(projection.clone()));
                }
                chains
            }
            Node::Map(map) => with(&map.input, RowStep::Map(Arc::new((**map).clone()))),
            Node::Unnest { input, unnest } => with(input, RowStep::Unnest(unnest.clone())),
            Node::Union { inputs, .. } => {
                let chains = inputs.iter().flat_map(|input| self.chains(input));
                chains.collect()
            }
            Node::Constant { .. }
            | Node::Aggregate { .. }
            | Node::Retain { .. }
            | Node::Join { .. }
            | Node::Window { .. }
            | Node::Latest { .. }
            | Node::Settle { .. }
            | Node::Top { .. } => Vec::new(),
        }
    }

    fn is_row_level(&self, node: &Node) -> bool {
        match node {
            Node::Scan { relation, .. } => match self.nodes.get(relation.as_str()) {
                Some(view) => self.is_row_level(view),
                None => true,
            },
            Node::Map(_) | Node::Unnest { .. } | Node::Union { .. } => {
                let inputs = node.inputs();
                inputs.into_iter().all(|input| self.is_row_level(input))
            }
            Node::Constant { .. } => true,
            Node::Aggregate { .. }
            | Node::Retain { .. }
            | Node::Join { .. }
            | Node::Window { .. }
            | Node::Latest { .. }
            | Node::Settle { .. }
            | Node::Top { .. } => false,
        }
    }
}

/// Whether an expression has a value for every row. If that is unknown, it may fail.
fn is_safe(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let is_safe_node = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        !matches!(
            binary.op(),
            Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo
        )
    } else if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        is_total(call.name())
    } else {
        expr.downcast_ref::<Column>().is_some()
            || expr.downcast_ref::<Literal>().is_some()
            || expr.downcast_ref::<NotExpr>().is_some()
            || expr.downcast_ref::<IsNullExpr>().is_some()
            || expr.downcast_ref::<IsNotNullExpr>().is_some()
            || expr.downcast_ref::<InListExpr>().is_some()
            || expr.downcast_ref::<LikeExpr>().is_some()
            || expr.downcast_ref::<CaseExpr>().is_some()
    };
    is_safe_node && expr.children().into_iter().all(is_safe)
}
