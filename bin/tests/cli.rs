//! The command line: help, version, usage errors, streams.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{Ran, command, program, text, tidewater};
use tempfile::TempDir;

#[test]
fn every_command_has_help_with_an_example() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["status", "--help"],
        &["history", "--help"],
        &["changes", "--help"],
        &["verify", "--help"],
        &["replay", "--help"],
        &["check", "--help"],
        &["explain", "--help"],
        &["generate", "--help"],
    ] {
        let ran = tidewater(arguments)
            .expect_code(0)
            .expect_stdout("Usage: tidewater")
            .expect_stdout("  tidewater ");
        assert!(
            ran.stdout.contains("Example"),
            "{arguments:?}:\n{}",
            ran.stdout
        );
        assert_eq!(ran.stderr, "");
    }
}

#[test]
fn verify_names_the_program_that_is_missing() {
    let built = program("tidewater");
    let alone = TempDir::new_in(built.parent().unwrap()).unwrap();
    let tidewater = alone.path().join("tidewater");
    fs::hard_link(&built, &tidewater).unwrap();
    let ran = Command::new(&tidewater)
        .args(["verify", "job.sql", "--state", "state"])
        .env("PATH", alone.path())
        .output();
    let missing = alone.path().join("tidewater-verify");
    Ran::new(ran.unwrap())
        .expect_code(2)
        .expect_stderr(&format!("at {} or on PATH", missing.display()))
        .expect_stderr("cargo build --release --bin tidewater-verify")
        .expect_stderr("cargo install --locked --path bin/verify");

    // A program that exists but cannot run has another message.
    fs::write(&missing, "not a program").unwrap();
    let ran = Command::new(&tidewater)
        .args(["verify", "job.sql", "--state", "state"])
        .output();
    Ran::new(ran.unwrap())
        .expect_code(2)
        .expect_stderr(&format!("cannot start {}: ", missing.display()));
}

#[test]
fn version_is_the_package_version() {
    let ran = tidewater(&["--version"]).expect_code(0);
    assert_eq!(
        ran.stdout,
        format!("tidewater {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn usage_errors_exit_with_2_and_say_what_to_do() {
    let out = TempDir::new().unwrap();
    let out = text(out.path());
    for (arguments, message) in [
        (&[][..], "Usage: tidewater"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["run"], "<JOB>"),
        (&["run", "job.sql", "--workers", "0"], "--workers"),
        (&["run", "job.sql", "--set", "input"], "NAME=VALUE"),
        (&["run", "job.sql", "--set", "=x"], "NAME=VALUE"),
        (
            &["run", "job.sql", "--quiet", "--verbose"],
            "cannot be used with",
        ),
        (&["status", "job.sql"], "--state <DIR>"),
        (&["verify", "job.sql"], "--state <DIR>"),
        (&["changes", "job.sql", "--state", out], "give one table"),
        (&["run", "no-such-job.sql"], "no-such-job.sql"),
        (&["check", "no-such-job.sql"], "cannot read the job file"),
        (&["explain", "job.sql", "--format", "svg"], "mermaid"),
        (&["generate", "--records", "10"], "--out"),
        (
            &["generate", "--out", out, "--records", "0"],
            "whole number",
        ),
        (
            &["generate", "--out", out, "--records", "ten"],
            "whole number",
        ),
        (
            &[
                "generate",
                "--out",
                out,
                "--records",
                "10",
                "--start",
                "2024-02-30",
            ],
            "2024-01-31",
        ),
        (
            &[
                "generate",
                "--out",
                out,
                "--records",
                "10",
                "--start",
                "2025-01-01",
            ],
            "is before --start",
        ),
        (
            &[
                "generate",
                "--out",
                out,
                "--records",
                "10",
                "--start",
                "0001-01-01",
            ],
            "shorter range",
        ),
        (
            &["generate", "--out", out, "--records", "10", "--cards", "0"],
            "--cards",
        ),
        (
            &[
                "generate",
                "--out",
                out,
                "--records",
                "10",
                "--files",
                "hourly",
            ],
            "daily",
        ),
    ] {
        let ran = tidewater(arguments).expect_code(2);
        assert!(
            ran.stderr.contains(message),
            "{arguments:?}: no {message:?} in\n{}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_wrong_log_filter_is_a_usage_error() {
    let mut run = command(&["run", "job.sql"]);
    Ran::new(run.env("RUST_LOG", "=[").output().unwrap())
        .expect_code(2)
        .expect_stderr("RUST_LOG");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let out = TempDir::new().unwrap();
    let mut generate = command(&["generate", "--records", "10", "--out", text(out.path())]);
    let mut child = generate
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::new(child.wait_with_output().unwrap()).expect_code(0);
    assert!(!ran.stderr.contains("error"), "{}", ran.stderr);
}

#[test]
fn no_colour_without_a_terminal() {
    let ran = tidewater(&["check", "no-such-job.sql"]);
    assert!(!ran.stderr.contains('\x1b'), "{}", ran.stderr);
}
