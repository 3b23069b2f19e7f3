//! Runs a job's text by DataFusion. DataFusion parses the views (we fill variables and split the text), plans them
//! with the settings, types, functions and dialect of jobs (`job::standard_query`), optimises them with its own rules,
//! and executes them. Guards hold as in jobs (`job::optimizer_rules`, `plan::guarded`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Ident, Query, Statement as Sql};
use futures::StreamExt;
use tidewater_cli::failure::Failure;
use tidewater_engine::Job;
use tidewater_engine::connector::ChangePlaces;
use tidewater_engine::job::{self, CreateView, Source};
use tidewater_engine::plan;
use tokio::runtime::{Builder, Runtime};

use crate::inputs::{InputStream, KeptInput, place_name};
use crate::settled::Settled;
use crate::ties;

/// A job that DataFusion runs, one table at a time.
pub struct DataFusionJob {
    context: SessionContext,
    runtime: Runtime,
}

impl DataFusionJob {
    /// Registers sources and views. `inputs` are those of the job's sources, in order.
    pub fn new(
        job: &Job,
        views: &BTreeMap<String, CreateView>,
        inputs: &[Arc<KeptInput>],
    ) -> Result<Self> {
        let config = SessionConfig::from(job::planner_options()).with_target_partitions(1);
        let builder = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features();
        let state = builder
            .with_type_planner(job::type_planner())
            .with_analyzer_rules(job::analyzer_rules())
            .with_optimizer_rules(job::optimizer_rules())
            .with_physical_optimizer_rules(physical_rules())
            .build();
        let oracle = Self {
            context: SessionContext::new_with_state(state),
            runtime: Builder::new_current_thread().build()?,
        };
        for function in job::functions() {
            oracle.context.register_udf(function.as_ref().clone());
        }
        for function in job::aggregate_functions() {
            oracle.context.register_udaf(function.as_ref().clone());
        }
        for (source, input) in job.sources.iter().zip(inputs) {
            oracle.register_source(source, input)?;
        }
        // A source that no table depends on may still be named, as in `SELECT a FROM t WHERE false`. Its rows do not
        // matter.
        for source in &job.unread_sources {
            let table = EmptyTable::new(Arc::clone(&source.spec.schema));
            let name = TableReference::bare(source.spec.name.as_str());
            oracle.context.register_table(name, Arc::new(table))?;
        }
        for view in &job.views {
            oracle.add_view(&view.name, views)?;
        }
        Ok(oracle)
    }

    fn register_source(&self, source: &Source, input: &Arc<KeptInput>) -> Result<()> {
        let stream = InputStream(Arc::clone(input));
        let schema = Arc::clone(stream.schema());
        let table = Arc::new(StreamingTable::try_new(schema, vec![Arc::new(stream)])?);
        let name = &source.spec.name;
        let changes = source.input.changes();
        if source.primary_key.is_empty() && changes.is_none() {
            self.context
                .register_table(TableReference::bare(name.as_str()), table)?;
            return Ok(());
        }
        let all = format!("tidewater: {name}");
        self.context
            .register_table(TableReference::bare(all.as_str()), table)?;
        match changes {
            Some(changes) if source.primary_key.is_empty() => {
                let settled = settled(source, &changes, &all);
                self.register_query(name, &settled.rows())?;
                self.register_query(&unmatched_name(name), &settled.unmatched())
            }
            _ => self.register_query(name, &last_of_each_key(source, &all)),
        }
    }

    fn register_query(&self, name: &str, query: &str) -> Result<()> {
        let state = self.context.state();
        let plan = self.runtime.block_on(state.create_logical_plan(query))?;
        self.register_view(name, plan)
    }

