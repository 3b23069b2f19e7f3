//! Nodes into dataflow. The same function renders a job for every driver; it never learns which one drives it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::kernels::cmp::{gt_eq, lt};
use arrow::compute::{filter_record_batch, is_null, max, or_kleene};
use datafusion_common::DataFusionError;
use tidewater_operators::concat::concat;
use tidewater_operators::interner::Interner;
use tidewater_operators::join::join;
use tidewater_operators::map::map;
use tidewater_operators::plain::{plain, plain_column};
use tidewater_operators::source::{self, source};
use tidewater_operators::state::Ledger;
use tidewater_operators::top::top;
use tidewater_operators::window::window;
use tidewater_operators::{Delta, Faults, aggregate};
use timely::dataflow::{Scope, Stream};

use crate::plan::retain::times;
use crate::plan::{Node, PlannedView};

/// A relation's changes.
pub type Changes<'scope> = Stream<'scope, u64, Vec<Delta>>;

/// Renders views one after the other. `relations` holds the sources' streams; the views' are added to it. Operators
/// get their state from `ledger`; `constants` says whether rows that are there from the beginning are still to come.
pub fn render<'scope>(
    scope: Scope<'scope, u64>,
    views: &[PlannedView],
    relations: &mut BTreeMap<String, Changes<'scope>>,
    ledger: &Ledger,
    retained: &BTreeMap<String, Arc<Retained>>,
    constants: bool,
    faults: &Faults,
) -> Vec<Late<'scope>> {
    let interner = Interner::default();
    let late = RefCell::new(Vec::new());
    for PlannedView { name, node } in views {
        let stream = Renderer {
            scope,
            view: name,
            relations,
            interner: &interner,
            ledger,
            retained,
            late: &late,
            stateful: Cell::new(0),
            constants,
            faults,
        }
        .node(node);
        relations.insert(name.clone(), stream);
    }
    late.into_inner()
}

/// The windows of a view that stay open for a time only.
#[derive(Debug, Default)]
pub struct Retained {
    /// The first window that is open; all are where there is none.
    pub horizon: Option<i64>,
    /// The newest window that was met, in the unit of its column.
    pub newest: AtomicI64,
}

/// Rows of windows that are final.
pub struct Late<'scope> {
    /// Whose windows.
    pub view: String,
    /// The column that says when a row's window is.
    pub column: usize,
    /// The first window that is open.
    pub horizon: i64,
    /// The rows.
    pub rows: Changes<'scope>,
}

/// A function from batch to batch.
type Step = Box<dyn FnMut(&RecordBatch) -> Result<RecordBatch, DataFusionError>>;

/// A step of a chain.
struct Link {
    name: String,
    step: Step,
}

struct Renderer<'a, 'scope> {
    scope: Scope<'scope, u64>,
    /// The view that is rendered: its name begins those of its operators.
    view: &'a str,
    relations: &'a BTreeMap<String, Changes<'scope>>,
    interner: &'a Interner,
    ledger: &'a Ledger,
    retained: &'a BTreeMap<String, Arc<Retained>>,
    late: &'a RefCell<Vec<Late<'scope>>>,
    /// How many stateful operators of the view were rendered.
    stateful: Cell<u32>,
    constants: bool,
    faults: &'a Faults,
}

