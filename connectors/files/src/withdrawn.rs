//! Checks for missing deliveries: a few may be withdrawn, but if most are missing, a disk is probably not mounted.

use std::path::{Path, PathBuf};

use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;
use tidewater_formats::options::Gate;

use super::glob::{is_glob, path_as_spelled};
use super::position::{Change, Position};
use super::storage::Storage;

/// The most names in a message.
const SHOWN: usize = 3;

/// Fails if a source would lose more of its `known` deliveries than it allows, and either none is new or changed, or
/// none stays and far fewer are new.
///
/// # Errors
/// [`SourceError::Refused`].
pub(super) fn check(
    spec: &SourceSpec,
    known: usize,
    changes: &[Change],
) -> Result<(), SourceError> {
    let gate = Gate::parse(&spec.options)?;
    let gone: Vec<&str> = changes.iter().filter_map(withdrawn).collect();
    let count = |is_counted: fn(&Change) -> bool| {
        let counted = changes.iter().filter(|change| is_counted(change));
        counted.count()
    };
    let new = count(|change| matches!(change, Change::New(_)));
    let changed =
        count(|change| matches!(change, Change::Replaced { .. } | Change::Appended { .. }));
    let most = gate.max_withdrawn_ratio * number(known);
    let is_deserted = gone.len() == known && number(new) < most;
    if number(gone.len()) > most && (new + changed == 0 || is_deserted) {
        return Err(refused(spec, &gone, known, new));
    }
    Ok(())
}

fn withdrawn(change: &Change) -> Option<&str> {
    match change {
        Change::Withdrawn(old) => Some(&old.path),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "files are far fewer than 2^52")]
fn number(files: usize) -> f64 {
    files as f64
}

fn refused(spec: &SourceSpec, gone: &[&str], known: usize, new: usize) -> SourceError {
    let mut names = gone.get(..SHOWN).unwrap_or(gone).join(", ");
    if gone.len() > SHOWN {
        names += &format!(" and {} more", gone.len() - SHOWN);
    }
    let files = |number: usize| format!("{number} file{}", if number == 1 { "" } else { "s" });
    let gone = match (gone.len(), known) {
        (1, 1) => "the one file that was read".to_owned(),
        (all, known) if all == known => format!("all of the {known} files that were read"),
        (some, known) => format!("{some} of the {known} files that were read"),
    };
    let came = match new {
        0 => "nothing came".to_owned(),
        new => format!("only {} came", files(new)),
    };
    SourceError::Refused(format!(
        "LOCATION '{}' has lost {gone}, and {came}: {names}. Nothing was published. If they should be there (is a disk \
         not mounted?), restore them and run again. If they are withdrawn, run once with --allow withdrawn, or \
         declare OPTIONS ('max_withdrawn_ratio' '1')",
        spec.location
    ))
}

/// Fails if a directory is missing with all the files that were read from it: it is more likely unmounted or misspelt
/// than that all files were withdrawn.
pub(super) fn check_directory(
    storage: &dyn Storage,
    location: &str,
    known: &[Position],
) -> Result<(), SourceError> {
    let plain = location.strip_prefix("file://").unwrap_or(location);
    let fixed = Path::new(plain)
        .components()
        .take_while(|part| !is_glob(&part.as_os_str().to_string_lossy()));
    let directory = path_as_spelled(storage, &fixed.collect::<PathBuf>())?;
    let is_directory = known.iter().any(|old| Path::new(&old.path) != directory);
    if !is_directory || directory.as_os_str().is_empty() || storage.head(&directory)?.is_some() {
        return Ok(());
    }
    Err(SourceError::Location {
        location: location.to_owned(),
        message: format!(
            "{} does not exist, and {} deliveries were read from it; restore it, or, if all of them are withdrawn, create \
             an empty directory in its place and run with --allow withdrawn",
            directory.display(),
            known.len()
        ),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::datatypes::Schema;
    use tidewater_contract::source::Format;

    use super::*;
    use crate::list::ListedFile;
    use crate::position::Position;
    use crate::storage::FileStamp;

    fn spec(ratio: Option<&str>) -> SourceSpec {
        let option = ratio.map(|ratio| ("max_withdrawn_ratio".to_owned(), ratio.to_owned()));
        SourceSpec {
            name: "t".to_owned(),
            location: "in/*.csv".to_owned(),
            format: Format::Csv,
            schema: Arc::new(Schema::empty()),
            projection: Vec::new(),
            options: option.into_iter().collect::<BTreeMap<_, _>>(),
            ordinals: false,
            dictionaries: false,
            source: None,
        }
    }

    fn old(number: usize) -> Position {
        Position {
            path: format!("in/{number}.csv"),
            bytes: 1,
            modified_ns: 0,
            version: None,
            hash: String::new(),
            parts: Vec::new(),
            rows: 1,
            rejected: 0,
            set_aside: None,
        }
    }

    fn new(number: usize) -> ListedFile {
        ListedFile {
            path: format!("in/{number}.csv").into(),
            stamp: FileStamp::default(),
        }
    }

    #[test]
    fn most_of_a_source_does_not_vanish_unseen() {
        // The limit; the numbers of files that stay, are gone, are new and are corrected; whether that is refused.
        let cases = [
            (None, 0, 0, 0, 0, false),
            (None, 0, 1, 0, 0, true),
            (None, 1, 1, 0, 0, false),
            (None, 1, 2, 0, 0, true),
            (None, 1, 2, 1, 0, false),
            (None, 0, 2, 0, 1, false),
            // Each day a new file replaces the one before.
            (None, 0, 1, 1, 0, false),
            (None, 0, 3, 2, 0, false),
            // A disk is not mounted, and the new file is in its mount point.
            (None, 0, 15, 1, 0, true),
            (None, 0, 15, 7, 0, true),
            (None, 0, 15, 8, 0, false),
            (Some("1"), 0, 15, 0, 0, false),
            (Some("0.2"), 8, 2, 0, 0, false),
            (Some("0.2"), 7, 3, 0, 0, true),
            (Some("0"), 9, 1, 0, 0, true),
            (Some("0"), 9, 0, 0, 0, false),
        ];
        for case in cases {
            let (ratio, stay, gone, came, corrected, refused) = case;
            let mut changes: Vec<Change> = (0..stay).map(|at| Change::Unchanged(old(at))).collect();
            changes.extend((0..gone).map(|at| Change::Withdrawn(old(100 + at))));
            changes.extend((0..came).map(|at| Change::New(new(200 + at))));
            changes.extend((0..corrected).map(|at| Change::Replaced {
                old: old(300 + at),
                new: new(300 + at),
            }));
            let known = stay + gone + corrected;
            let checked = check(&spec(ratio), known, &changes);
            assert_eq!(checked.is_err(), refused, "{case:?}");
        }
    }

    #[test]
    fn the_message_names_files_and_what_allows_it() {
        let gone: Vec<Change> = (1..=15).map(|at| Change::Withdrawn(old(at))).collect();
        let message = |known, changes: &[Change]| {
            let checked = check(&spec(None), known, changes);
            checked.unwrap_err().to_string()
        };
        let all = message(15, &gone);
        for part in [
            "LOCATION 'in/*.csv' has lost all of the 15 files that were read, and nothing came",
            "in/1.csv, in/2.csv, in/3.csv and 12 more",
            "--allow withdrawn",
            "'max_withdrawn_ratio' '1'",
        ] {
            assert!(all.contains(part), "{all}");
        }
        assert!(message(20, &gone).contains("15 of the 20 files"));
        assert!(message(1, &gone[..1]).contains("lost the one file that was read"));
    }
}
