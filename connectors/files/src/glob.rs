//! Globs over files: `*`, `?` and `[…]` within a name, `{a,b}` anywhere, `**` for directories of any depth.
//!
//! 1. Names need not be UTF-8: bytes that are not match `*` and `?`. Names match in every Unicode spelling.
//! 2. A name that is literally the pattern, such as `data [1]`, is matched too.
//! 3. Links that lead back to a directory above them are skipped with a warning.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use ::glob::{MatchOptions, Pattern, PatternError};
use tidewater_contract::error::SourceError;
use tidewater_formats::names::{composed, is_same};

use crate::storage::{EntryKind, FileStamp, Storage};

/// The most patterns to which the braces of one glob may expand.
const EXPANSIONS_MAX: usize = 10_000;

const NAMES: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    // Hidden files and directories are matched only by patterns that begin with the dot.
    require_literal_leading_dot: true,
};

/// A glob without braces.
pub(super) struct Glob {
    components: Vec<PathComponent>,
}

enum PathComponent {
    /// A name, `/` or `..`.
    Literal(PathBuf),
    /// A name that matches the pattern or is literally this text.
    Name(Pattern, OsString),
    /// `**`, for directories of any depth.
    AnyDepth,
}

/// Why a text is not a valid glob.
#[derive(Debug, thiserror::Error)]
pub(super) enum GlobError {
    /// The pattern is malformed, such as a set that is not closed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The braces expand to too many patterns.
    #[error("its braces stand for more than {EXPANSIONS_MAX} patterns")]
    TooMany,
}

/// Whether a path is a glob.
pub(super) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// The globs of `pattern`, one for each choice of its braces.
pub(super) fn globs(pattern: &str) -> Result<Vec<Glob>, GlobError> {
    expanded(pattern)?
        .iter()
        .map(|pattern| Glob::new(pattern))
        .collect()
}

fn expanded(pattern: &str) -> Result<Vec<String>, GlobError> {
    let mut open = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(pattern) = open.pop() {
        match first_choice(&pattern) {
            None => done.push(pattern),
            Some((before, choices, after)) => {
                let choices = choices.iter().rev();
                open.extend(choices.map(|choice| format!("{before}{choice}{after}")));
            }
        }
        if open.len() + done.len() > EXPANSIONS_MAX {
            return Err(GlobError::TooMany);
        }
    }
    Ok(done)
}

/// The text before the first `{a,b}`, its choices, and the text after it.
fn first_choice(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = pattern.find('{')?;
    let inner = &pattern[start + 1..];
    let mut choices = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                choices.push(&inner[from..at]);
                return Some((&pattern[..start], choices, &inner[at + 1..]));
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                choices.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

impl Glob {
    fn new(pattern: &str) -> Result<Self, GlobError> {
        let components = Path::new(pattern).components().map(|component| {
            let Component::Normal(name) = component else {
                return Ok(PathComponent::Literal(PathBuf::from(component.as_os_str())));
            };
            let text = name.to_string_lossy();
            if text == "**" {
                Ok(PathComponent::AnyDepth)
            } else if is_glob(&text) {
                let pattern = Pattern::new(&composed(&text))?;
                Ok(PathComponent::Name(pattern, name.to_owned()))
            } else {
                Ok(PathComponent::Literal(PathBuf::from(name)))
            }
        });
        Ok(Self {
            components: components.collect::<Result<_, PatternError>>()?,
        })
    }

    /// The files that match.
    pub fn files(
        &self,
        storage: &dyn Storage,
    ) -> Result<BTreeMap<PathBuf, FileStamp>, SourceError> {
        walk(storage, Path::new(""), &self.components)
    }
}

/// All files below a directory, except those in hidden directories.
pub(super) fn all_below(
    storage: &dyn Storage,
    directory: &Path,
) -> Result<BTreeMap<PathBuf, FileStamp>, SourceError> {
    walk(storage, directory, &[PathComponent::AnyDepth])
}

fn walk(
    storage: &dyn Storage,
    from: &Path,
    components: &[PathComponent],
) -> Result<BTreeMap<PathBuf, FileStamp>, SourceError> {
    let mut walk = GlobWalk {
        storage,
        files: BTreeMap::new(),
        above: Vec::new(),
    };
    walk.descend(from, None, components)?;
    Ok(walk.files)
}

struct GlobWalk<'a> {
    storage: &'a dyn Storage,
    files: BTreeMap<PathBuf, FileStamp>,
    /// The directories that `**` has entered, outermost first.
    above: Vec<String>,
}

