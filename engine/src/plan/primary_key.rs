//! The rows of a source that count. With a primary key, this is the latest row of each key in the connector's order
//! ([`KeyOrder`]). For a source of changes without a key, these are the rows that result from the changes
//! ([`ChangePlaces`]).

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, Literal, NotExpr};
use tidewater_connectors::connector::{ChangePlaces, KeyOrder};
use tidewater_operators::latest::LatestSpec;
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::settle::{SettleSpec, THERE};
use tidewater_operators::top::TopSpec;

use crate::job::Source;
use crate::plan::{Map, Node, PlannedView};

/// The columns of a source's rows as they enter the graph: the columns that are read, and the place columns if not
/// every row counts.
pub fn incoming_schema(source: &Source) -> SchemaRef {
    if counts_all(source) {
        return Arc::clone(&source.schema);
    }
    source.input.decoded_schema(&source.spec)
}

/// Whether every row of a source counts.
pub fn counts_all(source: &Source) -> bool {
    source.primary_key.is_empty() && source.input.changes().is_none()
}

/// The view that is read in place of a source and returns the rows that count; `None` if all do.
pub fn counting(source: &Source) -> Option<PlannedView> {
    let schema = incoming_schema(source);
    let scan = Node::Scan {
        relation: source.spec.name.clone(),
        projection: (0..schema.fields().len()).collect(),
        schema: Arc::clone(&schema),
    };
    let width = source.schema.fields().len();
    let rows = match source.input.changes() {
        Some(changes) if source.primary_key.is_empty() => settled(scan, &schema, width, changes),
        _ if source.primary_key.is_empty() => return None,
        _ => latest(scan, &schema, source),
    };
    let columns = (0..width).map(|at| column(&source.schema, at));
    let node = Node::Map(Box::new(Map {
        input: rows.node,
        predicate: rows.counts,
        columns: columns.collect(),
        schema: Arc::clone(&source.schema),
    }));
    Some(PlannedView {
        name: source.spec.name.clone(),
        node,
    })
}

/// Rows and the condition under which they count.
struct Candidates {
    node: Node,
    /// Without a condition all rows count.
    counts: Option<Arc<dyn PhysicalExpr>>,
}

/// The rows that result from changes. Place columns follow the `width` columns of the row.
fn settled(scan: Node, schema: &SchemaRef, width: usize, changes: ChangePlaces) -> Candidates {
    let spec = SettleSpec {
        schema: Arc::clone(schema),
        partition: width + changes.partition,
        position: width + changes.position,
    };
    let position = column(schema, spec.position);
    let there = Arc::new(Literal::new(ScalarValue::Int64(Some(THERE))));
    Candidates {
        node: Node::Settle {
            input: Box::new(scan),
            spec,
            log: changes.log,
        },
        counts: Some(Arc::new(BinaryExpr::new(position, Operator::Eq, there))),
    }
}

/// The latest row of each key, unless it deletes the key.
fn latest(scan: Node, schema: &SchemaRef, source: &Source) -> Candidates {
    let width = source.schema.fields().len();
    let read = source.primary_key.iter();
    let key = read.filter_map(|key| source.spec.projection.binary_search(key).ok());
    let key: Vec<usize> = key.collect();
    // It decides only in the first round, since the rows of later rounds are already the latest of their groups.
    let mut by = source.latest_by;
    let mut by = move || source.spec.projection.binary_search(&by.take()?).ok();
    let KeyOrder { rounds, deleted } = source.input.key_order();
    let mut latest = scan;
    for round in rounds {
        // Place columns follow the row's own columns.
        let places = |columns: &[usize]| columns.iter().map(|at| width + at).collect::<Vec<_>>();
        let partition = [key.clone(), places(&round.within)].concat();
        let order = places(&round.order);
        let input = Box::new(latest);
        latest = match (by(), deleted, order.as_slice()) {
            (Some(by), Some(deleted), &[offset]) if round.is_append_only => Node::Latest {
                input,
                spec: LatestSpec {
                    schema: Arc::clone(schema),
                    key: partition,
                    offset,
                    deleted: width + deleted,
                    by,
                },
            },
            (by, _, places) => {
                let order: Vec<usize> = by.into_iter().chain(places.iter().copied()).collect();
                let spec = last(schema, partition, &order, round.is_append_only);
                Node::Top { input, spec }
            }
        };
    }
    let deletes = deleted.map(|at| column(schema, width + at));
    Candidates {
        node: latest,
        counts: deletes.map(|deletes| Arc::new(NotExpr::new(deletes)) as Arc<dyn PhysicalExpr>),
    }
}

/// The last row of each partition, in this order of columns.
fn last(schema: &SchemaRef, partition: Vec<usize>, order: &[usize], forgets: bool) -> TopSpec {
    let descending = |&column| OrderKey {
        column,
        descending: true,
        nulls_first: false,
    };
    TopSpec {
        schema: Arc::clone(schema),
        partition,
        order: order.iter().map(descending).collect(),
        offset: 0,
        limit: 1,
        forgets,
    }
}

fn column(schema: &SchemaRef, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(schema.field(at).name(), at))
}
