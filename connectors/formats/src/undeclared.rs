//! Messages about columns that are only in a file or only in its declaration, with what to write.

use std::sync::Arc;

use crate::names::is_same;
use tidewater_contract::error::SourceError;

/// A column of a file that its source does not declare.
#[derive(PartialEq, Eq)]
pub(crate) struct UndeclaredColumn {
    /// Its name in the file.
    pub name: String,
    /// The type with which it can be declared.
    pub sql_type: String,
}

/// The error of a file with such columns, which lists them as lines for the declaration.
pub(crate) fn error(file: &Arc<str>, columns: &[UndeclaredColumn]) -> SourceError {
    let lines = columns.iter().map(|column| {
        let name = identifier(&column.name);
        format!("\n  {name} {},", column.sql_type)
    });
    let lines: String = lines.collect();
    let (has, add) = match columns {
        [_] => ("a column that is", "this line"),
        _ => ("columns that are", "these lines"),
    };
    SourceError::file(
        file,
        format!(
            "has {has} not declared; write OPTIONS (unknown_columns 'ignore'), or add {add} to the declaration:{}",
            lines.trim_end_matches(',')
        ),
    )
}

/// What to write if a declared column is not in a file but in the name of one of its folders.
pub(crate) fn folder_hint(file: &str, column: &str) -> Option<String> {
    let (folders, _) = file.rsplit_once('/')?;
    let mut keys = folders.split('/').filter_map(|name| name.split_once('='));
    keys.any(|(key, _)| is_same(key, column)).then(|| {
        format!(
            "the path has a folder '{column}=…': write PARTITIONED BY ({}) to read the column from it",
            identifier(column)
        )
    })
}

/// A name in SQL, in double quotes unless it is plain.
fn identifier(name: &str) -> String {
    let mut letters = name.chars();
    let is_plain = letters
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn column(name: &str, sql_type: &str) -> UndeclaredColumn {
        UndeclaredColumn {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
        }
    }

    #[test]
    fn all_columns_are_lines_of_a_declaration() {
        let columns = [
            column("a_1", "BIGINT"),
            column("Order \"x\"", "TEXT"),
            column("금액", "TEXT"),
        ];
        assert_eq!(
            error(&"f".into(), &columns).to_string(),
            "f: has columns that are not declared; write OPTIONS (unknown_columns 'ignore'), or add these lines to the \
             declaration:\n  a_1 BIGINT,\n  \"Order \"\"x\"\"\" TEXT,\n  \"금액\" TEXT"
        );
        let message = error(&"f".into(), &columns[..1]).to_string();
        assert!(
            message.contains("a column that is not declared"),
            "{message}"
        );
        assert!(message.ends_with("add this line to the declaration:\n  a_1 BIGINT"));
    }

    #[test]
    fn folders_that_are_columns_are_told() {
        let hint = |file| folder_hint(file, "day");
        assert!(
            hint("d/day=1/f.csv")
                .unwrap()
                .contains("PARTITIONED BY (day)")
        );
        assert!(
            folder_hint("d/Day=1/f", "Day")
                .unwrap()
                .contains("PARTITIONED BY (\"Day\")")
        );
        for other in ["d/f.csv", "day=1", "d/today=1/f", "d/day/f", "d/Day=1/f"] {
            assert_eq!(hint(other), None, "{other}");
        }
    }
}
