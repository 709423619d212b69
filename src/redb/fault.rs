//! redb's errors as ours.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{is_unwinding, thread_local};

/// A failed access to pages.
pub(super) fn storage(error: StorageError) -> Error {
    let kind = match &error {
        StorageError::Corrupted(_) => ErrorKind::Corrupt,
        StorageError::DatabaseClosed => return Error::closed(),
        // A page that the file should have is past its end, or is another than it was.
        StorageError::Io(source) if is_damage(source) => ErrorKind::Corrupt,
        StorageError::Io(source) => of_io(source),
        _ => ErrorKind::Storage,
    };
    Error::new(kind, format!("storage: {error}")).with_source(error)
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// What kind a failure of the system's is.
pub(super) fn of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Storage,
    }
}

/// A failed opening of a table.
pub(super) fn table(error: TableError) -> Error {
    match error {
        TableError::Storage(error) => storage(error),
        error => Error::corrupt(format!("tables: {error}")).with_source(error),
    }
}

/// A failed start of a transaction.
pub(super) fn transaction(error: TransactionError) -> Error {
    match error {
        TransactionError::Storage(error) => storage(error),
        error => Error::new(ErrorKind::Storage, format!("storage: {error}")).with_source(error),
    }
}

/// A failed commit: redb cannot tell whether it is on disk.
pub(super) fn commit(error: CommitError) -> Error {
    unknown(&error).with_source(error)
}

fn unknown(why: impl std::fmt::Display) -> Error {
    let text = format!("the commit failed ({why}); whether it is on disk shows when the file is opened again");
    Error::new(ErrorKind::OutcomeUnknown, text)
}

/// Runs a commit and what stands between it and its answers: whatever fails there, and a panic too,
/// may have left it on disk.
pub(super) fn committing<T>(what: impl FnOnce() -> Result<T>) -> Result<T> {
    match caught(|| To::Write.within(what)) {
        Ok(Err(error)) if error.kind() != ErrorKind::OutcomeUnknown => {
            let text = error.to_string();
            Err(unknown(text).with_source(error))
        }
        Ok(done) => done,
        Err(panic) => Err(unknown(panic)),
    }
}

/// A failed opening of the file.
pub(super) fn database(path: &Path, error: DatabaseError) -> Error {
    let path = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            Error::new(ErrorKind::AlreadyOpen, format!("{path} is already open in this process or another"))
                .with_source(error)
        }
        DatabaseError::Storage(StorageError::Io(source)) => file(path, source),
        DatabaseError::UpgradeRequired(version) => {
            Error::corrupt(format!("{path} has page format {version} of redb, which parlor never wrote"))
        }
        DatabaseError::Storage(StorageError::Corrupted(what)) => {
            Error::corrupt(format!("{path} is damaged, or no parlor file: {what}"))
        }
        error => Error::new(ErrorKind::Storage, format!("{path} cannot be opened: {error}")).with_source(error),
    }
}

/// A failed closing of the file: every commit was durable already.
pub(super) fn closing(error: DatabaseError) -> Error {
    Error::new(ErrorKind::Storage, format!("the file did not close cleanly: {error}")).with_source(error)
}

/// A failed access to the file as a file.
pub(super) fn file(path: impl std::fmt::Display, source: io::Error) -> Error {
    let (kind, what) = match source.kind() {
        _ if is_damage(&source) => (ErrorKind::Corrupt, "is damaged, or no parlor file"),
        _ => (of_io(&source), "cannot be opened"),
    };
    Error::new(kind, format!("{path} {what}: {source}")).with_source(source)
}

/// Runs what reads pages that may be damaged: redb trusts them, and may panic on a damaged one.
pub(super) fn guarded<T>(what: impl FnOnce() -> Result<T>) -> Result<T> {
    damaged(caught(|| To::Read.within(what)))
}

/// The same for what writes to redb too.
pub(super) fn guarded_writing<T>(what: impl FnOnce() -> Result<T>) -> Result<T> {
    damaged(caught(|| To::Write.within(what)))
}

fn damaged<T>(caught: Result<Result<T>, String>) -> Result<T> {
    caught.unwrap_or_else(|text| Err(Error::corrupt(format!("a page of the file is damaged: {text}"))))
}

/// The same for what opens the file at a path.
pub(super) fn guarded_opening<T>(path: &Path, what: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(|| To::Write.within(what))
        .unwrap_or_else(|text| Err(Error::corrupt(format!("{} is damaged: {text}", path.display()))))
}

/// A page that is not what it was: what redb is told of it.
///
/// An error would make redb refuse every later access. So what only reads is unwound, up to where it is
/// [`guarded`]: the rest of the file stays readable. redb can be left in that way where it reads for a reader, and cannot
/// where it writes: it holds locks there, and looks at them while it unwinds.
pub(super) fn of_damage(what: String) -> io::Error {
    if NOW.with(Cell::get) == To::Read && !is_unwinding() {
        resume_unwind(Box::new(what));
    }
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What this thread does with redb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Read,
    Write,
}

thread_local! {
    static NOW: Cell<To> = const { Cell::new(To::Write) };
}

impl To {
    /// Does it, and then goes on as before.
    fn within<T>(self, what: impl FnOnce() -> T) -> T {
        struct Before(To);

        impl Drop for Before {
            fn drop(&mut self) {
                NOW.with(|now| now.set(self.0));
            }
        }

        let _before = Before(NOW.with(|now| now.replace(self)));
        what()
    }
}

/// Its result, or the text of its panic.
fn caught<T>(what: impl FnOnce() -> Result<T>) -> Result<Result<T>, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or("panic", |text| text).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_disk_has_lost_is_damage() {
        let of = |kind: io::ErrorKind| storage(StorageError::Io(kind.into())).kind();
        for damage in [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData] {
            assert_eq!(of(damage), ErrorKind::Corrupt);
        }
        assert_eq!(
            (of(io::ErrorKind::StorageFull), of(io::ErrorKind::Other)),
            (ErrorKind::NoSpace, ErrorKind::Storage)
        );
        assert_eq!(storage(StorageError::Corrupted("a page".into())).kind(), ErrorKind::Corrupt);
        assert_eq!(storage(StorageError::DatabaseClosed).kind(), ErrorKind::Closed);
    }

    #[test]
    fn of_a_commit_that_fails_nobody_knows_whether_it_came_about() {
        let failed = |kind| committing::<()>(|| Err(Error::new(kind, "why"))).expect_err("it fails");
        let error = failed(ErrorKind::Storage);
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string() == "why"), "{error:?}");
        // What says so already is told as it is.
        let error = failed(ErrorKind::OutcomeUnknown);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::OutcomeUnknown, "why".to_owned()));
        let error = committing::<()>(|| panic!("within redb")).expect_err("it fails");
        assert!(error.kind() == ErrorKind::OutcomeUnknown && error.to_string().contains("within redb"), "{error}");
    }
}
