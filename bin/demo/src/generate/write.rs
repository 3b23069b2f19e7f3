//! Writes the files of a generated data set. Each file appears complete or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Names of CSV files in `dir` other than the `expected` ones, in order. Empty if the directory does not exist.
pub fn foreign_csv_files(dir: &Path, expected: &BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let unreadable = || {
        format!(
            "cannot read the directory {}: choose another with --out",
            dir.display()
        )
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(unreadable)?,
    };
    let mut foreign = Vec::new();
    for entry in entries {
        let name = entry
            .with_context(unreadable)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        let is_csv = Path::new(&name)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        if is_csv && !expected.contains(&name) {
            foreign.push(name);
        }
    }
    foreign.sort();
    Ok(foreign)
}

/// A file under a temporary name. It is renamed when finished, and removed if dropped before.
pub struct PendingFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    bytes: u64,
    finished: bool,
}

impl PendingFile {
    /// Creates a temporary file for `dir/name`.
    pub fn create(dir: &Path, name: &str) -> anyhow::Result<Self> {
        let temporary = dir.join(format!(".{name}.tmp"));
        let file = File::create(&temporary)
            .with_context(|| format!("cannot create {}", temporary.display()))?;
        Ok(Self {
            file,
            temporary,
            path: dir.join(name),
            bytes: 0,
            finished: false,
        })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| {
            format!(
                "cannot write {}: is there room on the disk?",
                self.temporary.display()
            )
        })?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Renames the file to its real name, replacing an older file. Returns its size.
    pub fn finish(mut self) -> anyhow::Result<u64> {
        fs::rename(&self.temporary, &self.path).with_context(|| {
            format!(
                "cannot rename {} to {}",
                self.temporary.display(),
                self.path.display()
            )
        })?;
        self.finished = true;
        Ok(self.bytes)
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.finished {
            // The command fails already. That the file cannot be removed does not change what the user must do.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
