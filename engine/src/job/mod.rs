//! A job: SQL text, or plans built in Rust, parsed, resolved, typed, optimised and checked.
//!
//! ```text
//! text ─ variables ─ statements ─┬─ declare ─ sources ──────┐
//!                                ├─ resolve ─ raw plans ─ check ─ optimize ─ check ─ prune ─ Job
//!                                └─ publish ─ sinks ────────┘
//! ```
//!
//! Guarantees of a [`Job`]:
//!
//! 1. Views are in topological order; a `TableScan`'s table name is a source or an earlier view. Views are never inlined.
//! 2. Every relation has one pruned schema ([`Source::schema`], [`View::schema`]). It has the columns that are read,
//!    at least one, in declared order. `TableScan::projection` is always `Some` and holds indices into the schema. It
//!    may be empty (`count(*)`). Scans have no filters and no fetch.
//! 3. Plans contain only the nodes and functions that `check` lists. Nothing reads a clock or uses random numbers.
//! 4. A plan's output columns are, by position, those of [`View::schema`].

mod adapt;
mod allow;
mod assertion;
mod builder;
mod catalog;
mod check;
mod compile;
mod dates;
mod declaration_errors;
mod declare;
mod dialect;
mod exact_literals;
mod fallible;
pub mod functions;
mod guards;
mod join_condition;
mod names;
mod optimize;
mod options;
mod order;
mod own_tables;
mod parse;
mod paths;
mod phrasebook;
mod pivot;
mod planner_errors;
mod prune;
mod publish;
mod published_types;
mod resolve;
mod retain;
mod rewording;
mod site;
mod stack;
mod standard;
mod statement;
mod suggest;
mod syntax_error;
mod tokens;
mod variables;
mod wide;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_expr::LogicalPlan;
pub use datafusion_sql::sqlparser::ast::CreateView;
use tidewater_connectors::Registry;
use tidewater_connectors::connector::Source as SourceInput;
use tidewater_connectors::sink::{Encoding, SortKey, TableSpec};
use tidewater_connectors::sink_connector::Sink as SinkTarget;
use tidewater_connectors::source::SourceSpec;

pub use self::allow::{AcceptError, Allowance};
pub use self::assertion::{
    Acceptance, Assertion, BROKEN_COLUMN, FAIL, Limit, OnFailure, QUALITY_TABLE, ROWS_COLUMN,
    Ratio, Severity, WARN,
};
pub use self::builder::JobBuilder;
pub use self::catalog::{planner_options, type_planner};
pub use self::dialect::analyzer_rules;
pub(crate) use self::dialect::chain;
pub(crate) use self::fallible::{is_total, may_fail};
pub use self::functions::{aggregate_functions, functions};
pub use self::join_condition::JoinCondition;
pub use self::optimize::optimizer_rules;
pub use self::own_tables::LATE_TABLE;
pub(crate) use self::own_tables::{late_schema, late_spec};
pub use self::parse::view_statements;
pub(crate) use self::published_types::plain_type;
pub use self::retain::Retain;
pub use self::standard::standard_query;
use crate::diagnostic::{Diagnostic, Diagnostics};

/// A parsed, resolved, typed and checked job, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Job {
    /// The job's name, as errors show it: the file's path, usually.
    pub name: String,
    /// The sources that are read, in the order of the text.
    pub sources: Vec<Source>,
    /// The sources that no table depends on. Unused views may read them.
    pub unread_sources: Vec<Source>,
    /// The views that are needed, each after the views that it reads.
    pub views: Vec<View>,
    /// Where tables are published, in the order of the text.
    pub sinks: Vec<Sink>,
    /// The directory of `COPY QUARANTINE TO` for rows that cannot be read.
    pub quarantine: Option<DirectorySpec>,
    /// The directory of `COPY LATE TO` for rows of closed windows.
    pub late: Option<DirectorySpec>,
    /// Rules that are checked before every commit, in the order of the text.
    pub assertions: Vec<Assertion>,
    /// Warnings, in the order of the text.
    pub warnings: Vec<Diagnostic>,
}

/// A source of rows.
#[derive(Clone, Debug)]
pub struct Source {
    /// The declaration. Its `projection` is the union of the columns that views and sinks read.
    pub spec: SourceSpec,
    /// The columns that are read: `spec.schema` projected by `spec.projection`.
    pub schema: SchemaRef,
    /// The primary key, as indices into `spec.schema`. Among rows with the same key only the latest counts, by the
    /// connector's key order. Without a key, all rows count.
    pub primary_key: Vec<usize>,
    /// The index in `spec.schema` of the column that decides which row of a key counts; `None` if the row delivered
    /// last counts.
    pub latest_by: Option<usize>,
    /// The source, as its connector parsed it.
    pub input: Arc<dyn SourceInput>,
}

