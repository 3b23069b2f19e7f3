//! Finds deliveries with the same content: possibly a file that was delivered twice.

use std::collections::{BTreeMap, BTreeSet};

use super::position::Position;
use tidewater_contract::error::shown_path;

/// The most files that a run names.
const NAMED_MAX: usize = 3;

/// Warnings about deliveries with the same rows as another one. `arrived` are the paths of new ones.
pub(super) fn warnings(positions: &[Position], arrived: &BTreeSet<String>) -> Vec<String> {
    let with_rows = positions.iter().filter(|position| position.rows > 0);
    let mut with_rows: Vec<&Position> = with_rows.collect();
    // Older deliveries go first.
    with_rows.sort_by_key(|position| (arrived.contains(&position.path), &position.path));
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut twins = Vec::new();
    for position in with_rows {
        match first.get(position.hash.as_str()) {
            Some(other) if arrived.contains(&position.path) => twins.push((position, *other)),
            Some(_) => {}
            None => drop(first.insert(&position.hash, &position.path)),
        }
    }
    let named = twins.iter().take(NAMED_MAX).map(|(position, other)| {
        let (path, other) = (shown_path(&position.path), shown_path(other));
        format!("{path} has the same content as {other}: the rows of both count; remove one if it was delivered twice")
    });
    let more = twins.len().saturating_sub(NAMED_MAX);
    let more = (more > 0).then(|| format!("{more} more files have the content of others"));
    named.chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(path: &str, hash: &str, rows: u64) -> Position {
        Position {
            path: path.to_owned(),
            bytes: 1,
            modified_ns: 0,
            version: None,
            hash: hash.to_owned(),
            parts: Vec::new(),
            rows,
            rejected: 0,
            set_aside: None,
        }
    }

    #[test]
    fn what_arrives_is_told_once_and_what_was_there_is_not() {
        let positions = [
            position("a", "1", 5),
            position("b", "1", 5),
            position("c", "2", 5),
            position("d", "3", 0),
            position("e", "3", 0),
            position("z", "2", 5),
        ];
        let told = |arrived: &[&str]| {
            let arrived = arrived.iter().map(|path| (*path).to_owned()).collect();
            warnings(&positions, &arrived)
        };
        assert!(told(&[]).is_empty());
        assert!(told(&["e", "d"]).is_empty(), "no rows count twice");
        let one = told(&["c"]);
        assert!(
            one.len() == 1 && one[0].starts_with("c has the same content as z: "),
            "{one:?}"
        );
        assert_eq!(told(&["a", "b", "c", "z"]).len(), 2);
        let many: Vec<Position> = (0..9).map(|n| position(&n.to_string(), "1", 1)).collect();
        let arrived = many.iter().map(|position| position.path.clone()).collect();
        let told = warnings(&many, &arrived);
        assert_eq!(told.len(), 4);
        assert_eq!(told[3], "5 more files have the content of others");
    }
}
