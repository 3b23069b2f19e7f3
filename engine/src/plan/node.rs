//! Nodes of the physical plan.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;
use tidewater_connectors::connector::PartitionedLog;
use tidewater_operators::aggregate::Aggregation;
use tidewater_operators::join::JoinSpec;
use tidewater_operators::latest::LatestSpec;
use tidewater_operators::settle::SettleSpec;
use tidewater_operators::top::TopSpec;
use tidewater_operators::unnest::Unnest;
use tidewater_operators::window::WindowSpec;

/// A relation and its plan.
#[derive(Clone, Debug)]
pub struct PlannedView {
    /// The relation's name: a view's, or that of a source with a primary key.
    pub name: String,
    /// Its plan.
    pub node: Node,
}

/// An operator and its inputs.
#[derive(Clone, Debug)]
pub enum Node {
    /// Some columns of a source or an earlier view.
    Scan {
        /// Name of the relation.
        relation: String,
        /// Its columns, by position.
        projection: Vec<usize>,
        /// The columns.
        schema: SchemaRef,
    },
    /// Constant rows.
    Constant {
        /// The rows.
        batch: RecordBatch,
    },
    /// Filter, then project.
    Map(Box<Map>),
    /// `UNNEST`.
    Unnest {
        /// Rows with lists and structs.
        input: Box<Node>,
        /// The lists and structs.
        unnest: Unnest,
    },
    /// `UNION ALL`: inputs of one schema.
    Union {
        /// The inputs.
        inputs: Vec<Node>,
        /// The columns.
        schema: SchemaRef,
    },
    /// `GROUP BY`.
    Aggregate {
        /// Rows of group keys and arguments.
        input: Box<Node>,
        /// What to compute.
        aggregation: Aggregation,
    },
    /// Rows of open windows; the rows of closed ones become late rows.
    Retain {
        /// The rows.
        input: Box<Node>,
        /// The column with the time of a row's window.
        column: usize,
    },
    /// Equi-join.
    Join {
        /// The left input.
        left: Box<Node>,
        /// The right input.
        right: Box<Node>,
        /// Keys and kind.
        spec: JoinSpec,
    },
    /// Window functions of one `OVER` clause.
    Window {
        /// Rows with partition keys, order keys and arguments as columns.
        input: Box<Node>,
        /// The clause and its functions.
        spec: WindowSpec,
        /// Names of the functions, for display.
        functions: Vec<String>,
    },
    /// The row of each key that counts, from a log.
    Latest {
        /// Rows with offsets.
        input: Box<Node>,
        /// The key and the deciding column.
        spec: LatestSpec,
    },
    /// The rows that result from changes, and the unmatched changes.
    Settle {
        /// Changes.
        input: Box<Node>,
        /// Their place columns.
        spec: SettleSpec,
        /// The log of the changes.
        log: PartitionedLog,
    },
    /// `ORDER BY … LIMIT`.
    Top {
        /// Rows with order keys as columns.
        input: Box<Node>,
        /// Order and bounds.
        spec: TopSpec,
    },
}

/// Filter and projection in one pass over a batch.
#[derive(Clone, Debug)]
pub struct Map {
    /// The input.
    pub input: Node,
    /// Selects rows. Without it, all rows are selected.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    /// The output columns.
    pub columns: Vec<Arc<dyn PhysicalExpr>>,
    /// Their names and types.
    pub schema: SchemaRef,
}

impl Node {
    /// The output columns.
    pub fn schema(&self) -> &SchemaRef {
        match self {
            Self::Scan { schema, .. } | Self::Union { schema, .. } => schema,
            Self::Constant { batch } => batch.schema_ref(),
            Self::Retain { input, .. } => input.schema(),
            Self::Map(map) => &map.schema,
            Self::Unnest { unnest, .. } => &unnest.output,
            Self::Aggregate { aggregation, .. } => &aggregation.output,
            Self::Join { spec, .. } => &spec.schema,
            Self::Window { spec, .. } => &spec.output,
            Self::Latest { spec, .. } => &spec.schema,
            Self::Settle { spec, .. } => &spec.schema,
            Self::Top { spec, .. } => &spec.schema,
        }
    }

    /// The operator's name in the names of its state; `None` if it keeps none. States of earlier runs are found by
    /// these names, and fingerprints contain them.
    pub fn state_name(&self) -> Option<String> {
        match self {
            Self::Aggregate { aggregation, .. } => Some(aggregation.name.clone()),
            Self::Join { .. } => Some("join".to_owned()),
            Self::Window { functions, .. } => Some(functions.join(", ")),
            Self::Latest { .. } => Some("latest".to_owned()),
            Self::Settle { .. } => Some("settle".to_owned()),
            Self::Top { .. } => Some("top".to_owned()),
            Self::Scan { .. }
            | Self::Constant { .. }
            | Self::Map(_)
            | Self::Unnest { .. }
            | Self::Union { .. }
            | Self::Retain { .. } => None,
        }
    }

    /// Its input nodes.
    pub fn inputs(&self) -> Vec<&Node> {
        match self {
            Self::Scan { .. } | Self::Constant { .. } => Vec::new(),
            Self::Map(map) => vec![&map.input],
            Self::Unnest { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Retain { input, .. }
            | Self::Window { input, .. }
            | Self::Latest { input, .. }
            | Self::Settle { input, .. }
            | Self::Top { input, .. } => vec![input],
            Self::Union { inputs, .. } => inputs.iter().collect(),
            Self::Join { left, right, .. } => vec![left, right],
        }
    }
}

/// A plan that passed the check but cannot be rendered: a defect of the engine.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// From `DataFusion`.
    #[error(transparent)]
    DataFusion(#[from] DataFusionError),
    /// A plan node or function without an operator.
    #[error("{0} has no incremental operator; write the query without it")]
    Unsupported(String),
}
