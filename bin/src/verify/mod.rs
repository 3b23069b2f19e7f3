//! `tidewater verify`: is what is published what one cold batch over the present inputs would give?
//!
//! ```text
//! kept inputs ─ decode ─ DataFusion: parse, plan, execute ─┐
//!                                                          ├─ sums of row hashes, by bucket ─ rows of those that differ
//! published files ─ partition columns put back ────────────┘
//! ```
//!
//! 1. Between the decoder and the comparison nothing is ours but the functions that DataFusion does not have, and what
//!    makes its answer a function of the rows and not of their order: sums of floats ([`exact`]) and ties ([`ties`]).
//! 2. Neither side is held in memory: it is passed twice, once for the hashes and, if those differ, once for the rows.
//! 3. Nothing is changed.

#[cfg(feature = "verify")]
mod compare;
#[cfg(feature = "verify")]
mod exact;
#[cfg(feature = "verify")]
mod inputs;
#[cfg(feature = "verify")]
mod oracle;
#[cfg(feature = "verify")]
mod pair;
#[cfg(feature = "verify")]
mod report;
#[cfg(feature = "verify")]
mod ties;
#[cfg(feature = "verify")]
mod work;

use crate::args::VerifyArgs;
use crate::failure::Failure;

/// Runs the command.
#[cfg(feature = "verify")]
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    work::run(args)
}

/// Says how to get a program that can.
#[cfg(not(feature = "verify"))]
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    Err(Failure::usage(format!(
        "cannot verify {}: this program was built without DataFusion's executor.\n\
         Build it with: cargo build --release --bin tidewater --features verify",
        args.state.state.display()
    )))
}
