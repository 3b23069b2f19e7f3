//! Finds pairs of an expected and a found row that are the same row with different values.

use std::cmp::Reverse;

/// Rows that belong together: one of each side, or a single row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPair {
    /// Index of the expected row.
    pub expected: Option<usize>,
    /// Index of the found row.
    pub found: Option<usize>,
    /// The columns that differ.
    pub columns: Vec<usize>,
}

/// Pairs rows that agree in their leading columns, which are the partition columns and the first one after them.
/// Among several candidates, the one is chosen that agrees in more leading columns, then in more columns. `order` has
/// all columns, leading ones first. The first `leading` of them must agree.
pub fn pair(
    expected: &[Vec<String>],
    found: &[Vec<String>],
    order: &[usize],
    leading: usize,
) -> Vec<RowPair> {
    let mut free: Vec<usize> = (0..found.len()).collect();
    let mut pairs = Vec::new();
    for (at, row) in expected.iter().enumerate() {
        let agreement = |other: &[String]| {
            let agree = |column: &&usize| row[**column] == other[**column];
            (
                order.iter().take_while(agree).count(),
                order.iter().filter(agree).count(),
            )
        };
        let best = free
            .iter()
            .enumerate()
            .map(|(place, &other)| (agreement(&found[other]), Reverse(place)))
            .filter(|((agreeing, _), _)| *agreeing >= leading)
            .max();
        let taken = best.map(|(_, Reverse(place))| free.remove(place));
        let columns = taken.map_or_else(Vec::new, |other| {
            (0..row.len())
                .filter(|&column| row[column] != found[other][column])
                .collect()
        });
        pairs.push(RowPair {
            expected: Some(at),
            found: taken,
            columns,
        });
    }
    let alone = free.into_iter().map(|found| RowPair {
        expected: None,
        found: Some(found),
        columns: Vec::new(),
    });
    pairs.extend(alone);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[[&str; 3]]) -> Vec<Vec<String>> {
        rows.iter()
            .map(|row| row.iter().map(|&cell| cell.to_owned()).collect())
            .collect()
    }

    #[test]
    fn rows_with_equal_leading_columns_belong_together() {
        let expected = rows(&[["a", "1", "x"], ["a", "2", "x"], ["b", "1", "x"]]);
        let found = rows(&[["a", "2", "y"], ["c", "1", "x"], ["a", "1", "y"]]);
        let pair_of = |expected, found, columns: &[usize]| RowPair {
            expected,
            found,
            columns: columns.to_vec(),
        };
        assert_eq!(
            pair(&expected, &found, &[0, 1, 2], 1),
            [
                pair_of(Some(0), Some(2), &[2]),
                pair_of(Some(1), Some(0), &[2]),
                pair_of(Some(2), None, &[]),
                pair_of(None, Some(1), &[]),
            ]
        );
    }
}
