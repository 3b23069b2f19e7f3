//! The command as it was typed, for messages that say what to type next.

use std::env;
use std::path::Path;

use crate::args::JobArgs;

/// Characters that no shell changes.
const PLAIN: &str = "_-./=:,+@%^";

/// The current command with one more option, quoted for a shell.
pub fn again_with(option: &str) -> String {
    let mut arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    arguments.push(option.to_owned());
    format!("tidewater {}", joined(&arguments))
}

/// The command that shows the quarantine of a job.
pub fn quarantine(job: &JobArgs, state: Option<&Path>) -> String {
    let mut arguments = vec!["quarantine".to_owned(), job.job.display().to_string()];
    for (name, value) in &job.settings {
        arguments.extend(["--set".to_owned(), format!("{name}={value}")]);
    }
    if let Some(state) = state {
        arguments.extend(["--state".to_owned(), state.display().to_string()]);
    }
    format!("tidewater {}", joined(&arguments))
}

fn joined(arguments: &[String]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    quoted.join(" ")
}

/// A word quoted for a shell.
pub fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || PLAIN.contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_as_a_shell_takes_them() {
        for (arguments, expected) in [
            (
                &["run", "jobs/a.sql", "--set", "in=data/x"][..],
                "run jobs/a.sql --set in=data/x",
            ),
            (&["run", "my job.sql", "", "가"], "run 'my job.sql' '' 가"),
            (&["--set", "x=it's $5"], r"--set 'x=it'\''s $5'"),
            (
                &["my jobs/a.sql", "day=$(date)"],
                "'my jobs/a.sql' 'day=$(date)'",
            ),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(joined(&arguments), expected);
        }
    }
}
