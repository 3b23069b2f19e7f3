//! Puts staged tables in their places.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::durable::{sync, sync_all_below};
use super::staging::Staging;
use super::target;
use super::write::StagedTable;
use tidewater_contract::sink::{SinkError, WrittenTable};

/// A table that took its place, and where its old content went.
struct Placed {
    target: PathBuf,
    staged: PathBuf,
    /// Where the old content is; `None` where there was none.
    old: Option<PathBuf>,
}

/// Replaces each table's directory by what was staged for it, then removes the old content and the staging
/// directories. A directory is replaced when it is absent, empty, or looks like a table: it holds data files
/// (`part-*.parquet`, `.csv`, `.jsonl`), partition directories (`column=value`) of such, and the markers that Spark and
/// Hadoop leave (`_SUCCESS`, `_metadata`, `_common_metadata`, `.*.crc`), and nothing else.
///
/// # Errors
/// When a directory holds anything else, or the file system refuses. All tables are as they were then, unless the
/// error is [`SinkError::RollBack`].
pub fn publish(
    mut staging: Staging,
    tables: Vec<StagedTable>,
) -> Result<Vec<WrittenTable>, SinkError> {
    let mut placed = Vec::with_capacity(tables.len());
    if let Err(cause) = place_all(&staging, &tables, &mut placed) {
        return Err(roll_back(&mut staging, &placed, cause));
    }
    Ok(tables.into_iter().map(|table| table.written).collect())
}

fn place_all(
    staging: &Staging,
    tables: &[StagedTable],
    placed: &mut Vec<Placed>,
) -> Result<(), SinkError> {
    for table in tables {
        target::check(staging.target(&table.spec.path)?)?;
    }
    staging.directories().try_for_each(sync_all_below)?;
    for table in tables {
        let target = staging.target(&table.spec.path)?.to_path_buf();
        let (staged, aside) = (
            staging.staged(&table.spec.path)?,
            staging.set_aside(&table.spec.path)?,
        );
        let old = place(&staged, &target, &aside)?;
        placed.push(Placed {
            target,
            staged,
            old,
        });
    }
    staging.parents().try_for_each(sync)
}

/// Moves `staged` to `target`; gives the path to which the old content went.
fn place(staged: &Path, target: &Path, aside: &Path) -> Result<Option<PathBuf>, SinkError> {
    let failed = |error: Errno| SinkError::io("put the new table at", target)(error.into());
    match renameat_with(CWD, staged, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Some(staged.to_path_buf())),
        Err(Errno::NOENT) => {
            // NOREPLACE, where it is known, for a directory that appeared just now.
            match renameat_with(CWD, staged, CWD, target, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    fs::rename(staged, target)
                        .map_err(SinkError::io("put the new table at", target))?;
                }
                other => other.map_err(failed)?,
            }
            Ok(None)
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            place_in_two_steps(staged, target, aside)
        }
        Err(error) => Err(failed(error)),
    }
}

/// For file systems that cannot exchange directories: a reader may find no table for the time between two renames.
fn place_in_two_steps(
    staged: &Path,
    target: &Path,
    aside: &Path,
) -> Result<Option<PathBuf>, SinkError> {
    let had_old = match fs::rename(target, aside) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(SinkError::io("set the old table aside at", target)(error)),
    };
    if let Err(error) = fs::rename(staged, target) {
        let cause = SinkError::io("put the new table at", target)(error);
        if had_old && let Err(source) = fs::rename(aside, target) {
            let (path, kept) = (target.to_path_buf(), aside.to_path_buf());
            return Err(SinkError::RollBack {
                path,
                kept,
                cause: Box::new(cause),
                source,
            });
        }
        return Err(cause);
    }
    Ok(had_old.then(|| aside.to_path_buf()))
}

