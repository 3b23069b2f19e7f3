//! `tidewater verify` executes `tidewater-verify`. That is a separate program because it contains DataFusion's
//! executor, which takes as long to build as all of `tidewater`.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;

/// The program that verifies.
const PROGRAM: &str = "tidewater-verify";

/// Replaces this process by `tidewater-verify`, with the arguments after the command's name. Returns only if that
/// fails.
pub fn run() -> Result<(), Failure> {
    let beside = beside_this_program();
    let program = match &beside {
        Some(path) if path.is_file() => path.clone().into_os_string(),
        _ => OsString::from(PROGRAM),
    };
    let error = Command::new(&program).args(env::args_os().skip(2)).exec();
    if error.kind() != io::ErrorKind::NotFound {
        return Err(Failure::usage(format!(
            "cannot start {}: {error}",
            program.display()
        )));
    }
    let places = beside.map_or_else(
        || "on PATH".to_owned(),
        |path| format!("at {} or on PATH", path.display()),
    );
    Err(Failure::usage(format!(
        "verify needs the program {PROGRAM}, which was not found {places}.\n\
         In a clone of Tidewater, `cargo build --release --bin {PROGRAM}` builds it beside target/release/tidewater, and \
         `cargo install --locked --path bin/verify` installs it."
    )))
}

/// The program's path if both were built or installed together.
fn beside_this_program() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.with_file_name(PROGRAM))
}
