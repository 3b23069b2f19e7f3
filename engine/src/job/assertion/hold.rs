//! Which rules can hold a delivery.
//!
//! 1. Whether a delivery is held depends on its own rows alone. So the rule is judged by the path of the file, and the
//!    rows that it is about are computed one by one from the rows of one source of files.
//! 2. If the source has a primary key, the rule has no share as its limit: rows that do not count for the table would
//!    change the share of those that do.

use super::{Assertion, ON_FAILURE};
use crate::diagnostic::Diagnostic;
use crate::job::Job;
use crate::job::options::option_finds;
use crate::job::site::Site;
use crate::plan::delivery_column::delivery_column;

/// Why a rule cannot hold a delivery, and what to write instead.
pub(in super::super) struct NoHold {
    option: &'static str,
    message: String,
    hint: String,
}

impl NoHold {
    pub fn at(&self, site: &Site<'_>) -> Diagnostic {
        let found = site.diagnostic(&option_finds(self.option), &self.message);
        found.with_hint(self.hint.as_str())
    }
}

/// The mistake of a rule that cannot hold a delivery.
pub(in super::super) fn no_hold(job: &Job, rule: &Assertion) -> Option<NoHold> {
    let by = rule.by.as_deref().unwrap_or_default();
    let not_by_file = |message: String| NoHold {
        option: ON_FAILURE,
        message,
        hint: format!(
            "write the rule ON the source of files, or on a view that computes its rows one by one from it and passes \
             {by} on; the source declares it with OPTIONS ('column.{by}' 'path'). Otherwise leave 'on_failure' out"
        ),
    };
    let Ok(Some(found)) = delivery_column(job, &rule.name) else {
        return Some(not_by_file(format!(
            "a delivery can be held only by a rule on rows that are computed one by one from a source's rows, with {by} as \
             the source has it"
        )));
    };
    let source = job.source(&found.source)?;
    let name = source.schema.fields().get(found.column)?.name();
    if source.input.has_offsets() {
        return Some(NoHold {
            option: ON_FAILURE,
            message: format!(
                "'{}' is a topic, and rows of a topic cannot be held",
                found.source
            ),
            hint: "write 'publish' to go on and report the failure, or 'stop'".to_owned(),
        });
    }
    if !source.input.delivery_columns().contains(name) {
        return Some(not_by_file(format!(
            "a delivery is held by the path of its file, and {by} is not the path"
        )));
    }
    let has_share = rule.limit.ratio.is_some();
    (has_share && !source.primary_key.is_empty()).then(|| NoHold {
        option: "max_ratio",
        message: format!(
            "'{}' has a primary key, so a delivery cannot be held for a share of its rows: which of them count depends on \
             other deliveries",
            found.source
        ),
        hint: "write 'max_rows'".to_owned(),
    })
}
