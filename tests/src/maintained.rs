//! A job with a state, as a user has it: job file, input, tables and state in one directory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater_engine::state::directory::{Directory, LockWait};
use tidewater_engine::state::{
    CHECKPOINTS, EPOCHS, PARTITIONS, STATE, StateRecord, Store, TABLES, VIEWS,
};

use crate::binary::{self, Ran, snapshot};
use crate::published::{rows_by_partition, stored_rows};

/// A job with its files, in a directory that is removed when the test ends.
pub struct Maintained {
    dir: TempDir,
    colds: RefCell<u32>,
    /// The thresholds of its state and tables.
    pub sizes: Sizes,
}

/// The sizes from which on a state and its tables are kept in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// The thresholds of the release build.
    Release,
    /// Small states are kept like large ones.
    SmallState,
    /// Small tables are maintained like large ones too, in several files that are patched.
    Small,
}

impl Sizes {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Release, Self::SmallState, Self::Small];

    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Release => None,
            Self::SmallState => Some("state"),
            Self::Small => Some("all"),
        }
    }
}

/// The inode and the time of modification of each file.
pub type Footprint = BTreeMap<PathBuf, (u64, i64)>;

impl Maintained {
    /// A job of this SQL. Its input is in `${input}`, and its tables go to `${output}`.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        let place = Self {
            dir: directory(),
            colds: RefCell::default(),
            sizes: Sizes::SmallState,
        };
        fs::create_dir(place.path("in")).unwrap();
        place.declare(sql);
        place
    }

    /// A path beside the job: `in`, `out`, `state`, `job.sql`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Changes the job.
    pub fn declare(&self, sql: &str) {
        fs::write(self.path("job.sql"), sql).unwrap();
    }

    /// Puts a file into the input, modified this many seconds after the beginning of 2024.
    pub fn deliver(&self, name: &str, content: impl AsRef<[u8]>, modified_s: u64) {
        let path = self.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        modify(&path, modified_s);
    }

    /// Removes a file from the input.
    pub fn withdraw(&self, name: &str) {
        fs::remove_file(self.path("in").join(name)).unwrap();
    }

    /// `tidewater run` with the state, not started yet. It runs in the job's directory, so that its messages and
    /// records do not depend on where that is.
    #[must_use]
    pub fn command(&self, more: &[&str]) -> Command {
        self.command_of("run", more)
    }

    /// A command that takes a job and a state, like `run`, not started yet.
    #[must_use]
    pub fn command_of(&self, name: &str, more: &[&str]) -> Command {
        let state = self.path("state");
        let state = ["--state", state.to_str().unwrap()];
        self.command_to(name, "out", &[&state, more].concat())
    }

    /// Audits the job to its end.
    #[must_use]
    pub fn audit(&self, more: &[&str]) -> Ran {
        self.command_of("audit", more).output().unwrap().into()
    }

    fn command_to(&self, name: &str, output: &str, more: &[&str]) -> Command {
        let output = format!("output={output}");
        let arguments = [name, "job.sql", "--set", "input=in", "--set", &output];
        let mut command = binary::command(&[&arguments, more].concat());
        command.current_dir(self.dir.path());
        if let Some(tiny) = self.sizes.variable() {
            command.env("TIDEWATER_TINY", tiny);
        }
        command
    }

    /// Runs the job to its end.
    #[must_use]
    pub fn run(&self, more: &[&str]) -> Ran {
        self.command(more).output().unwrap().into()
    }

    /// Runs the job to its end, which must be a success.
    #[track_caller]
    pub fn commits(&self, more: &[&str]) -> Ran {
        self.run(more).code(0)
    }

    /// Runs the job with one worker and an injected fault: see `disk.rs`.
    #[must_use]
    pub fn inject(&self, what: &str) -> Ran {
        let mut command = self.command(&["--quiet", "--workers", "1"]);
        command.env("TIDEWATER_INJECT", what);
        command.output().unwrap().into()
    }

    /// Starts a run.
    #[must_use]
    pub fn start(&self, more: &[&str]) -> Child {
        let mut command = self.command(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs the job without its state. Returns the directory of its tables.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    #[must_use]
    pub fn cold(&self) -> PathBuf {
        self.cold_with(&[])
    }

    fn cold_with(&self, more: &[&str]) -> PathBuf {
        *self.colds.borrow_mut() += 1;
        let output = format!("cold{}", self.colds.borrow());
        let ran = self
            .command_to("run", &output, &[&["--quiet"], more].concat())
            .output()
            .unwrap();
        let _ = Ran::from(ran).code(0);
        self.path(&output)
    }

    /// All published files, with their bytes.
    #[must_use]
    pub fn tables(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        snapshot(&self.path("out"))
    }

    /// Asserts that the published tables equal those of a cold run, partition by partition. If a partition is a
    /// single file, the order must be equal too.
    ///
    /// # Panics
    /// When they differ.
    #[track_caller]
    pub fn assert_cold(&self) {
        self.assert_cold_with(&[]);
    }

    /// Like [`assert_cold`](Self::assert_cold), with more arguments for the cold run.
    ///
    /// # Panics
    /// When the tables differ.
    #[track_caller]
    pub fn assert_cold_with(&self, more: &[&str]) {
        let cold = self.cold_with(more);
        let of = |dir: &Path| {
            if self.sizes == Sizes::Small {
                rows_by_partition(dir)
            } else {
                stored_rows(dir)
            }
        };
        let (mut published, expected) = (of(&self.path("out")), of(&cold));
        let quarantine = of(&self.path("state/tables/_quarantine"));
        published.extend(
            quarantine
                .into_values()
                .map(|rows| ("_quarantine".into(), rows)),
        );
        assert_eq!(
            published.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "partitions"
        );
        for (partition, rows) in &expected {
            assert_eq!(&published[partition], rows, "{}", partition.display());
        }
        fs::remove_dir_all(cold).unwrap();
    }

    /// The published files, with inodes and times.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let out = self.path("out");
        let files = snapshot(&out).into_keys().map(|path| {
            let metadata = fs::metadata(out.join(&path)).unwrap();
            let modified_ns = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
            (path, (metadata.ino(), modified_ns))
        });
        files.collect()
    }

    /// Makes the state one of an earlier Tidewater, which did not record versions of files.
    ///
    /// # Panics
    /// When the state cannot be changed.
    pub fn forget_versions(&self) {
        let mut directory = Directory::open(&self.path("state"), LockWait::NONE, false).unwrap();
        let store = Store::open(&mut directory).unwrap();
        let entries: BTreeMap<String, Value> = store
            .read()
            .unwrap()
            .records(CHECKPOINTS, "")
            .unwrap()
            .into_iter()
            .collect();
        let transaction = store.write().unwrap();
        for (key, mut entry) in entries {
            assert!(entry["version"].is_string(), "{entry}");
            forget(&mut entry, &["version"]);
            transaction.put(CHECKPOINTS, &key, &entry).unwrap();
        }
        transaction.commit().unwrap();
    }

    /// The state's records without times and inodes, the sizes of its parts, and the files beside it.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn state(&self) -> Value {
        let path = self.path("state");
        let mut directory = Directory::open(&path, LockWait::NONE, false).unwrap();
        let store = Store::open(&mut directory).unwrap();
        let stored = store.read().unwrap();
        let records = [STATE, CHECKPOINTS, VIEWS, TABLES, PARTITIONS, EPOCHS];
        let records = records.map(|of| stored.records::<Value>(of, "").unwrap());
        let mut files: Vec<PathBuf> = snapshot(&path).into_keys().collect();
        files.retain(|path| !path.starts_with("lock") && !path.starts_with("state.redb"));
        let mut state =
            json!({"records": records, "parts": stored.part_sizes().unwrap(), "files": files});
        let changing = [
            "committed_at",
            "seconds",
            "inode",
            "version",
            "stamp",
            "at_s",
        ];
        // The entries of marks, which have the time of the commit in their names.
        let of_marks = ["before", "after"];
        forget(&mut state, &[&changing[..], &of_marks].concat());
        let id = stored.record::<StateRecord>(STATE, "").unwrap().unwrap().id;
        let here = self.dir.path().to_str().unwrap();
        let state = state.to_string().replace(here, "").replace(&id, "ID");
        serde_json::from_str(&state).unwrap()
    }

    /// Files and directories that runs have left beside the tables and in the state, and that do not belong there.
    #[must_use]
    pub fn litter(&self) -> Vec<PathBuf> {
        let of = |place: &str| {
            let files = snapshot(&self.path(place)).into_keys();
            let litter = files.filter(|path| {
                let name = path.to_str().unwrap();
                name.contains("_tidewater-") || name.contains(".tmp") || name.contains(".new")
            });
            litter.collect::<Vec<_>>()
        };
        [of("out"), of("state")].concat()
    }
}

/// A directory in memory if the system offers that, since a test's files need not survive the machine.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    match env::var_os("TMPDIR") {
        None if memory.is_dir() => TempDir::new_in(memory).unwrap(),
        _ => TempDir::new().unwrap(),
    }
}

/// Sets a file's modification time, in seconds after the beginning of 2024.
pub fn modify(path: &Path, modified_s: u64) {
    const YEAR_2024: u64 = 1_704_067_200;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR_2024 + modified_s);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

fn forget(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|value| forget(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| forget(value, names)),
        _ => {}
    }
}
