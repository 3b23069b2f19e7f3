//! Runs the real `tidewater` as a process.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary beside the tests. `cargo test` of the whole workspace builds it.
///
/// # Panics
/// When it does not exist.
#[must_use]
pub fn path() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join(format!("tidewater{}", env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "there is no {}: test the whole workspace (cargo test), or build it first (cargo build -p tidewater)",
        path.display()
    );
    path
}

/// The root of the repository. Jobs name sample data relative to it.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A finished process.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `tidewater` in the repository's root to its end.
#[must_use]
pub fn tidewater(arguments: &[&str]) -> Ran {
    command(arguments).output().unwrap().into()
}

/// `tidewater` in the repository's root, not started yet.
#[must_use]
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command
        .args(arguments)
        .current_dir(repository())
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE");
    command
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ran {
    /// Asserts that the process ended with this code.
    ///
    /// # Panics
    /// When it did not, with its output.
    #[track_caller]
    #[must_use]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts that standard error contains all these parts.
    ///
    /// # Panics
    /// When a part is missing.
    #[track_caller]
    #[must_use]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "no {part:?} in\n{}",
                self.stderr
            );
        }
        self
    }

    /// Asserts that standard output contains all these parts.
    ///
    /// # Panics
    /// When a part is missing.
    #[track_caller]
    #[must_use]
    pub fn prints(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stdout.contains(part),
                "no {part:?} in\n{}",
                self.stdout
            );
        }
        self
    }

    /// Asserts that the process reported an error and did not panic.
    ///
    /// # Panics
    /// When it panicked.
    #[track_caller]
    #[must_use]
    pub fn no_panic(self) -> Self {
        for word in ["panicked", "internal error", "bug in Tidewater"] {
            assert!(!self.stderr.contains(word), "{}", self.stderr);
        }
        self
    }

    /// The summary of `--json`.
    ///
    /// # Panics
    /// When standard output is not one JSON object.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}

/// All files under `dir` by relative path, with their bytes. Empty if `dir` does not exist.
#[must_use]
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(
                    path.strip_prefix(dir).unwrap().to_path_buf(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    files
}
