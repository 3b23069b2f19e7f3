//! The last results as a run event of `OpenLineage`. The relation of each assertion is an input of the run, with the facet
//! `dataQualityAssertions`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidewater_engine::state::{AssertionVerdict, EpochRecord};

use super::Quality;
use crate::display::iso;

/// Who makes the events, as a URI.
const PRODUCER: &str = concat!("urn:tidewater:", env!("CARGO_PKG_VERSION"));

/// The namespace of jobs and relations.
const NAMESPACE: &str = "tidewater";

const EVENT_SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const FACET_SCHEMA: &str = "https://openlineage.io/spec/facets/1-0-1/DataQualityAssertionsDatasetFacet.json#/$defs/DataQualityAssertionsDatasetFacet";

impl Quality<'_> {
    /// The event of the last commit; `null` if there is none.
    pub fn to_openlineage(&self) -> Value {
        self.epochs.last().map_or(Value::Null, |last| {
            json!({
                "eventType": "COMPLETE",
                "eventTime": iso(last.committed_at),
                "producer": PRODUCER,
                "schemaURL": EVENT_SCHEMA,
                "run": { "runId": run_id(self.name, last.epoch, last.committed_at) },
                "job": { "namespace": NAMESPACE, "name": self.name },
                "inputs": self.inputs(last),
                "outputs": [],
            })
        })
    }

    /// The relations with their assertions. The assertions about queries are those of the job.
    fn inputs(&self, last: &EpochRecord) -> Vec<Value> {
        let mut by_relation: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for one in &last.assertions {
            let declared = self.job.assertion(&one.assertion);
            let relation = declared.and_then(|declared| declared.on.as_deref());
            let is_held = matches!(one.verdict, AssertionVerdict::Pass | AssertionVerdict::Warn);
            let assertions = by_relation
                .entry(relation.unwrap_or(self.name))
                .or_default();
            assertions.push(json!({ "assertion": one.assertion, "success": is_held }));
        }
        let inputs = by_relation.into_iter().map(|(relation, assertions)| {
            json!({
                "namespace": NAMESPACE,
                "name": relation,
                "inputFacets": {
                    "dataQualityAssertions": {
                        "_producer": PRODUCER,
                        "_schemaURL": FACET_SCHEMA,
                        "assertions": assertions,
                    },
                },
            })
        });
        inputs.collect()
    }
}

/// The same id each time that a commit is told: a UUID of version 8, made of the time, the epoch and the job's name.
fn run_id(job: &str, epoch: u64, committed_at: u64) -> String {
    // FNV-1a.
    let name = job.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        committed_at & 0xffff_ffff,
        (epoch >> 12) & 0xffff,
        epoch & 0xfff,
        0x8000 | (name >> 50),
        name & 0xffff_ffff_ffff,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_ids_of_their_own() {
        let ids = [("a", 1), ("a", 2), ("b", 1), ("a", 5000)];
        let ids = ids.map(|(job, epoch)| run_id(job, epoch, 1_709_251_200));
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(id.len(), 36, "{id}");
            assert_eq!(&id[14..15], "8", "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
            assert!(!ids[..at].contains(id), "{id}");
        }
    }
}
