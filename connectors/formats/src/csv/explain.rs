//! The message that says why a row of a CSV file is rejected.

use std::sync::Arc;

use encoding_rs::UTF_8;

use super::decode::Decoder;
use super::fault::FaultReason;
use super::split::MisfitReason;
use super::text::NOT_UTF8;
use crate::scalar::BadValue;

const NOT_ENCODED: BadValue = "it has bytes that are none in the source's encoding";

impl Decoder {
    /// The column at fault, if it is a single one, and the message.
    pub(super) fn explain(&self, text: &[u8], reason: &FaultReason) -> (Option<Arc<str>>, String) {
        match reason {
            FaultReason::Misfit(MisfitReason::Quotes(fault)) => {
                let name = self.names.get(fault.field).filter(|name| !name.is_empty());
                (name.cloned(), fault.reason.to_owned())
            }
            FaultReason::Misfit(MisfitReason::Fields(found)) => (None, self.wrong_count(*found)),
            FaultReason::Value { column, field, why } => {
                let Some(column) = self.table.columns.get(*column) else {
                    return (None, String::new());
                };
                let why = match *why {
                    Some(NOT_UTF8) if self.layout.encoding != UTF_8 => Some(NOT_ENCODED),
                    why => why,
                };
                let field = text.get(field.clone()).unwrap_or_default();
                let field = field.strip_suffix(b"\r").unwrap_or(field);
                let mut scratch = Vec::new();
                let value = self.table.dialect.text(field, &mut scratch);
                let reason = column.reason(why.map(|why| (value, why)));
                (Some(Arc::clone(&column.name)), reason)
            }
            FaultReason::Block(why) => (None, why.to_string()),
        }
    }

    fn wrong_count(&self, found: usize) -> String {
        const NAMES_MAX: usize = 8;
        let fields = self.names.len();
        let names: Vec<&str> = self
            .names
            .iter()
            .take(NAMES_MAX)
            .map(|name| &**name)
            .collect();
        let more = if fields > NAMES_MAX { ", …" } else { "" };
        let hint = if found > fields {
            "; is a delimiter in a field not quoted?"
        } else {
            ""
        };
        let s = if found == 1 { "" } else { "s" };
        format!(
            "the row has {found} field{s}, the file {fields} ({}{more}){hint}",
            names.join(", ")
        )
    }
}
