//! The text of each vertex: its title, its operation, and its state.

use arrow::datatypes::Schema;
use tidewater_connectors::format::row_format::RowFormat;
use tidewater_operators::aggregate::{Aggregation, Call, Function};
use tidewater_operators::join::{JoinKind, JoinSpec};
use tidewater_operators::row_codec::OrderKey;
use tidewater_operators::top::TopSpec;
use tidewater_operators::window::WindowSpec;

use crate::job::{Assertion, Destination, Job, Severity, Sink, Source};
use crate::plan::{Map, Node, PlannedView};
use crate::spelling::{in_sql, physical_expression};

/// The text of a vertex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// The title.
    pub title: String,
    /// The operation, line by line.
    pub details: Vec<String>,
    /// The state that is kept between epochs.
    pub state: Option<String>,
}

impl Description {
    fn new(title: impl Into<String>, details: Vec<String>) -> Self {
        Self {
            title: title.into(),
            details: details.into_iter().map(|detail| in_sql(&detail)).collect(),
            state: None,
        }
    }

    fn keeping(self, state: impl Into<String>) -> Self {
        Self {
            state: Some(state.into()),
            ..self
        }
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let state = self.state.iter().map(|state| format!("keeps {state}"));
        std::iter::once(self.title.clone())
            .chain(self.details.iter().cloned())
            .chain(state)
    }
}

/// A source.
pub(super) fn describe_source(source: &Source) -> Description {
    let spec = &source.spec;
    let format = RowFormat::of(spec.format).title;
    let (read, all) = (spec.projection.len(), spec.schema.fields().len());
    let details = vec![
        format!("{format} from {}", spec.location),
        format!("reads {read} of {all} columns"),
    ];
    Description::new(format!("source {}", spec.name), details)
}

/// A view, or the latest rows of a source.
pub(super) fn describe_relation(job: &Job, view: &PlannedView) -> Description {
    let name = &view.name;
    match (job.view(name), job.source(name)) {
        (None, Some(source)) => {
            if source.input.changes().is_some() {
                return Description::new(format!("rows of {name}"), Vec::new());
            }
            let key = names(&source.spec.schema, &source.primary_key);
            let mut details = vec![format!("by {key}")];
            if let Some(column) = source.latest_by {
                let column = names(&source.spec.schema, &[column]);
                details.push(format!("greatest {column}"));
            }
            Description::new(format!("latest rows of {name}"), details)
        }
        (declared, _) => {
            let is_materialized = declared.is_some_and(|view| view.materialized);
            let kind = if is_materialized {
                "materialized view"
            } else {
                "view"
            };
            let schema = view.node.schema();
            let columns: Vec<usize> = (0..schema.fields().len()).collect();
            Description::new(format!("{kind} {name}"), vec![names(schema, &columns)])
        }
    }
}

/// A published table.
pub(super) fn describe_sink(sink: &Sink) -> Description {
    let mut details = Vec::new();
    match &sink.destination {
        Destination::Directory(directory) => {
            let (format, path) = (directory.encoding.name(), directory.path.display());
            details.push(format!("{format} in {path}"));
            if !directory.partition_by.is_empty() {
                let columns = names(&sink.schema, &directory.partition_by);
                details.push(format!("partitioned by {columns}"));
            }
        }
        Destination::External(target) => details.extend(target.describe()),
        Destination::State => details.push("in the state".to_owned()),
    }
    Description::new(format!("publish {}", sink.name), details)
}

/// An assertion.
pub(super) fn describe_assertion(assertion: &Assertion) -> Description {
    let mut details = vec![format!("CHECK ({})", assertion.check)];
    let by = assertion.by.as_ref();
    let by = by.map_or_else(String::new, |by| format!(", by {by}"));
    let (severity, limit) = match assertion.severity {
        Severity::Error => ("error", &assertion.limit),
        Severity::Warn => ("warning", &assertion.warn_limit),
    };
    details.push(format!("{severity} above {limit} that break it{by}"));
    details.extend(assertion.describe.clone());
    Description::new(format!("assertion {}", assertion.name), details)
}

/// An operator.
pub(super) fn describe_node(node: &Node) -> Description {
    match node {
        Node::Scan { relation, .. } => Description::new("read", vec![relation.clone()]),
        Node::Constant { batch } => {
            Description::new("constant", vec![format!("{} rows", batch.num_rows())])
        }
        Node::Map(map) => describe_map(map),
        Node::Unnest { input, unnest } => {
            let columns: Vec<usize> = unnest.lists.iter().map(|list| list.column).collect();
            Description::new("unnest", vec![names(input.schema(), &columns)])
        }
        Node::Union { .. } => Description::new("union all", Vec::new()),
        Node::Retain { input, column } => {
            let by = names(input.schema(), &[*column]);
            Description::new("retain", vec![format!("open windows, by {by}")])
        }
        Node::Aggregate { aggregation, .. } => describe_aggregate(aggregation),
        Node::Join { spec, .. } => describe_join(spec),
        Node::Window {
            spec, functions, ..
        } => describe_window(spec, functions),
        Node::Latest { spec, .. } => {
            let key = names(&spec.schema, &spec.key);
            let by = names(&spec.schema, &[spec.by, spec.offset]);
            let details = vec![
                format!("partition by {key}"),
                format!("greatest by {by}, after the last deletion"),
            ];
            Description::new("latest", details).keeping("the row of each partition that counts")
        }
        Node::Settle { .. } => Description::new(
            "settle",
            vec!["changes that insert rows with changes that retract them".to_owned()],
        )
        .keeping("for each row the number of changes"),
        Node::Top { spec, .. } => describe_top(spec),
    }
}

