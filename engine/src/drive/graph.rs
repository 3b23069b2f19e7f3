//! Computes one epoch of a job with all workers. Deliveries go in; sorted runs of the tables' changes and the updates
//! of the operators' state come out. Runs with and without a state both use it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidewater_connectors::file::sink::{DEFAULT_SHARD_BYTES, Run, Staging, TableShard};
use tidewater_operators::concat::concat;
use tidewater_operators::source::source;
use tidewater_operators::state::StateRegistry;
use tidewater_operators::{Delta, DeltaStream, Faults};
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::generic::Operator;
use timely::worker::Worker;

use super::graph_set::{Graph, GraphSet};
use super::ingest::{Intake, WorkerIntake};
use super::late::late_rows;
use super::progress::Counters;
use super::row_counts::RowCounts;
use super::tables::{Origin, PerTable, Table};
use super::unmatched::UnmatchedPlaces;
use super::{Progress, state_writers};
use crate::plan::PlannedView;
use crate::plan::retain::to_time;
use crate::render::{LateRows, RenderContext, RetainedWindows, UnmatchedChanges, render};
use crate::state::StateSnapshot;

/// How long an idle worker sleeps before it checks for faults of others.
const PARK: Duration = Duration::from_millis(10);

/// Views that are rendered together.
#[derive(Clone, Default)]
pub struct GraphPlan {
    /// The views, each after the views that it reads.
    pub views: Vec<PlannedView>,
    /// The views whose state is kept.
    pub keeps: BTreeSet<String>,
    /// Views whose windows stay open for a limited time.
    pub retained: BTreeMap<String, Arc<RetainedWindows>>,
}

/// The graphs of an epoch.
pub struct EpochGraphs {
    /// The views that continue from their stored state.
    pub resumed: GraphPlan,
    /// The views that are rebuilt from an empty state.
    pub rebuilt: GraphPlan,
    /// All sources of the job, including those that are not read.
    pub sources: Vec<String>,
    /// The snapshot from which operators continue.
    pub state: Option<Arc<StateSnapshot>>,
}

impl EpochGraphs {
    /// The views of a graph.
    fn plan(&self, graph: Graph) -> &GraphPlan {
        match graph {
            Graph::Resumed => &self.resumed,
            Graph::Rebuilt => &self.rebuilt,
        }
    }
}

/// An epoch, shared by the workers.
pub struct Epoch {
    /// What is rendered.
    pub graphs: EpochGraphs,
    /// The rows that are read.
    pub intakes: Vec<Arc<Intake>>,
    /// The tables.
    pub tables: PerTable<Table>,
    /// The directories where tables spill, and where they are written before they are published.
    pub staging: Staging,
    /// The workers' counts of rows.
    pub counts: Arc<RowCounts>,
    /// For the user.
    pub progress: Progress,
    /// Where errors go.
    pub faults: Faults,
}

type Shard = Rc<RefCell<Option<TableShard>>>;

/// Changes of a source, and the graphs that they enter.
struct RoutedDeltas<'scope> {
    graphs: GraphSet,
    changes: DeltaStream<'scope>,
}

impl Epoch {
    /// Runs a worker: builds the graphs, works until all is done, sends the updates of its operators' state to `kept`
    /// if it is kept, and sorts its rows of each table. `None` if it failed.
    pub fn work(
        self: &Arc<Self>,
        worker: &mut Worker,
        kept: Option<state_writers::UpdateSenders>,
    ) -> Option<PerTable<Vec<Run>>> {
        let shards = self.tables.as_ref().map(|table| self.shard(table));
        let registries = Graph::ALL.map(|graph| self.registry(graph));
        worker.dataflow::<u64, _, _>(|scope| {
            let sources = self.sources(scope, &shards.quarantine);
            for (graph, registry) in Graph::ALL.into_iter().zip(&registries) {
                self.render(scope, graph, &sources, registry, &shards);
            }
        });
        while worker.has_dataflows() && !self.faults.raised() {
            if self.progress.stop.is_set() {
                self.faults
                    .raise("the run", "it was asked to end".to_owned());
            }
            worker.step_or_park(Some(PARK));
        }
        if self.faults.raised() {
            return None;
        }
        if let Some(kept) = kept {
            registries
                .iter()
                .for_each(|registry| state_writers::send(registry, &kept));
        }
        drop(registries);
        let tables = self.tables.as_ref().zip(shards);
        let runs = tables.map(|(table, shard)| {
            let runs = shard.take().map_or(Ok(Vec::new()), TableShard::finish);
            self.faults
                .catch(&table.spec.name, runs)
                .unwrap_or_default()
        });
        Some(runs)
    }

