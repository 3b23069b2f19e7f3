//! Windows that stay open for a limited time, and the rows that come too late for them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tidewater_operators::DeltaStream;

/// The windows of a view that stay open for a limited time.
#[derive(Debug)]
pub struct RetainedWindows {
    /// The time of the first open window; without one all windows are open.
    pub horizon: Option<i64>,
    /// The greatest time of a late row, in the unit of its column; `i64::MIN` for none.
    newest_late: AtomicI64,
    /// The number of late rows, inserted and retracted.
    rows_late: AtomicU64,
}

impl RetainedWindows {
    /// Windows before `horizon` are closed.
    pub fn new(horizon: Option<i64>) -> Self {
        Self {
            horizon,
            newest_late: AtomicI64::new(i64::MIN),
            rows_late: AtomicU64::new(0),
        }
    }

    /// Records late rows and their greatest time.
    pub fn note_late(&self, rows: u64, newest: i64) {
        self.rows_late.fetch_add(rows, Ordering::Relaxed);
        self.newest_late.fetch_max(newest, Ordering::Relaxed);
    }

    /// Number of late rows.
    pub fn rows_late(&self) -> u64 {
        self.rows_late.load(Ordering::Relaxed)
    }

    /// The greatest time of a late row.
    pub fn newest_late(&self) -> Option<i64> {
        let time = self.newest_late.load(Ordering::Relaxed);
        (time > i64::MIN).then_some(time)
    }
}

/// Rows of closed windows.
pub struct LateRows<'scope> {
    /// The view with the windows.
    pub view: String,
    /// The column with the time of a row's window.
    pub column: usize,
    /// The time of the first open window.
    pub horizon: i64,
    /// The rows.
    pub rows: DeltaStream<'scope>,
}
