//! The tables of an epoch: the job's tables, and the two that the engine adds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_connectors::file::sink::{QUARANTINE_TABLE, quarantine_beside, quarantine_spec};
use tidewater_connectors::sink::TableSpec;

use super::RunError;
use super::graph_set::Graph;
use crate::job::{DirectorySpec, Job, LATE_TABLE, QUALITY_TABLE, late_spec};

/// A value for each table of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerTable<T> {
    /// The values of the job's sinks, in the order of the job.
    pub sinks: Vec<T>,
    /// The value of the table of late rows, if the job has windows that close.
    pub late: Option<T>,
    /// The value of the quarantine.
    pub quarantine: T,
}

impl<T> PerTable<T> {
    /// The values of all tables: sinks, late rows, quarantine.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let own = self.late.iter().chain([&self.quarantine]);
        self.sinks.iter().chain(own)
    }

    /// Borrows each value.
    pub fn as_ref(&self) -> PerTable<&T> {
        PerTable {
            sinks: self.sinks.iter().collect(),
            late: self.late.as_ref(),
            quarantine: &self.quarantine,
        }
    }

    /// Maps the value of each table.
    pub fn map<U>(self, mut value: impl FnMut(T) -> U) -> PerTable<U> {
        PerTable {
            sinks: self.sinks.into_iter().map(&mut value).collect(),
            late: self.late.map(&mut value),
            quarantine: value(self.quarantine),
        }
    }

    /// Maps the value of each table, unless that fails for one of them.
    ///
    /// # Errors
    /// The first error of `value`.
    pub fn try_map<U, E>(self, mut value: impl FnMut(T) -> Result<U, E>) -> Result<PerTable<U>, E> {
        Ok(PerTable {
            sinks: self
                .sinks
                .into_iter()
                .map(&mut value)
                .collect::<Result<_, E>>()?,
            late: self.late.map(&mut value).transpose()?,
            quarantine: value(self.quarantine)?,
        })
    }

    /// The values of all tables, in the order of [`iter`](Self::iter).
    pub fn into_values(self) -> Vec<T> {
        let mut values = self.sinks;
        values.extend(self.late);
        values.push(self.quarantine);
        values
    }

    /// Other values for the same tables, in the order of [`iter`](Self::iter); `None` if there are too few.
    pub fn with_values<U>(self, values: impl IntoIterator<Item = U>) -> Option<PerTable<U>> {
        let mut values = values.into_iter();
        self.try_map(|_| values.next().ok_or(())).ok()
    }

    /// Pairs the values of two sets of the same tables.
    pub fn zip<U>(self, other: PerTable<U>) -> PerTable<(T, U)> {
        PerTable {
            sinks: self.sinks.into_iter().zip(other.sinks).collect(),
            late: self.late.zip(other.late),
            quarantine: (self.quarantine, other.quarantine),
        }
    }
}

impl<T> PerTable<Option<T>> {
    /// The values that are not `None`.
    pub fn present(&self) -> impl Iterator<Item = &T> {
        self.iter().flatten()
    }
}

/// A table of an epoch.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its files.
    pub spec: Arc<TableSpec>,
    /// Where its changes come from.
    pub origin: Origin,
    /// Whether the table is published to another system, so that its files are a copy.
    pub is_copy: bool,
    /// Whether its directory is for readers outside, rather than part of the state.
    pub is_published: bool,
}

/// Where a table's changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A relation of a graph.
    Relation {
        /// The graph.
        graph: Graph,
        /// The relation's name.
        name: String,
    },
    /// Rows of closed windows.
    Late,
    /// Rows that could not be decoded or cast.
    Quarantine,
}

impl PerTable<Table> {
    /// The tables of a job with a state. `copies` is the directory of copies of tables that are published to other
    /// systems. `graph` returns the graph that renders a relation.
    pub fn with_copies(job: &Job, copies: &Path, graph: impl Fn(&str) -> Graph) -> Self {
        let in_state = |name: &str| (DirectorySpec::parquet(copies.join(name)), false);
        let quarantine = declared(job.quarantine.as_ref());
        let late = declared(job.late.as_ref());
        let retains = job.sinks.iter().any(|sink| sink.retain.is_some());
        Self {
            sinks: sinks(job, copies, graph),
            late: retains.then(|| Table::late(late.unwrap_or_else(|| in_state(LATE_TABLE)))),
            quarantine: Table::quarantine(quarantine.unwrap_or_else(|| in_state(QUARANTINE_TABLE))),
        }
    }

    /// The tables of a job without a state.
    ///
    /// # Errors
    /// When a table is published to another system.
    pub fn without_state(job: &Job) -> Result<Self, RunError> {
        let external = job
            .sinks
            .iter()
            .find_map(|sink| Some((sink, sink.external()?)));
        if let Some((sink, target)) = external {
            return Err(RunError::Usage(format!(
                "{} goes to {}, which needs a state to know what is there already: run with --state DIR",
                sink.view,
                target.connector().title()
            )));
        }
        let first = job.sinks.iter().find_map(|sink| sink.directory());
        let beside = first.map_or_else(
            || PathBuf::from(job.short_name()),
            |first| first.path.clone(),
        );
        let beside = quarantine_beside(&beside);
        let mut sinks = sinks(job, Path::new(""), |_| Graph::Rebuilt);
        // The results of assertions are staged, and published only where the job says.
        for table in sinks.iter_mut().filter(|table| !table.is_published) {
            let spec = Arc::make_mut(&mut table.spec);
            spec.path = beside.with_file_name(format!("{}-{}", spec.name, job.short_name()));
        }
        let beside = (DirectorySpec::parquet(beside), true);
        Ok(Self {
            sinks,
            // Without a state, no window is closed.
            late: None,
            quarantine: Table::quarantine(declared(job.quarantine.as_ref()).unwrap_or(beside)),
        })
    }
}

