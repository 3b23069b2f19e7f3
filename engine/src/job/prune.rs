//! Removes columns and relations that nobody reads, for the job as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion_expr::logical_plan::TableScanBuilder;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan};
use tidewater_planner::{each_node, rewrite_nodes};

use super::catalog::Relation;
use super::optimize::optimize;
use super::resolve::Draft;
use super::{Sink, Source, View};

/// A job after pruning.
pub(super) struct Pruned {
    /// The sources that are read.
    pub sources: Vec<Source>,
    /// The views that are read or published.
    pub views: Vec<View>,
    /// The sources and views that nobody reads, in any order.
    pub unread: Vec<String>,
    /// The sources among them.
    pub unread_sources: Vec<Source>,
}

/// The columns of each relation that are read.
type Read = BTreeMap<String, BTreeSet<usize>>;

/// Removes everything that nobody reads. `drafts` are in topological order.
pub(super) fn prune(sources: Vec<Source>, drafts: Vec<Draft>, sinks: &[Sink]) -> Result<Pruned> {
    let published: BTreeSet<&str> = sinks.iter().map(|sink| sink.view.as_str()).collect();
    let mut read = Read::new();
    let mut unread = Vec::new();
    let mut views = Vec::with_capacity(drafts.len());
    for draft in drafts.into_iter().rev() {
        if draft.materialized || published.contains(draft.name.as_str()) {
            read.insert(
                draft.name.clone(),
                (0..draft.schema.fields().len()).collect(),
            );
        }
        match columns(&read, &draft.name) {
            None => unread.push(draft.name),
            Some(columns) => views.push(narrow(draft, &columns, &mut read)?),
        }
    }
    views.reverse();
    for source in sources
        .iter()
        .filter(|source| published.contains(source.spec.name.as_str()))
    {
        read.insert(
            source.spec.name.clone(),
            (0..source.spec.schema.fields().len()).collect(),
        );
    }
    // The key decides which rows exist, so its columns are read even if no view uses them.
    for source in &sources {
        if let Some(columns) = read.get_mut(&source.spec.name) {
            columns.extend(&source.primary_key);
            columns.extend(source.latest_by);
            // A change retracts a row that is equal in all columns.
            if source.primary_key.is_empty() && source.input.changes().is_some() {
                columns.extend(0..source.spec.schema.fields().len());
            }
        }
    }
    let (sources, unread_sources): (Vec<Source>, Vec<Source>) = sources
        .into_iter()
        .partition(|source| read.contains_key(&source.spec.name));
    unread.extend(unread_sources.iter().map(|source| source.spec.name.clone()));
    let sources: Vec<Source> = sources
        .into_iter()
        .map(|source| narrow_source(source, &read))
        .collect();
    let views = rescan(views, &sources, &read)?;
    Ok(Pruned {
        sources,
        views,
        unread,
        unread_sources,
    })
}

/// The columns of a relation to keep, ascending and at least one; `None` if nobody reads the relation.
fn columns(read: &Read, relation: &str) -> Option<Vec<usize>> {
    let columns = read.get(relation)?;
    Some(if columns.is_empty() {
        vec![0]
    } else {
        columns.iter().copied().collect()
    })
}

/// A view reduced to these columns. The columns that it then reads are added to `read`.
fn narrow(draft: Draft, columns: &[usize], read: &mut Read) -> Result<View> {
    let Draft {
        name,
        materialized,
        mut plan,
        mut schema,
        order_by,
        ..
    } = draft;
    if columns.len() < schema.fields().len() {
        let all = plan.schema().columns();
        let kept = columns
            .iter()
            .map(|index| Expr::Column(all[*index].clone()));
        plan = optimize(LogicalPlanBuilder::from(plan).project(kept)?.build()?)?;
        schema = project(&schema, columns);
    }
    each_node(&plan, &mut |node| {
        if let LogicalPlan::TableScan(scan) = node {
            read.entry(scan.table_name.table().to_owned())
                .or_default()
                .extend(scanned(scan));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(View {
        name,
        materialized,
        plan,
        schema,
        order_by,
    })
}

/// The columns of its relation that a scan reads.
fn scanned(scan: &TableScan) -> Vec<usize> {
    scan.projection
        .clone()
        .unwrap_or_else(|| (0..scan.source.schema().fields().len()).collect())
}

fn narrow_source(mut source: Source, read: &Read) -> Source {
    if let Some(columns) = columns(read, &source.spec.name) {
        source.schema = project(&source.spec.schema, &columns);
        source.spec.projection = columns;
    }
    source
}

fn project(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|index| Arc::clone(&schema.fields()[*index]))
            .collect::<Vec<_>>(),
    ))
}

/// Updates every scan to its relation's pruned schema.
fn rescan(mut views: Vec<View>, sources: &[Source], read: &Read) -> Result<Vec<View>> {
    let mut relations: BTreeMap<String, Arc<Relation>> = BTreeMap::new();
    relations.extend(sources.iter().map(|source| {
        (
            source.spec.name.clone(),
            Relation::new(Arc::clone(&source.schema)),
        )
    }));
    relations.extend(
        views
            .iter()
            .map(|view| (view.name.clone(), Relation::new(Arc::clone(&view.schema)))),
    );
    for view in &mut views {
        let plan = std::mem::take(&mut view.plan);
        let rescanned = rewrite_nodes(plan, &mut |node| {
            let LogicalPlan::TableScan(scan) = node else {
                return Ok(Transformed::no(node));
            };
            let name = scan.table_name.table().to_owned();
            let (Some(kept), Some(relation)) = (columns(read, &name), relations.get(&name)) else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            let positions = scanned(&scan)
                .iter()
                .filter_map(|column| kept.binary_search(column).ok())
                .collect();
            let pruned = TableScanBuilder::new(scan.table_name, Arc::clone(relation) as _)
                .with_projection(Some(positions));
            Ok(Transformed::yes(LogicalPlan::TableScan(pruned.build()?)))
        })?;
        view.plan = rescanned.data;
    }
    Ok(views)
}
