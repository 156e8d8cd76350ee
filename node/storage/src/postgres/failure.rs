//! What an error of PostgreSQL or of the way to it means.
//!
//! Whatever fails before COMMIT is certainly not committed: the server undoes a transaction that doesn't end. Only damage
//! that the server reports of its own storage is *broken*. A commit without an answer is *unknown*.

use crate::{AppendError, NotCommitted, StorageError};

/// What a failed statement means. The text is the code and its class: a server's message could quote a value.
pub(super) fn failure(error: &sqlx::Error) -> StorageError {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code();
            of_code(code.as_deref().unwrap_or(""))
        }
        sqlx::Error::PoolTimedOut => StorageError::Busy,
        sqlx::Error::PoolClosed => StorageError::Closed,
        sqlx::Error::Io(error) => StorageError::Unreachable(error.kind().to_string()),
        sqlx::Error::Tls(error) => StorageError::Unreachable(format!("TLS: {error}")),
        sqlx::Error::Protocol(_) => StorageError::Unreachable("the connection broke".to_owned()),
        sqlx::Error::Configuration(error) => StorageError::Schema(format!("its address: {error}")),
        sqlx::Error::ColumnDecode { index, .. } => StorageError::Inconsistent {
            table: "?",
            column: "type",
            row: format!("column {index}"),
        },
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => {
            StorageError::Schema("a statement doesn't fit its tables".to_owned())
        }
        _ => StorageError::Unreachable("the driver failed".to_owned()),
    }
}

/// The same while rows of a table are read.
pub(super) fn reading(table: &'static str) -> impl Fn(sqlx::Error) -> StorageError {
    move |error| match failure(&error) {
        StorageError::Inconsistent { column, row, .. } => {
            StorageError::Inconsistent { table, column, row }
        }
        other => other,
    }
}

/// By SQLSTATE (PostgreSQL documentation, appendix A).
fn of_code(code: &str) -> StorageError {
    match code {
        // serialization_failure, deadlock_detected, lock_not_available, query_canceled (a time limit); then
        // too_many_connections, out_of_memory, configuration_limit_exceeded
        "40001" | "40P01" | "55P03" | "57014" | "53300" | "53200" | "53400" => StorageError::Busy,
        "53100" => StorageError::Full,
        // read_only_sql_transaction: a standby, or a primary that was demoted
        "25006" => StorageError::Unreachable("the server takes no writes".to_owned()),
        // io_error, and internal damage: data_corrupted, index_corrupted
        "58030" | "XX001" | "XX002" => {
            StorageError::Broken(format!("PostgreSQL reports damage (SQLSTATE {code})"))
        }
        // insufficient_privilege: also what row-level security answers to a row of another tenant
        "42501" => {
            StorageError::Schema("the node's role lacks a right; run `vrx-node migrate`".to_owned())
        }
        "42P01" | "3F000" | "42703" | "42883" => {
            StorageError::Schema("a table or column isn't there; run `vrx-node migrate`".to_owned())
        }
        // invalid_authorization, invalid_password
        "28000" | "28P01" => {
            StorageError::Unreachable("the server doesn't let this role in".to_owned())
        }
        "3D000" => StorageError::Unreachable("there is no such database on the server".to_owned()),
        code if code.starts_with("08") || code.starts_with("57P") => {
            StorageError::Unreachable(format!("the server went away (SQLSTATE {code})"))
        }
        code => StorageError::Schema(format!("a statement was refused (SQLSTATE {code})")),
    }
}

/// An error before COMMIT: with the rollback that follows, or the end of the connection, nothing of the batch stands.
pub(super) fn before_commit(error: StorageError) -> AppendError {
    match error {
        StorageError::Broken(why) => AppendError::Broken(why),
        StorageError::Full => NotCommitted::Full.into(),
        StorageError::Closed => NotCommitted::Closed.into(),
        error @ StorageError::Inconsistent { .. } => NotCommitted::Inconsistent(error).into(),
        StorageError::Keyring(why) => NotCommitted::Seal(why).into(),
        StorageError::Invalid(why) => NotCommitted::Mismatch(why).into(),
        _ => NotCommitted::Busy.into(),
    }
}

/// An error of COMMIT itself. A server that refused says so with one of two codes; everything else may have happened after
/// the commit record was written.
pub(super) fn at_commit(error: &sqlx::Error) -> AppendError {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some("40001" | "40P01") => NotCommitted::Busy.into(),
        _ => AppendError::Unknown(failure(error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_whether_to_try_again_to_refuse_or_to_stop() {
        assert_eq!(of_code("40001"), StorageError::Busy);
        assert_eq!(of_code("53100"), StorageError::Full);
        assert!(matches!(of_code("57P01"), StorageError::Unreachable(_)));
        assert!(matches!(of_code("25006"), StorageError::Unreachable(_)));
        assert!(matches!(of_code("XX001"), StorageError::Broken(_)));
        assert!(matches!(of_code("42501"), StorageError::Schema(_)));
    }

    #[test]
    fn before_the_commit_only_damage_is_more_than_a_lost_try() {
        let lost = before_commit(StorageError::Unreachable(String::new()));
        assert_eq!(lost, NotCommitted::Busy.into());
        assert!(matches!(
            before_commit(StorageError::Broken(String::new())),
            AppendError::Broken(_)
        ));
        assert!(matches!(
            at_commit(&sqlx::Error::PoolTimedOut),
            AppendError::Unknown(_)
        ));
    }
}