    /// Passes to `take` the changes of a source that retract a row that was never read: its columns, partition and
    /// position.
    ///
    /// # Errors
    /// When DataFusion fails, or `take` does.
    pub fn unmatched(
        &self,
        source: &Source,
        take: impl FnMut(RecordBatch) -> std::result::Result<(), Failure>,
    ) -> std::result::Result<(), Failure> {
        let columns = source.spec.schema.fields().iter();
        let columns = columns.map(|field| field.name().clone());
        let places = source.input.place_fields().into_iter();
        let places = places.map(|field| place_name(field.name()));
        self.rows(
            &unmatched_name(&source.spec.name),
            columns.chain(places),
            take,
        )
    }

    /// Registers a view, after the views that it reads.
    fn add_view(&self, name: &str, views: &BTreeMap<String, CreateView>) -> Result<()> {
        if self.context.table_exist(TableReference::bare(name))? {
            return Ok(());
        }
        let text = views
            .get(name)
            .ok_or_else(|| DataFusionError::Plan(format!("the job's text has no view {name}")))?;
        let query = Statement::Statement(Box::new(Sql::Query(text.query.clone())));
        let named = self.context.state().resolve_table_references(&query)?;
        for relation in named
            .iter()
            .filter(|relation| views.contains_key(relation.table()))
        {
            self.add_view(relation.table(), views)?;
        }
        self.register_view(name, self.plan(text)?)
    }

    fn register_view(&self, name: &str, plan: LogicalPlan) -> Result<()> {
        let view = Arc::new(ViewTable::new(plan, None));
        self.context
            .register_table(TableReference::bare(name), view)?;
        Ok(())
    }

    /// The plan of a view, with the column names of `CREATE VIEW v (a, b)`.
    fn plan(&self, view: &CreateView) -> Result<LogicalPlan> {
        let query = view.query.as_ref().clone();
        let query = job::standard_query(query, &mut |query| {
            let plan = self.query_plan(query.clone()).ok()?;
            let fields = plan.schema().fields().iter();
            Some(fields.map(|field| field.name().clone()).collect())
        });
        let plan = self.query_plan(query)?;
        if view.columns.is_empty() {
            return Ok(plan);
        }
        let columns = plan.schema().columns().into_iter().zip(&view.columns);
        let columns: Vec<Expr> = columns
            .map(|(column, given)| Expr::Column(column).alias(named(&given.name)))
            .collect();
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    }

    fn query_plan(&self, query: Query) -> Result<LogicalPlan> {
        let statement = Statement::Statement(Box::new(Sql::Query(Box::new(query))));
        let state = self.context.state();
        self.runtime.block_on(state.statement_to_plan(statement))
    }

    /// Passes these columns of a view's or source's rows to `take`.
    ///
    /// # Errors
    /// When DataFusion fails, or `take` does.
    pub fn rows(
        &self,
        relation: &str,
        columns: impl Iterator<Item = String>,
        mut take: impl FnMut(RecordBatch) -> std::result::Result<(), Failure>,
    ) -> std::result::Result<(), Failure> {
        let columns: Vec<Expr> = columns
            .map(|name| Expr::Column(Column::new_unqualified(name)))
            .collect();
        self.runtime.block_on(async {
            let stream = self.stream(relation, columns).await;
            let mut stream = stream.map_err(|error| failed(&error))?;
            while let Some(batch) = stream.next().await {
                take(batch.map_err(|error| failed(&error))?)?;
            }
            Ok(())
        })
    }

    /// Plans a view or source, and starts to compute these columns.
    async fn stream(
        &self,
        relation: &str,
        columns: Vec<Expr>,
    ) -> Result<SendableRecordBatchStream> {
        let table = self.context.table(TableReference::bare(relation)).await?;
        let state = self.context.state();
        let plan = state.optimize(&table.select(columns)?.into_unoptimized_plan())?;
        let plan = plan::guarded(ties::broken(plan)?)?;
        let planner = state.query_planner();
        let plan = planner.create_physical_plan(&plan, &state).await?;
        execute_stream(plan, self.context.task_ctx())
    }

    /// Whether a relation's content depends on an order of rows, because it ranks or limits them.
    pub fn orders_rows(&self, relation: &str) -> Result<bool> {
        let table = self.context.table(TableReference::bare(relation));
        let plan = self.runtime.block_on(table)?.into_unoptimized_plan();
        plan.exists(|node| {
            Ok(matches!(
                node,
                LogicalPlan::Window(_) | LogicalPlan::Limit(_)
            ))
        })
    }
}

