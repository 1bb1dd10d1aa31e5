//! The SQL of files of messages.

use jiff::Timestamp;

use super::messages::{insert_message, read_message};
use super::{Backend, DbConnection};
use crate::contract::message::{MESSAGE_FILES_MAX, Message, MessageFile, NewFile, NewMessage};
use crate::ids::{PbxId, RecordId};
use crate::store::StoreError;

impl Backend {
    pub(in crate::store) async fn create_message_with_files(
        &self,
        message: &NewMessage,
        files: &[NewFile],
        pbx: &PbxId,
        at: Timestamp,
    ) -> Result<(Message, bool), StoreError> {
        let mut transaction = self.begin().await?;
        let is_erased: bool =
            sqlx::query_scalar(call_is_erased!()).bind(message.call).fetch_one(&mut *transaction).await?;
        if is_erased {
            return Err(StoreError::Erased);
        }
        let (mut kept, is_new) = insert_message(&mut transaction, message, pbx, at).await?;
        if is_new && !files.is_empty() {
            insert_files(&mut transaction, kept.id, files).await?;
            kept = read_message(&mut transaction, kept.id).await?;
        }
        transaction.commit().await?;
        Ok((kept, is_new))
    }

    pub(in crate::store) async fn message_files(
        &self,
        message: RecordId,
    ) -> Result<Vec<(MessageFile, Vec<u8>)>, StoreError> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(concat!(
            "SELECT f.file_json, f.content FROM message_files AS f JOIN messages AS m ON m.id = f.message_id
             WHERE f.message_id = $1 AND NOT ",
            message_is_being_erased!(),
            " ORDER BY f.position"
        ))
        .bind(message)
        .fetch_all(self.readers())
        .await?;
        let file = |(text, content): (String, Vec<u8>)| {
            let file = serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok((file, content))
        };
        Ok(rows.into_iter().map(file).collect::<Result<_, sqlx::Error>>()?)
    }
}

pub(super) async fn insert_files(
    db: &mut DbConnection,
    message: RecordId,
    files: &[NewFile],
) -> Result<(), StoreError> {
    let files = &files[..files.len().min(MESSAGE_FILES_MAX)];
    for (position, new) in (0_i64..).zip(files) {
        sqlx::query(
            "INSERT INTO message_files (message_id, position, file_json, content) VALUES ($1, $2, $3, $4)",
        )
        .bind(message)
        .bind(position)
        .bind(json_text(&new.file)?)
        .bind(&new.content)
        .execute(&mut *db)
        .await?;
    }
    let all: Vec<&MessageFile> = files.iter().map(|new| &new.file).collect();
    sqlx::query("UPDATE messages SET files_json = $2 WHERE id = $1")
        .bind(message)
        .bind(json_text(&all)?)
        .execute(db)
        .await?;
    Ok(())
}

fn json_text<T: serde::Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::message::{FileType, MessageFields, MessageKind};
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;

    #[tokio::test]
    async fn a_spoken_message_is_there_with_its_recording_or_not_at_all() {
        let (_held, store) = super::super::empty_store().await;
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let fields = AccountFields { code: "A".into(), name: "A".into(), ..AccountFields::default() };
        let account = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&account, now).await.unwrap().id;
        let pbx = PbxId::parse("osaka-1").unwrap();
        let message = |n: u128, account| NewMessage {
            id: RecordId(uuid::Uuid::from_u128(n)),
            account,
            call: None,
            customer: None,
            kind: MessageKind::Voice,
            taken_by: None,
            taken_by_name: String::new(),
            caller: None,
            content: MessageFields {
                text: "録音のご伝言（12秒）".into(), ..MessageFields::default()
            }
            .checked(&NumberPlan::default())
            .unwrap(),
            day: "231114".into(),
            not_before: now,
        };
        let wav = NewFile::new("伝言.wav", b"RIFF\x24\0\0\0WAVEfmt ".to_vec()).unwrap();
        let new = message(1, account);
        let (made, is_new) =
            store.create_message_with_files(&new, std::slice::from_ref(&wav), &pbx, now).await.unwrap();
        assert_eq!((made.kind, made.taken_by, is_new), (MessageKind::Voice, None, true));
        assert_eq!(made.files, std::slice::from_ref(&wav.file));
        assert_eq!(made.files[0].file_type, FileType::Wav);
        assert_eq!(store.message(made.id).await.unwrap(), Some(made.clone()));
        assert_eq!(store.message_files(made.id).await.unwrap(), [(wav.file.clone(), wav.content.clone())]);
        let (again, is_new) =
            store.create_message_with_files(&new, &[wav.clone(), wav.clone()], &pbx, now).await.unwrap();
        assert_eq!((again, is_new), (made.clone(), false));
        let stranger = message(2, RecordId(uuid::Uuid::from_u128(99)));
        store.create_message_with_files(&stranger, &[wav], &pbx, now).await.unwrap_err();
        assert_eq!(store.message(stranger.id).await.unwrap(), None);
        store.delete_message(made.id).await.unwrap();
        assert_eq!(store.message_files(made.id).await.unwrap(), []);
    }
}
