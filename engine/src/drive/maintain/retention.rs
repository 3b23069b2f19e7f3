//! Retention: the windows of a view that are closed when a run begins.
//!
//! Windows that are older than the newest one by more than `retain` are closed. The newest window is read from the
//! state, so a window that was removed closes nothing. Event times may be wrong, so a window does not count as the
//! newest
//!
//! 1. if it is further ahead of the clock than `retain_ahead`;
//! 2. if it stands alone: the window before it is older by more than `retain` and by more than four times the usual
//!    distance between windows.
//!
//! A window that was closed by mistake is opened again. If a row was late for a window that is open by the newest
//! window of the state, the view is rebuilt from its stored inputs. Its late rows are then no longer in the table
//! `_late`.

use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, RowParser, SortField};
use tidewater_operators::fault::{Fault, FaultKind};
use tidewater_operators::state::{EntryCursor, StateError};

use crate::drive::RunError;
use crate::job::{Job, Retain, Sink};
use crate::plan::retain::{in_unit, times, to_time};
use crate::state::{Damage, StateSnapshot, StoreError, ViewRecord};

/// The retained windows of a view when a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The time of the first open window; `None` if all are open.
    pub horizon: Option<i64>,
    /// Whether windows that were closed by mistake must be opened again.
    pub reopens: bool,
}

/// The retained windows of a view.
pub struct ViewWindows<'a> {
    view: &'a str,
    retain: &'a Retain,
    /// The type of the column with the time of a window.
    data_type: &'a DataType,
}

impl<'a> ViewWindows<'a> {
    /// The windows of the view that `sink` publishes; `None` when all of them stay open.
    pub fn of(job: &'a Job, sink: &'a Sink) -> Option<Self> {
        let retain = sink.retain.as_ref()?;
        let view = job.view(&sink.view)?;
        Some(Self {
            view: &sink.view,
            retain,
            data_type: view.schema.field(retain.column).data_type(),
        })
    }

    /// The windows after the last commit.
    pub fn recorded(&self, record: &ViewRecord) -> Retention {
        Retention {
            horizon: record.closed.max(self.old_closed(record)),
            reopens: false,
        }
    }

    /// The windows when a run begins at `now`, the time since 1970.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn retention(
        &self,
        snapshot: &StateSnapshot,
        record: &ViewRecord,
        now: Duration,
    ) -> Result<Retention, RunError> {
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let latest = in_unit(now.saturating_add(self.retain.ahead_us), self.data_type);
        let times = latest_windows(snapshot, self.view, self.data_type, latest)?;
        let length = self.length();
        let horizon = newest(&times, length).map(|newest| newest.saturating_sub(length));
        Ok(decide(horizon, self.old_closed(record), record))
    }

    /// How long windows stay open, in the unit of their column.
    fn length(&self) -> i64 {
        in_unit(self.retain.length_us, self.data_type)
    }

    /// The closed windows of a version that recorded only the newest window.
    fn old_closed(&self, record: &ViewRecord) -> Option<i64> {
        let newest = record.newest?;
        Some(newest.saturating_sub(self.length()))
    }
}

/// The retention from the horizon by the newest window and the horizon before.
fn decide(horizon: Option<i64>, old_closed: Option<i64>, record: &ViewRecord) -> Retention {
    let is_open = |time: i64| horizon.is_none_or(|horizon| time >= horizon);
    // States of an older version do not record whether rows were late.
    let was_farther = old_closed.is_some_and(|closed| horizon.is_some_and(|now| closed > now));
    Retention {
        horizon: horizon.max(record.closed).max(old_closed),
        reopens: was_farther || record.newest_late.is_some_and(is_open),
    }
}

/// The number of windows that are read to find the newest.
const WINDOWS: usize = 17;

/// The newest window that does not stand alone. `times` is in descending order.
fn newest(times: &[i64], length: i64) -> Option<i64> {
    let distances: Vec<i64> = times
        .windows(2)
        .map(|pair| pair[0].saturating_sub(pair[1]))
        .collect();
    let mut sorted = distances.clone();
    sorted.sort_unstable();
    // A single distance is not enough to be usual.
    let usual = match sorted.len() {
        0 | 1 => 0,
        count => sorted[(count - 1) / 2],
    };
    let far = length.max(usual.saturating_mul(4));
    let alone = distances.iter().take_while(|distance| **distance > far);
    times.get(alone.count()).copied()
}

