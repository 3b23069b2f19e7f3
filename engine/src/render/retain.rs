//! Views with retained windows: rows of closed windows do not reach the aggregation.

use arrow::array::{Array, AsArray, Int64Array};
use arrow::compute::kernels::cmp::{gt_eq, lt};
use arrow::compute::{filter, filter_record_batch, is_null, max, or_kleene};
use arrow::datatypes::Int64Type;
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
        let Some(horizon) = retained.horizon else {
            return input;
        };
        let name = self.name("late");
        let rows = map(input.clone(), &name, self.faults(), move |batch| {
            let times = times(&plain_column(batch.column(column))?)?;
            let is_late = lt(&times, &Int64Array::new_scalar(horizon))?;
            let late = filter(&times, &is_late)?;
            if let Some(newest) = max(late.as_primitive::<Int64Type>()) {
                retained.note_late(late.len() as u64, newest);
            }
            plain(&filter_record_batch(batch, &is_late)?)
        });
        self.set_aside.borrow_mut().late.push(LateRows {
            view: self.view.to_owned(),
            column,
            horizon,
            rows,
        });
        let name = self.name("open windows");
        map(input, &name, self.faults(), move |batch| {
            let times = times(&plain_column(batch.column(column))?)?;
            // A window without a time is never closed.
            let is_open = gt_eq(&times, &Int64Array::new_scalar(horizon))?;
            filter_record_batch(batch, &or_kleene(&is_open, &is_null(&times)?)?)
        })
    }
}
