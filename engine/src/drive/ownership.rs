//! Checks the owners of the tables that a run is about to publish. A run replaces only its own tables.
//!
//! | what is in the directory | a run without a state | a run with one |
//! |---|---|---|
//! | nothing | goes on | goes on |
//! | the mark of this job and view, without a state | goes on | goes on |
//! | the mark of a commit that this state made | is refused | goes on |
//! | the mark of this state and a commit that it never made: a copy of it, a later backup, or one that was deleted | is refused | is refused |
//! | the mark of another job, view or state | is refused | is refused |
//! | no mark: of an older version, or another program's | goes on if it looks like this table | so too, and if the state has published there |
//!
//! With `--take-over`, tables that would be refused are rebuilt. With `--rebuild`, so are tables with marks of the
//! state's own id.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tidewater_connectors::file::sink::{OwnerCommit, TableOwner, looks_like};
use tidewater_connectors::sink::SinkError;

use super::error::RunError;
use super::not_owned::{NotOwned, Owner};
use super::tables::{Origin, Table};

/// The run that is about to publish.
pub struct Claimant<'a> {
    /// The job's name.
    pub job: &'a str,
    /// The state, if the run has one.
    pub state: Option<&'a dyn OwningState>,
    /// Whether tables of other owners are taken over.
    pub take_over: bool,
}

/// A state's record of its published tables.
pub trait OwningState {
    /// Its id.
    fn id(&self) -> &str;

    /// Whether it made a commit.
    ///
    /// # Errors
    /// When it cannot be read.
    fn made(&self, commit: &OwnerCommit) -> Result<bool, RunError>;

    /// The commit that changed a table last, if the state published it where it is declared now.
    ///
    /// # Errors
    /// When it cannot be read.
    fn published(&self, table: &Table) -> Result<Option<OwnerCommit>, RunError>;
}

/// The result of a claim.
#[derive(Debug, Default)]
pub struct Claims {
    /// Tables that had other owners, by name. They are rebuilt.
    pub taken: BTreeSet<String>,
    /// Tables of an older version that need a mark.
    pub unmarked: Vec<(PathBuf, TableOwner)>,
}

impl Claimant<'_> {
    /// The mark of a table of this run; `commit` is the commit that it makes.
    pub fn mark(&self, table: &Table, commit: Option<OwnerCommit>) -> Option<TableOwner> {
        let view = match &table.origin {
            Origin::Relation { name, .. } => name,
            Origin::Late | Origin::Quarantine => &*table.spec.name,
        };
        table
            .is_published
            .then(|| TableOwner::new(self.job, view, commit))
    }

    /// Claims tables. Tables of other owners are refused or taken over.
    ///
    /// # Errors
    /// [`RunError::NotOwned`]; or a directory or the state cannot be read.
    pub fn claim<'t>(&self, tables: impl Iterator<Item = &'t Table>) -> Result<Claims, RunError> {
        let mut claims = Claims::default();
        let mut refused = Vec::new();
        for table in tables {
            let Some(own) = self.mark(table, None) else {
                continue;
            };
            let Some(owner) = self.obstacle(table, &own, &mut claims)? else {
                continue;
            };
            claims.taken.insert(table.spec.name.to_string());
            refused.push(NotOwned {
                table: table.spec.name.to_string(),
                path: table.spec.path.clone(),
                owner,
            });
        }
        if refused.is_empty() || self.take_over {
            Ok(claims)
        } else {
            Err(RunError::NotOwned(refused))
        }
    }

    /// The owner of a table; `None` if it may be published.
    fn obstacle(
        &self,
        table: &Table,
        own: &TableOwner,
        claims: &mut Claims,
    ) -> Result<Option<Owner>, RunError> {
        let found = TableOwner::of(&table.spec.path)?;
        let published = self
            .state
            .map(|state| state.published(table))
            .transpose()?
            .flatten();
        Ok(match (found, self.state) {
            (None, _) if published.is_some() => {
                let mark = self
                    .mark(table, published)
                    .filter(|_| table.spec.path.is_dir());
                claims
                    .unmarked
                    .extend(mark.map(|mark| (table.spec.path.clone(), mark)));
                None
            }
            (None, _) => (!looks_like(&table.spec)?).then_some(Owner::Unknown),
            (Some(found), Some(state)) => match &found.commit {
                None => (!found.is_same_job(own)).then_some(Owner::Other(found)),
                Some(commit) if commit.state != state.id() => Some(Owner::Other(found)),
                Some(commit) => (!state.made(commit)?).then(|| Owner::SameState(commit.clone())),
            },
            (Some(found), None) => {
                let is_own = found.commit.is_none() && found.is_same_job(own);
                (!is_own).then_some(Owner::Other(found))
            }
        })
    }
}

