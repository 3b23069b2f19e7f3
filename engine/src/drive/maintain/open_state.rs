//! Opens a state's store, and reads its record.

use tidewater_connectors::disk;
use tidewater_operators::hash::hash;

use super::options::MaintainOptions;
use crate::drive::RunError;
use crate::job::Job;
use crate::state::directory::Directory;
use crate::state::{STATE, StateRecord, StateSnapshot, Store, StoreError, panic};

/// Opens the store, or creates a new one if it is damaged and everything is rebuilt anyway.
///
/// # Errors
/// When it cannot be opened, or is damaged.
pub fn open_store(
    directory: &mut Directory,
    options: &MaintainOptions<'_>,
) -> Result<Store, RunError> {
    let opened: Result<Store, StoreError> = panic::guarded(|| {
        let store = Store::open(directory)?;
        let snapshot = store.read()?;
        snapshot.check_sizes()?;
        if options.rebuild {
            snapshot.check_records()?;
        }
        Ok(store)
    });
    let store = match opened {
        Err(error) if options.rebuild => {
            (options.notice)(&format!(
                "{error}. The record of the deliveries that were read is lost: everything is read again"
            ));
            let path = directory.layout.store();
            disk::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            directory.is_made = false;
            Store::open(directory)?
        }
        other => other?,
    };
    Ok(store.levelled_from(options.thresholds.levelled_blocks))
}

/// The state's record, or a new one before the first commit.
///
/// # Errors
/// When the state belongs to another job, or is damaged.
pub fn state_of(
    job: &Job,
    directory: &Directory,
    snapshot: &StateSnapshot,
) -> Result<StateRecord, RunError> {
    let name = job.short_name();
    let state: Option<StateRecord> = snapshot.record(STATE, "")?;
    // A state without a commit belongs to no job.
    match state.filter(|state| state.epoch > 0) {
        Some(state) if state.job == name => Ok(state),
        Some(state) => Err(RunError::State(StoreError::OtherJob {
            path: directory.layout.root().to_path_buf(),
            owner: state.job,
            job: name,
        })),
        None => Ok(StateRecord {
            id: format!(
                "{:016x}",
                hash(directory.layout.root().as_os_str().as_encoded_bytes())
            ),
            job: name,
            ..StateRecord::default()
        }),
    }
}
