//! The rules that hold deliveries, in an epoch of a state.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewater_connectors::connector::SourceChanges;
use tidewater_connectors::hold::HeldSince;

use super::inputs::CommittedSource;
use super::views::Views;
use crate::drive::RunError;
use crate::drive::assertions::{AssertionReport, accepted_failures};
use crate::drive::checked::RowCheck;
use crate::drive::held_reports::HeldOfSource;
use crate::drive::hold::{HoldRules, Judged, JudgedIn, judge_all};
use crate::job::Job;
use crate::state::{AcceptedFailure, StateRecord};

/// The rules that hold deliveries of a job's sources.
pub struct Holds {
    /// The rules of each source, in the order of the job.
    rules: Vec<Option<Arc<HoldRules>>>,
    /// What was judged of the deliveries that stay, by source.
    judged: Vec<Judged>,
}

/// What a commit records about holding deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldRecords {
    /// Accepted failures of rules that hold deliveries.
    pub accepted: Vec<AcceptedFailure>,
    /// The fingerprint of the rules of each source.
    pub rules: BTreeMap<String, String>,
}

impl Holds {
    /// The rules of a job whose next commit follows the one of `state`.
    ///
    /// # Errors
    /// When a view has no dataflow.
    pub fn of(job: &Job, state: &StateRecord, views: &Views, now_s: u64) -> Result<Self, RunError> {
        let judged_in = JudgedIn {
            fingerprint: &|rule| views.fingerprint(rule),
            accepted: &state.accepted,
            commit: Some(HeldSince {
                epoch: state.epoch + 1,
                at_s: now_s,
            }),
        };
        let rules = job.sources.iter();
        let rules = rules.map(|source| HoldRules::of(job, source, &source.spec, judged_in));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            judged: job.sources.iter().map(|_| Judged::default()).collect(),
        })
    }

    /// The rules of a source, by its place in the job.
    pub fn of_source(&self, at: usize) -> Option<&Arc<HoldRules>> {
        self.rules.get(at)?.as_ref()
    }

    /// Judges the deliveries that stay by rules that have changed, and holds those that break them.
    ///
    /// # Errors
    /// When the deliveries cannot be read.
    pub fn judge_present(
        &mut self,
        job: &Job,
        state: &StateRecord,
        changes: &mut [Box<dyn SourceChanges>],
        threads: usize,
    ) -> Result<(), RunError> {
        let judged = self.rules.iter().zip(&mut self.judged);
        for ((source, changes), (rules, judged)) in job.sources.iter().zip(changes).zip(judged) {
            let known = state.hold_rules.get(&source.spec.name);
            let changed = rules
                .as_ref()
                .filter(|rules| known.map(String::as_str) != Some(rules.fingerprint()));
            let Some(rules) = changed else {
                continue;
            };
            let reader = changes.judge_again();
            let Some(reader) = reader.map_err(RunError::of_source(source))? else {
                continue;
            };
            let reader = RowCheck::over(job, source, &source.spec, reader)?;
            let (reader, judge) = rules.judge(reader);
            changes.hold(judge_all(source, &*reader, threads)?);
            *judged = judge.judged();
        }
        Ok(())
    }

    /// What a commit records. `sources` are its outcomes, in the order of the job.
    pub fn records(&self, state: &StateRecord, sources: &[CommittedSource]) -> HoldRecords {
        let mut records = HoldRecords::default();
        let judged = self.rules.iter().zip(&self.judged);
        for (source, (rules, present)) in sources.iter().zip(judged) {
            let Some(rules) = rules else {
                continue;
            };
            let fingerprint = rules.fingerprint().to_owned();
            records.rules.insert(source.source.clone(), fingerprint);
            let judged = [present, &source.judged];
            let stays = |known: &&AcceptedFailure| {
                let delivery = known.delivery.as_deref().unwrap_or_default();
                let is_gone = source.outcome.gone.iter().any(|gone| gone == delivery);
                let is_judged = judged.iter().any(|one| one.names.contains(delivery));
                rules.has(&known.assertion) && !is_gone && !is_judged
            };
            let known = state.accepted.iter().filter(stays).cloned();
            records.accepted.extend(known);
            let accepted = judged.iter().flat_map(|one| one.accepted.iter().cloned());
            records
                .accepted
                .extend(accepted.map(|one| since(one, state)));
        }
        let place = |one: &AcceptedFailure| (one.assertion.clone(), one.delivery.clone());
        records.accepted.sort_by_key(place);
        records
    }
}

/// A failure that was accepted for the same reason before keeps its epoch.
fn since(accepted: AcceptedFailure, state: &StateRecord) -> AcceptedFailure {
    let known = state.accepted.iter().find(|known| {
        known.assertion == accepted.assertion
            && known.delivery == accepted.delivery
            && known.because == accepted.because
    });
    AcceptedFailure {
        epoch: known.map_or(accepted.epoch, |known| known.epoch),
        ..accepted
    }
}

impl StateRecord {
    /// Records which failures are accepted, and by which rules deliveries were judged.
    pub fn record_judgements(
        &mut self,
        job: &Job,
        assertions: &[AssertionReport],
        records: &HoldRecords,
    ) {
        let mut accepted = accepted_failures(job, assertions, &self.accepted, self.epoch);
        accepted.extend(records.accepted.iter().cloned());
        self.accepted = accepted;
        self.hold_rules.clone_from(&records.rules);
    }
}

/// The deliveries that are held after an epoch.
pub fn held(sources: &[CommittedSource]) -> Vec<HeldOfSource> {
    let held = sources.iter().map(|source| HeldOfSource {
        source: source.source.clone(),
        held: source.outcome.held.clone(),
        is_all: source.outcome.is_all_set_aside,
    });
    held.collect()
}
