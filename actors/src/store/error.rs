//! What can go wrong with the database, sorted by what to do about it.

use super::connector::PoolError;
use thiserror::Error;
use tokio_postgres::error::SqlState;

/// A failed statement.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// No connection in time: nothing was sent.
    #[error("no database connection: {0}")]
    NoConnection(String),
    /// The connection or the server went away, or the answer did not come in time: the write may have happened.
    #[error("the database's answer is lost: {0}")]
    Ambiguous(String),
    /// The server refused for now (lock timeout, deadlock, shutting down, read-only): nothing was written.
    #[error("the database refused for now: {0}")]
    Refused(String),
    /// The server refused the data: one row of a batch may be to blame.
    #[error("the database refused the data: {0}")]
    Data(String),
}

impl StoreError {
    /// Whether a statement was not prepared where it was run (`invalid_sql_statement_name`), or by somebody else
    /// (`duplicate_prepared_statement`): only a pooler does that.
    pub(crate) fn is_misprepared(&self) -> bool {
        let text = self.to_string();
        text.contains("(26000)") || text.contains("(42P05)")
    }

    /// Whether asking again soon may help and cannot write twice.
    pub(crate) fn wrote_nothing(&self) -> bool {
        matches!(self, StoreError::NoConnection(_) | StoreError::Refused(_))
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        StoreError::NoConnection(describe(&error))
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = describe(&error);
        match error.code() {
            None => StoreError::Ambiguous(text),
            // the server says it is going away: what it was doing is rolled back, but the message may be about a later moment
            Some(code) if code.code().starts_with("57P") || code.code().starts_with("08") => {
                StoreError::Ambiguous(text)
            }
            Some(code)
                if [
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::QUERY_CANCELED,
                    SqlState::READ_ONLY_SQL_TRANSACTION,
                    SqlState::TOO_MANY_CONNECTIONS,
                    SqlState::OUT_OF_MEMORY,
                    SqlState::DISK_FULL,
                    // an administrator made the customer who signs up at this moment
                    SqlState::UNIQUE_VIOLATION,
                ]
                .contains(code) =>
            {
                StoreError::Refused(text)
            }
            Some(_) => StoreError::Data(text),
        }
    }
}

/// An error with its causes; never with the values of a row (PostgreSQL puts those into DETAIL, which is left out).
pub(crate) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.as_db_error()) {
        Some(db) => return format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = describe(inner);
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
