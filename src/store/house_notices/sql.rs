//! The SQL of events about the house.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row;

use super::{Backend, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::store::house_notices::{HOUSE_NOTICES_MAX, HouseNotice};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn house_notices(&self) -> Result<Vec<HouseNotice>, StoreError> {
        let rows = sqlx::query(
            "SELECT position, kind, data_json, at_ms FROM house_notices ORDER BY position LIMIT $1",
        )
        .bind(i64::from(HOUSE_NOTICES_MAX))
        .fetch_all(self.readers())
        .await?;
        let notice = |row: &DbRow| {
            Ok(HouseNotice {
                position: row.try_get("position")?,
                kind: row.try_get("kind")?,
                data: serde_json::from_str(row.try_get("data_json")?).unwrap_or_default(),
                at: from_ms(row.try_get("at_ms")?),
            })
        };
        Ok(rows.iter().map(notice).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn delete_house_notices(&self, up_to: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM house_notices WHERE position <= $1")
            .bind(up_to)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }
}

/// Writes an event down, in the transaction of what happened.
pub(super) async fn note(
    db: &mut DbConnection,
    kind: EventKind,
    data: &Value,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO house_notices (kind, data_json, at_ms) VALUES ($1, $2, $3)")
        .bind(kind.as_str())
        .bind(data.to_string())
        .bind(to_ms(at))
        .execute(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ServerPause;
    use crate::store::mail_servers::MAIL_SERVER;

    #[tokio::test]
    async fn a_server_that_refuses_everybody_is_said_once_and_when_it_takes_mails_again() {
        let (_held, store) = super::super::empty_store().await;
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        store.set_mail_server(MAIL_SERVER, true).await.unwrap();
        let pause = |until: i64| ServerPause { since: at(0), until: at(until), why: "535 5.7.8".into() };
        store.pause_mail_server(MAIL_SERVER, Some(&pause(5))).await.unwrap();
        store.pause_mail_server(MAIL_SERVER, Some(&pause(15))).await.unwrap();
        store.pause_mail_server(MAIL_SERVER, None).await.unwrap();
        store.pause_mail_server(MAIL_SERVER, None).await.unwrap();
        let notices = store.house_notices().await.unwrap();
        let said: Vec<_> =
            notices.iter().map(|notice| (notice.kind.as_str(), &notice.data["paused"])).collect();
        assert_eq!(said, [("mail.server", &Value::Bool(true)), ("mail.server", &Value::Bool(false))]);
        assert_eq!(notices[0].data["why"], "535 5.7.8");
        store.delete_house_notices(notices[0].position).await.unwrap();
        assert_eq!(store.house_notices().await.unwrap(), notices[1..]);
    }
}
