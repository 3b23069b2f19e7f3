//! Lists the files of a `LOCATION`: a file, the files of a directory, or those that a glob matches.
//!
//! 1. The list depends only on the content of the directory; it is in order of path.
//! 2. Three kinds of files are read only if the location names them exactly: hidden files, files that begin with `_`
//!    (markers and quarantines of other programs), and files that another program is still writing (`x.csv.part`).
//! 3. A location without files is an error, unless it may be empty.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_contract::error::SourceError;
use tidewater_contract::source::Format;
use tidewater_formats::compression::{Codec, UNREAD_EXTENSIONS};
use tidewater_formats::row_format::{RowFormat, UNREAD_FORMATS};

use crate::glob::{all_below, globs, is_glob, path_as_spelled};
use crate::storage::{EntryKind, FileStamp, Storage};

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedFile {
    /// Its path, which begins with the location as the job writes it.
    pub path: PathBuf,
    /// Its stored size, its time and its version.
    pub stamp: FileStamp,
}

impl ListedFile {
    /// The path as errors and rejected rows show it.
    pub fn name(&self) -> Arc<str> {
        self.path.to_string_lossy().into()
    }
}

/// How the subdirectories of a location are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subdirectories {
    /// Their files do not belong to the location.
    PassOver,
    /// Their files belong to the location too.
    Descend,
}

/// The files of `location`, in order of path: the file itself, the files of a directory, or the files that match a
/// glob. An existing path is never treated as a glob.
///
/// # Errors
/// When there is no such file, or the system refuses to list.
pub fn list(
    storage: &dyn Storage,
    location: &str,
    subdirectories: Subdirectories,
) -> Result<Vec<ListedFile>, SourceError> {
    look(storage, location, subdirectories)?.map_err(|message| nothing(location, message))
}

/// Like [`list`], for a location that had files before: no files are not an error.
///
/// # Errors
/// When the location is invalid, or listing fails.
pub fn list_or_empty(
    storage: &dyn Storage,
    location: &str,
    subdirectories: Subdirectories,
) -> Result<Vec<ListedFile>, SourceError> {
    Ok(look(storage, location, subdirectories)?.unwrap_or_default())
}

/// The files, or the reason why there are none.
type Found = Result<Vec<ListedFile>, String>;

fn look(
    storage: &dyn Storage,
    location: &str,
    subdirectories: Subdirectories,
) -> Result<Found, SourceError> {
    let plain = location.strip_prefix("file://").unwrap_or(location);
    if let Some((scheme, _)) = plain.split_once("://") {
        let message = format!(
            "'{scheme}' is not a scheme of file sources; write a path, a directory or a glob"
        );
        return Err(nothing(location, message));
    }
    let written = Path::new(plain);
    let path = match storage.head(written) {
        Ok(Some(_)) => written.to_owned(),
        _ if is_glob(plain) => return matching(storage, location, plain),
        Ok(None) => path_as_spelled(storage, written)?,
        Err(error) => return Err(error),
    };
    match storage.head(&path)? {
        Some(EntryKind::Directory { .. }) => match subdirectories {
            Subdirectories::PassOver => in_directory(storage, location, &path),
            Subdirectories::Descend => below_directory(storage, &path),
        },
        Some(EntryKind::File(stamp)) => Ok(Ok(vec![ListedFile { path, stamp }])),
        None => Ok(Err(format!(
            "there is no such file or directory{}",
            looked_in(storage, written)
        ))),
    }
}

