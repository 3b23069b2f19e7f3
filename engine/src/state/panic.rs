//! Turns panics of the store into errors. The store panics over some damaged pages, where it should return an error.
//!
//! Only the process's panic hook sees where a panic comes from. A program with a hook of its own calls [`is_damage`]
//! in it, and prints nothing if it returns true. Without such a hook, these panics stay panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::path::Path;

use super::error::{Damage, StoreError};

thread_local! {
    static IN_STORE: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic is caused by damaged bytes and becomes an error: in the store over a page, or in the decoder over
/// a Parquet file. For a panic hook.
pub fn is_damage(info: &PanicHookInfo<'_>) -> bool {
    if tidewater_connectors::format::parquet::is_guarded() {
        return true;
    }
    let is_stores = info.location().is_some_and(|location| {
        let mut folders = Path::new(location.file()).components();
        folders.any(|folder| {
            let name = folder.as_os_str().as_encoded_bytes();
            name == b"redb" || name.starts_with(b"redb-")
        })
    });
    IN_STORE.set(is_stores);
    is_stores
}

/// The error for the last panic of this thread, if it came from the store.
pub fn damage() -> Option<StoreError> {
    IN_STORE.take().then(|| StoreError::damaged(Damage::Page))
}

/// Runs `body`, and turns the store's panics into errors.
///
/// # Errors
/// The errors of `body`, or an error that the state is damaged.
pub fn guarded<T, E: From<StoreError>>(body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| match damage() {
        Some(error) => Err(error.into()),
        None => resume_unwind(panic),
    })
}
