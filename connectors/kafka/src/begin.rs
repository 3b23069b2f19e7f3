//! Where reading of a topic's partitions begins: at the last commit, or else where the options say. Also what a
//! mismatch between the topic and the commit means.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::location::Location;
use super::options::LostOffsets;
use super::position::{PartitionPosition, StreamPosition};
use super::topic::Edges;

/// How many lost ranges a message lists.
const NAMED: usize = 8;

/// Offsets of a partition that were never read and are gone: from `from`, up to but without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// Where each partition is read from, and the ranges that are gone.
pub(super) type Beginning = (BTreeMap<i32, PartitionPosition>, Vec<Lost>);

/// Continues where the last commit ended. Partitions that the commit does not know were added since; they are read
/// from their first offset.
///
/// # Errors
/// When this is not the topic that was read before.
pub(super) fn resume(
    known: &StreamPosition,
    edges: &BTreeMap<i32, Edges>,
) -> Result<Beginning, String> {
    if let Some(gone) = known
        .partitions
        .keys()
        .find(|partition| !edges.contains_key(partition))
    {
        return Err(recreated(&format!("it has no partition {gone} any more")));
    }
    let mut lost = Vec::new();
    let mut positions = BTreeMap::new();
    for (&partition, &edges) in edges {
        let mut position = known
            .partitions
            .get(&partition)
            .copied()
            .unwrap_or_else(|| at(edges.begin));
        let next = position.next;
        if next > edges.end {
            return Err(ends_before(partition, next, edges.end));
        }
        if next < edges.begin {
            lost.push(Lost {
                partition,
                from: next,
                to: edges.begin,
            });
            position.next = edges.begin;
        }
        positions.insert(partition, position);
    }
    Ok((positions, lost))
}

/// A partition that nothing was read from yet.
pub(super) fn at(offset: i64) -> PartitionPosition {
    PartitionPosition {
        first: offset,
        next: offset,
        ..PartitionPosition::default()
    }
}

/// The message for a topic that ends before the offset that was read last.
pub(super) fn ends_before(partition: i32, next: i64, end: i64) -> String {
    recreated(&format!(
        "partition {partition} was read up to offset {next}, and now it ends at {end}"
    ))
}

/// The message for a topic that continues at an offset that was read already.
pub(super) fn began_again(partition: i32, next: i64, offset: i64) -> String {
    recreated(&format!(
        "partition {partition} was read up to offset {next}, and now {offset} comes"
    ))
}

/// The message for a topic that is not the one that was read before.
pub(super) fn recreated(how: &str) -> String {
    format!(
        "{how}: the topic was deleted and created again, or its brokers lost messages. Nothing was read. To read it \
         from its beginning, rename the source or begin with a new state; rows that were read before are not \
         retracted"
    )
}

/// The message about lost offsets: an error with advice, or a warning if the job says to skip them.
pub(super) fn told(lost: &[Lost], policy: LostOffsets, location: &Location) -> String {
    let mut named = String::new();
    for (
        at,
        Lost {
            partition,
            from,
            to,
        },
    ) in lost.iter().take(NAMED).enumerate()
    {
        let separator = if at == 0 { "" } else { ", " };
        let last = to - 1;
        let count = to - from;
        let _ = write!(
            named,
            "{separator}partition {partition}: {from} to {last} ({count})"
        );
    }
    if lost.len() > NAMED {
        let _ = write!(named, ", and of {} more partitions", lost.len() - NAMED);
    }
    let gone = format!(
        "offsets are gone that were not read yet: {named}. The topic no longer keeps them (retention, or records \
         were deleted)"
    );
    match policy {
        LostOffsets::Fail => format!(
            "{gone}. Restore them, or write OPTIONS ('lost_offsets' 'skip') to continue with the first available \
             offsets"
        ),
        LostOffsets::Skip => format!("{location}: {gone}; they are skipped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(of: &[(i32, i64, i64)]) -> BTreeMap<i32, Edges> {
        of.iter()
            .map(|&(partition, begin, end)| (partition, Edges { begin, end }))
            .collect()
    }

    fn known(of: &[(i32, i64, i64)]) -> StreamPosition {
        let position = |first, next| PartitionPosition {
            first,
            next,
            rows: 5,
            rejected: 1,
        };
        StreamPosition {
            topic: "t".to_owned(),
            partitions: of
                .iter()
                .map(|&(partition, first, next)| (partition, position(first, next)))
                .collect(),
            segments: Vec::new(),
        }
    }

    #[test]
    fn a_commit_says_where_to_go_on() {
        let (positions, lost) = resume(
            &known(&[(0, 0, 10), (1, 3, 20)]),
            &edges(&[(0, 0, 10), (1, 20, 30), (2, 4, 9)]),
        )
        .unwrap();
        let nexts: Vec<_> = positions
            .iter()
            .map(|(partition, at)| (*partition, at.first, at.next, at.rows))
            .collect();
        assert_eq!(nexts, [(0, 0, 10, 5), (1, 3, 20, 5), (2, 4, 4, 0)]);
        assert!(lost.is_empty());
    }

    #[test]
    fn what_is_gone_is_told_by_partition() {
        let (positions, lost) = resume(
            &known(&[(0, 0, 10), (1, 0, 20)]),
            &edges(&[(0, 15, 40), (1, 21, 30)]),
        )
        .unwrap();
        assert_eq!((positions[&0].first, positions[&0].next), (0, 15));
        let location = Location::parse("kafka://a/t").unwrap();
        let failed = told(&lost, LostOffsets::Fail, &location);
        assert!(
            failed.contains("partition 0: 10 to 14 (5), partition 1: 20 to 20 (1)."),
            "{failed}"
        );
        assert!(failed.contains("'lost_offsets' 'skip'"), "{failed}");
        let skipped = told(&lost, LostOffsets::Skip, &location);
        assert!(skipped.starts_with("kafka://a:9092/t: "), "{skipped}");
        let many: Vec<Lost> = (0..10)
            .map(|n| Lost {
                partition: n,
                from: 0,
                to: 1,
            })
            .collect();
        let many = told(&many, LostOffsets::Fail, &location);
        assert!(
            many.contains("partition 7: 0 to 0 (1), and of 2 more partitions"),
            "{many}"
        );
    }

    #[test]
    fn another_topic_of_the_name_is_told() {
        for (known_of, edges_of, says) in [
            (
                &[(0, 0, 10)][..],
                &[(0, 0, 9)][..],
                "up to offset 10, and now it ends at 9",
            ),
            (&[(0, 0, 0), (1, 0, 4)], &[(0, 0, 0)], "no partition 1"),
        ] {
            let error = resume(&known(known_of), &edges(edges_of)).unwrap_err();
            assert!(
                error.contains(says) && error.contains("created again"),
                "{error}"
            );
        }
    }
}
