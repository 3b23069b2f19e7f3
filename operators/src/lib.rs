//! Incremental dataflow operators: deltas in, deltas out. No I/O, no clock.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod aggregate;
pub mod concat;
pub mod delta;
pub mod dictionary;
mod exchange_rows;
pub mod fault;
pub mod hash;
pub mod interner;
pub mod join;
mod key_order;
mod key_rows;
pub mod latest;
pub mod map;
mod per_key;
pub mod plain;
pub mod row;
pub mod row_codec;
mod row_state;
pub mod settle;
pub mod source;
pub mod sql_type;
pub mod state;
pub mod top;
pub mod unnest;
pub mod varint;
pub mod window;

pub use delta::{Delta, DeltaStream, Sign};
pub use fault::{Fault, FaultKind, Faults};
