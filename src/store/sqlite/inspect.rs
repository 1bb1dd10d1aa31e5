//! Reads the schema status of a file without changing it: for `toritsugi check`, which may run while an older or a newer
//! daemon uses the file.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};

use super::open::{APPLICATION_ID, MIGRATIONS, describe};
use crate::store::{SchemaStatus, StoreError};

/// The schema status of the file at `path`, read through one connection that cannot write.
pub(in crate::store) async fn inspect(path: &Path) -> Result<SchemaStatus, StoreError> {
    if !path.exists() {
        return Ok(SchemaStatus::Absent);
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.map_err(|error| describe(path, error))?;
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM sqlite_schema) AS objects, application_id FROM pragma_application_id",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(|error| describe(path, error))?;
    let (objects, id): (i64, i32) = (row.get("objects"), row.get("application_id"));
    if objects == 0 {
        return Ok(SchemaStatus::Absent);
    }
    if id != APPLICATION_ID {
        return Err(StoreError::Unusable {
            path: path.to_owned(),
            reason: "it belongs to another program".to_owned(),
            advice: "set another path",
        });
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| describe(path, error))?;
    let (schema, known) = (row.get("version"), MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0));
    match known - schema {
        0 => Ok(SchemaStatus::Current { schema }),
        ..0 => Err(StoreError::Unusable {
            path: path.to_owned(),
            reason: format!("a newer version of this program created it (schema {schema})"),
            advice: "use that version, or restore a backup from before",
        }),
        _ => Ok(SchemaStatus::Older { schema, known }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn inspect_reads_the_schema_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        assert_eq!(inspect(&path).await.unwrap(), SchemaStatus::Absent);
        assert!(!path.exists());

        Store::open(&path).await.unwrap().close().await;
        let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap();
        assert_eq!(inspect(&path).await.unwrap(), SchemaStatus::Current { schema: known });

        std::fs::write(&path, "not a database, and long enough to be looked at as one".repeat(20)).unwrap();
        assert!(inspect(&path).await.unwrap_err().to_string().contains("not a database"));
    }
}
