//! The oracle: DataFusion's batch executor over the same SQL.
//!
//! It parses the job with DataFusion's own parser, plans it with the settings, types and functions of jobs, optimises
//! it with DataFusion's own rules, and runs it over tables in memory. Between input and output, our only code is
//! functions and operators that DataFusion does not have or computes wrongly: those of `job::functions`, exact sums
//! and averages, arithmetic that does not wrap, the dialect and the guards of jobs. Separate tests compare their values with
//! literals and exact integers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{CreateView, Ident, Query, Statement as Sql};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use tidewater_engine::{job, plan};
use tokio::runtime::{Builder, Runtime};

/// A job that DataFusion runs.
pub struct Oracle {
    context: SessionContext,
    runtime: Runtime,
    views: Vec<CreateView>,
}

impl Oracle {
    /// Reads a job. Sources and sinks are skipped. Views must come after the views that they read.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn new(sql: &str) -> Result<Self> {
        let config = SessionConfig::from(job::planner_options()).with_target_partitions(1);
        let builder = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features();
        let builder = builder
            .with_type_planner(job::type_planner())
            .with_analyzer_rules(job::analyzer_rules())
            .with_optimizer_rules(job::optimizer_rules())
            .with_physical_optimizer_rules(physical_rules());
        let context = SessionContext::new_with_state(builder.build());
        for function in job::functions() {
            context.register_udf(function.as_ref().clone());
        }
        for function in job::aggregate_functions() {
            context.register_udaf(function.as_ref().clone());
        }
        let runtime = Builder::new_current_thread().build()?;
        let statements = DFParser::parse_sql_with_dialect(sql, &GenericDialect {})?;
        Ok(Self {
            context,
            runtime,
            views: views(statements),
        })
    }

    /// The content of each view, materialized or not, if the sources hold these rows.
    ///
    /// # Errors
    /// The errors of DataFusion.
    pub fn run(
        &self,
        sources: &BTreeMap<String, RecordBatch>,
    ) -> Result<BTreeMap<String, RecordBatch>> {
        let result = self.views_over(sources);
        let views = self.views.iter().map(view_name);
        for name in sources.keys().cloned().chain(views) {
            self.context.deregister_table(TableReference::bare(name))?;
        }
        result
    }

    fn views_over(
        &self,
        sources: &BTreeMap<String, RecordBatch>,
    ) -> Result<BTreeMap<String, RecordBatch>> {
        for (name, batch) in sources {
            self.register(name, batch)?;
        }
        let mut results = BTreeMap::new();
        for view in &self.views {
            let query = job::standard_query(view.query.as_ref().clone(), &mut |query| {
                let plan = self.plan(query.clone()).ok()?;
                let fields = plan.schema().fields().iter();
                Some(fields.map(|field| field.name().clone()).collect())
            });
            let plan = self.plan(query)?;
            let state = self.context.state();
            let plan = plan::guarded(state.optimize(&plan)?)?;
            let planner = state.query_planner();
            let plan = planner.create_physical_plan(&plan, &state);
            let plan = self.runtime.block_on(plan)?;
            let batches = collect(Arc::clone(&plan), self.context.task_ctx());
            let batches = self.runtime.block_on(batches)?;
            let batch = renamed(&concat_batches(&plan.schema(), &batches)?, view)?;
            let name = view_name(view);
            self.register(&name, &batch)?;
            results.insert(name, batch);
        }
        Ok(results)
    }

    fn plan(&self, query: Query) -> Result<LogicalPlan> {
        let statement = Statement::Statement(Box::new(Sql::Query(Box::new(query))));
        let state = self.context.state();
        self.runtime.block_on(state.statement_to_plan(statement))
    }

    fn register(&self, name: &str, batch: &RecordBatch) -> Result<()> {
        // Without rows there is no batch. DataFusion would evaluate constants for it, which may fail.
        let batches = (batch.num_rows() > 0).then(|| batch.clone());
        let table = MemTable::try_new(batch.schema(), vec![batches.into_iter().collect()])?;
        self.context
            .register_table(TableReference::bare(name), Arc::new(table))?;
        Ok(())
    }
}

/// DataFusion's rules for physical plans, without those that break guards.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules
        .filter(|rule| plan::keeps_guards(rule.name()))
        .collect()
}

/// The views among statements.
fn views(statements: VecDeque<Statement>) -> Vec<CreateView> {
    let views = statements
        .into_iter()
        .filter_map(|statement| match statement {
            Statement::Statement(sql) => match *sql {
                Sql::CreateView(view) => Some(view),
                _ => None,
            },
            _ => None,
        });
    views.collect()
}

fn view_name(view: &CreateView) -> String {
    view.name.0[0].as_ident().map(name).unwrap_or_default()
}

/// A name by SQL's rule: unchanged if quoted, otherwise in lower case.
fn name(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// A view's rows with the column names of `CREATE VIEW v (a, b)`, all nullable.
fn renamed(batch: &RecordBatch, view: &CreateView) -> Result<RecordBatch> {
    let schema = batch.schema();
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        let given = view.columns.get(at).map(|column| name(&column.name));
        field
            .as_ref()
            .clone()
            .with_name(given.unwrap_or_else(|| field.name().clone()))
            .with_nullable(true)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(schema),
        batch.columns().to_vec(),
        &options,
    )?)
}
