//! Renders views, node by node.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewater_operators::aggregate::{Aggregation, aggregate};
use tidewater_operators::concat::concat;
use tidewater_operators::interner::Interner;
use tidewater_operators::join::join;
use tidewater_operators::latest::latest;
use tidewater_operators::map::map;
use tidewater_operators::plain::plain;
use tidewater_operators::settle::settle;
use tidewater_operators::source::{SourceStep, source};
use tidewater_operators::state::{StateHandle, StateRegistry};
use tidewater_operators::top::top;
use tidewater_operators::window::window;
use tidewater_operators::{Delta, DeltaStream, Faults};
use timely::dataflow::Scope;

use super::set_aside::{SetAsideRows, UnmatchedChanges};
use super::windows::RetainedWindows;
use crate::plan::{Node, PlannedView};

/// State shared by the views of a graph.
pub struct RenderContext<'a> {
    /// The states of the operators.
    pub registry: &'a StateRegistry,
    /// The retained windows of views that have some.
    pub retained: &'a BTreeMap<String, Arc<RetainedWindows>>,
    /// Whether constant rows are emitted: a graph that continues from a state has emitted them before.
    pub emits_constants: bool,
    /// The faults of the run.
    pub faults: &'a Faults,
}

/// Renders views in order. `relations` has the streams of the sources; those of the views are added. Returns the rows that
/// the views set aside.
pub fn render<'scope>(
    scope: Scope<'scope, u64>,
    views: &[PlannedView],
    relations: &mut BTreeMap<String, DeltaStream<'scope>>,
    context: &RenderContext<'_>,
) -> SetAsideRows<'scope> {
    let interner = Interner::default();
    let set_aside = RefCell::new(SetAsideRows::default());
    for PlannedView { name, node } in views {
        let renderer = Renderer {
            scope,
            view: name,
            relations,
            interner: &interner,
            context,
            set_aside: &set_aside,
            stateful: Cell::new(0),
        };
        let stream = renderer.node(node);
        relations.insert(name.clone(), stream);
    }
    set_aside.into_inner()
}

/// Renders one view.
pub struct Renderer<'a, 'scope> {
    scope: Scope<'scope, u64>,
    /// The view's name, with which the names of its operators begin.
    pub view: &'a str,
    relations: &'a BTreeMap<String, DeltaStream<'scope>>,
    interner: &'a Interner,
    /// State shared by the views of the graph.
    pub context: &'a RenderContext<'a>,
    /// The rows that all views so far set aside.
    pub set_aside: &'a RefCell<SetAsideRows<'scope>>,
    /// Number of stateful operators of the view so far.
    stateful: Cell<u32>,
}

impl<'scope> Renderer<'_, 'scope> {
    /// Renders a node and all below it.
    pub fn node(&self, node: &Node) -> DeltaStream<'scope> {
        match node {
            Node::Scan { .. } | Node::Map(_) | Node::Unnest { .. } => self.chain(node),
            Node::Constant { batch } => self.constant(batch),
            Node::Union { inputs, schema } => {
                let inputs = inputs.iter().map(|input| {
                    let schema = schema.clone();
                    // The inputs of a union differ in column names; what follows expects one schema.
                    map(
                        self.node(input),
                        &self.name("union"),
                        self.faults(),
                        move |batch: &RecordBatch| plain(batch)?.with_schema(schema.clone()),
                    )
                });
                concat(self.scope, inputs.collect::<Vec<_>>())
            }
            Node::Aggregate { input, aggregation } => {
                self.aggregate(&self.stateful_name(node), input, aggregation)
            }
            Node::Retain { input, column } => self.retain(self.node(input), *column),
            Node::Join { left, right, spec } => {
                let (name, state) = self.stateful(node);
                let (left, right) = (self.node(left), self.node(right));
                join(left, right, &name, spec, state, self.faults())
            }
            Node::Window { input, spec, .. } => {
                let (name, state) = self.stateful(node);
                window(self.node(input), &name, spec, state, self.faults())
            }
            Node::Latest { input, spec } => {
                let (name, state) = self.stateful(node);
                latest(self.node(input), &name, spec, state, self.faults())
            }
            Node::Settle { input, spec, log } => {
                let (name, state) = self.stateful(node);
                let rows = settle(self.node(input), &name, spec, state, self.faults());
                self.set_aside
                    .borrow_mut()
                    .unmatched
                    .push(UnmatchedChanges {
                        source: self.view.to_owned(),
                        log: log.clone(),
                        partition: spec.partition,
                        position: spec.position,
                        rows: rows.clone(),
                    });
                rows
            }
            Node::Top { input, spec } => {
                let (name, state) = self.stateful(node);
                top(self.node(input), &name, spec, state, self.faults())
            }
        }
    }

    fn aggregate(
        &self,
        name: &str,
        input: &Node,
        aggregation: &Aggregation,
    ) -> DeltaStream<'scope> {
        let aggregation = Aggregation {
            name: name.to_owned(),
            ..aggregation.clone()
        };
        let rendered = aggregate(
            self.node(input),
            &aggregation,
            self.interner,
            |name| self.context.registry.handle(self.view, name),
            self.context.faults,
        );
        self.context
            .faults
            .catch(name, rendered)
            .unwrap_or_else(|| self.nothing())
    }

    /// Constant rows, which the first worker emits in the first epoch.
    fn constant(&self, batch: &RecordBatch) -> DeltaStream<'scope> {
        let emits = self.context.emits_constants && self.scope.index() == 0;
        let mut rows = (emits && batch.num_rows() > 0).then(|| Delta::plus(batch.clone()));
        source(self.scope, &self.name("constant"), move || {
            match rows.take() {
                Some(delta) => SourceStep::Emit(vec![delta]),
                None => SourceStep::Done,
            }
        })
    }

    /// The deltas of a relation.
    pub fn relation(&self, relation: &str) -> DeltaStream<'scope> {
        self.relations.get(relation).cloned().unwrap_or_else(|| {
            self.context.faults.raise(
                self.view,
                format!("the plan reads {relation}, which does not exist: a defect of the engine"),
            );
            self.nothing()
        })
    }

    fn nothing(&self) -> DeltaStream<'scope> {
        concat(self.scope, [])
    }

    /// The faults, for an operator to own.
    pub fn faults(&self) -> Faults {
        self.context.faults.clone()
    }

    /// The name of an operator.
    pub fn name(&self, operation: &str) -> String {
        let name = format!("{}: {operation}", self.view);
        if self.scope.index() == 0 {
            tracing::debug!("operator {name}");
        }
        name
    }

    /// The name of a stateful operator, which identifies its state and is unique within the view.
    fn stateful_name(&self, node: &Node) -> String {
        let operation = node.state_name().unwrap_or_default();
        let number = self.stateful.get() + 1;
        self.stateful.set(number);
        if number == 1 {
            self.name(&operation)
        } else {
            self.name(&format!("{operation} #{number}"))
        }
    }

    /// The name of a stateful operator, and its state.
    fn stateful(&self, node: &Node) -> (String, StateHandle) {
        let name = self.stateful_name(node);
        let state = self.context.registry.handle(self.view, &name);
        (name, state)
    }
}