impl<'scope> Renderer<'_, 'scope> {
    fn node(&self, node: &Node) -> Changes<'scope> {
        match node {
            Node::Scan { .. } | Node::Map(_) | Node::Unnest { .. } => self.chain(node),
            Node::Constant { batch } => self.constant(batch),
            Node::Union { inputs, schema } => {
                let inputs = inputs.iter().map(|input| {
                    let schema = schema.clone();
                    // Union inputs differ in names; what follows sees one schema.
                    map(
                        self.node(input),
                        &self.name("union"),
                        self.faults.clone(),
                        move |batch: &RecordBatch| plain(batch)?.with_schema(schema.clone()),
                    )
                });
                concat(self.scope, inputs.collect::<Vec<_>>())
            }
            Node::Aggregate { input, aggregation } => {
                let name = self.stateful(&aggregation.name);
                let aggregation = aggregate::Aggregation {
                    name: name.clone(),
                    ..aggregation.clone()
                };
                let rendered = aggregate::aggregate(
                    self.node(input),
                    &aggregation,
                    self.interner,
                    |name| self.ledger.part(self.view, name),
                    self.faults,
                );
                self.faults
                    .catch(&name, rendered)
                    .unwrap_or_else(|| self.nothing())
            }
            Node::Retain { input, column } => self.retain(self.node(input), *column),
            Node::Join { left, right, spec } => {
                let name = self.stateful("join");
                let part = self.ledger.part(self.view, &name);
                let (left, right) = (self.node(left), self.node(right));
                join(left, right, &name, spec, part, self.faults.clone())
            }
            Node::Window {
                input,
                spec,
                functions,
            } => {
                let name = self.stateful(&functions.join(", "));
                let part = self.ledger.part(self.view, &name);
                window(self.node(input), &name, spec, part, self.faults.clone())
            }
            Node::Top { input, spec } => {
                let name = self.stateful("top");
                let part = self.ledger.part(self.view, &name);
                top(self.node(input), &name, spec, part, self.faults.clone())
            }
        }
    }

    fn name(&self, operation: &str) -> String {
        let name = format!("{}: {operation}", self.view);
        if self.scope.index() == 0 {
            tracing::debug!("operator {name}");
        }
        name
    }

    /// The name of a stateful operator, by which its state is found again: no other of the view has it.
    fn stateful(&self, operation: &str) -> String {
        let number = self.stateful.get() + 1;
        self.stateful.set(number);
        if number == 1 {
            self.name(operation)
        } else {
            self.name(&format!("{operation} #{number}"))
        }
    }

    /// What follows one another without a state is one operator: a batch goes through all of it at once.
    fn chain(&self, node: &Node) -> Changes<'scope> {
        let (input, links) = self.links(node);
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let name = self.name(&names.join(", "));
        let mut steps: Vec<Step> = links.into_iter().map(|link| link.step).collect();
        map(input, &name, self.faults.clone(), move |batch| {
            let mut batch = batch.clone();
            for step in &mut steps {
                if batch.num_rows() > 0 {
                    batch = step(&batch)?;
                }
            }
            Ok::<_, DataFusionError>(batch)
        })
    }

    /// The steps of a chain, and what enters it.
    fn links(&self, node: &Node) -> (Changes<'scope>, Vec<Link>) {
        let (input, name, step): (_, _, Step) = match node {
            Node::Scan {
                relation,
                projection,
                ..
            } => {
                let projection = projection.clone();
                let step = Box::new(move |batch: &RecordBatch| {
                    if projection.iter().copied().eq(0..batch.num_columns()) {
                        return Ok(batch.clone());
                    }
                    Ok(batch.project(&projection)?)
                });
                let name = format!("read {relation}");
                return (self.relation(relation), vec![Link { name, step }]);
            }
            Node::Map(plan) => {
                let name = if plan.predicate.is_some() {
                    "filter"
                } else {
                    "project"
                };
                let of_worker = plan.clone();
                let step = Box::new(move |batch: &RecordBatch| of_worker.apply(batch));
                (&plan.input, name, step)
            }
            Node::Unnest { input, unnest } => {
                let unnest = unnest.clone();
                let step = Box::new(move |batch: &RecordBatch| Ok(unnest.apply(&plain(batch)?)?));
                (input, "unnest", step)
            }
            other => return (self.node(other), Vec::new()),
        };
        let (input, mut links) = self.links(input);
        let name = name.to_owned();
        links.push(Link { name, step });
        (input, links)
    }

    fn relation(&self, relation: &str) -> Changes<'scope> {
        self.relations.get(relation).cloned().unwrap_or_else(|| {
            self.faults.raise(
                self.view,
                format!("the plan reads {relation}, which is not there"),
            );
            self.nothing()
        })
    }

    /// The rows of open windows; the others are [`Late`].
    fn retain(&self, input: Changes<'scope>, column: usize) -> Changes<'scope> {
        let Some(retained) = self.retained.get(self.view).cloned() else {
            return input;
        };
        let horizon = retained.horizon;
        if let Some(horizon) = horizon {
            let rows = map(
                input.clone(),
                &self.name("late"),
                self.faults.clone(),
                move |batch| {
                    let times = times(&plain_column(batch.column(column))?)?;
                    let is_late = lt(&times, &Int64Array::new_scalar(horizon))?;
                    plain(&filter_record_batch(batch, &is_late)?)
                },
            );
            self.late.borrow_mut().push(Late {
                view: self.view.to_owned(),
                column,
                horizon,
                rows,
            });
        }
        map(
            input,
            &self.name("open windows"),
            self.faults.clone(),
            move |batch| {
                let times = times(&plain_column(batch.column(column))?)?;
                if let Some(newest) = max(&times) {
                    retained.newest.fetch_max(newest, Ordering::Relaxed);
                }
                let Some(horizon) = horizon else {
                    return Ok(batch.clone());
                };
                // A window without a time is never final.
                let is_open = gt_eq(&times, &Int64Array::new_scalar(horizon))?;
                filter_record_batch(batch, &or_kleene(&is_open, &is_null(&times)?)?)
            },
        )
    }

    fn nothing(&self) -> Changes<'scope> {
        concat(self.scope, [])
    }

    /// Rows of the first epoch, from the first worker.
    fn constant(&self, batch: &RecordBatch) -> Changes<'scope> {
        let mut rows = (self.constants && self.scope.index() == 0 && batch.num_rows() > 0)
            .then(|| Delta::plus(batch.clone()));
        source(self.scope, &self.name("constant"), move || {
            match rows.take() {
                Some(delta) => source::Step::Emit(vec![delta]),
                None => source::Step::Done,
            }
        })
    }
}
