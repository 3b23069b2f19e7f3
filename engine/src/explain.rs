//! A job's plan as a graph: operators, what they do, and the state that each keeps. As text, for Graphviz or Mermaid.

use std::fmt::{self, Write};

use tidewater_connectors::source::Format;
use tidewater_operators::aggregate::{Aggregation, Call, Function};
use tidewater_operators::join::{JoinKind, JoinSpec};
use tidewater_operators::row_codec::OrderKey;

use crate::drive::RunError;
use crate::job::Job;
use crate::plan::{Map, Node, lower};

/// A job's plan.
#[derive(Clone, Debug)]
pub struct Explain {
    vertices: Vec<Vertex>,
}

/// One box of the graph.
#[derive(Clone, Debug)]
struct Vertex {
    kind: Kind,
    title: String,
    /// What it does, line by line.
    details: Vec<String>,
    /// What it remembers between epochs.
    state: Option<String>,
    inputs: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Source,
    Operator,
    Relation,
    Sink,
}

impl Explain {
    /// Plans `job` and draws it.
    ///
    /// # Errors
    /// When a view has no dataflow.
    pub fn new(job: &Job) -> Result<Self, RunError> {
        let mut graph = Self {
            vertices: Vec::new(),
        };
        for source in &job.sources {
            let spec = &source.spec;
            let format = match spec.format {
                Format::Csv => "CSV",
                Format::JsonLines => "JSON Lines",
                Format::Parquet => "Parquet",
                Format::Text => "text",
            };
            let details = vec![
                format!("{format} from {}", spec.location),
                format!(
                    "reads {} of {} columns",
                    spec.projection.len(),
                    spec.schema.fields().len()
                ),
            ];
            graph.push(
                Kind::Source,
                format!("source {}", spec.name),
                details,
                None,
                Vec::new(),
            );
        }
        for view in &job.views {
            let node = lower(view).map_err(|error| RunError::Plan {
                view: view.name.clone(),
                error,
            })?;
            let input = graph.node(&node);
            let kind = if view.materialized {
                "materialized view"
            } else {
                "view"
            };
            let columns = view
                .schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect::<Vec<_>>()
                .join(", ");
            graph.push(
                Kind::Relation,
                format!("{kind} {}", view.name),
                vec![columns],
                None,
                vec![input],
            );
        }
        for sink in &job.sinks {
            let table = &sink.table;
            let mut details = vec![format!(
                "{} in {}",
                table.encoding.name(),
                table.path.display()
            )];
            if !table.partition_by.is_empty() {
                details.push(format!(
                    "partitioned by {}",
                    names(&table.schema, &table.partition_by)
                ));
            }
            let input = graph.relation(&sink.view);
            graph.push(
                Kind::Sink,
                format!("publish {}", table.name),
                details,
                None,
                vec![input],
            );
        }
        Ok(graph)
    }

    fn push(
        &mut self,
        kind: Kind,
        title: String,
        details: Vec<String>,
        state: Option<String>,
        inputs: Vec<usize>,
    ) -> usize {
        self.vertices.push(Vertex {
            kind,
            title,
            details,
            state,
            inputs,
        });
        self.vertices.len() - 1
    }

    /// The vertex of a source or view.
    fn relation(&self, name: &str) -> usize {
        let is_it = |vertex: &Vertex| {
            matches!(vertex.kind, Kind::Source | Kind::Relation)
                && vertex
                    .title
                    .rsplit_once(' ')
                    .is_some_and(|(_, of)| of == name)
        };
        self.vertices.iter().position(is_it).unwrap_or_default()
    }

    /// Draws a node and what it reads; gives its vertex. A scan is an arrow, not a box.
    fn node(&mut self, node: &Node) -> usize {
        if let Node::Scan { relation, .. } = node {
            return self.relation(relation);
        }
        let inputs = node
            .inputs()
            .into_iter()
            .map(|input| self.node(input))
            .collect();
        let (title, details, state) = describe(node);
        self.push(Kind::Operator, title.to_owned(), details, state, inputs)
    }

    /// The graph in Graphviz's DOT language.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from(
            "digraph job {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n",
        );
        for (id, vertex) in self.vertices.iter().enumerate() {
            let shape = match vertex.kind {
                Kind::Source => "cylinder",
                Kind::Operator => "box",
                Kind::Relation => "ellipse",
                Kind::Sink => "folder",
            };
            let label = vertex
                .lines()
                .map(|line| line.replace('\\', "\\\\").replace('"', "\\\""))
                .collect::<Vec<_>>();
            let _ = writeln!(
                dot,
                "  n{id} [shape={shape}, label=\"{}\"];",
                label.join("\\n")
            );
            for input in &vertex.inputs {
                let _ = writeln!(dot, "  n{input} -> n{id};");
            }
        }
        dot + "}\n"
    }

    /// The graph in Mermaid's language.
    pub fn to_mermaid(&self) -> String {
        let mut mermaid = String::from("flowchart LR\n");
        for (id, vertex) in self.vertices.iter().enumerate() {
            let (open, close) = match vertex.kind {
                Kind::Source => ("[(", ")]"),
                Kind::Operator => ("[", "]"),
                Kind::Relation => ("([", "])"),
                Kind::Sink => ("[/", "/]"),
            };
            let label = vertex
                .lines()
                .map(|line| line.replace('"', "#quot;").replace('<', "&lt;"));
            let label = label.collect::<Vec<_>>().join("<br/>");
            let _ = writeln!(mermaid, "  n{id}{open}\"{label}\"{close}");
            for input in &vertex.inputs {
                let _ = writeln!(mermaid, "  n{input} --> n{id}");
            }
        }
        mermaid
    }

    fn write_operators(&self, f: &mut fmt::Formatter<'_>, id: usize, depth: usize) -> fmt::Result {
        let vertex = &self.vertices[id];
        let indent = "  ".repeat(depth);
        if vertex.kind != Kind::Operator {
            return writeln!(f, "{indent}read {}", vertex.title);
        }
        let details = if vertex.details.is_empty() {
            String::new()
        } else {
            format!(" {}", vertex.details.join("; "))
        };
        writeln!(f, "{indent}{}{details}", vertex.title)?;
        if let Some(state) = &vertex.state {
            writeln!(f, "{indent}  keeps {state}")?;
        }
        vertex
            .inputs
            .iter()
            .try_for_each(|&input| self.write_operators(f, input, depth + 1))
    }
}

