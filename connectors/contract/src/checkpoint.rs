//! How far a source was read, as a commit records it.
//!
//! A checkpoint is a set of entries, each a JSON document under a key. The state stores and counts them, and only the
//! source's connector reads them. A file source has one entry for each file, so that a commit writes only the entries
//! that changed. A topic has a single entry, under the empty key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The entries of a source, as of the last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// JSON documents, by key.
    pub entries: BTreeMap<String, Vec<u8>>,
    /// Whether any commit has read from the source. There may be no entries left even so.
    pub was_read: bool,
}

/// A checkpoint that its connector did not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint's entry {key:?} is not one of this connector: {message}")]
pub struct CheckpointError {
    /// The entry's key.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl CheckpointError {
    fn new(key: &str, error: &serde_json::Error) -> Self {
        Self {
            key: key.to_owned(),
            message: error.to_string(),
        }
    }
}

impl Checkpoint {
    /// The entry under a key.
    ///
    /// # Errors
    /// When the entry is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CheckpointError> {
        let entry = self.entries.get(key);
        let entry = entry.map(|json| serde_json::from_slice(json));
        entry
            .transpose()
            .map_err(|error| CheckpointError::new(key, &error))
    }

    /// All entries, in the order of their keys.
    ///
    /// # Errors
    /// When an entry is not a `T`.
    pub fn values<T: DeserializeOwned>(&self) -> Result<Vec<T>, CheckpointError> {
        let entries = self.entries.iter();
        let values = entries.map(|(key, json)| {
            serde_json::from_slice(json).map_err(|error| CheckpointError::new(key, &error))
        });
        values.collect()
    }
}

/// What a commit changes in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointUpdate {
    /// Entries that are new or replace old ones.
    pub put: BTreeMap<String, Vec<u8>>,
    /// Keys of entries to remove.
    pub removed: BTreeSet<String>,
}

impl CheckpointUpdate {
    /// Sets an entry.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), CheckpointError> {
        let json = serde_json::to_vec(value).map_err(|error| CheckpointError::new(key, &error))?;
        self.put.insert(key.to_owned(), json);
        Ok(())
    }

    /// Whether the update changes nothing.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn entries_come_back_as_they_were_put() {
        let mut update = CheckpointUpdate::default();
        assert!(update.is_empty());
        update.put("b", &(1, "x")).unwrap();
        update.put("a", &(2, "y")).unwrap();
        let checkpoint = Checkpoint {
            entries: update.put,
            was_read: true,
        };
        let values: Vec<(i32, String)> = checkpoint.values().unwrap();
        assert_eq!(values, [(2, "y".to_owned()), (1, "x".to_owned())]);
        assert_eq!(checkpoint.get::<(i32, String)>("none"), Ok(None));
    }

    #[test]
    fn the_entry_of_another_connector_is_an_error() {
        let entries = BTreeMap::from([("a".to_owned(), b"{}".to_vec())]);
        let checkpoint = Checkpoint {
            entries,
            was_read: true,
        };
        let error = checkpoint.get::<Vec<u8>>("a").unwrap_err();
        assert_eq!(error.key, "a");
        assert_eq!(checkpoint.values::<Vec<u8>>().unwrap_err(), error);
    }
}