/// A step: a view or a materialized view.
#[derive(Clone, Debug)]
pub struct View {
    /// The view's name.
    pub name: String,
    /// Whether its rows are kept.
    pub materialized: bool,
    /// The optimised plan, over scans of sources and earlier views.
    pub plan: LogicalPlan,
    /// The columns that are read; all columns if the view is materialized or published. Names are unqualified and
    /// unique.
    pub schema: SchemaRef,
    /// The `ORDER BY` of the published file, over `schema`.
    pub order_by: Vec<SortKey>,
}

/// A table to be published.
#[derive(Clone, Debug)]
pub struct Sink {
    /// The view or source whose rows it holds.
    pub view: String,
    /// The table's name, unique in the job. It is the view's name, with a number if the view is published more than
    /// once.
    pub name: Arc<str>,
    /// The table's columns.
    pub schema: SchemaRef,
    /// The order of its rows.
    pub order_by: Vec<SortKey>,
    /// Where its rows go.
    pub destination: Destination,
    /// How long the view's windows stay open; for ever if `None`.
    pub retain: Option<Retain>,
}

/// Where the rows of a table go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Files in a directory.
    Directory(DirectorySpec),
    /// Another system, which receives the table's changes. The state keeps a copy of the table as Parquet files.
    External(Arc<dyn SinkTarget>),
    /// Nowhere: the state keeps the table, and a run without a state drops it.
    State,
}

/// A directory that holds a table.
#[derive(Clone, Debug)]
pub struct DirectorySpec {
    /// The directory.
    pub path: PathBuf,
    /// Hive partition columns, as indices into the table's schema, outermost first.
    pub partition_by: Vec<usize>,
    /// File format.
    pub encoding: Encoding,
}

impl DirectorySpec {
    /// A table in Parquet, without partitions.
    pub fn parquet(path: PathBuf) -> Self {
        Self {
            path,
            partition_by: Vec::new(),
            encoding: Encoding::default(),
        }
    }
}

impl Sink {
    /// The table's directory, unless it is published to another system.
    pub fn directory(&self) -> Option<&DirectorySpec> {
        match &self.destination {
            Destination::Directory(directory) => Some(directory),
            Destination::External(_) | Destination::State => None,
        }
    }

    /// Whether the table is for readers outside of the state.
    pub fn is_published(&self) -> bool {
        !matches!(self.destination, Destination::State)
    }

    /// The system that the table is published to, if it is not published in a directory.
    pub fn external(&self) -> Option<&Arc<dyn SinkTarget>> {
        match &self.destination {
            Destination::Directory(_) | Destination::State => None,
            Destination::External(target) => Some(target),
        }
    }

    /// The table's files: in its directory, or for a table that is published to another system, its copy in `copies`.
    pub fn files(&self, copies: &Path) -> TableSpec {
        let directory = match &self.destination {
            Destination::Directory(directory) => directory.clone(),
            Destination::External(_) | Destination::State => {
                DirectorySpec::parquet(copies.join(&*self.name))
            }
        };
        TableSpec {
            name: Arc::clone(&self.name),
            path: directory.path,
            schema: Arc::clone(&self.schema),
            partition_by: directory.partition_by,
            order_by: self.order_by.clone(),
            encoding: directory.encoding,
        }
    }
}

impl Job {
    /// Parses, resolves, types, optimises and checks the text of a job. `name` is for messages; `variables` answers
    /// `${name}`.
    ///
    /// # Errors
    /// Everything that is wrong with the job, in the order of the text.
    pub fn parse(
        name: &str,
        sql: &str,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Diagnostics> {
        Self::parse_with(&Registry::default(), name, sql, variables)
    }

    /// Like [`parse`](Self::parse), with the connectors of a registry.
    ///
    /// # Errors
    /// Everything that is wrong with the job, in the order of the text.
    pub fn parse_with(
        registry: &Registry,
        name: &str,
        sql: &str,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Diagnostics> {
        stack::with_room_for(sql, || parse::parse(registry, name, sql, variables))
    }

    /// The file name without directories and extension, by which a state and its tables identify the job.
    pub fn short_name(&self) -> String {
        let stem = Path::new(&self.name).file_stem();
        stem.map_or_else(|| self.name.clone(), |stem| stem.to_string_lossy().into())
    }

    /// The source of that name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.spec.name == name)
    }

    /// The assertion of that name.
    pub fn assertion(&self, name: &str) -> Option<&Assertion> {
        self.assertions
            .iter()
            .find(|assertion| assertion.name == name)
    }

    /// The view of that name.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.iter().find(|view| view.name == name)
    }
}
