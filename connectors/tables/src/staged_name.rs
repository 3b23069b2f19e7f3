//! Names of files while they are staged. `out/**/*.parquet` is to find what is published and nothing else, during a run
//! and after one that was killed: files are staged under names that end in `.part`, and get their own names just before
//! their directory comes to its place.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;

const STAGED: &str = ".part";

/// The name under which a file is staged.
pub(super) fn staged_name(name: &str) -> String {
    format!("{name}{STAGED}")
}

/// The name that a staged file is to have.
pub(super) fn final_name(name: &str) -> &str {
    name.strip_suffix(STAGED).unwrap_or(name)
}

/// Gives all files below a directory their own names, with `ending` in the place of their format's, where they have not
/// got them yet; the directories where one had not are added to `changed`.
pub(super) fn finish_names(
    directory: &Path,
    ending: Option<&str>,
    changed: &mut BTreeSet<PathBuf>,
) -> Result<(), SinkError> {
    let listed = || SinkError::io("list the directory", directory);
    for entry in fs::read_dir(directory).map_err(listed())? {
        let entry = entry.map_err(listed())?;
        let path = entry.path();
        let kind = entry.file_type().map_err(SinkError::io("look up", &path))?;
        if kind.is_dir() {
            finish_names(&path, ending, changed)?;
            continue;
        }
        let name = entry.file_name();
        let Some(own) = name.to_str().and_then(|name| name.strip_suffix(STAGED)) else {
            continue;
        };
        let mut own = PathBuf::from(own);
        if let Some(ending) = ending {
            own.set_extension(ending);
        }
        disk::rename(&path, &directory.join(own)).map_err(SinkError::io("name", &path))?;
        changed.insert(directory.to_path_buf());
    }
    Ok(())
}
