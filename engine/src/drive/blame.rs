//! Names the deliveries whose withdrawal would make a failing rule hold.
//!
//! 1. Deliveries are named only if the rows of all files add up to those of the rule, so that what is left after a
//!    withdrawal is known and not guessed. They do not if a view leaves out rows, or a primary key replaces some.
//! 2. No smaller set of deliveries would do, if the rule has one limit. With two limits, a smaller one may exist.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::broken_rows::FileCounts;
use crate::job::Limit;

/// Deliveries whose withdrawal makes a rule hold, and what is left then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// The paths of the deliveries, the one with most broken rows first.
    pub deliveries: Vec<String>,
    /// What is left.
    pub left: FileCounts,
}

/// The deliveries to blame for a rule that counts `all` rows, by the rows of each. `None` if they cannot be known.
pub fn blame(
    limit: &Limit,
    all: FileCounts,
    by_file: BTreeMap<String, FileCounts>,
) -> Option<Blame> {
    let found = by_file
        .values()
        .fold(FileCounts::default(), |sum, one| FileCounts {
            rows: sum.rows + one.rows,
            broken: sum.broken + one.broken,
        });
    (found == all).then(|| smallest(by_file, all, limit))?
}

/// The smallest set of deliveries whose withdrawal leaves no more than the limit. With one limit, the deliveries that
/// exceed it most are that set.
fn smallest(counts: BTreeMap<String, FileCounts>, all: FileCounts, limit: &Limit) -> Option<Blame> {
    let mut guilty: Vec<(String, FileCounts)> = counts.into_iter().collect();
    guilty.retain(|(_, counts)| counts.broken > 0);
    guilty.sort_by_key(|(_, counts)| Reverse(counts.broken));
    let by_rows = enough(&guilty, all, limit);
    guilty.sort_by_key(|(_, counts)| Reverse(limit.excess(counts.broken, counts.rows)));
    let by_share = enough(&guilty, all, limit);
    let both = by_rows.into_iter().chain(by_share);
    both.min_by_key(|blame| blame.deliveries.len())
}

/// The first deliveries that are enough.
fn enough(guilty: &[(String, FileCounts)], all: FileCounts, limit: &Limit) -> Option<Blame> {
    let mut left = all;
    let mut deliveries = Vec::new();
    for (name, counts) in guilty {
        deliveries.push(name.clone());
        left.rows -= counts.rows;
        left.broken -= counts.broken;
        if !limit.is_exceeded(left.broken, left.rows) {
            return Some(Blame { deliveries, left });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of deliveries of the smallest set, by trying all sets.
    fn tried(counts: &[FileCounts], all: FileCounts, limit: &Limit) -> Option<u32> {
        let sets = 1_u32..1 << counts.len();
        let repairs = |set: &u32| {
            let mut left = all;
            for (at, counts) in counts.iter().enumerate() {
                if set & (1 << at) != 0 {
                    left.rows -= counts.rows;
                    left.broken -= counts.broken;
                }
            }
            !limit.is_exceeded(left.broken, left.rows)
        };
        sets.filter(repairs).map(u32::count_ones).min()
    }

    #[test]
    fn no_smaller_set_of_deliveries_repairs() {
        let of = |rows, broken| FileCounts { rows, broken };
        let kinds = [of(0, 0), of(1, 0), of(1, 1), of(3, 1), of(3, 2), of(9, 4)];
        let limits = [
            Limit::of(Some(0), None),
            Limit::of(Some(2), None),
            Limit::of(None, Some("0")),
            Limit::of(None, Some("0.3")),
            Limit::of(None, Some("0.5")),
        ];
        for combination in 0..kinds.len().pow(4) {
            let pick = |at: u32| kinds[combination / kinds.len().pow(at) % kinds.len()];
            let counts: Vec<FileCounts> = (0..4).map(pick).collect();
            let all = of(
                counts.iter().map(|one| one.rows).sum(),
                counts.iter().map(|one| one.broken).sum(),
            );
            for limit in limits
                .iter()
                .filter(|limit| limit.is_exceeded(all.broken, all.rows))
            {
                let named = counts.iter().enumerate();
                let named = named
                    .map(|(at, counts)| (at.to_string(), *counts))
                    .collect();
                let found = smallest(named, all, limit).map(|blame| blame.deliveries.len());
                let expected = tried(&counts, all, limit).map(|number| number as usize);
                assert_eq!(found, expected, "{counts:?}, at most {limit}");
            }
        }
    }
}
