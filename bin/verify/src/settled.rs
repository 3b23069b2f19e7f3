//! The rows that result from insertions and retractions, in SQL with window functions.
//!
//! With `i` insertions and `r` retractions of a row in all, and in partition `p` with `i_p` insertions and at most `d_p`
//! retractions more than insertions at any point, `max(0, r - i, max_p(d_p + i_p) - i)` retractions are unmatched.

/// The queries over some changes.
pub struct Settled {
    /// The columns of a row.
    columns: String,
    partition: String,
    position: String,
    /// Each change with the totals of all changes of its row.
    changes: String,
}

impl Settled {
    /// The queries for the changes in the relation `all`. `columns` are the columns of a row; `partition` and
    /// `position` are those of a change. Names are quoted.
    pub fn new(all: &str, columns: &str, partition: &str, position: &str) -> Self {
        let of_row = format!("PARTITION BY {columns}");
        let of_partition = format!("{of_row}, {partition}");
        let order = format!("{of_partition} ORDER BY {position}");
        // The excess of retractions over insertions at each change.
        let ahead = format!(
            "SELECT *, {position} % 2 AS tidewater_i, sum(1 - 2 * ({position} % 2)) OVER ({order}) AS tidewater_ahead \
             FROM {all}"
        );
        // The changes at which the excess reaches a new maximum.
        let grown = format!(
            "SELECT *, CASE WHEN tidewater_ahead > 0 AND tidewater_ahead > coalesce(max(tidewater_ahead) OVER ({order} \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) THEN 1 ELSE 0 END AS tidewater_d FROM ({ahead})"
        );
        let by_partition = format!(
            "SELECT *, sum(tidewater_i + tidewater_d) OVER ({of_partition}) AS tidewater_di FROM ({grown})"
        );
        let by_row = format!(
            "SELECT *, sum(tidewater_i) OVER ({of_row}) AS tidewater_inserted, count(*) OVER ({of_row}) AS tidewater_all, \
             max(tidewater_di) OVER ({of_row}) AS tidewater_most FROM ({by_partition})"
        );
        let changes = format!(
            "SELECT *, greatest(0, tidewater_all - 2 * tidewater_inserted, tidewater_most - tidewater_inserted) \
             AS tidewater_unmatched FROM ({by_row})"
        );
        Self {
            columns: columns.to_owned(),
            partition: partition.to_owned(),
            position: position.to_owned(),
            changes,
        }
    }

    /// The resulting rows.
    pub fn rows(&self) -> String {
        let Self {
            columns,
            partition,
            position,
            changes,
        } = self;
        format!(
            "SELECT {columns} FROM (SELECT {columns}, unnest(generate_series(1, tidewater_there)) AS tidewater_copy FROM \
             (SELECT {columns}, 2 * tidewater_inserted - tidewater_all + tidewater_unmatched AS tidewater_there, \
             row_number() OVER (PARTITION BY {columns} ORDER BY {partition}, {position}) AS tidewater_place \
             FROM ({changes})) WHERE tidewater_place = 1 AND tidewater_there > 0)"
        )
    }

    /// The changes that are unmatched.
    pub fn unmatched(&self) -> String {
        let Self {
            columns,
            partition,
            position,
            changes,
        } = self;
        format!(
            "SELECT {columns}, {partition}, {position} FROM (SELECT *, row_number() OVER (PARTITION BY {columns} \
             ORDER BY {partition}, {position}) AS tidewater_place FROM ({changes}) WHERE tidewater_d = 1) \
             WHERE tidewater_place <= tidewater_unmatched"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion::prelude::SessionContext;

    use super::*;

    /// The rows of a query, as text.
    fn rows(changes: &str, query: impl Fn(&Settled) -> String) -> Vec<String> {
        let context = SessionContext::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let all = format!("CREATE VIEW c AS SELECT * FROM (VALUES {changes}) AS t (id, p, o)");
            context.sql(&all).await.unwrap();
            let settled = Settled::new("c", "id", "p", "o");
            let found = context.sql(&query(&settled)).await.unwrap();
            let found = found.collect().await.unwrap();
            let text = arrow::util::pretty::pretty_format_batches(&found).unwrap();
            let text = text.to_string();
            let lines = text.lines().skip(3).filter(|line| line.starts_with('|'));
            let mut lines: Vec<String> = lines
                .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join(" "))
                .map(|line| line.trim().to_owned())
                .collect();
            lines.sort();
            lines
        })
    }

    /// Even positions retract, odd ones insert.
    #[test]
    fn changes_come_to_rows_and_unmatched_ones() {
        for (changes, there, unmatched) in [
            ("(1, 0, 1), (1, 0, 3), (1, 0, 4)", &["1"][..], &[][..]),
            // The first change is of a row that was never read.
            ("(1, 0, 0), (1, 0, 3)", &["1"], &["1 0 0"]),
            (
                "(1, 0, 0), (1, 0, 3), (2, 0, 1), (1, 0, 4), (1, 0, 6)",
                &["2"],
                &["1 0 0", "1 0 6"],
            ),
            // The insertion in another partition may have been earlier.
            ("(1, 0, 0), (1, 1, 1)", &[], &[]),
            ("(1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 2)", &[], &[]),
            ("(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)", &[], &[]),
            (
                "(1, 0, 0), (1, 0, 2), (1, 1, 1), (1, 0, 3)",
                &["1"],
                &["1 0 0"],
            ),
            ("(NULL, 0, 1), (NULL, 0, 3)", &["", ""], &[]),
        ] {
            assert_eq!(rows(changes, Settled::rows), there, "{changes}");
            assert_eq!(rows(changes, Settled::unmatched), unmatched, "{changes}");
        }
    }
}
