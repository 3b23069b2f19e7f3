//! Windows that stay open for a limited time, and the rows that come too late for them.

use std::sync::atomic::AtomicI64;

use tidewater_operators::DeltaStream;

/// The windows of a view that stay open for a limited time.
#[derive(Debug, Default)]
pub struct RetainedWindows {
    /// The time of the first open window; without one all windows are open.
    pub horizon: Option<i64>,
    /// The time of the newest window so far, in the unit of its column.
    pub newest: AtomicI64,
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
