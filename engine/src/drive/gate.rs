//! Checks for sources with more bad rows than they may have. Nothing is published then.

use tidewater_connectors::format::options::{Gate, OnBadFile};

use super::RunError;
use super::ingest::Intake;
use crate::job::Source;

/// Fails when a source let through more bad rows than its options allow.
///
/// # Errors
/// [`RunError::Gate`].
pub fn check_gate(source: &Source, (read, rejected): (u64, u64)) -> Result<(), RunError> {
    let gate = Gate::parse(&source.spec.options)?;
    let name = &source.spec.name;
    if let Some(most) = gate.max_bad_rows.filter(|&most| rejected > most) {
        return Err(RunError::Gate(format!(
            "source {name}: {rejected} of {read} rows are bad, more than max_bad_rows = {most}; nothing was published. \
             Without the gate, they are quarantined with their reasons"
        )));
    }
    let ratio = ratio(rejected, read);
    if let Some(most) = gate.max_bad_ratio.filter(|&most| ratio > most) {
        return Err(RunError::Gate(format!(
            "source {name}: {rejected} of {read} rows are bad ({:.3} %), more than max_bad_ratio = {most}; nothing was \
             published. Without the gate, they are quarantined with their reasons",
            ratio * 100.0
        )));
    }
    Ok(())
}

/// Fails if a source of messages has no readable message, since it does not match its declaration then. While a
/// source is followed, its first messages may be bad.
///
/// # Errors
/// [`RunError::Gate`].
pub fn check_messages(
    source: &Source,
    (read, rejected): (u64, u64),
    intake: &Intake,
) -> Result<(), RunError> {
    let gate = Gate::parse(&source.spec.options)?;
    let is_judged = source.input.has_offsets() && !intake.is_followed();
    let stops = gate.min_good_rows > 0 && gate.on_bad_file == OnBadFile::Stop;
    if !is_judged || !stops || rejected == 0 || rejected < read {
        return Ok(());
    }
    let name = &source.spec.name;
    let messages = match read {
        1 => "its one message cannot be read".to_owned(),
        read => format!("none of its {read} messages can be read"),
    };
    let first = intake.first_rejected().map_or_else(String::new, |row| {
        format!(
            "\n  {} offset {}: {}",
            row.file, row.byte_offset, row.reason
        )
    });
    Err(RunError::Gate(format!(
        "source {name}: {messages}{first}\nNothing was published. Check the format and envelope that the source declares. If \
         the messages are as they should be, run once with --allow bad-files, or declare OPTIONS ('min_good_rows' \
         '0'): they are then quarantined"
    )))
}

/// Counts are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