impl GlobWalk<'_> {
    /// Continues at a path. Its kind is known if it comes from a listing.
    fn descend(
        &mut self,
        at: &Path,
        listed: Option<EntryKind>,
        components: &[PathComponent],
    ) -> Result<(), SourceError> {
        let Some((first, rest)) = components.split_first() else {
            if let Some(EntryKind::File(stamp)) = self.kind(at, listed)? {
                self.files.insert(at.to_owned(), stamp);
            }
            return Ok(());
        };
        match first {
            PathComponent::Literal(name) => {
                self.descend(&as_spelled(self.storage, at, name)?, None, rest)
            }
            PathComponent::Name(pattern, literal) => {
                let wanted = |name: &OsStr| {
                    let text = name.to_string_lossy();
                    name == literal || pattern.matches_with(&composed(&text), NAMES)
                };
                for entry in self.storage.list(at, &wanted)? {
                    self.descend(&entry.path, Some(entry.kind), rest)?;
                }
                Ok(())
            }
            PathComponent::AnyDepth => self.any_depth(at, listed, components, rest),
        }
    }

    fn any_depth(
        &mut self,
        at: &Path,
        listed: Option<EntryKind>,
        components: &[PathComponent],
        rest: &[PathComponent],
    ) -> Result<(), SourceError> {
        let Some(EntryKind::Directory { identity }) = self.kind(at, listed)? else {
            return Ok(());
        };
        if identity.as_ref().is_some_and(|is| self.above.contains(is)) {
            tracing::warn!(
                "{} leads back to a directory that it lies in: passed over",
                at.display()
            );
            return Ok(());
        }
        let depth = self.above.len();
        self.above.extend(identity.clone());
        if !rest.is_empty() {
            self.descend(at, Some(EntryKind::Directory { identity }), rest)?;
        }
        let is_shown = |name: &OsStr| !name.as_encoded_bytes().starts_with(b".");
        for entry in self.storage.list(at, &is_shown)? {
            match entry.kind {
                EntryKind::File(stamp) if rest.is_empty() => {
                    self.files.insert(entry.path, stamp);
                }
                EntryKind::File(_) => {}
                EntryKind::Directory { .. } => {
                    self.descend(&entry.path, Some(entry.kind), components)?;
                }
            }
        }
        self.above.truncate(depth);
        Ok(())
    }

    fn kind(&self, at: &Path, listed: Option<EntryKind>) -> Result<Option<EntryKind>, SourceError> {
        match listed {
            Some(kind) => Ok(Some(kind)),
            None => self.storage.head(at),
        }
    }
}

/// The path as its names are spelled in the storage. A name that does not exist as it is written is looked for in
/// another spelling.
pub(super) fn path_as_spelled(storage: &dyn Storage, path: &Path) -> Result<PathBuf, SourceError> {
    if path.as_os_str().is_ascii() || storage.head(path)?.is_some() {
        return Ok(path.to_owned());
    }
    let mut found = PathBuf::new();
    for component in path.components() {
        found = as_spelled(storage, &found, Path::new(component.as_os_str()))?;
    }
    Ok(found)
}

