//! Primary keys: only the latest row of each key counts, in the order that the source's connector gives
//! ([`KeyOrder`]).

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, NotExpr};
use tidewater_connectors::connector::KeyOrder;
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::top::TopSpec;

use crate::job::Source;
use crate::plan::{Map, Node, PlannedView};

/// The columns of a source's rows as they enter the graph: the columns that are read and, with a primary key, the
/// place columns.
pub fn incoming_schema(source: &Source) -> SchemaRef {
    if source.primary_key.is_empty() {
        return Arc::clone(&source.schema);
    }
    source.input.decoded_schema(&source.spec)
}

/// The latest rows of a source, as a view that is read instead of the source; `None` without a key.
pub fn keyed(source: &Source) -> Option<PlannedView> {
    if source.primary_key.is_empty() {
        return None;
    }
    let schema = incoming_schema(source);
    let width = source.schema.fields().len();
    let read = source.primary_key.iter();
    let key = read.filter_map(|key| source.spec.projection.binary_search(key).ok());
    let key: Vec<usize> = key.collect();
    let mut latest = Node::Scan {
        relation: source.spec.name.clone(),
        projection: (0..schema.fields().len()).collect(),
        schema: Arc::clone(&schema),
    };
    let KeyOrder { rounds, deleted } = source.input.key_order();
    for round in rounds {
        // Place columns follow the row's own columns.
        let places = |columns: &[usize]| columns.iter().map(|at| width + at).collect::<Vec<_>>();
        let partition = [key.clone(), places(&round.within)].concat();
        let order = places(&round.order);
        latest = Node::Top {
            input: Box::new(latest),
            spec: last(&schema, partition, &order, round.is_append_only),
        };
    }
    let deletes = deleted.map(|at| column(&schema, width + at));
    let predicate = deletes.map(|deletes| Arc::new(NotExpr::new(deletes)) as Arc<dyn PhysicalExpr>);
    let columns = (0..width).map(|at| column(&source.schema, at));
    let node = Node::Map(Box::new(Map {
        input: latest,
        predicate,
        columns: columns.collect(),
        schema: Arc::clone(&source.schema),
    }));
    Some(PlannedView {
        name: source.spec.name.clone(),
        node,
    })
}

/// The last row of each partition, ordered by these columns.
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
