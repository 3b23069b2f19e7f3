//! Views with retained windows: rows of closed windows do not reach the aggregation.

use std::sync::atomic::Ordering;

use arrow::array::Int64Array;
use arrow::compute::kernels::cmp::{gt_eq, lt};
use arrow::compute::{filter_record_batch, is_null, max, or_kleene};
use tidewater_operators::DeltaStream;
use tidewater_operators::map::map;
use tidewater_operators::plain::{plain, plain_column};

use super::renderer::Renderer;
use super::windows::LateRows;
use crate::plan::retain::times;

impl<'scope> Renderer<'_, 'scope> {
    /// The rows of open windows. The others become [`LateRows`].
    pub fn retain(&self, input: DeltaStream<'scope>, column: usize) -> DeltaStream<'scope> {
        let Some(retained) = self.context.retained.get(self.view).cloned() else {
            return input;
        };
        let horizon = retained.horizon;
        if let Some(horizon) = horizon {
            let name = self.name("late");
            let rows = map(input.clone(), &name, self.faults(), move |batch| {
                let times = times(&plain_column(batch.column(column))?)?;
                let is_late = lt(&times, &Int64Array::new_scalar(horizon))?;
                plain(&filter_record_batch(batch, &is_late)?)
            });
            self.late.borrow_mut().push(LateRows {
                view: self.view.to_owned(),
                column,
                horizon,
                rows,
            });
        }
        let name = self.name("open windows");
        map(input, &name, self.faults(), move |batch| {
            let times = times(&plain_column(batch.column(column))?)?;
            if let Some(newest) = max(&times) {
                retained.newest.fetch_max(newest, Ordering::Relaxed);
            }
            let Some(horizon) = horizon else {
                return Ok(batch.clone());
            };
            // A window without a time is never closed.
            let is_open = gt_eq(&times, &Int64Array::new_scalar(horizon))?;
            filter_record_batch(batch, &or_kleene(&is_open, &is_null(&times)?)?)
        })
    }
}
