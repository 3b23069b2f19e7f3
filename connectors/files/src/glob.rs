//! Globs over files: `*`, `?` and `[…]` within a name, `{a,b}` anywhere, `**` for directories of any depth.
//!
//! 1. Names need not be UTF-8: what is not matches `*` and `?`.
//! 2. A name that exists as the pattern writes it, such as `data [1]`, is matched too.
//! 3. Links that lead nowhere or back to where they stand are passed over with a warning.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use ::glob::{MatchOptions, Pattern, PatternError};
use tidewater_contract::error::SourceError;

/// Patterns that the braces of one glob expand to at most.
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
    /// A name that matches, or is just this.
    Name(Pattern, PathBuf),
    /// `**`
    AnyDepth,
}

/// Why a text is no glob.
#[derive(Debug, thiserror::Error)]
pub(super) enum GlobError {
    /// A set is not closed, or the like.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Braces that make too many patterns.
    #[error("its braces stand for more than {EXPANSIONS_MAX} patterns")]
    TooMany,
}

/// Whether a path is to be read as a glob.
pub(super) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// The globs that `pattern` stands for, one for each choice of its braces.
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

/// What stands before the first `{a,b}`, its choices, and what stands behind it.
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
                Ok(PathComponent::Name(
                    Pattern::new(&text)?,
                    PathBuf::from(name),
                ))
            } else {
                Ok(PathComponent::Literal(PathBuf::from(name)))
            }
        });
        Ok(Self {
            components: components.collect::<Result<_, PatternError>>()?,
        })
    }

    /// The files that match, in no order.
    pub fn files(&self) -> Result<BTreeSet<PathBuf>, SourceError> {
        let mut walk = Walk {
            files: BTreeSet::new(),
            above: Vec::new(),
        };
        walk.descend(Path::new(""), &self.components)?;
        Ok(walk.files)
    }
}

struct Walk {
    files: BTreeSet<PathBuf>,
    /// Device and inode of the directories that `**` is in, the outermost first.
    above: Vec<(u64, u64)>,
}

impl Walk {
    fn descend(&mut self, at: &Path, components: &[PathComponent]) -> Result<(), SourceError> {
        let Some((first, rest)) = components.split_first() else {
            if is_file(at)? {
                self.files.insert(at.to_owned());
            }
            return Ok(());
        };
        match first {
            PathComponent::Literal(name) => self.descend(&at.join(name), rest),
            PathComponent::Name(pattern, literal) => {
                let literal = at.join(literal);
                if literal.symlink_metadata().is_ok() {
                    self.descend(&literal, rest)?;
                }
                for path in entries(at)? {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    if path != literal && pattern.matches_with(&name, NAMES) {
                        self.descend(&path, rest)?;
                    }
                }
                Ok(())
            }
            PathComponent::AnyDepth => self.any_depth(at, components, rest),
        }
    }

    fn any_depth(
        &mut self,
        at: &Path,
        components: &[PathComponent],
        rest: &[PathComponent],
    ) -> Result<(), SourceError> {
        let directory = if at.as_os_str().is_empty() {
            Path::new(".")
        } else {
            at
        };
        let Some(found) = look(directory)?.filter(fs::Metadata::is_dir) else {
            return Ok(());
        };
        let identity = (found.dev(), found.ino());
        if self.above.contains(&identity) {
            tracing::warn!(
                "{} leads back to a directory that it lies in: passed over",
                at.display()
            );
            return Ok(());
        }
        self.above.push(identity);
        if !rest.is_empty() {
            self.descend(at, rest)?;
        }
        for path in entries(at)? {
            let is_hidden = path
                .file_name()
                .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if is_hidden {
                continue;
            }
            let is_directory = look(&path)?.is_some_and(|found| found.is_dir());
            if is_directory {
                self.descend(&path, components)?;
            } else if rest.is_empty() {
                self.descend(&path, rest)?;
            }
        }
        self.above.pop();
        Ok(())
    }
}

/// What is in a directory, in order; nothing where there is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let listed = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let refused = |error| SourceError::io("list", listed, error);
    let entries = match fs::read_dir(listed) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(refused(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(directory.join(entry.map_err(refused)?.file_name()));
    }
    paths.sort();
    Ok(paths)
}

fn is_file(path: &Path) -> Result<bool, SourceError> {
    Ok(look(path)?.is_some_and(|found| !found.is_dir()))
}

/// What a path leads to, if it leads anywhere.
///
/// # Errors
/// When the system refuses to tell.
pub(super) fn look(path: &Path) -> Result<Option<fs::Metadata>, SourceError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) => match path.symlink_metadata() {
            Ok(link) if link.is_symlink() => {
                tracing::warn!(
                    "{} is a link that leads nowhere ({error}): passed over",
                    path.display()
                );
                Ok(None)
            }
            _ if is_absent(&error) => Ok(None),
            _ => Err(SourceError::io("list", path, error)),
        },
    }
}

/// Whether a path leads nowhere.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    fn matched(root: &Path, pattern: &str) -> Vec<String> {
        let globs = globs(&format!("{}/{pattern}", root.display())).unwrap();
        let mut files = BTreeSet::new();
        for glob in globs {
            files.extend(glob.files().unwrap());
        }
        let names = files.iter().map(|path| {
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