fn in_directory(
    storage: &dyn Storage,
    location: &str,
    directory: &Path,
) -> Result<Found, SourceError> {
    let mut files = Vec::new();
    let (mut directories, mut unfinished) = (0_u64, 0_u64);
    for entry in storage.list(directory, &|name| !is_hidden(Some(name)))? {
        match entry.kind {
            EntryKind::Directory { .. } => directories += 1,
            EntryKind::File(_) if is_unfinished(entry.path.file_name()) => unfinished += 1,
            EntryKind::File(stamp) => files.push(ListedFile {
                path: entry.path,
                stamp,
            }),
        }
    }
    if files.is_empty() {
        let deeper = match directories {
            0 => String::new(),
            n => format!(
                ", only {n} subdirectories; to descend write '{}/**/*'",
                location.trim_end_matches('/')
            ),
        };
        let unfinished = match unfinished {
            0 => String::new(),
            n => format!(", only {n} with names of unfinished files, such as x.csv.part"),
        };
        let message = format!(
            "the directory holds no files that do not begin with '.' or '_'{unfinished}{deeper}{}",
            looked_in(storage, directory)
        );
        return Ok(Err(message));
    }
    Ok(Ok(files))
}

fn below_directory(storage: &dyn Storage, directory: &Path) -> Result<Found, SourceError> {
    let mut files = all_below(storage, directory)?;
    files.retain(|path, _| {
        let below = path.strip_prefix(directory).unwrap_or(path);
        let mut names = below.components().map(|name| Some(name.as_os_str()));
        !names.any(is_hidden) && !is_unfinished(path.file_name())
    });
    if files.is_empty() {
        return Ok(Err(format!(
            "neither the directory nor its subdirectories hold files that do not begin with '.' or '_'{}",
            looked_in(storage, directory)
        )));
    }
    Ok(Ok(in_order(files)))
}

fn in_order(files: BTreeMap<PathBuf, FileStamp>) -> Vec<ListedFile> {
    let files = files.into_iter();
    files
        .map(|(path, stamp)| ListedFile { path, stamp })
        .collect()
}

fn matching(storage: &dyn Storage, location: &str, pattern: &str) -> Result<Found, SourceError> {
    let globs =
        globs(pattern).map_err(|error| nothing(location, format!("is not a glob: {error}")))?;
    let named = Path::new(pattern).file_name();
    let (names_hidden, names_unfinished) = (is_hidden(named), is_unfinished(named));
    let mut files = BTreeMap::new();
    for glob in globs {
        files.extend(glob.files(storage)?);
    }
    files.retain(|path, _| {
        let name = path.file_name();
        (names_hidden || !is_hidden(name)) && (names_unfinished || !is_unfinished(name))
    });
    if files.is_empty() {
        let message = format!(
            "no file matches the glob{}",
            looked_in(storage, Path::new(pattern))
        );
        return Ok(Err(message));
    }
    Ok(Ok(in_order(files)))
}

/// The error of a file whose name cannot be told from others.
pub(super) fn name_is_not_utf8(path: &Path) -> SourceError {
    let chunks = path.as_os_str().as_encoded_bytes().utf8_chunks();
    let shown: String = chunks
        .flat_map(|chunk| {
            let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}"));
            std::iter::once(chunk.valid().to_owned()).chain(invalid)
        })
        .collect();
    let message = "its name is not UTF-8, and could not be told from others; rename it";
    SourceError::file(&shown.into(), message)
}

/// Names of hidden files, and of markers and quarantines.
fn is_hidden(name: Option<&OsStr>) -> bool {
    name.is_none_or(|name| {
        name.as_encoded_bytes().starts_with(b".") || name.as_encoded_bytes().starts_with(b"_")
    })
}

/// Names that programs give to unfinished files, and editors to copies.
fn is_unfinished(name: Option<&OsStr>) -> bool {
    const ENDINGS: [&[u8]; 5] = [b".part", b".tmp", b".filepart", b".crdownload", b"~"];
    name.is_some_and(|name| {
        let lower = name.as_encoded_bytes().to_ascii_lowercase();
        ENDINGS.iter().any(|ending| lower.ends_with(ending))
    })
}

fn nothing(location: &str, message: impl Into<String>) -> SourceError {
    SourceError::Location {
        location: location.to_owned(),
        message: message.into(),
    }
}