fn as_spelled(storage: &dyn Storage, at: &Path, name: &Path) -> Result<PathBuf, SourceError> {
    let written = at.join(name);
    let text = name.to_string_lossy();
    if text.is_ascii() || storage.head(&written)?.is_some() {
        return Ok(written);
    }
    let is_named = |other: &OsStr| is_same(&other.to_string_lossy(), &text);
    let first = storage.list(at, &is_named)?.into_iter().next();
    Ok(first.map_or(written, |entry| entry.path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::storage::LocalStorage;

    fn matched(root: &Path, pattern: &str) -> Vec<String> {
        let globs = globs(&format!("{}/{pattern}", root.display())).unwrap();
        let mut files = BTreeMap::new();
        for glob in globs {
            files.extend(glob.files(&LocalStorage).unwrap());
        }
        let names = files.keys().map(|path| {
            path.strip_prefix(root)
                .unwrap()
                .to_string_lossy()
                .into_owned()
        });
        names.collect()
    }

    fn put(root: &Path, name: impl AsRef<Path>) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn braces_sets_and_depths() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for name in [
            "2023/a.csv",
            "2024/a.csv",
            "2025/b.tsv",
            "data [1]/x.csv",
            "data 1/x.csv",
            ".git/a.csv",
            "{a}.csv",
        ] {
            put(root, name);
        }
        let cases: [(&str, &[&str]); 10] = [
            ("{2023,2024}/*.csv", &["2023/a.csv", "2024/a.csv"]),
            ("202[34]/a.csv", &["2023/a.csv", "2024/a.csv"]),
            ("{2023/a,2025/b}.{csv,tsv}", &["2023/a.csv", "2025/b.tsv"]),
            (
                "20{2{3,4},25}/*",
                &["2023/a.csv", "2024/a.csv", "2025/b.tsv"],
            ),
            ("data [1]/*.csv", &["data 1/x.csv", "data [1]/x.csv"]),
            ("**/a.csv", &["2023/a.csv", "2024/a.csv"]),
            ("2023/**", &["2023/a.csv"]),
            (".git/*", &[".git/a.csv"]),
            ("2023/../2024/*", &["2023/../2024/a.csv"]),
            ("none/*/x", &[]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(matched(root, pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_matched() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), OsStr::from_bytes(b"d/\xbc\xad\xbf\xef.csv"));
        put(root.path(), "d/서울 1월.csv");
        assert_eq!(matched(root.path(), "d/서울*.csv"), ["d/서울 1월.csv"]);
        assert_eq!(matched(root.path(), "d/*.csv").len(), 2);
        assert_eq!(matched(root.path(), "**/*.csv").len(), 2);
    }

    #[test]
    fn names_match_in_every_spelling() {
        let decomposed = "\u{1100}\u{1173}\u{11b7}";
        let root = tempfile::tempdir().unwrap();
        put(root.path(), format!("{decomposed}/{decomposed} 1.csv"));
        put(root.path(), "d/금 2.csv");
        let found = format!("{decomposed}/{decomposed} 1.csv");
        for pattern in [
            "금/금*.csv",
            "금/금 [0-9].csv",
            "{금,d}/금 1.csv",
            "**/금 1.*",
        ] {
            assert_eq!(matched(root.path(), pattern), [found.as_str()], "{pattern}");
        }
        let pattern = format!("d/{decomposed}*");
        assert_eq!(matched(root.path(), &pattern), ["d/금 2.csv"]);
        let spelled = |path: &str| {
            let path = path_as_spelled(&LocalStorage, &root.path().join(path)).unwrap();
            path.strip_prefix(root.path()).unwrap().to_owned()
        };
        assert_eq!(spelled("금/금 1.csv"), Path::new(&found));
        assert_eq!(
            spelled("금/none.csv"),
            Path::new(decomposed).join("none.csv")
        );
        assert_eq!(spelled("금 none/x"), Path::new("금 none/x"));
        // A name that exists as it is written goes first.
        put(root.path(), "금/x.csv");
        assert_eq!(spelled("금"), Path::new("금"));
        assert_eq!(matched(root.path(), "금/*"), ["금/x.csv"]);
    }

    #[test]
    fn links_are_followed_once() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "d/a.csv");
        symlink(root.join("nowhere"), root.join("d/dangling.csv")).unwrap();
        symlink(root.join("d"), root.join("d/again")).unwrap();
        symlink("self", root.join("d/self")).unwrap();
        symlink(root.join("d/a.csv"), root.join("d/link.csv")).unwrap();
        assert_eq!(matched(root, "d/*.csv"), ["d/a.csv", "d/link.csv"]);
        assert_eq!(matched(root, "**/*.csv"), ["d/a.csv", "d/link.csv"]);
        assert_eq!(matched(root, "d/*"), ["d/a.csv", "d/link.csv"]);
    }

    #[test]
    fn too_many_choices_are_refused() {
        let pattern = "{0,1,2,3,4,5,6,7,8,9}".repeat(5);
        assert!(matches!(globs(&pattern), Err(GlobError::TooMany)));
        assert!(matches!(globs("["), Err(GlobError::Pattern(_))));
    }
}
