//! One epoch of a job, by all workers: deliveries in, sorted runs of the tables' changes out, and what the operators'
//! state became. Both the run that keeps nothing and the run that keeps a state are this.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidewater_connectors::file::sink::{DEFAULT_SHARD_BYTES, Run, Staging, TableShard};
use tidewater_connectors::sink::TableSpec;
use tidewater_operators::concat::concat;
use tidewater_operators::source::source;
use tidewater_operators::state::Ledger;
use tidewater_operators::{Delta, Faults};
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::generic::Operator;
use timely::worker::Worker;

use super::ingest::{Intake, Share};
use super::late::late_rows;
use super::{Progress, keep};
use crate::plan::Node;
use crate::plan::retain::to_time;
use crate::render::{Changes, Late, Retained, render};
use crate::state::Reading;

/// How long an idle worker sleeps before it looks for faults of others.
const PARK: Duration = Duration::from_millis(10);

/// Views that are rendered together.
#[derive(Clone, Default)]
pub struct Plan {
    /// The views, each after those it reads.
    pub views: Vec<(String, Node)>,
    /// Those whose state is kept.
    pub keeps: BTreeSet<String>,
    /// Views whose windows stay open for a time only.
    pub retained: BTreeMap<String, Arc<Retained>>,
    /// Whether they go on from what was kept of them, rather than begin with nothing.
    pub resumes: bool,
}

/// A table of an epoch.
pub struct Table {
    /// How it is published.
    pub spec: Arc<TableSpec>,
    /// Where its changes come from.
    pub from: From,
    /// Whether it goes to Kafka, and its directory holds a copy.
    pub is_topic: bool,
}

/// Where a table's changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// The graph of that number, and a relation of it.
    Relation(usize, String),
    /// Rows of windows that are final.
    Late,
    /// Rows that could not be decoded or cast.
    Quarantine,
}

/// What the workers share.
pub struct Epoch {
    /// The graphs.
    pub graphs: Vec<Plan>,
    /// The sources of the job, whether anything is read of them or not.
    pub sources: Vec<String>,
    /// What they read.
    pub intakes: Vec<Arc<Intake>>,
    /// The tables; the quarantine comes last.
    pub tables: Vec<Table>,
    /// Where tables spill, and are written before they are published.
    pub staging: Staging,
    /// What the operators go on from.
    pub state: Option<Arc<Reading>>,
    /// Where each worker sends what its operators' state became, when it is kept.
    pub kept: Mutex<Vec<keep::Outlets>>,
    /// Rows that entered the graphs, less those that were taken back.
    pub rows_taken: AtomicI64,
    /// Rows that entered the quarantine, less those that left it.
    pub rows_quarantined: Arc<AtomicI64>,
    /// Rows of windows that are final.
    pub rows_late: Arc<AtomicU64>,
    /// For the user.
    pub progress: Progress,
    /// Where errors go.
    pub faults: Faults,
}

type Shard = Rc<RefCell<Option<TableShard>>>;

