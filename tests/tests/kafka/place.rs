//! A job over topics: a directory for its file, state and tables, and the processes that run it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tidewater_tests::binary::{self, Ran};
use tidewater_tests::published::rows_by_partition;

/// Time limit for events that a test waits for. It is long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(5);

/// A directory that is removed when the test ends.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// A job of this SQL.
    pub fn new(sql: &str) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        place.declare(sql);
        place
    }

    /// Changes the job.
    pub fn declare(&self, sql: &str) {
        fs::write(self.path("job.sql"), sql).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command over the job, not started yet. Its tables go to `out`.
    pub fn command(&self, command: &str, more: &[&str]) -> Command {
        let arguments = [command, "job.sql", "--set", "output=out", "--workers", "2"];
        let mut command = binary::command(&[&arguments, more].concat());
        command.current_dir(self.dir.path());
        command
    }

    /// Runs `run` with the state to its end.
    pub fn run(&self, more: &[&str]) -> Ran {
        let mut run = self.command("run", &[&["--state", "state"], more].concat());
        Ran::from(run.output().unwrap()).no_panic()
    }

    /// Has another engine compute the tables of the state from the stored messages, and compare them.
    ///
    /// # Panics
    /// When a row differs.
    #[track_caller]
    pub fn verify(&self) {
        let arguments = [
            "verify",
            "job.sql",
            "--set",
            "output=out",
            "--state",
            "state",
        ];
        let mut verify = binary::command(&arguments);
        let verified = verify.current_dir(self.dir.path()).output().unwrap();
        let _ = Ran::from(verified).no_panic().code(0);
    }

    /// Starts `follow`, with a commit every 50 ms.
    pub fn follow(&self, more: &[&str]) -> Follower {
        let options = ["--state", "state", "--every", "50ms", "--json"];
        Follower::start(self.command("follow", &[&options, more].concat()))
    }

    /// The rows of a table without partitions, whose files are JSON Lines, in order.
    pub fn rows(&self, table: &str) -> Vec<String> {
        let rows = rows_by_partition(&self.path("out").join(table));
        rows.into_values().flatten().collect()
    }

    /// The rows of the quarantine, in order.
    pub fn quarantine(&self) -> Vec<String> {
        let rows = rows_by_partition(&self.path("state/tables/_quarantine"));
        rows.into_values().flatten().collect()
    }
}

/// A `follow` process. It is killed when this is dropped.
pub struct Follower {
    child: Child,
    commits: Receiver<Value>,
    rows: u64,
}

impl Follower {
    fn start(mut command: Command) -> Self {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (commit, commits) = channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| commit.send(serde_json::from_str(&line).unwrap()))
        });
        Self {
            child,
            commits,
            rows: 0,
        }
    }

    /// Waits until this many messages were read since the start. Returns the number of commits.
    pub fn until(&mut self, rows: u64) -> usize {
        let commits = self.until_at_least(rows);
        assert_eq!(self.rows, rows, "more rows than there are");
        commits
    }

    /// Waits for the first commit with messages.
    pub fn until_some(&mut self) {
        self.until_at_least(1);
    }

    fn until_at_least(&mut self, rows: u64) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut commits = 0;
        while self.rows < rows {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.commits.recv_timeout(left) {
                Ok(commit) => self.rows += commit["rows_read"].as_u64().unwrap(),
                Err(_) => {
                    let said = self.killed();
                    panic!("{} of {rows} rows:\n{said}", self.rows)
                }
            }
            commits += 1;
        }
        commits
    }

    /// Ends the process like Ctrl-C, after the current epoch.
    pub fn stop(mut self) -> Ran {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        self.wait().code(0)
    }

    /// Waits until the process ends by itself.
    pub fn wait(&mut self) -> Ran {
        let stderr = text(self.child.stderr.take());
        let code = self.child.wait().unwrap().code();
        let ran = Ran {
            code,
            stdout: String::new(),
            stderr,
        };
        ran.no_panic()
    }

    /// Kills the process. Returns its output.
    pub fn killed(&mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        text(self.child.stderr.take())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(stream: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        stream.read_to_string(&mut text).unwrap();
    }
    text
}
