//! Debezium's envelope: a change with the row before and after it, with or without its schema.

use tidewater_formats::json_lines::records::members;

/// A change in a database, with the rows as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DebeziumChange<'a> {
    /// `c` and `r`: a row was inserted, or existed when the snapshot was taken.
    Insert { after: &'a [u8] },
    /// `u`: a row was updated.
    Update {
        before: Option<&'a [u8]>,
        after: &'a [u8],
    },
    /// `d`: a row was deleted.
    Delete { before: Option<&'a [u8]> },
}

/// Why a change without the row before it is rejected.
pub(super) const NO_BEFORE: &str = "the row before the change is missing; declare PRIMARY KEY, or have the database \
                                    log whole rows (PostgreSQL: REPLICA IDENTITY FULL)";

const NO_AFTER: &str = "the row after the change is missing; the message is not a Debezium change";

/// Parses a payload as a change.
///
/// # Errors
/// The field at fault, if there is one, and the reason.
pub(super) fn change(payload: &[u8]) -> Result<DebeziumChange<'_>, (Option<String>, String)> {
    let [op, before, after] = members(payload, "payload", ["op", "before", "after"])?;
    let fault = |field: &str, reason: String| (Some(field.to_owned()), reason);
    let before = before.map(str::as_bytes);
    let after = || {
        let after = after.ok_or_else(|| fault("after", NO_AFTER.to_owned()))?;
        Ok(after.as_bytes())
    };
    match op {
        Some("\"c\"" | "\"r\"") => Ok(DebeziumChange::Insert { after: after()? }),
        Some("\"u\"") => Ok(DebeziumChange::Update {
            before,
            after: after()?,
        }),
        Some("\"d\"") => Ok(DebeziumChange::Delete { before }),
        Some("\"t\"") => Err(fault(
            "op",
            "the table was emptied (op 't'), and the message does not name its rows; delete rows instead of \
             truncating the table"
                .to_owned(),
        )),
        Some(other) => Err(fault(
            "op",
            format!("{other} is not a known change; they are 'c', 'r', 'u', 'd'"),
        )),
        None => Err(fault(
            "op",
            "is missing; the message is not a Debezium change: write 'envelope' 'none'".to_owned(),
        )),
    }
}
