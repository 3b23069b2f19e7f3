//! The local paths that a job reads and publishes. Publishing replaces a directory, so no table may be where a source
//! reads, and no source where a table is published.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Files that a source reads.
#[derive(Debug, PartialEq, Eq)]
enum ReadPath {
    /// A file, or a path that does not exist yet.
    File(PathBuf),
    /// The files of a directory.
    Directory(PathBuf),
    /// The files below `base` that match.
    Glob { base: PathBuf, pattern: Vec<String> },
}

/// Whether publishing files with `extension` to `output` conflicts with reading `location`.
pub(super) fn collide(location: &str, output: &Path, extension: &str) -> bool {
    let output = resolved(output);
    match ReadPath::of(location) {
        ReadPath::File(file) => file.starts_with(&output),
        ReadPath::Directory(directory) => {
            directory.starts_with(&output) || output.starts_with(&directory)
        }
        ReadPath::Glob { base, pattern } => {
            base.starts_with(&output)
                || output
                    .strip_prefix(&base)
                    .is_ok_and(|below| reaches_into(&pattern, &names(below), extension))
        }
    }
}

/// A path without links, `.` and `..`, as far as it exists. The rest is taken as written.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => drop(resolved.pop()),
            Component::CurDir => {}
            other => {
                resolved.push(other);
                resolved = fs::canonicalize(&resolved).unwrap_or(resolved);
            }
        }
    }
    resolved
}

impl ReadPath {
    fn of(location: &str) -> Self {
        let path = Path::new(location);
        if path.is_dir() {
            return Self::Directory(resolved(path));
        }
        let is_glob = |name: &str| name.contains(['*', '?', '[', '{']);
        let first = path
            .components()
            .position(|component| is_glob(&component.as_os_str().to_string_lossy()));
        match first {
            Some(first) if !path.exists() => {
                let base: PathBuf = path.components().take(first).collect();
                let pattern: PathBuf = path.components().skip(first).collect();
                Self::Glob {
                    base: resolved(&base),
                    pattern: names(&pattern),
                }
            }
            _ => Self::File(resolved(path)),
        }
    }
}

fn names(path: &Path) -> Vec<String> {
    path.components()
        .map(|component| component.as_os_str().to_string_lossy().into_owned())
        .collect()
}

/// Whether `pattern` matches a file of a table that is `below` the pattern's base. Such files are `part-….extension`
/// in the table's directory or in its partitions' directories.
fn reaches_into(pattern: &[String], below: &[String], extension: &str) -> bool {
    match (pattern, below) {
        ([], _) => false,
        ([any, rest @ ..], [_, deeper @ ..]) if any == "**" => {
            reaches_into(rest, below, extension) || reaches_into(pattern, deeper, extension)
        }
        ([first, rest @ ..], [name, deeper @ ..]) => {
            matches(first, name) && reaches_into(rest, deeper, extension)
        }
        ([partitions @ .., file], []) => {
            let in_partitions = partitions
                .iter()
                .all(|name| name == "**" || name.contains(['*', '?', '[', '{', '=']));
            in_partitions && may_be_published(file, extension)
        }
    }
}

/// Whether a pattern for names may match `part-….extension`.
fn may_be_published(pattern: &str, extension: &str) -> bool {
    const HEAD: &str = "part-";
    let special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '{' | '}');
    let head = pattern.split(special).next().unwrap_or_default();
    let tail = pattern.rsplit(special).next().unwrap_or_default();
    let has_special = pattern.contains(special);
    let tail_fits = if has_special {
        format!(".{extension}").ends_with(tail) || tail.ends_with(&format!(".{extension}"))
    } else {
        tail.ends_with(&format!(".{extension}"))
    };
    (HEAD.starts_with(head) || head.starts_with(HEAD)) && tail_fits
}

/// Whether a pattern matches a name. Sets, `[…]` and `{…}`, count as matching anything, so too much is refused rather
/// than too little.
fn matches(pattern: &str, name: &str) -> bool {
    if pattern.contains(['[', '{']) {
        return true;
    }
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| matches(rest, &name[at..]))
        }
        Some(letter) => {
            let mut of_name = name.chars();
            of_name
                .next()
                .is_some_and(|other| letter == '?' || letter == other)
                && matches(letters.as_str(), of_name.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn tables_and_sources_are_apart() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("in/2024")).unwrap();
        fs::write(root.join("in/a.csv"), "").unwrap();
        std::os::unix::fs::symlink(root.join("in"), root.join("link")).unwrap();
        // (LOCATION, TO, extension, whether they collide)
        let cases = [
            ("in", "out", "csv", false),
            ("in", "in", "csv", true),
            ("in", "in/out/t", "parquet", true),
            ("in", ".", "parquet", true),
            ("in", "inner", "csv", false),
            ("in/a.csv", "in/out", "csv", false),
            ("in/a.csv", "in", "csv", true),
            ("in/*.csv", "in/out", "csv", false),
            ("in/*/*.csv", "in/out", "csv", true),
            ("in/*/*.csv", "in/out/t", "csv", false),
            ("in/**/*.csv", "in/out/t", "csv", true),
            ("in/**/*.csv", "in/out/t", "parquet", false),
            ("in/**", "in/out/t", "parquet", true),
            ("in/**/*", "in/out/t", "parquet", true),
            ("in/20*/**/*.csv", "in/out", "csv", false),
            ("in/20*/**/*.csv", "in/2025/t", "csv", true),
            ("in/*.csv", "in", "csv", true),
            ("in/2024/*.csv", "in", "csv", true),
            ("in/{2024,out}/*.csv", "in/out", "csv", true),
            ("in/*/*/*.csv", "in/out", "csv", true),
            ("in/**/day-*.csv", "in/out", "csv", false),
            ("in/**/part-00000.csv", "in/out", "csv", true),
            ("in/**/*.csv", "in/2024/../../out", "csv", false),
            ("in/2024/../**/*.csv", "in/out", "csv", true),
            ("link/**/*.csv", "in/out", "csv", true),
            ("in/**/*.csv", "link/out", "csv", true),
            ("link", "in/out", "csv", true),
            ("none/*.csv", "none", "csv", true),
            ("none", "none/out", "csv", false),
        ];
        for (location, output, extension, expected) in cases {
            let location_path = format!("{}/{location}", root.display());
            let found = collide(&location_path, &root.join(output), extension);
            assert_eq!(found, expected, "{location} → {output} ({extension})");
        }
    }

    #[test]
    fn relative_paths_are_those_of_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            resolved(Path::new("no such/./x/../y")),
            here.join("no such/y")
        );
        assert!(collide(
            "no such/**/*.csv",
            &here.join("no such/out"),
            "csv"
        ));
    }
}