/// The times of the latest windows in the state, newest first, none of them after `latest`.
fn latest_windows(
    snapshot: &StateSnapshot,
    view: &str,
    data_type: &DataType,
    latest: i64,
) -> Result<Vec<i64>, RunError> {
    // The time is the first key of the aggregation, which is the view's first stateful operator.
    let Some(groups) = snapshot.part(&format!("{view}: aggregate: groups"))? else {
        return Ok(Vec::new());
    };
    let codec = TimeCodec::new(data_type).map_err(|error| fault(view, &error))?;
    let end = codec.encode(latest.saturating_add(1));
    let mut end = end.map_err(|error| fault(view, &error))?;
    let mut cursor = groups.cursor();
    let mut times = Vec::new();
    while times.len() < WINDOWS {
        let damaged = |error: StateError| StoreError::damaged(Damage::Part(error.0));
        cursor.seek_before(&end).map_err(damaged)?;
        let Some(key) = codec.key(cursor.as_ref()) else {
            break;
        };
        times.extend(codec.decode(&key).map_err(|error| fault(view, &error))?);
        end = key;
    }
    Ok(times)
}

fn fault(view: &str, error: &ArrowError) -> RunError {
    RunError::Fault(Fault {
        operator: view.to_owned(),
        kind: FaultKind::Failed,
        message: error.to_string(),
    })
}

/// Encodes times like the beginning of keys in the state.
struct TimeCodec {
    converter: RowConverter,
    parser: RowParser,
    data_type: DataType,
    width: usize,
}

impl TimeCodec {
    fn new(data_type: &DataType) -> Result<Self, ArrowError> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        let parser = converter.parser();
        let mut codec = Self {
            converter,
            parser,
            data_type: data_type.clone(),
            width: 0,
        };
        codec.width = codec.encode(0)?.len();
        Ok(codec)
    }

    fn encode(&self, time: i64) -> Result<Vec<u8>, ArrowError> {
        let time = match self.data_type {
            DataType::Date32 => time.clamp(i32::MIN.into(), i32::MAX.into()),
            _ => time,
        };
        let rows = self
            .converter
            .convert_columns(&[to_time(time, &self.data_type)?])?;
        Ok(rows.row(0).data().to_vec())
    }

    /// The bytes of the time in the key of the current entry; `None` past the end, and for NULL.
    fn key(&self, cursor: &dyn EntryCursor) -> Option<Vec<u8>> {
        // NULL is encoded as a byte 0 and comes first.
        let key = cursor.entry()?.key.get(..self.width)?;
        (key.first() != Some(&0)).then(|| key.to_vec())
    }

    fn decode(&self, key: &[u8]) -> Result<Option<i64>, ArrowError> {
        let columns = self.converter.convert_rows([self.parser.parse(key)])?;
        let time: &ArrayRef = &columns[0];
        let times = times(time)?;
        Ok(times.is_valid(0).then(|| times.value(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_stands_alone_is_not_the_newest() {
        for (times, expected) in [
            (&[][..], None),
            (&[5], Some(5)),
            (&[15, 5], Some(15)),
            // Two windows have no usual distance.
            (&[16, 5], Some(5)),
            (&[9_000, 20, 15, 5], Some(20)),
            (&[9_000, 4_000, 7, 6, 5, 4], Some(7)),
            // Windows a month apart, closed after ten days.
            (&[90, 60, 30, 0], Some(90)),
            (&[130, 90, 60, 30, 0], Some(130)),
            (&[i64::MAX, 0, i64::MIN], Some(i64::MAX)),
        ] {
            assert_eq!(newest(times, 10), expected, "{times:?}");
        }
    }

    #[test]
    fn windows_stay_closed_unless_rows_were_late_for_open_ones() {
        let record = |closed, newest_late| ViewRecord {
            closed,
            newest_late,
            ..ViewRecord::default()
        };
        for (horizon, old, closed, late, expected) in [
            (None, None, None, None, (None, false)),
            (Some(5), None, None, None, (Some(5), false)),
            (Some(5), None, Some(9), None, (Some(9), false)),
            (Some(5), None, Some(9), Some(4), (Some(9), false)),
            (Some(5), None, Some(9), Some(7), (Some(9), true)),
            (None, None, Some(9), Some(7), (Some(9), true)),
            (Some(9), None, Some(5), Some(7), (Some(9), false)),
            (Some(9), Some(5), None, None, (Some(9), false)),
            (Some(5), Some(9), None, None, (Some(9), true)),
        ] {
            let found = decide(horizon, old, &record(closed, late));
            assert_eq!((found.horizon, found.reopens), expected);
        }
    }
}