/// DataFusion's rules for physical plans, without those that break guards.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules
        .filter(|rule| plan::keeps_guards(rule.name()))
        .collect()
}

/// DataFusion's error as a failure of the command.
pub fn failed(error: &DataFusionError) -> Failure {
    Failure::failed(error.to_string())
}

/// SQL for the latest row of each key, in the connector's key order.
fn last_of_each_key(source: &Source, all: &str) -> String {
    let fields = source.spec.schema.fields();
    let names = |columns: &mut dyn Iterator<Item = usize>| {
        let columns = columns.map(|at| quoted(fields[at].name()));
        columns.collect::<Vec<_>>().join(", ")
    };
    let columns = names(&mut (0..fields.len()));
    let key = names(&mut source.primary_key.iter().copied());
    let places = source.input.place_fields();
    let place = |at: &usize| place_name(places[*at].name());
    let order = source.input.key_order();
    let mut latest = quoted(all);
    let mut by = source.latest_by.map(|by| quoted(fields[by].name()));
    for round in &order.rounds {
        let within = round.within.iter().map(|at| quoted(&place(at)));
        let group: Vec<String> = std::iter::once(key.clone()).chain(within).collect();
        let group = group.join(", ");
        let places = round.order.iter().map(|at| quoted(&place(at)));
        let mut orders: Vec<String> = places.collect();
        if let Some(by) = by.take() {
            if let (Some(deleted), [offset]) = (&order.deleted, orders.as_slice()) {
                let deleted = quoted(&place(deleted));
                latest = format!("({})", since_deletion(&latest, &group, &deleted, offset));
                // Any row comes after the deletion.
                orders.insert(0, format!("NOT {deleted}"));
                orders.insert(1, by);
            } else {
                orders.insert(0, by);
            }
        }
        latest = format!("({})", last(&latest, &group, &orders));
    }
    let latest = format!("SELECT {columns} FROM {latest}");
    match &order.deleted {
        Some(deleted) => format!("{latest} WHERE NOT {}", quoted(&place(deleted))),
        None => latest,
    }
}

/// The rows that result from the changes of a source.
fn settled(source: &Source, changes: &ChangePlaces, all: &str) -> Settled {
    let columns = source.spec.schema.fields().iter();
    let columns: Vec<String> = columns.map(|field| quoted(field.name())).collect();
    let places = source.input.place_fields();
    let place = |at: usize| quoted(&place_name(places[at].name()));
    Settled::new(
        &quoted(all),
        &columns.join(", "),
        &place(changes.partition),
        &place(changes.position),
    )
}

/// The name of the view with the unmatched changes of a source.
fn unmatched_name(source: &str) -> String {
    format!("tidewater: unmatched {source}")
}

/// The rows of `relation` from the last one that deletes their `key` on.
fn since_deletion(relation: &str, key: &str, deleted: &str, offset: &str) -> String {
    let last = quoted("tidewater: deletion");
    format!(
        "SELECT * EXCEPT ({last}) FROM (SELECT *, max(CASE WHEN {deleted} THEN {offset} END) OVER (PARTITION BY {key}) \
         AS {last} FROM {relation}) WHERE {last} IS NULL OR {offset} >= {last}"
    )
}

/// SQL for the rows of `relation` that are last in these orders among rows with equal `key`.
fn last(relation: &str, key: &str, orders: &[String]) -> String {
    let orders: Vec<String> = orders
        .iter()
        .map(|order| format!("{order} DESC NULLS LAST"))
        .collect();
    let orders = orders.join(", ");
    let place = quoted("tidewater: place");
    format!(
        "SELECT * EXCEPT ({place}) FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {orders}) AS {place} \
         FROM {relation}) WHERE {place} = 1"
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name by SQL's rule: unchanged if quoted, otherwise in lower case.
fn named(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}
