//! Columns with values from the paths of files: the folders `key=value`, the path itself, or the file's name.
//!
//! 1. Values depend only on the path. A delivery that is read from stored content has the values of the path under
//!    which it was read.
//! 2. A value is parsed by the rules of all formats. A value that does not fit its column is an error that names the
//!    path, since no row of the file could be right.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};
use tidewater_contract::declaration::{DeclarationError, DeclarationPart, SourceDeclaration};
use tidewater_contract::source::SourceSpec;
use tidewater_formats::names::{composed, is_same};

mod reader;

pub(super) use self::reader::{PathColumnsReader, PathDecoder};

/// The prefix of options `column.NAME`, which give the source of a declared column that is not in the file.
const COLUMN: &str = "column.";

/// The value of a folder that means NULL.
const NULL_NAME: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns of a source with values from paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathColumns {
    /// The columns whose values are in folders `key=value`.
    pub folders: Vec<String>,
    /// The columns with a part of the path, by name.
    pub parts: BTreeMap<String, PathPart>,
}

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// The whole path, as listed.
    Path,
    /// The file's name, without folders.
    FileName,
}

/// The values of options `column.NAME`.
const PARTS: [(&str, PathPart); 2] = [("path", PathPart::Path), ("file_name", PathPart::FileName)];

impl PathPart {
    fn of(self, path: &str) -> &str {
        match self {
            Self::Path => path,
            Self::FileName => path.rsplit('/').next().unwrap_or(path),
        }
    }
}

impl PathColumns {
    /// The path columns of a declaration. Their options are removed from `options`.
    ///
    /// # Errors
    /// When a column's type does not fit, or no column is left for the files.
    pub fn take(
        declaration: &SourceDeclaration<'_>,
        options: &mut BTreeMap<String, String>,
    ) -> Result<Self, Vec<DeclarationError>> {
        let fields = declaration.schema.fields();
        let folders = declaration.partitioned_by.iter();
        let folders = folders.filter_map(|index| Some(fields.get(*index)?.name().clone()));
        let mut columns = Self {
            folders: folders.collect(),
            parts: BTreeMap::new(),
        };
        let mut errors = Vec::new();
        let is_ours = |key: &str| bare(key).starts_with(COLUMN);
        for (key, value) in options.extract_if(.., |key, _| is_ours(key)) {
            let name = bare(&key).trim_start_matches(COLUMN);
            match columns.part(declaration, name, &value) {
                Ok(part) => drop(columns.parts.insert(name.to_owned(), part)),
                Err((message, hint)) => {
                    let part = DeclarationPart::Option(key.clone());
                    errors.push(DeclarationError::new(part, message, hint));
                }
            }
        }
        if errors.is_empty() {
            Ok(columns)
        } else {
            Err(errors)
        }
    }

    /// The part of the path for a declared column, or what is wrong and what to write instead.
    fn part(
        &self,
        declaration: &SourceDeclaration<'_>,
        name: &str,
        value: &str,
    ) -> Result<PathPart, (String, String)> {
        let fields = declaration.schema.fields();
        let declare = format!("declare it: {name} TEXT");
        let part = PARTS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(value));
        let Some((_, part)) = part else {
            let hint = "write 'path' or 'file_name'; folders are named by PARTITIONED BY";
            return Err((format!("cannot be '{value}'"), hint.to_owned()));
        };
        let Some((_, field)) = fields.find(name) else {
            return Err((format!("'{name}' is not a declared column"), declare));
        };
        if *field.data_type() != DataType::Utf8 {
            return Err((format!("column '{name}' is not TEXT"), declare));
        }
        if self.folders.iter().any(|folder| folder == name) {
            let message = format!("column '{name}' is in PARTITIONED BY too");
            return Err((message, "name another column".to_owned()));
        }
        let is_of_path = |field: &FieldRef| field.name() == name || self.contains(field.name());
        if fields.iter().all(is_of_path) {
            let message = "all columns come from the paths, and none from the files";
            let hint = "declare the columns that the files hold, too";
            return Err((message.to_owned(), hint.to_owned()));
        }
        Ok(*part)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.parts.is_empty()
    }

    /// The columns with the whole path.
    pub(super) fn of_paths(&self) -> Vec<String> {
        let parts = self.parts.iter();
        let paths = parts.filter(|(_, part)| **part == PathPart::Path);
        paths.map(|(name, _)| name.clone()).collect()
    }

    /// The columns as texts, for fingerprints.
    pub(super) fn rules(&self) -> Vec<String> {
        let folders = self.folders.iter().map(|name| format!("folder {name}"));
        let parts = self.parts.iter().map(|(name, part)| match part {
            PathPart::Path => format!("path {name}"),
            PathPart::FileName => format!("file_name {name}"),
        });
        folders.chain(parts).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.folders.iter().any(|folder| folder == name) || self.parts.contains_key(name)
    }

    /// The source without these columns, as its files have it.
    pub(super) fn of_files(&self, spec: &SourceSpec) -> SourceSpec {
        let mut places = BTreeMap::new();
        let mut fields = Vec::new();
        for (index, field) in spec.schema.fields().iter().enumerate() {
            if !self.contains(field.name()) {
                places.insert(index, fields.len());
                fields.push(Arc::clone(field));
            }
        }
        let read = spec.projection.iter();
        SourceSpec {
            projection: read
                .filter_map(|index| places.get(index).copied())
                .collect(),
            schema: Arc::new(Schema::new(fields)),
            ..spec.clone()
        }
    }

    /// Whether two paths give different values.
    pub(super) fn tells_apart(&self, one: &str, other: &str) -> bool {
        let mut columns = self.folders.iter().chain(self.parts.keys());
        columns.any(|name| self.text(one, name) != self.text(other, name))
    }

    /// The text of a column. The inner `None` is NULL; the outer `None` is a path without such a folder.
    fn text(&self, path: &str, name: &str) -> Option<Option<String>> {
        if let Some(part) = self.parts.get(name) {
            return Some(Some(part.of(path).to_owned()));
        }
        let value = folder_value(path, name)?;
        Some(Some(value).filter(|value| value != NULL_NAME))
    }
}

/// An option's key without DataFusion's prefix.
fn bare(key: &str) -> &str {
    key.strip_prefix("format.").unwrap_or(key)
}

/// The value of the innermost folder `key=value` of a path, percent-decoded. It is composed, because the spelling of
/// folders is the file system's.
fn folder_value(path: &str, key: &str) -> Option<String> {
    folders(path).rev().find_map(|(found, value)| {
        let is_key = percent_decoded(found).is_some_and(|found| is_same(&found, key));
        let value = is_key.then(|| percent_decoded(value))?;
        value.map(|value| composed(&value).into_owned())
    })
}

/// The folders `key=value` of a path.
fn folders(path: &str) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    let parent = Path::new(path).parent().unwrap_or(Path::new(""));
    let names = parent.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    names.filter_map(|name| name.split_once('='))
}

/// Decodes `%2F` and the like. A percent sign without two hexadecimal digits stays. `None` if the result is not
/// UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let code = behind
            .get(..2)
            .filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = match code {
            Some(_) => behind.get(2..).unwrap_or_default(),
            None => behind,
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
