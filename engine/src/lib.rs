//! Tidewater's engine: plans a job, renders its graph, drives its epochs.
//!
//! ```text
//! SQL ── job ── plan ── render ── drive ── tables
//!        parse, resolve,  operators,  one timely graph  cut deliveries into epochs,
//!        type, check      compiled    per worker        commit
//! ```
//!
//! A [`Job`] comes from SQL ([`Job::parse`]) or from `DataFusion` plans built in Rust ([`job::JobBuilder`]).
//! [`run()`] reads everything that its sources hold and publishes its tables. A [`Resident`] graph is fed by its
//! caller, one epoch at a time.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod diagnostic;
pub mod drive;
pub mod explain;
pub mod job;
pub mod plan;
pub mod render;
pub mod spelling;
pub mod state;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use drive::{
    AssertionPart, AssertionReport, CRASH_POINTS, Candidate, FILLED, FollowOptions, History,
    Inspection, KeptInputs, KeptSource, MaintainOptions, NotOwned, OpenRows, Owner, Pace, Progress,
    Publication, Quarantine, QuarantinedRow, Replay, ReplayOptions, Replayed, Resident, RunError,
    RunOptions, RunOutcome, RunReport, StateSizes, TableReport, Thresholds, UnmatchedPlaces,
    follow, maintain, run,
};
pub use explain::Explain;
pub use job::{Job, JobBuilder, LATE_TABLE};
pub use tidewater_connectors::{
    Registry, connector, error, file, format, hold, sink, source, status,
};
// For commands about a single system.
pub use tidewater_connectors as connectors;
pub use tidewater_operators::aggregate::ExactSum;
