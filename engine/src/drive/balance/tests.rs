#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use arrow::array::{Int64Array, RecordBatch};
use tidewater_connectors::error::SourceError;
use tidewater_connectors::source::{Dealt, Decoded, NextPiece, Reader, Rejected};
use tidewater_operators::source::SourceStep;
use tidewater_operators::{Faults, Sign};

use super::*;
use crate::drive::Progress;
use crate::drive::graph_set::GraphSet;
use crate::drive::ingest::{RowRouting, WorkerIntake};
use crate::drive::row_counts::signed;
use crate::job::Job;

/// Rows of one step of a piece.
#[derive(Clone, Copy)]
struct Rows {
    inserted: usize,
    rejected: usize,
}

const fn rows(inserted: usize, rejected: usize) -> Rows {
    Rows { inserted, rejected }
}

/// Hands out one delivery, with one piece for each step.
struct Steps(Mutex<VecDeque<Decoded>>);

impl Reader for Steps {
    fn next_piece(&self) -> Result<NextPiece, SourceError> {
        let step = self.0.lock().unwrap().pop_front();
        Ok(step.map_or(NextPiece::Done, |step| {
            NextPiece::Dealt(Dealt::new(0, Box::new(std::iter::once(Ok(step)))))
        }))
    }

    fn deliveries(&self) -> usize {
        1
    }

    fn bytes_total(&self) -> u64 {
        0
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

fn job() -> Job {
    let sql = "CREATE EXTERNAL TABLE t (id BIGINT) STORED AS CSV LOCATION 'in'; COPY t TO 'out';";
    Job::parse("job.sql", sql, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

fn decoded(job: &Job, rows: Rows) -> Decoded {
    let batch = |rows: usize| {
        let ids = Int64Array::from_iter_values(0..i64::try_from(rows).unwrap());
        RecordBatch::try_new(Arc::clone(&job.sources[0].schema), vec![Arc::new(ids)]).unwrap()
    };
    let rejected = Rejected {
        source: "t".into(),
        file: "in".into(),
        line: 1,
        byte_offset: 0,
        column: None,
        reason: String::new(),
        raw: String::new(),
    };
    Decoded {
        batch: batch(rows.inserted),
        rejected: vec![rejected; rows.rejected],
        ordinals: None,
        places: None,
        bytes: 0,
    }
}

/// The rows that the dataflow counts for an intake of these steps, and the rows that its readers count.
fn entered_and_read(sign: Sign, quarantines: bool, steps: &[Rows]) -> (i64, i64) {
    let job = job();
    let source = &job.sources[0];
    let steps = steps.iter().map(|rows| decoded(&job, *rows)).collect();
    let routing = RowRouting {
        sign,
        graphs: GraphSet::REBUILT,
        quarantines,
    };
    let reader = Arc::new(Steps(Mutex::new(steps)));
    let intake = Arc::new(Intake::new(&source.spec.name, routing, reader, None));
    let mut share = WorkerIntake {
        intake: Arc::clone(&intake),
        quarantine: Rc::new(RefCell::new(None)),
        progress: Progress::default(),
        faults: Faults::default(),
        open: None,
    };
    let mut entered = 0;
    while let SourceStep::Emit(deltas) = share.step() {
        let rows = deltas.iter().map(|delta| {
            let rows = u64::try_from(delta.batch.num_rows()).unwrap();
            signed(rows) * delta.sign.diff()
        });
        entered += rows.sum::<i64>();
    }
    (entered, net_rows(&intake))
}

const STEPS: [Rows; 4] = [rows(5, 2), rows(3, 0), rows(0, 4), rows(0, 1)];

#[test]
fn what_is_read_enters_the_dataflow_or_the_quarantine() {
    // 8 rows inserted, 7 rejected.
    let cases = [
        // Sign, whether rejected rows reach the quarantine, rows that enter, rows of the quarantine.
        (Sign::Plus, true, 8, 7),
        (Sign::Minus, true, -8, -7),
        (Sign::Plus, false, 8, 0),
        (Sign::Minus, false, -8, 0),
    ];
    for (sign, quarantines, expected, quarantined) in cases {
        let (entered, read) = entered_and_read(sign, quarantines, &STEPS);
        assert_eq!(entered, expected, "{sign:?}");
        let balance = Balance {
            read,
            entered,
            quarantined,
            sent: 0,
        };
        balance.check().unwrap();
        // A row that the dataflow sends to the quarantine is counted twice.
        let sent = Balance {
            quarantined: quarantined + 2,
            sent: 2,
            ..balance
        };
        sent.check().unwrap();
    }
}

#[test]
fn a_lost_row_and_one_too_many_are_found() {
    for sign in [Sign::Plus, Sign::Minus] {
        let (entered, read) = entered_and_read(sign, true, &STEPS);
        let quarantined = 7 * sign.diff();
        for (entered, quarantined) in [
            (entered - 1, quarantined),
            (entered + 1, quarantined),
            (entered, quarantined - 1),
            (entered, quarantined + 1),
            (entered, 0),
            (0, quarantined),
        ] {
            let balance = Balance {
                read,
                entered,
                quarantined,
                sent: 0,
            };
            let error = balance.check().unwrap_err();
            let RunError::Unbalanced { rows_read, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(*rows_read, read);
        }
    }
}