/// The directory in which a relative path was looked up.
fn looked_in(storage: &dyn Storage, path: &Path) -> String {
    match storage.root() {
        Some(root) if path.is_relative() => format!(" (looked in {root})"),
        _ => String::new(),
    }
}

/// Fails if a file's name shows another format.
///
/// # Errors
/// A file has another format. The error names the first one.
pub(super) fn of_format<'a>(
    format: &RowFormat,
    names: impl IntoIterator<Item = &'a Arc<str>>,
) -> Result<(), SourceError> {
    for name in names {
        let lower = name.to_ascii_lowercase();
        let bare = Codec::of_name(&lower).map(|(_, bare)| bare);
        if bare.is_some() && !format.is_text() {
            let message = "Parquet is compressed inside, not as a file; decompress it, or leave it out of LOCATION";
            return Err(SourceError::file(name, message));
        }
        let extension = Path::new(bare.unwrap_or(&lower))
            .extension()
            .and_then(OsStr::to_str);
        let Some(other) = extension
            .and_then(format_of)
            .filter(|other| other.is_none_or(|other| other.format != format.format))
            // Any text can be read as lines.
            .filter(|other| {
                format.format != Format::Text || !other.is_some_and(RowFormat::is_text)
            })
        else {
            continue;
        };
        let stored_as = format.name();
        let message = match other {
            Some(other) => format!(
                "its name says {}, the source is STORED AS {stored_as}; leave it out of LOCATION, for example by a glob",
                other.name()
            ),
            None => format!(
                "its name says a format that is not read here; the source is STORED AS {stored_as}; leave it \
                             out of LOCATION, for example by a glob"
            ),
        };
        return Err(SourceError::file(name, message));
    }
    Ok(())
}

