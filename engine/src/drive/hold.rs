//! Holds deliveries that break a rule with `'on_failure' 'hold'`: each new file is judged while it is read.
//!
//! 1. Whether a delivery is held depends on its own rows, on the rules of its source, and on what a person accepted. So
//!    the tables are those of a cold run over the present files, whatever the history.
//! 2. A held delivery is judged again when it changes, when a rule of its source changes, and when a failure of it is
//!    accepted. Until then it is not read.
//! 3. A failure of a delivery that is accepted stays accepted as long as the delivery is there and no more of its rows
//!    break the rule.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::hold::{
    BrokenRule, HeldDelivery, HeldSince, HoldReason, JudgeDeliveries,
};
use tidewater_connectors::source::{Dealt, NextPiece, Piece, Reader, RowChange, SourceSpec};

use super::RunError;
use super::assertions::acceptance;
use super::piece_reader::through;
use crate::job::{Assertion, Job, OnFailure, Source};
use crate::plan::assemble::ViewError;
use crate::plan::canonical::CanonicalText;
use crate::plan::delivery_column::delivery_column;
use crate::plan::row_checks::RowChecks;
use crate::state::AcceptedFailure;

/// What a judgement needs to know of the state.
#[derive(Clone, Copy)]
pub struct JudgedIn<'a> {
    /// The fingerprint of each rule's counts.
    pub fingerprint: &'a dyn Fn(&str) -> String,
    /// The failures that earlier runs accepted.
    pub accepted: &'a [AcceptedFailure],
    /// The commit that will hold what is held now; `None` without a state.
    pub commit: Option<HeldSince>,
}

impl JudgedIn<'_> {
    /// For a run without a state.
    pub const NO_STATE: Self = Self {
        fingerprint: &|_| String::new(),
        accepted: &[],
        commit: None,
    };
}

/// The rules that hold deliveries of a source.
pub struct HoldRules {
    rules: Vec<HoldRule>,
    /// The columns of a batch that the job reads.
    columns: Vec<usize>,
    fingerprint: String,
    accepted: Vec<AcceptedFailure>,
    commit: Option<HeldSince>,
}

struct HoldRule {
    assertion: Assertion,
    checks: RowChecks,
}

impl HoldRules {
    /// The rules of a source that is read by `spec`; `None` if there are none.
    ///
    /// # Errors
    /// When a view has no dataflow.
    pub fn of(
        job: &Job,
        source: &Source,
        spec: &SourceSpec,
        judged_in: JudgedIn<'_>,
    ) -> Result<Option<Arc<Self>>, ViewError> {
        let name = &source.spec.name;
        let (mut rules, mut text) = (Vec::new(), CanonicalText::default());
        for assertion in job.assertions.iter().filter(|one| holds(one)) {
            let column = delivery_column(job, &assertion.name)?;
            if column.is_some_and(|column| column.source == *name) {
                text.string(&assertion.name);
                text.string(&(judged_in.fingerprint)(&assertion.name));
                text.string(&assertion.limit.to_string());
                rules.push(HoldRule {
                    checks: RowChecks::of_rule(job, assertion, name)?,
                    assertion: assertion.clone(),
                });
            }
        }
        let read = source.spec.projection.iter();
        let columns = read.filter_map(|column| spec.projection.binary_search(column).ok());
        let of_source = Self {
            columns: columns.collect(),
            fingerprint: text.fingerprint(),
            accepted: judged_in.accepted.to_vec(),
            commit: judged_in.commit,
            rules,
        };
        Ok((!of_source.rules.is_empty()).then(|| Arc::new(of_source)))
    }

    /// The fingerprint of the rules.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether a held delivery, which has not changed, stays held.
    pub fn stays_held(&self, name: &str, hold: &HoldReason) -> bool {
        let is_accepted = |one: &BrokenRule| {
            let mut rules = self.rules.iter().map(|rule| &rule.assertion);
            let rule = rules.find(|rule| rule.name == one.rule);
            rule.is_some_and(|rule| self.acceptance(rule, name, one.broken).is_some())
        };
        hold.rules == self.fingerprint && !hold.broken.iter().any(is_accepted)
    }

    /// Lets the deliveries of a reader be judged while it is read.
    pub fn judge(
        self: &Arc<Self>,
        reader: Arc<dyn Reader>,
    ) -> (Arc<dyn Reader>, Arc<DeliveryJudge>) {
        let of_delivery = |_| self.rules.iter().map(|_| RuleCounts::default()).collect();
        let judge = Arc::new(DeliveryJudge {
            rules: Arc::clone(self),
            counts: (0..reader.deliveries()).map(of_delivery).collect(),
            judged: Mutex::default(),
        });
        reader.judged_by(Arc::clone(&judge) as Arc<dyn JudgeDeliveries>);
        let counting = Arc::clone(&judge);
        let reader = through(reader, move |dealt| counting.watch(dealt));
        (reader, judge)
    }

    /// Whether a rule is one of them.
    pub fn has(&self, rule: &str) -> bool {
        self.rules.iter().any(|one| one.assertion.name == rule)
    }