fn describe_window(spec: &WindowSpec, functions: &[String]) -> Description {
    let mut details = vec![functions.join(", ")];
    if !spec.partition.is_empty() {
        let columns = names(&spec.input, &spec.partition);
        details.push(format!("partition by {columns}"));
    }
    details.push(format!("order by {}", ordering(&spec.input, &spec.order)));
    Description::new("window", details).keeping("the rows of each partition, in its order")
}

fn describe_top(spec: &TopSpec) -> Description {
    let mut details = Vec::new();
    if !spec.partition.is_empty() {
        let columns = names(&spec.schema, &spec.partition);
        details.push(format!("partition by {columns}"));
    }
    details.push(format!("order by {}", ordering(&spec.schema, &spec.order)));
    if spec.limit < u64::MAX {
        details.push(format!("limit {}", spec.limit));
    }
    if spec.offset > 0 {
        details.push(format!("offset {}", spec.offset));
    }
    Description::new("top", details).keeping(if spec.forgets {
        "the first rows of each partition"
    } else {
        "all rows, in order"
    })
}

fn describe_map(map: &Map) -> Description {
    let mut details = Vec::new();
    if let Some(predicate) = &map.predicate {
        details.push(format!("where {}", physical_expression(predicate)));
    }
    let computed = map
        .columns
        .iter()
        .zip(map.schema.fields())
        .map(|(column, field)| (physical_expression(column), in_sql(field.name())))
        .filter(|(column, name)| column != name)
        .map(|(column, name)| format!("{name} = {column}"));
    details.extend(computed);
    let title = if map.predicate.is_some() {
        "filter"
    } else {
        "project"
    };
    Description::new(title, details)
}

fn describe_aggregate(aggregation: &Aggregation) -> Description {
    let mut details = Vec::new();
    if !aggregation.group.is_empty() {
        details.push(format!(
            "by {}",
            names(&aggregation.input, &aggregation.group)
        ));
    }
    details.extend(
        aggregation
            .calls
            .iter()
            .map(|call| describe_call(aggregation, call)),
    );
    let extreme = |call: &Call| matches!(call.function, Function::Min | Function::Max);
    let mut state = vec!["sums per group".to_owned()];
    for call in aggregation
        .calls
        .iter()
        .filter(|call| call.distinct || extreme(call))
    {
        let argument = call
            .argument
            .map(|column| aggregation.input.field(column).name().clone())
            .unwrap_or_default();
        let order = if extreme(call) { " in order" } else { "" };
        state.push(format!("(group, {argument}) pairs{order}"));
    }
    state.dedup();
    let title = if aggregation.calls.is_empty() {
        "distinct"
    } else {
        "aggregate"
    };
    Description::new(title, details).keeping(state.join(", "))
}

fn describe_call(aggregation: &Aggregation, call: &Call) -> String {
    let function = match call.function {
        Function::Count => "count",
        Function::Sum => "sum",
        Function::Avg => "avg",
        Function::Min => "min",
        Function::Max => "max",
    };
    let argument = call
        .argument
        .map_or("*", |column| aggregation.input.field(column).name());
    let distinct = if call.distinct { "distinct " } else { "" };
    let filter = call
        .filter
        .map(|column| format!(" where {}", aggregation.input.field(column).name()));
    format!(
        "{function}({distinct}{argument}){}",
        filter.unwrap_or_default()
    )
}

fn describe_join(spec: &JoinSpec) -> Description {
    let keys = spec.keys.iter().map(|key| {
        let (left, right) = (spec.left.field(key.left), spec.right.field(key.right));
        let operator = if key.null_safe {
            "IS NOT DISTINCT FROM"
        } else {
            "="
        };
        format!("{} {operator} {}", left.name(), right.name())
    });
    let keys = keys.collect::<Vec<_>>().join(" and ");
    let title = match spec.kind {
        JoinKind::Inner => "join",
        JoinKind::Left => "left join",
    };
    Description::new(title, vec![format!("on {keys}")]).keeping("the rows of both sides, by key")
}

fn names(schema: &Schema, columns: &[usize]) -> String {
    columns
        .iter()
        .map(|&column| in_sql(schema.field(column).name()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn ordering(schema: &Schema, keys: &[OrderKey]) -> String {
    let terms = keys.iter().map(|key| {
        let name = schema.field(key.column).name();
        if key.descending {
            format!("{name} desc")
        } else {
            name.clone()
        }
    });
    terms.collect::<Vec<_>>().join(", ")
}
