//! Names of staged files. They end with `.part`, so that `out/**/*.parquet` matches published files only, during a
//! run and after one that was killed. Files get their final names just before their directory is moved into place.

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

/// The final name of a staged file.
pub(super) fn final_name(name: &str) -> &str {
    name.strip_suffix(STAGED).unwrap_or(name)
}

/// Gives all files below a directory that still have staged names their final names, with `ending` in place of their
/// format's extension if given. Adds the directories of renamed files to `changed`.
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