    /// Renders a graph, from the sources to the shards of the tables.
    fn render<'scope>(
        &self,
        scope: Scope<'scope, u64>,
        graph: Graph,
        sources: &BTreeMap<String, Vec<RoutedDeltas<'scope>>>,
        registry: &StateRegistry,
        shards: &PerTable<Shard>,
    ) {
        let mut relations: BTreeMap<String, DeltaStream<'_>> = BTreeMap::new();
        for (name, streams) in sources {
            let entering = streams.iter().filter(|one| one.graphs.contains(graph));
            let entering = entering.map(|one| one.changes.clone());
            relations.insert(name.clone(), concat(scope, entering.collect::<Vec<_>>()));
        }
        let plan = self.graphs.plan(graph);
        let context = RenderContext {
            registry,
            retained: &plan.retained,
            emits_constants: graph == Graph::Rebuilt,
            faults: &self.faults,
        };
        let set_aside = render(scope, &plan.views, &mut relations, &context);
        if let Some(shard) = &shards.late {
            for late in set_aside.late {
                self.egress_late(late, Rc::clone(shard));
            }
        }
        for unmatched in set_aside.unmatched {
            // If only a view is rebuilt, the quarantine has them already.
            if self.graphs.state.is_none() || plan.keeps.contains(&unmatched.source) {
                self.egress_unmatched(unmatched, Rc::clone(&shards.quarantine));
            }
        }
        for (table, shard) in self.tables.iter().zip(shards.iter()) {
            if let Origin::Relation { graph: of, name } = &table.origin
                && *of == graph
                && let Some(changes) = relations.get(name)
            {
                self.egress(changes.clone(), &table.spec.name, Rc::clone(shard));
            }
        }
    }

    fn shard(&self, table: &Table) -> Shard {
        let spec = Arc::clone(&table.spec);
        let shard = TableShard::new(spec, &self.staging, DEFAULT_SHARD_BYTES);
        Rc::new(RefCell::new(self.faults.catch(&table.spec.name, shard)))
    }

    fn registry(&self, graph: Graph) -> StateRegistry {
        let keeps = self.graphs.plan(graph).keeps.clone();
        let state = self
            .graphs
            .state
            .as_ref()
            .filter(|_| graph == Graph::Resumed);
        state_writers::registry(state, move |view| keeps.contains(view), &self.faults)
    }

    /// The streams of each source. Rejected rows go to the worker's shard of the quarantine.
    fn sources<'scope>(
        self: &Arc<Self>,
        scope: Scope<'scope, u64>,
        quarantine: &Shard,
    ) -> BTreeMap<String, Vec<RoutedDeltas<'scope>>> {
        let mut sources: BTreeMap<String, Vec<RoutedDeltas<'scope>>> = BTreeMap::new();
        for source in &self.graphs.sources {
            sources.insert(source.clone(), Vec::new());
        }
        for intake in &self.intakes {
            let name = intake.source.to_string();
            let mut share = WorkerIntake {
                intake: Arc::clone(intake),
                quarantine: Rc::clone(quarantine),
                progress: self.progress.clone(),
                faults: self.faults.clone(),
                open: None,
            };
            let counts = Arc::clone(&self.counts);
            let changes = source(scope, &format!("{name}: decode"), move || share.step());
            let changes = changes.inspect(move |delta: &Delta| {
                let rows = i64::try_from(delta.batch.num_rows()).unwrap_or(i64::MAX);
                let signed = rows * delta.sign.diff();
                counts.entered.fetch_add(signed, Ordering::Relaxed);
            });
            sources.entry(name.clone()).or_default().push(RoutedDeltas {
                graphs: intake.routing.graphs,
                changes,
            });
        }
        sources
    }

    /// Puts rows of closed windows into the worker's shard of their table.
    fn egress_late(&self, late: LateRows<'_>, shard: Shard) {
        let LateRows {
            view,
            column,
            horizon,
            rows,
        } = late;
        let faults = self.faults.clone();
        rows.sink(
            Pipeline,
            &format!("{view}: late rows"),
            move |(input, _)| {
                input.for_each(|_, deltas| {
                    for delta in deltas.drain(..) {
                        let open = to_time(horizon, delta.batch.column(column).data_type());
                        let batch = open.and_then(|open| late_rows(&view, &delta, column, &open));
                        if let (Some(batch), Some(shard)) =
                            (faults.catch(&view, batch), shard.borrow_mut().as_mut())
                        {
                            faults.catch(&view, shard.push(&batch, 1));
                        }
                    }
                });
            },
        );
    }

    /// Puts unmatched changes into the worker's shard of the quarantine.
    fn egress_unmatched(&self, unmatched: UnmatchedChanges<'_>, shard: Shard) {
        let places = UnmatchedPlaces::of(&unmatched);
        let name = format!("{}: unmatched changes", unmatched.source);
        let (faults, counts) = (self.faults.clone(), Arc::clone(&self.counts));
        let progress = self.progress.clone();
        unmatched
            .rows
            .sink(Pipeline, &name.clone(), move |(input, _)| {
                input.for_each(|_, deltas| {
                    for delta in deltas.drain(..) {
                        let Some(batch) = faults.catch(&name, places.quarantined(&delta.batch))
                        else {
                            continue;
                        };
                        let (rows, sign) = (batch.num_rows(), delta.sign.diff());
                        if sign > 0 {
                            Counters::add(&progress.rows_rejected, rows as u64);
                        }
                        let signed = i64::try_from(rows).unwrap_or(i64::MAX) * sign;
                        counts.unmatched.fetch_add(signed, Ordering::Relaxed);
                        if let Some(shard) = shard.borrow_mut().as_mut().filter(|_| rows > 0) {
                            faults.catch(&name, shard.push(&batch, sign));
                        }
                    }
                });
            });
    }

    /// Puts a relation's changes into the worker's shard of the table.
    fn egress(&self, changes: DeltaStream<'_>, table: &str, shard: Shard) {
        let name = format!("{table}: publish");
        let faults = self.faults.clone();
        changes.sink(Pipeline, &name.clone(), move |(input, _)| {
            input.for_each(|_, deltas| {
                if let Some(shard) = shard.borrow_mut().as_mut() {
                    for delta in deltas.drain(..) {
                        faults.catch(&name, shard.push(&delta.batch, delta.sign.diff()));
                    }
                }
            });
        });
    }
}