    fn acceptance(&self, rule: &Assertion, delivery: &str, broken: u64) -> Option<String> {
        acceptance(rule, Some(delivery), broken, &self.accepted)
    }
}

/// Whether a rule holds deliveries.
pub fn holds(assertion: &Assertion) -> bool {
    assertion.on_failure == OnFailure::Hold
}

/// The rows of a delivery that a rule was checked on.
#[derive(Default)]
struct RuleCounts {
    rows: AtomicU64,
    broken: AtomicU64,
}

/// Judges the deliveries of a reader.
pub struct DeliveryJudge {
    rules: Arc<HoldRules>,
    /// The counts of each delivery, by rule.
    counts: Vec<Vec<RuleCounts>>,
    judged: Mutex<Judged>,
}

/// What was judged.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// The names of the deliveries.
    pub names: BTreeSet<String>,
    /// Their failures that are accepted.
    pub accepted: Vec<AcceptedFailure>,
}

impl DeliveryJudge {
    /// What was judged. Complete after everything was read.
    pub fn judged(&self) -> Judged {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the rows of a piece while it is decoded, if its delivery is new.
    fn watch(self: &Arc<Self>, dealt: Dealt) -> Dealt {
        if dealt.is_correction || dealt.change != RowChange::Insert {
            return dealt;
        }
        let (judge, delivery) = (Arc::clone(self), dealt.delivery);
        let piece: Box<dyn Piece> = Box::new(dealt.piece.inspect(move |decoded| {
            if let Ok(decoded) = decoded {
                judge.count(delivery, &decoded.batch);
            }
        }));
        Dealt { piece, ..dealt }
    }

    /// Counts the rows of a batch. A row on which a rule's expression fails ends the run in the graph.
    fn count(&self, delivery: usize, batch: &RecordBatch) {
        let Ok(read) = batch.project(&self.rules.columns) else {
            return;
        };
        let counts = self.counts.get(delivery).into_iter().flatten();
        for (rule, counts) in self.rules.rules.iter().zip(counts) {
            if let Ok((rows, broken)) = rule.checks.count(&read) {
                counts.rows.fetch_add(rows, Ordering::Relaxed);
                counts.broken.fetch_add(broken, Ordering::Relaxed);
            }
        }
    }
}

impl JudgeDeliveries for DeliveryJudge {
    fn verdict(&self, delivery: usize, name: &str) -> Option<HoldReason> {
        let mut judged = self.lock();
        judged.names.insert(name.to_owned());
        let mut failed = Vec::new();
        let counts = self.counts.get(delivery).into_iter().flatten();
        for (HoldRule { assertion, .. }, counts) in self.rules.rules.iter().zip(counts) {
            let rows = counts.rows.load(Ordering::Acquire);
            let broken = counts.broken.load(Ordering::Acquire);
            if !assertion.limit.is_exceeded(broken, rows) {
                continue;
            }
            match self.rules.acceptance(assertion, name, broken) {
                Some(because) => judged.accepted.push(AcceptedFailure {
                    assertion: assertion.name.clone(),
                    delivery: Some(name.to_owned()),
                    broken,
                    because,
                    epoch: self.rules.commit.map_or(0, |commit| commit.epoch),
                }),
                None => failed.push(BrokenRule {
                    rule: assertion.name.clone(),
                    broken,
                    rows,
                    limit: assertion.limit.to_string(),
                }),
            }
        }
        (!failed.is_empty()).then(|| HoldReason {
            rules: self.rules.fingerprint.clone(),
            broken: failed,
            since: self.rules.commit,
        })
    }
}

/// The deliveries that a reader set aside because they are held.
pub fn held_by(reader: &dyn Reader) -> Vec<HeldDelivery> {
    let set_aside = reader.set_aside().into_iter();
    let held = set_aside.filter_map(|one| {
        Some(HeldDelivery {
            name: one.name,
            hold: one.hold?,
        })
    });
    held.collect()
}

/// Reads all rows and keeps none, so that deliveries are judged. Returns those that are held.
///
/// # Errors
/// When the deliveries cannot be read.
pub fn judge_all(
    source: &Source,
    reader: &dyn Reader,
    threads: usize,
) -> Result<Vec<HeldDelivery>, RunError> {
    let work = || -> Result<(), SourceError> {
        loop {
            let dealt = match reader.next_piece()? {
                // Corrections come after everything was judged.
                NextPiece::Dealt(dealt) if !dealt.is_correction => dealt,
                NextPiece::Dealt(_) | NextPiece::Done => return Ok(()),
                NextPiece::Wait => {
                    std::thread::yield_now();
                    continue;
                }
            };
            for decoded in dealt.piece {
                decoded?;
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(|thread| {
            let panicked = |_| RunError::Workers("a reader panicked".to_owned());
            let read = thread.join().map_err(panicked)?;
            read.map_err(RunError::of_source(source))
        });
        ends.collect::<Result<(), RunError>>()
    })?;
    Ok(held_by(reader))
}