impl Epoch {
    /// A worker's whole life: builds the graphs, works until all is done, hands over the state, sorts what it holds of
    /// each table.
    pub fn work(self: &Arc<Self>, worker: &mut Worker) -> Vec<Vec<Run>> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let shards: Vec<Shard> = self.tables.iter().map(|table| self.shard(table)).collect();
        let ledgers: Vec<Ledger> = self.graphs.iter().map(|plan| self.ledger(plan)).collect();
        worker.dataflow::<u64, _, _>(|scope| {
            let sources = self.sources(scope, &shards);
            for (at, (plan, ledger)) in self.graphs.iter().zip(&ledgers).enumerate() {
                let mut relations: BTreeMap<String, Changes<'_>> = BTreeMap::new();
                for (name, streams) in &sources {
                    let of_graph = streams.iter().filter(|(graph, _)| *graph == at);
                    let of_graph = of_graph.map(|(_, stream)| stream.clone());
                    relations.insert(name.clone(), concat(scope, of_graph.collect::<Vec<_>>()));
                }
                let late = render(
                    scope,
                    &plan.views,
                    &mut relations,
                    ledger,
                    &plan.retained,
                    !plan.resumes,
                    &self.faults,
                );
                for late in late {
                    self.egress_late(late, &shards);
                }
                for (table, shard) in self.tables.iter().zip(&shards) {
                    if let From::Relation(graph, relation) = &table.from
                        && *graph == at
                        && let Some(changes) = relations.get(relation)
                    {
                        self.egress(changes.clone(), &table.spec.name, Rc::clone(shard));
                    }
                }
            }
        });
        while worker.has_dataflows() && !self.faults.raised() {
            worker.step_or_park(Some(PARK));
        }
        if self.faults.raised() {
            return Vec::new();
        }
        if let Some(kept) = kept {
            ledgers.iter().for_each(|ledger| keep::send(ledger, &kept));
        }
        drop(ledgers);
        let finished = self.tables.iter().zip(shards).map(|(table, shard)| {
            let runs = shard.take().map_or(Ok(Vec::new()), TableShard::finish);
            self.faults
                .catch(&table.spec.name, runs)
                .unwrap_or_default()
        });
        finished.collect()
    }

    fn shard(&self, table: &Table) -> Shard {
        let spec = Arc::clone(&table.spec);
        let shard = TableShard::new(spec, &self.staging, DEFAULT_SHARD_BYTES);
        Rc::new(RefCell::new(self.faults.catch(&table.spec.name, shard)))
    }

    fn ledger(&self, plan: &Plan) -> Ledger {
        let keeps = plan.keeps.clone();
        let state = self.state.as_ref().filter(|_| plan.resumes);
        keep::ledger(state, move |view| keeps.contains(view), &self.faults)
    }

    /// The streams of each source, with the graph that each is for.
    fn sources<'scope>(
        self: &Arc<Self>,
        scope: Scope<'scope, u64>,
        shards: &[Shard],
    ) -> BTreeMap<String, Vec<(usize, Changes<'scope>)>> {
        let mut sources: BTreeMap<String, Vec<(usize, Changes<'scope>)>> = BTreeMap::new();
        for source in &self.sources {
            sources.insert(source.clone(), Vec::new());
        }
        for intake in &self.intakes {
            let name = &intake.spec.name;
            let mut share = Share {
                intake: Arc::clone(intake),
                quarantine: shards.last().cloned().unwrap_or_default(),
                quarantined: Arc::clone(&self.rows_quarantined),
                progress: self.progress.clone(),
                faults: self.faults.clone(),
                open: None,
            };
            let epoch = Arc::clone(self);
            let stream = source(scope, &format!("{name}: decode"), move || share.step());
            let stream = stream.inspect(move |delta: &Delta| {
                let rows = i64::try_from(delta.batch.num_rows()).unwrap_or(i64::MAX);
                let signed = rows * delta.sign.diff();
                epoch.rows_taken.fetch_add(signed, Ordering::Relaxed);
            });
            let streams = sources.entry(name.clone()).or_default();
            streams.extend(intake.graphs.iter().map(|&graph| (graph, stream.clone())));
        }
        sources
    }

    /// Puts rows of final windows into the worker's shard of their table.
    fn egress_late(&self, late: Late<'_>, shards: &[Shard]) {
        let at = self
            .tables
            .iter()
            .position(|table| table.from == From::Late);
        let Some(shard) = at.map(|at| Rc::clone(&shards[at])) else {
            return;
        };
        let Late {
            view,
            column,
            horizon,
            rows,
        } = late;
        let (faults, counted) = (self.faults.clone(), Arc::clone(&self.rows_late));
        rows.sink(
            Pipeline,
            &format!("{view}: late rows"),
            move |(input, _)| {
                input.for_each(|_, deltas| {
                    for delta in deltas.drain(..) {
                        let rows = u64::try_from(delta.batch.num_rows()).unwrap_or(u64::MAX);
                        counted.fetch_add(rows, Ordering::Relaxed);
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

    /// Puts a relation's changes into the worker's shard of the table.
    fn egress(&self, changes: Changes<'_>, table: &str, shard: Shard) {
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