impl Vertex {
    fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let state = self.state.iter().map(|state| format!("keeps {state}"));
        std::iter::once(self.title.clone())
            .chain(self.details.iter().cloned())
            .chain(state)
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for vertex in self
            .vertices
            .iter()
            .filter(|vertex| vertex.kind != Kind::Operator)
        {
            writeln!(f, "{}", vertex.title)?;
            for detail in &vertex.details {
                writeln!(f, "  {detail}")?;
            }
            if vertex.kind == Kind::Relation {
                vertex
                    .inputs
                    .iter()
                    .try_for_each(|&input| self.write_operators(f, input, 1))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

type Description = (&'static str, Vec<String>, Option<String>);

fn describe(node: &Node) -> Description {
    match node {
        Node::Scan { relation, .. } => ("read", vec![relation.clone()], None),
        Node::Constant { batch } => ("constant", vec![format!("{} rows", batch.num_rows())], None),
        Node::Map(map) => describe_map(map),
        Node::Unnest { input, unnest } => {
            let columns: Vec<usize> = unnest.lists.iter().map(|&(column, _)| column).collect();
            ("unnest", vec![names(input.schema(), &columns)], None)
        }
        Node::Union { .. } => ("union all", Vec::new(), None),
        Node::Retain { input, column } => {
            let by = names(input.schema(), &[*column]);
            ("retain", vec![format!("open windows, by {by}")], None)
        }
        Node::Aggregate { aggregation, .. } => describe_aggregate(aggregation),
        Node::Join { spec, .. } => describe_join(spec),
        Node::Window {
            spec, functions, ..
        } => {
            let mut details = vec![functions.join(", ")];
            if !spec.partition.is_empty() {
                details.push(format!(
                    "partition by {}",
                    names(&spec.input, &spec.partition)
                ));
            }
            details.push(format!("order by {}", ordering(&spec.input, &spec.order)));
            (
                "window",
                details,
                Some("the rows of each partition, in its order".into()),
            )
        }
        Node::Top { spec, .. } => {
            let mut details = vec![format!("order by {}", ordering(&spec.schema, &spec.order))];
            if spec.limit < u64::MAX {
                details.push(format!("limit {}", spec.limit));
            }
            if spec.offset > 0 {
                details.push(format!("offset {}", spec.offset));
            }
            ("top", details, Some("all rows, in order".into()))
        }
    }
}

fn describe_map(map: &Map) -> Description {
    let mut details = Vec::new();
    if let Some(predicate) = &map.predicate {
        details.push(format!("where {}", named(predicate)));
    }
    let computed = map
        .columns
        .iter()
        .zip(map.schema.fields())
        .filter_map(|(column, field)| {
            let column = column.to_string();
            let bare = column
                .split_once('@')
                .is_some_and(|(name, _)| name == field.name());
            (!bare).then(|| format!("{} = {}", field.name(), named(&column)))
        });
    details.extend(computed);
    (
        if map.predicate.is_some() {
            "filter"
        } else {
            "project"
        },
        details,
        None,
    )
}

/// A compiled expression without the positions behind its column names.
fn named(expression: impl fmt::Display) -> String {
    let text = expression.to_string();
    let mut parts = text.split('@');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |named, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == part.len() {
            named + "@" + part
        } else {
            named + rest
        }
    })
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
    (
        if aggregation.calls.is_empty() {
            "distinct"
        } else {
            "aggregate"
        },
        details,
        Some(state.join(", ")),
    )
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
    let keys = spec
        .left_keys
        .iter()
        .zip(&spec.right_keys)
        .map(|(&left, &right)| {
            format!(
                "{} = {}",
                spec.left.field(left).name(),
                spec.right.field(right).name()
            )
        });
    let keys = keys.collect::<Vec<_>>().join(" and ");
    let title = match spec.kind {
        JoinKind::Inner => "join",
        JoinKind::Left => "left join",
    };
    (
        title,
        vec![format!("on {keys}")],
        Some("the rows of both sides, by key".into()),
    )
}

fn names(schema: &arrow::datatypes::Schema, columns: &[usize]) -> String {
    columns
        .iter()
        .map(|&column| schema.field(column).name().as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn ordering(schema: &arrow::datatypes::Schema, keys: &[OrderKey]) -> String {
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
