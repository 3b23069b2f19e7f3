//! x
use crate::args::VerifyArgs;
use crate::failure::Failure;
/// Runs the command.
pub fn run(_args: &VerifyArgs) -> Result<(), Failure> {
    Ok(())
}
