//! The last results as dbt's `run_results.json`: schema version 6 of dbt's artifacts, with a test for each assertion.

use serde_json::{Value, json};
use tidewater_engine::state::{AssertionRecord, AssertionVerdict};

use super::Quality;
use crate::display::iso;

impl Quality<'_> {
    /// The results of the last commit. Without one, there are none.
    pub fn to_dbt(&self) -> Value {
        let last = self.epochs.last();
        let assertions = last.map_or(&[][..], |last| &last.assertions);
        json!({
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json",
                "dbt_version": concat!("tidewater ", env!("CARGO_PKG_VERSION")),
                "generated_at": last.map(|last| iso(last.committed_at)),
                "invocation_id": last.map(|last| format!("epoch {}", last.epoch)),
                "env": {},
            },
            "results": assertions.iter().map(|one| self.test(one)).collect::<Vec<Value>>(),
            "elapsed_time": last.map_or(0.0, |last| last.seconds),
            "args": {},
        })
    }

    fn test(&self, one: &AssertionRecord) -> Value {
        let declared = self.job.assertion(&one.assertion);
        let status = match one.verdict {
            AssertionVerdict::Pass => "pass",
            AssertionVerdict::Warn | AssertionVerdict::Held | AssertionVerdict::Accepted => "warn",
            AssertionVerdict::Fail => "fail",
        };
        json!({
            "status": status,
            "timing": [],
            "thread_id": "main",
            "execution_time": 0.0,
            "adapter_response": {},
            "message": self.message(one),
            "failures": one.broken,
            "unique_id": format!("test.{}.{}", self.name, one.assertion),
            "compiled": true,
            "compiled_code": declared.map(|declared| declared.check.as_str()),
            "relation_name": declared.and_then(|declared| declared.on.as_deref()),
        })
    }

    /// Why a test does not simply pass.
    fn message(&self, one: &AssertionRecord) -> Option<String> {
        let limit = self.job.assertion(&one.assertion);
        let limit = limit.map_or_else(String::new, |declared| {
            format!(", the limit is {}", declared.limit)
        });
        let broken = format!("{} rows break it{limit}", one.broken);
        match (one.verdict, &one.because) {
            (AssertionVerdict::Pass, _) => None,
            (AssertionVerdict::Accepted, Some(because)) => {
                Some(format!("{broken}; accepted: {because}"))
            }
            (AssertionVerdict::Held, _) => Some(format!("{} deliveries are held", one.held.len())),
            _ => Some(broken),
        }
    }
}
