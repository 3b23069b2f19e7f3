//! The failure of a command: a message for the user and an exit code for the caller.

use tidewater_demo::DemoError;
use tidewater_engine::RunError;

use crate::command_line::again_with;
use crate::style::Style;

/// Exit code of a run that failed.
pub const FAILED: u8 = 1;

/// Exit code of a wrong command line or an invalid job.
pub const USAGE: u8 = 2;

/// Why a command ends early.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub exit_code: u8,
    /// What happened and what to do.
    message: String,
    /// Whether the message already begins with `error`, as a job's diagnostics do.
    rendered: bool,
}

impl Failure {
    /// A command that was tried and failed.
    pub fn failed(message: String) -> Self {
        Self {
            exit_code: FAILED,
            message,
            rendered: false,
        }
    }

    /// A command line that is not valid.
    pub fn usage(message: String) -> Self {
        Self {
            exit_code: USAGE,
            message,
            rendered: false,
        }
    }

    /// The end of a command that had nothing to do, with the exit code that was asked for. It has no message.
    pub fn nothing_new(exit_code: u8) -> Self {
        Self {
            exit_code,
            message: String::new(),
            rendered: true,
        }
    }

    /// A job with errors, rendered with their places.
    pub fn invalid_job(diagnostics: String) -> Self {
        Self {
            exit_code: USAGE,
            message: diagnostics,
            rendered: true,
        }
    }

    /// The failure of a run, from the engine's error.
    pub fn run(error: &RunError) -> Self {
        let exit_code = u8::try_from(error.exit_code()).unwrap_or(FAILED);
        Self {
            exit_code,
            message: match error {
                RunError::NotOwned(_) => {
                    format!("{error}:\n  {}", again_with("--take-over"))
                }
                _ => error.to_string(),
            },
            rendered: false,
        }
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The message as printed on standard error.
    pub fn render(&self, style: Style) -> String {
        let message = self.message.trim_end();
        if self.rendered {
            format!("{}\n", style.diagnostics(message))
        } else {
            format!("{} {message}\n", style.red("error:"))
        }
    }
}

macro_rules! from_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::failed(error.to_string())
            }
        })*
    };
}

from_errors!(
    tidewater_engine::sink::SinkError,
    tidewater_engine::sink::EncodeError,
    arrow::error::ArrowError
);

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::run(&error)
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Options(message) => Self::usage(message),
            DemoError::Failed(error) => error.into(),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}