impl Table {
    /// Whether it holds the results of assertions.
    pub fn is_quality(&self) -> bool {
        matches!(&self.origin, Origin::Relation { name, .. } if name == QUALITY_TABLE)
    }

    fn quarantine((place, is_published): (DirectorySpec, bool)) -> Self {
        let spec = quarantine_spec(place.path, place.partition_by, place.encoding);
        Self {
            spec: Arc::new(spec),
            origin: Origin::Quarantine,
            is_copy: false,
            is_published,
        }
    }

    fn late((place, is_published): (DirectorySpec, bool)) -> Self {
        Self {
            spec: Arc::new(late_spec(place)),
            origin: Origin::Late,
            is_copy: false,
            is_published,
        }
    }
}

/// The directory that a job declares for a table of its own.
fn declared(place: Option<&DirectorySpec>) -> Option<(DirectorySpec, bool)> {
    Some((place?.clone(), true))
}

fn sinks(job: &Job, copies: &Path, graph: impl Fn(&str) -> Graph) -> Vec<Table> {
    let tables = job.sinks.iter().map(|sink| Table {
        spec: Arc::new(sink.files(copies)),
        origin: Origin::Relation {
            graph: graph(&sink.view),
            name: sink.view.clone(),
        },
        is_copy: sink.external().is_some(),
        is_published: sink.directory().is_some(),
    });
    tables.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn job(copies: &str) -> Job {
        let sql = format!(
            "CREATE EXTERNAL TABLE t (id BIGINT, at TIMESTAMP) STORED AS CSV LOCATION 'in';\n{copies}"
        );
        Job::parse("job.sql", &sql, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn paths(tables: &PerTable<Table>) -> Vec<(&str, &str)> {
        let path = |table: &Table| table.spec.path.to_str().map(str::to_owned).unwrap();
        let paths = tables.iter().map(|table| (&*table.spec.name, path(table)));
        let leaked = paths.map(|(name, path)| (name, &*path.leak()));
        leaked.collect()
    }

    const TOPIC: &str = "COPY t TO 'kafka://host:9092/t' OPTIONS ('mode' 'changelog');";

    #[test]
    fn the_quarantine_is_a_jobs_own() {
        // (what the job publishes, the quarantine with a state, without one)
        let cases = [
            (
                "COPY t TO 'out/a';",
                "state/tables/_quarantine",
                "out/_quarantine-a",
            ),
            (
                "COPY t TO 'result';",
                "state/tables/_quarantine",
                "_quarantine-result",
            ),
            (
                "COPY t TO '/a/t'; COPY t TO '/b/t';",
                "state/tables/_quarantine",
                "/a/_quarantine-t",
            ),
            ("COPY t TO 'out/a'; COPY QUARANTINE TO 'bad';", "bad", "bad"),
            (
                "COPY t TO 'out/a'; COPY _quarantine TO 'bad' STORED AS CSV;",
                "bad",
                "bad",
            ),
        ];
        for (copies, with_state, without) in cases {
            let job = job(copies);
            let kept = PerTable::with_copies(&job, Path::new("state/tables"), |_| Graph::Rebuilt);
            assert_eq!(
                paths(&kept).last(),
                Some(&("_quarantine", with_state)),
                "{copies}"
            );
            let once = PerTable::without_state(&job).unwrap();
            assert_eq!(
                paths(&once).last(),
                Some(&("_quarantine", without)),
                "{copies}"
            );
        }
    }

    #[test]
    fn late_rows_are_in_the_state_or_where_the_job_says() {
        let retained = "COPY t TO 'out/t' OPTIONS ('retain' '1 day');";
        for (more, expected) in [
            ("", "state/tables/_late"),
            ("COPY LATE TO 'out/late';", "out/late"),
        ] {
            let job = job(&format!("{retained} {more}"));
            let tables = PerTable::with_copies(&job, Path::new("state/tables"), |_| Graph::Rebuilt);
            assert_eq!(paths(&tables)[1], ("_late", expected));
        }
    }

    #[test]
    fn a_topic_has_a_copy_in_the_state_and_none_without() {
        let job = job(&format!("COPY t TO 'out/t'; {TOPIC}"));
        let tables = PerTable::with_copies(&job, Path::new("state/tables"), |_| Graph::Resumed);
        let expected = [
            ("t", "out/t"),
            ("t#2", "state/tables/t#2"),
            ("_quarantine", "state/tables/_quarantine"),
        ];
        assert_eq!(paths(&tables), expected);
        let error = PerTable::without_state(&job).unwrap_err();
        assert!(error.to_string().contains("--state"), "{error}");
    }
}
