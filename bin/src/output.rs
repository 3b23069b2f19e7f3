//! Writes to the standard streams. A reader that has gone away (`| head`) is not an error.

use std::io::{self, Write};

use crate::failure::Failure;
use crate::style::Style;

/// Writes to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Writes to standard error. A failure to do so cannot be reported anywhere.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a warning to standard error.
pub fn warn(text: &str) {
    tell(&format!("{} {text}\n", Style::stderr().yellow("warning:")));
}
