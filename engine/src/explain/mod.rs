//! A job's plan as a graph of operators, with their operations and states. Printed as text, for Graphviz or for
//! Mermaid.

mod describe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use self::describe::{
    Description, describe_assertion, describe_node, describe_relation, describe_sink,
    describe_source,
};
use crate::drive::RunError;
use crate::job::Job;
use crate::plan::assemble::views;
use crate::plan::{Node, PlannedView};

/// A job's plan.
#[derive(Clone, Debug)]
pub struct Explain {
    vertices: Vec<Vertex>,
}

/// A box of the graph.
#[derive(Clone, Debug)]
struct Vertex {
    kind: VertexKind,
    text: Description,
    /// The vertices that it reads, by index.
    inputs: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VertexKind {
    Source,
    Operator,
    Relation,
    Sink,
}

impl Explain {
    /// Plans `job` and draws the plan that every run of it renders.
    ///
    /// # Errors
    /// When a view has no dataflow.
    pub fn new(job: &Job) -> Result<Self, RunError> {
        let all = job.views.iter().map(|view| view.name.clone());
        let published = job.sinks.iter().map(|sink| sink.view.clone());
        let planned = views(job, all.chain(published))?;
        let mut drawing = Drawing::default();
        for source in &job.sources {
            let vertex = drawing.push(VertexKind::Source, describe_source(source), Vec::new());
            drawing.relations.insert(source.spec.name.clone(), vertex);
        }
        for view in &planned {
            drawing.relation(job, view);
        }
        for assertion in &job.assertions {
            let inputs = drawing.relations.get(&assertion.counts).copied();
            let inputs = inputs.into_iter().collect();
            drawing.push(VertexKind::Sink, describe_assertion(assertion), inputs);
        }
        for sink in &job.sinks {
            let inputs = drawing.relations.get(&sink.view).copied();
            let inputs = inputs.into_iter().collect();
            drawing.push(VertexKind::Sink, describe_sink(sink), inputs);
        }
        Ok(Self {
            vertices: drawing.vertices,
        })
    }

    /// The graph in Graphviz's DOT language.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from(
            "digraph job {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n",
        );
        for (id, vertex) in self.vertices.iter().enumerate() {
            let shape = match vertex.kind {
                VertexKind::Source => "cylinder",
                VertexKind::Operator => "box",
                VertexKind::Relation => "ellipse",
                VertexKind::Sink => "folder",
            };
            let label = vertex
                .text
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
                VertexKind::Source => ("[(", ")]"),
                VertexKind::Operator => ("[", "]"),
                VertexKind::Relation => ("([", "])"),
                VertexKind::Sink => ("[/", "/]"),
            };
            let label = vertex
                .text
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
        let Vertex { kind, text, inputs } = &self.vertices[id];
        let indent = "  ".repeat(depth);
        if *kind != VertexKind::Operator {
            return writeln!(f, "{indent}read {}", text.title);
        }
        let details = if text.details.is_empty() {
            String::new()
        } else {
            format!(" {}", text.details.join("; "))
        };
        writeln!(f, "{indent}{}{details}", text.title)?;
        if let Some(state) = &text.state {
            writeln!(f, "{indent}  keeps {state}")?;
        }
        inputs
            .iter()
            .try_for_each(|&input| self.write_operators(f, input, depth + 1))
    }
}

/// A graph under construction.
#[derive(Default)]
struct Drawing {
    vertices: Vec<Vertex>,
    /// The vertex that a scan of a relation reads.
    relations: BTreeMap<String, usize>,
}

impl Drawing {
    fn push(&mut self, kind: VertexKind, text: Description, inputs: Vec<usize>) -> usize {
        self.vertices.push(Vertex { kind, text, inputs });
        self.vertices.len() - 1
    }

    /// Draws a view and everything that it reads. If a source has a primary key, its latest rows are read in its
    /// place.
    fn relation(&mut self, job: &Job, view: &PlannedView) {
        let input = self.node(&view.node);
        let text = describe_relation(job, view);
        let vertex = self.push(VertexKind::Relation, text, input.into_iter().collect());
        self.relations.insert(view.name.clone(), vertex);
    }

    /// Draws a node and everything that it reads. Returns its vertex. A scan is an arrow, not a box.
    fn node(&mut self, node: &Node) -> Option<usize> {
        if let Node::Scan { relation, .. } = node {
            return self.relations.get(relation).copied();
        }
        let inputs = node.inputs().into_iter();
        let inputs = inputs.filter_map(|input| self.node(input)).collect();
        Some(self.push(VertexKind::Operator, describe_node(node), inputs))
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for vertex in self
            .vertices
            .iter()
            .filter(|vertex| vertex.kind != VertexKind::Operator)
        {
            writeln!(f, "{}", vertex.text.title)?;
            for detail in &vertex.text.details {
                writeln!(f, "  {detail}")?;
            }
            if vertex.kind == VertexKind::Relation {
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
