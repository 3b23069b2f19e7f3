//! The store panics over some of the pages that are damaged, where it should return an error. Such a panic is told as the
//! damage that it is.
//!
//! Only the process's panic hook sees where a panic comes from; a program that has one of its own asks
//! [`is_damage`] there, and says nothing if so. Without that, such a panic is a panic like any other.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::path::Path;

use super::error::{Damage, StoreError};

thread_local! {
    static IN_STORE: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic is over damaged bytes, and becomes an error: of the store over a page, of the decoder over a Parquet
/// file. For a panic hook.
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

/// The error that the last panic of this thread was, if it was the store's.
pub fn damage() -> Option<StoreError> {
    IN_STORE.take().then(|| StoreError::damaged(Damage::Page))
}

/// Runs `body`, and makes an error of the store's panics.
///
/// # Errors
/// What `body` says, or that the state is damaged.
pub fn guarded<T, E: From<StoreError>>(body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| match damage() {
        Some(error) => Err(error.into()),
        None => resume_unwind(panic),
    })
}
