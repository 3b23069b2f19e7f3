//! Tables that a run may not publish, with their owners.

use std::fmt;
use std::path::PathBuf;

use tidewater_connectors::file::sink::{OwnerCommit, TableOwner};

/// A table that this run may not publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOwned {
    /// Its name in this job.
    pub table: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its owner.
    pub owner: Owner,
}

/// The owner of a table that is not this run's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Another job or state.
    Other(TableOwner),
    /// A state with the same id, after a commit that this state never made.
    SameState(OwnerCommit),
    /// The table has no mark.
    Unknown,
}

impl fmt::Display for NotOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {} ", self.table, self.path.display())?;
        match &self.owner {
            Owner::Other(owner) => {
                write!(f, "was published by the job {}", owner.job())?;
                match &owner.commit {
                    Some(commit) => {
                        write!(
                            f,
                            ", which keeps it with a state of its own (id {}, epoch {})",
                            commit.state, commit.epoch
                        )
                    }
                    None => write!(f, ", from its view {}", owner.view()),
                }
            }
            Owner::SameState(commit) => write!(
                f,
                "was published by a state with this one's id in an epoch {} that this one does not know: by a copy of the \
                 state, by a later backup of it, or before it was deleted",
                commit.epoch
            ),
            Owner::Unknown => write!(
                f,
                "holds another table: its files or partitions are not those of this declaration"
            ),
        }
    }
}

/// The refused tables, one on each line, and what to do.
pub(super) fn describe(tables: &[NotOwned]) -> String {
    /// The most tables that are listed.
    const SHOWN: usize = 3;
    let mut text: Vec<String> = tables.iter().take(SHOWN).map(ToString::to_string).collect();
    if tables.len() > SHOWN {
        text.push(format!("… and {} more", tables.len() - SHOWN));
    }
    format!(
        "{}.\nNothing was published. Publish to another directory, or take over these tables with --take-over: they are \
         rebuilt for this job, and the next run of their present owner is refused",
        text.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_first_tables() {
        let refused = |number| NotOwned {
            table: format!("t{number}"),
            path: format!("out/t{number}").into(),
            owner: Owner::Other(TableOwner::new("sales", "by_day", None)),
        };
        let text = describe(&(0..5).map(refused).collect::<Vec<_>>());
        assert!(
            text.contains("t2: out/t2 was published by the job sales, from its view by_day"),
            "{text}"
        );
        assert!(
            text.contains("… and 2 more") && text.contains("--take-over"),
            "{text}"
        );
    }
}
