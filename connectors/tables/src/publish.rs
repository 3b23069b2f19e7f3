//! Publishes staged tables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::durable::{sync, sync_all_below, sync_directories};
use super::exchange::{Exchange, OldContent, replace};
use super::publish_step::inode;
use super::quarantine::own_ending;
use super::staged_name::finish_names;
use super::staging::Staging;
use super::target;
use super::write::StagedTable;
use tidewater_contract::disk;
use tidewater_contract::sink::{SinkError, WrittenTable};

/// A table that was moved into place, and where its old content is.
struct Placed {
    target: PathBuf,
    staged: PathBuf,
    aside: PathBuf,
    /// Where the old content is; `None` if there was none.
    old: Option<OldContent>,
}

/// Replaces each table's directory by the staged one, then removes the old content and the staging directories. A
/// directory is replaced if it is absent, empty, or looks like a table: it has only data files (`part-*.parquet`,
/// `.csv`, `.jsonl`), partition directories (`column=value`) of such files, and the markers of Spark and Hadoop
/// (`_SUCCESS`, `_metadata`, `_common_metadata`, `.*.crc`).
///
/// # Errors
/// When a directory has anything else, or the file system fails. All tables are then unchanged, unless the error is
/// [`SinkError::RollBack`].
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
    let mut named = BTreeSet::new();
    for table in tables {
        let staged = staging.staged(&table.spec.path)?;
        finish_names(&staged, own_ending(&table.spec), &mut named)?;
    }
    sync_directories(&named)?;
    for table in tables {
        let target = staging.target(&table.spec.path)?.to_path_buf();
        let (staged, aside) = (
            staging.staged(&table.spec.path)?,
            staging.set_aside(&table.spec.path)?,
        );
        let old = place(&staged, &target, &aside, disk::exchange)?;
        placed.push(Placed {
            target,
            staged,
            aside,
            old,
        });
    }
    staging.parents().try_for_each(sync)
}

/// Moves `staged` to `target`. Returns where the old content is, if there was any.
fn place(
    staged: &Path,
    target: &Path,
    aside: &Path,
    exchange: Exchange,
) -> Result<Option<OldContent>, SinkError> {
    if inode(target)?.is_some() {
        return replace(staged, target, aside, exchange).map(Some);
    }
    disk::rename(staged, target).map_err(SinkError::io("put the new table at", target))?;
    Ok(None)
}

/// Restores the old tables, last first.
fn roll_back(staging: &mut Staging, placed: &[Placed], mut cause: SinkError) -> SinkError {
    for placed in placed.iter().rev() {
        let Placed {
            target,
            staged,
            aside,
            old,
        } = placed;
        let (put_back, kept) = match old {
            None => (disk::rename(target, staged), target),
            Some(OldContent::Staged) => (disk::exchange(staged, target), staged),
            Some(OldContent::Aside) => {
                let moved = disk::rename(target, staged);
                (moved.and_then(|()| disk::rename(aside, target)), aside)
            }
        };
        if let Err(source) = put_back {
            cause = SinkError::RollBack {
                path: target.clone(),
                kept: kept.clone(),
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
    use std::fs;
    use std::io;

    use super::*;

    /// Makes directories of these names, each with a file whose content is the name.
    fn directories(root: &Path, names: &[&str]) {
        for name in names {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("part-00000.csv"), name).unwrap();
        }
    }

    fn holds(path: &Path) -> Option<String> {
        fs::read_to_string(path.join("part-00000.csv")).ok()
    }

    fn unable(_: &Path, _: &Path) -> io::Result<()> {
        Err(rustix::io::Errno::NOTSUP.into())
    }

    /// A file system that can exchange two names, and one that cannot.
    const EXCHANGES: [(Exchange, OldContent); 2] = [
        (disk::exchange, OldContent::Staged),
        (unable, OldContent::Aside),
    ];

    #[test]
    fn the_new_takes_the_place_of_the_old_and_back() {
        for (exchange, expected) in EXCHANGES {
            let root = tempfile::tempdir().unwrap();
            let path = |name: &str| root.path().join(name);
            directories(root.path(), &["staged", "target", "fresh"]);
            let place =
                |staged, target, aside| place(&path(staged), &path(target), &path(aside), exchange);
            let old = place("staged", "target", "aside").unwrap();
            assert_eq!(holds(&path("target")).as_deref(), Some("staged"));
            assert_eq!(old, Some(expected));
            let kept = match expected {
                OldContent::Staged => path("staged"),
                OldContent::Aside => path("aside"),
            };
            assert_eq!(holds(&kept).as_deref(), Some("target"));
            let none = place("fresh", "absent", "aside2").unwrap();
            assert_eq!(
                (none, holds(&path("absent")).as_deref()),
                (None, Some("fresh"))
            );

            let placed = [
                Placed {
                    target: path("target"),
                    staged: path("staged"),
                    aside: path("aside"),
                    old,
                },
                Placed {
                    target: path("absent"),
                    staged: path("fresh"),
                    aside: path("aside2"),
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
        for (exchange, _) in EXCHANGES {
            let root = tempfile::tempdir().unwrap();
            directories(root.path(), &["target"]);
            let target = root.path().join("target");
            let error = place(
                &root.path().join("gone"),
                &target,
                &root.path().join("aside"),
                exchange,
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
            aside: aside.clone(),
            old: Some(OldContent::Aside),
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