impl Claims {
    /// Marks tables of an older version. They belong to this run even without a mark, so a mark that cannot be
    /// written is left for the next commit.
    pub fn mark(&self) {
        for (table, owner) in &self.unmarked {
            let marked: Result<(), SinkError> = owner.mark(table);
            if let Err(error) = marked {
                tracing::debug!(%error, "a table of an older version stays without a mark");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use tempfile::tempdir;
    use tidewater_connectors::sink::{Encoding, TableSpec};

    use super::*;
    use crate::drive::graph_set::Graph;

    struct State {
        published: bool,
    }

    fn commit(state: &str, epoch: u64) -> OwnerCommit {
        OwnerCommit {
            state: state.to_owned(),
            epoch,
            committed_at: epoch,
        }
    }

    impl OwningState for State {
        fn id(&self) -> &'static str {
            "mine"
        }

        fn made(&self, commit: &OwnerCommit) -> Result<bool, RunError> {
            Ok(commit.epoch <= 5)
        }

        fn published(&self, _: &Table) -> Result<Option<OwnerCommit>, RunError> {
            Ok(self.published.then(|| commit("mine", 5)))
        }
    }

    fn table(path: &Path) -> Table {
        let fields = ["day", "n"].map(|name| Field::new(name, DataType::Int64, true));
        let spec = TableSpec {
            name: "v".into(),
            path: path.to_owned(),
            schema: Arc::new(Schema::new(fields.to_vec())),
            partition_by: vec![0],
            order_by: vec![],
            encoding: Encoding::default(),
        };
        Table {
            spec: Arc::new(spec),
            origin: Origin::Relation {
                graph: Graph::Rebuilt,
                name: "v".to_owned(),
            },
            is_copy: false,
            is_published: true,
        }
    }

    /// Whether a table with this mark and this partition may be published by a run without a state, by a state that
    /// never published it, and by a state that did.
    fn may_publish(mark: Option<TableOwner>, partition: &str) -> [bool; 3] {
        let root = tempdir().unwrap();
        let table = table(&root.path().join("t"));
        if !partition.is_empty() {
            let partition = table.spec.path.join(partition);
            std::fs::create_dir_all(&partition).unwrap();
            std::fs::write(partition.join("part-00000.parquet"), "").unwrap();
        }
        if let Some(mark) = mark {
            std::fs::create_dir_all(&table.spec.path).unwrap();
            mark.mark(&table.spec.path).unwrap();
        }
        let states = [
            None,
            Some(State { published: false }),
            Some(State { published: true }),
        ];
        states.map(|state| {
            let claimant = |take_over| Claimant {
                job: "j",
                state: state.as_ref().map(|state| state as &dyn OwningState),
                take_over,
            };
            let refused = claimant(false).claim([&table].into_iter());
            let taken = claimant(true).claim([&table].into_iter()).unwrap().taken;
            assert_eq!(refused.is_err(), !taken.is_empty());
            refused.is_ok()
        })
    }

    #[test]
    fn tables_of_others_are_refused() {
        let mark = |job, view, commit| Some(TableOwner::new(job, view, commit));
        let (yes, no) = ([true; 3], [false; 3]);
        assert_eq!(may_publish(None, ""), yes);
        assert_eq!(may_publish(None, "day=1"), yes);
        assert_eq!(may_publish(None, "region=1"), [false, false, true]);
        assert_eq!(may_publish(mark("j", "v", None), "day=1"), yes);
        assert_eq!(may_publish(mark("j", "w", None), "day=1"), no);
        assert_eq!(may_publish(mark("i", "v", None), "day=1"), no);
        let mine = |epoch| Some(commit("mine", epoch));
        assert_eq!(
            may_publish(mark("j", "v", mine(5)), "day=1"),
            [false, true, true]
        );
        assert_eq!(
            may_publish(mark("j", "w", mine(3)), "day=1"),
            [false, true, true]
        );
        assert_eq!(may_publish(mark("j", "v", mine(6)), "day=1"), no);
        assert_eq!(
            may_publish(mark("j", "v", Some(commit("theirs", 1))), ""),
            no
        );
    }

    #[test]
    fn an_unmarked_table_of_the_state_is_marked() {
        let root = tempdir().unwrap();
        let table = table(&root.path().join("t"));
        std::fs::create_dir_all(&table.spec.path).unwrap();
        let claimant = Claimant {
            job: "j",
            state: Some(&State { published: true }),
            take_over: false,
        };
        claimant.claim([&table].into_iter()).unwrap().mark();
        let owner = TableOwner::of(&table.spec.path).unwrap();
        assert_eq!(
            owner,
            Some(TableOwner::new("j", "v", Some(commit("mine", 5))))
        );
    }
}
