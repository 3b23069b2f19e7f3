//! The balance that every run checks before it publishes anything, so that no row is lost or made up.
//!
//! *Rows read = rows that entered the dataflow + rows of the quarantine table.* Readers count rows as they decode
//! them, the dataflow counts rows as they enter it, and the quarantine table is counted as it is written. All three
//! numbers are signed: a retracted delivery counts as negative, and so do rows that the input itself retracts (a
//! Debezium update).

use std::sync::atomic::{AtomicI64, Ordering};

use super::RunError;
use super::graph::Epoch;
use super::ingest::Intake;

/// The terms, signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Balance {
    read: i64,
    entered: i64,
    quarantined: i64,
    /// The rows of the quarantine that had entered the dataflow.
    sent: i64,
}

impl Balance {
    fn check(self) -> Result<(), RunError> {
        if self.read == self.entered + self.quarantined - self.sent {
            return Ok(());
        }
        Err(RunError::Unbalanced {
            rows_read: self.read,
            rows_entered: self.entered,
            rows_quarantined: self.quarantined,
        })
    }
}

/// Checks an epoch whose quarantine table changed by `rows_quarantined`: inserted minus deleted rows.
///
/// # Errors
/// [`RunError::Unbalanced`].
pub fn check(epoch: &Epoch, rows_quarantined: i64) -> Result<(), RunError> {
    let balance = Balance {
        read: epoch.intakes.iter().map(|intake| net_rows(intake)).sum(),
        entered: epoch.counts.entered.load(Ordering::Relaxed),
        quarantined: rows_quarantined,
        sent: epoch.counts.unmatched.load(Ordering::Relaxed),
    };
    balance.check()
}

/// The rows that an intake adds to the dataflow and the quarantine together.
fn net_rows(intake: &Intake) -> i64 {
    let counts = intake.counts.iter();
    let counts = counts.map(|count| {
        let load = |rows: &AtomicI64| rows.load(Ordering::Relaxed);
        // If rows are read again only to rebuild a view, their rejected rows are in the quarantine already.
        load(&count.read)
            - if intake.routing.quarantines {
                0
            } else {
                load(&count.rejected)
            }
    });
    let net: i64 = counts.sum();
    net * intake.routing.sign.diff()
}

/// The rows that an intake read, and the rejected rows among them.
pub fn counted(intake: &Intake) -> (u64, u64) {
    let counts = intake.delivery_counts().into_iter();
    counts.fold((0, 0), |(read, rejected), more| {
        (read + more.read, rejected + more.rejected)
    })
}

#[cfg(test)]
mod tests;