/// Puts the old tables back, the last first.
fn roll_back(staging: &mut Staging, placed: &[Placed], mut cause: SinkError) -> SinkError {
    for Placed {
        target,
        staged,
        old,
    } in placed.iter().rev()
    {
        let put_back = match old {
            None => fs::rename(target, staged),
            Some(old) if old == staged => {
                renameat_with(CWD, old, CWD, target, RenameFlags::EXCHANGE).map_err(io::Error::from)
            }
            Some(old) => fs::rename(target, staged).and_then(|()| fs::rename(old, target)),
        };
        if let Err(source) = put_back {
            let kept = old.clone().unwrap_or_else(|| target.clone());
            cause = SinkError::RollBack {
                path: target.clone(),
                kept,
                cause: Box::new(cause),
                source,
            };
        }
    }
    if matches!(cause, SinkError::RollBack { .. }) {
        staging.keep();
    }
    cause
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Directories named with a file in each that holds the name.
    fn directories(root: &Path, names: &[&str]) {
        for name in names {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("part-00000.csv"), name).unwrap();
        }
    }

    fn holds(path: &Path) -> Option<String> {
        fs::read_to_string(path.join("part-00000.csv")).ok()
    }

    type Place = fn(&Path, &Path, &Path) -> Result<Option<PathBuf>, SinkError>;
    const PLACES: [Place; 2] = [place, place_in_two_steps];

    #[test]
    fn the_new_takes_the_place_of_the_old_and_back() {
        for place in PLACES {
            let root = tempfile::tempdir().unwrap();
            let path = |name: &str| root.path().join(name);
            directories(root.path(), &["staged", "target", "fresh"]);
            let old = place(&path("staged"), &path("target"), &path("aside")).unwrap();
            assert_eq!(holds(&path("target")).as_deref(), Some("staged"));
            assert_eq!(old.as_deref().and_then(holds).as_deref(), Some("target"));
            let none = place(&path("fresh"), &path("absent"), &path("aside2")).unwrap();
            assert_eq!(
                (none, holds(&path("absent")).as_deref()),
                (None, Some("fresh"))
            );

            let placed = [
                Placed {
                    target: path("target"),
                    staged: path("staged"),
                    old,
                },
                Placed {
                    target: path("absent"),
                    staged: path("fresh"),
                    old: None,
                },
            ];
            let cause = SinkError::UnknownFormat("cause".to_owned());
            let mut staging = Staging::open([]).unwrap();
            let error = roll_back(&mut staging, &placed, cause);
            assert!(matches!(error, SinkError::UnknownFormat(_)), "{error}");
            assert_eq!(holds(&path("target")).as_deref(), Some("target"));
            assert!(!path("absent").exists());
        }
    }

    #[test]
    fn a_failure_leaves_the_old_in_place() {
        for place in PLACES {
            let root = tempfile::tempdir().unwrap();
            directories(root.path(), &["target"]);
            let target = root.path().join("target");
            let error = place(
                &root.path().join("gone"),
                &target,
                &root.path().join("aside"),
            )
            .unwrap_err();
            assert!(error.to_string().contains("target"), "{error}");
            assert_eq!(holds(&target).as_deref(), Some("target"));
        }
    }

    #[test]
    fn what_cannot_be_put_back_is_kept_and_named() {
        let root = tempfile::tempdir().unwrap();
        let table = root.path().join("t");
        directories(root.path(), &["t"]);
        let mut staging = Staging::open([table.as_path()]).unwrap();
        let aside = staging.set_aside(&table).unwrap();
        fs::rename(&table, &aside).unwrap();
        let placed = [Placed {
            target: table.clone(),
            staged: staging.staged(&table).unwrap(),
            old: Some(aside.clone()),
        }];
        let error = roll_back(
            &mut staging,
            &placed,
            SinkError::UnknownFormat("cause".to_owned()),
        )
        .to_string();
        assert!(
            error.contains(aside.to_str().unwrap()) && error.contains("cause"),
            "{error}"
        );
        drop(staging);
        assert_eq!(holds(&aside).as_deref(), Some("t"));
    }
}