/// The format of an extension. The inner `None` is a format that cannot be read; the outer `None` is an unknown
/// extension.
fn format_of(extension: &str) -> Option<Option<&'static RowFormat>> {
    let is_unread = UNREAD_FORMATS.contains(&extension) || UNREAD_EXTENSIONS.contains(&extension);
    match RowFormat::of_extension(extension) {
        Some(format) => Some(Some(format)),
        None => is_unread.then_some(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;
    use crate::storage::LocalStorage;

    fn list(location: &str) -> Result<Vec<ListedFile>, SourceError> {
        super::list(&LocalStorage, location, Subdirectories::PassOver)
    }

    fn list_or_empty(location: &str) -> Result<Vec<ListedFile>, SourceError> {
        super::list_or_empty(&LocalStorage, location, Subdirectories::PassOver)
    }

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        root
    }

    #[test]
    fn lists_what_the_location_names() {
        let root = tree(&[
            "d/b.csv",
            "d/a.csv",
            "d/.hidden.csv",
            "d/_SUCCESS",
            "d/sub/c.csv",
            "d/x[1].csv",
            "d/c.csv.part",
            "d/b.csv~",
            "d/e.CSV.TMP",
            "e/_q.csv",
        ]);
        let cases: &[(&str, &[&str])] = &[
            ("d/a.csv", &["d/a.csv"]),
            ("d", &["d/a.csv", "d/b.csv", "d/x[1].csv"]),
            ("d/", &["d/a.csv", "d/b.csv", "d/x[1].csv"]),
            ("d/*", &["d/a.csv", "d/b.csv", "d/x[1].csv"]),
            ("d/[ab].csv", &["d/a.csv", "d/b.csv"]),
            ("d/x[1].csv", &["d/x[1].csv"]),
            (
                "d/**/*.csv",
                &["d/a.csv", "d/b.csv", "d/sub/c.csv", "d/x[1].csv"],
            ),
            ("d/*.part", &["d/c.csv.part"]),
            ("d/c.csv.part", &["d/c.csv.part"]),
            ("d/{a,b}.csv*", &["d/a.csv", "d/b.csv"]),
            ("d/_*", &["d/_SUCCESS"]),
            ("d/_SUCCESS", &["d/_SUCCESS"]),
            ("e/_q.csv", &["e/_q.csv"]),
        ];
        for (location, expected) in cases {
            for scheme in ["", "file://"] {
                let files = list(&format!("{scheme}{}/{location}", root.path().display())).unwrap();
                let found: Vec<_> = files
                    .iter()
                    .map(|f| f.path.strip_prefix(root.path()).unwrap().to_str().unwrap())
                    .collect();
                assert_eq!(&found, expected, "{location}");
                assert!(
                    files
                        .iter()
                        .all(|f| f.stamp.bytes == fs::metadata(&f.path).unwrap().len())
                );
            }
        }
    }

    #[test]
    fn says_what_it_looked_for() {
        let root = tree(&["d/sub/c.csv", "d/_SUCCESS"]);
        let at = root.path().display();
        let cases = [
            (
                format!("{at}/none.csv"),
                "there is no such file or directory",
            ),
            (
                format!("{at}/d"),
                "holds no files that do not begin with '.' or '_', only 1 subdirectories; to descend",
            ),
            (format!("{at}/d/*.csv"), "no file matches the glob"),
            (format!("{at}/d/["), "is not a glob"),
            (
                "no/such/path-*.csv".to_owned(),
                "no file matches the glob (looked in ",
            ),
            (
                "s3://bucket/key".to_owned(),
                "'s3' is not a scheme of file sources",
            ),
        ];
        for (location, expected) in cases {
            let message = list(&location).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("LOCATION '{location}': ")),
                "{message}"
            );
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn files_that_were_there_may_be_gone() {
        let root = tree(&["d/sub/c.csv", "d/_SUCCESS", "e.csv"]);
        let at = root.path().display();
        for gone in ["none.csv", "d", "d/*.csv", "e.csv/f", "none/*/x.csv"] {
            let location = format!("{at}/{gone}");
            assert_eq!(list_or_empty(&location).unwrap(), [], "{location}");
            assert!(list(&location).is_err(), "{location}");
        }
        let found = list_or_empty(&format!("{at}/e.csv")).unwrap();
        let modified = fs::metadata(&found[0].path).unwrap().modified().unwrap();
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(
            u128::try_from(found[0].stamp.modified_ns).unwrap(),
            since.as_nanos()
        );
        for wrong in ["s3://bucket/key".to_owned(), format!("{at}/[")] {
            assert!(list_or_empty(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_formats_are_named() {
        let cases = [
            (
                Format::Csv,
                "a.parquet",
                Some("its name says PARQUET, the source is STORED AS CSV"),
            ),
            (Format::Csv, "a.JSONL.gz", Some("its name says JSON")),
            (
                Format::Csv,
                "a.xlsx",
                Some("a format that is not read here"),
            ),
            (
                Format::Parquet,
                "a.parquet.gz",
                Some("Parquet is compressed inside"),
            ),
            (Format::JsonLines, "a.csv.zst", Some("its name says CSV")),
            (
                Format::Text,
                "a.parquet",
                Some("its name says PARQUET, the source is STORED AS TEXT"),
            ),
            (
                Format::Text,
                "a.zip",
                Some("a format that is not read here"),
            ),
            (Format::Text, "a.csv", None),
            (Format::Text, "a.jsonl.gz", None),
            (Format::Text, "a.log", None),
            (Format::Csv, "a.csv.gz", None),
            (Format::Csv, "a.txt", None),
            (Format::Csv, "a", None),
            (Format::Csv, "2024.01.01", None),
            (Format::Parquet, "part-0000", None),
        ];
        for (format, name, expected) in cases {
            let message = of_format(RowFormat::of(format), [&name.into()])
                .err()
                .map(|error| error.to_string());
            match (expected, &message) {
                (None, None) => {}
                (Some(expected), Some(message)) => {
                    assert!(
                        message.starts_with(name) && message.contains(expected),
                        "{message}"
                    );
                }
                _ => unreachable!("{name}: {message:?}"),
            }
        }
    }
}
