//! The SQL of files of messages.

use jiff::Timestamp;

use super::messages::{insert_message, read_message};
use super::{Backend, DbConnection};
use crate::contract::message::{
    MESSAGE_FILES_BYTES_MAX, MESSAGE_FILES_MAX, Message, MessageFile, NewFile, NewMessage,
};
use crate::ids::{PbxId, RecordId};
use crate::store::message_files::{PENDING_FILES_MAX, PendingFiles};
use crate::store::{StoreError, to_ms};

/// A mail cannot have them all.
const TOO_LARGE: StoreError = StoreError::Missing { what: "room for so many bytes of files" };
/// The person has no such file, or it was deleted meanwhile.
const NO_FILE: StoreError = StoreError::Missing { what: "file of the person" };

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

    pub(in crate::store) async fn create_message_of_pending(
        &self,
        message: &NewMessage,
        files: PendingFiles<'_>,
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
        if is_new && !files.ids.is_empty() {
            let mut taken = Vec::with_capacity(files.ids.len());
            for id in files.ids {
                taken.push(take_pending(&mut transaction, files.user, *id).await?);
            }
            if taken.iter().map(|new| new.file.bytes).sum::<u64>() > MESSAGE_FILES_BYTES_MAX {
                return Err(TOO_LARGE);
            }
            insert_files(&mut transaction, kept.id, &taken).await?;
            kept = read_message(&mut transaction, kept.id).await?;
        }
        transaction.commit().await?;
        Ok((kept, is_new))
    }

    pub(in crate::store) async fn add_pending_file(
        &self,
        user: RecordId,
        file: &NewFile,
        at: Timestamp,
    ) -> Result<Option<RecordId>, StoreError> {
        let id = RecordId(uuid::Uuid::now_v7());
        let done = sqlx::query(
            "INSERT INTO pending_files (id, user_id, file_json, content, at_ms)
             SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM pending_files WHERE user_id = $2) < $6",
        )
        .bind(id)
        .bind(user)
        .bind(json_text(&file.file)?)
        .bind(&file.content)
        .bind(to_ms(at))
        .bind(PENDING_FILES_MAX)
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok((done.rows_affected() > 0).then_some(id))
    }

    pub(in crate::store) async fn delete_pending_file(
        &self,
        user: RecordId,
        file: RecordId,
    ) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM pending_files WHERE id = $1 AND user_id = $2")
            .bind(file)
            .bind(user)
            .execute(&mut *self.write_once().await?)
            .await?;
        if done.rows_affected() == 0 { Err(NO_FILE) } else { Ok(()) }
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

/// A file that a person uploaded; it is no longer pending.
async fn take_pending(db: &mut DbConnection, user: RecordId, file: RecordId) -> Result<NewFile, StoreError> {
    let row: Option<(String, Vec<u8>)> = sqlx::query_as(
        "DELETE FROM pending_files WHERE id = $1 AND user_id = $2 RETURNING file_json, content",
    )
    .bind(file)
    .bind(user)
    .fetch_optional(db)
    .await?;
    let (text, content) = row.ok_or(NO_FILE)?;
    let file = serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(NewFile { file, content })
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
    use crate::people::role::Role;
    use crate::store::retention::PurgeTarget;
    use crate::store::users::UserDraft;

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

    #[tokio::test]
    async fn an_uploaded_file_goes_with_one_message_of_its_person() {
        let (_held, store) = super::super::empty_store().await;
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let fields = AccountFields { code: "A".into(), name: "A".into(), ..AccountFields::default() };
        let account = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&account, now).await.unwrap().id;
        let pbx = PbxId::parse("osaka-1").unwrap();
        let mut people = Vec::new();
        for name in ["花", "葉"] {
            let user = UserDraft {
                name: name.into(),
                kana: String::new(),
                role: Role::Operator,
                extension: None,
                team: None,
                password: None,
            };
            people.push(store.add_user(&user, now).await.unwrap());
        }
        let (hana, ha) = (people[0], people[1]);
        let pdf = |n: u8| NewFile::new(&format!("{n}.pdf"), format!("%PDF-{n}").into_bytes()).unwrap();
        let mut ids = Vec::new();
        for n in 1..=2 {
            ids.push(store.add_pending_file(hana, &pdf(n), now).await.unwrap().unwrap());
        }
        let message = |n: u128| NewMessage {
            id: RecordId(uuid::Uuid::from_u128(n)),
            account,
            call: None,
            customer: None,
            kind: MessageKind::Message,
            taken_by: Some(hana),
            taken_by_name: "花".into(),
            caller: None,
            content: MessageFields { text: "図面".into(), ..MessageFields::default() }
                .checked(&NumberPlan::default())
                .unwrap(),
            day: "231114".into(),
            not_before: now,
        };
        let take = async |n: u128, user: RecordId, ids: &[RecordId]| {
            store.create_message_of_pending(&message(n), PendingFiles { user, ids }, &pbx, now).await
        };
        // Somebody else's files are nobody's, and nothing is saved without them.
        assert!(matches!(take(1, ha, &ids).await, Err(StoreError::Missing { .. })));
        assert_eq!(store.message(message(1).id).await.unwrap(), None);
        let (made, is_new) = take(1, hana, &[ids[1], ids[0]]).await.unwrap();
        let names: Vec<_> = made.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!((is_new, names), (true, vec!["2.pdf", "1.pdf"]));
        assert_eq!(store.message_files(made.id).await.unwrap()[0].1, pdf(2).content);
        assert!(!take(1, hana, &ids).await.unwrap().1, "a repetition finds the message");
        assert!(matches!(take(2, hana, &ids[..1]).await, Err(StoreError::Missing { .. })), "they are taken");
        let one = store.add_pending_file(hana, &pdf(3), now).await.unwrap().unwrap();
        assert!(matches!(store.delete_pending_file(ha, one).await, Err(StoreError::Missing { .. })));
        store.delete_pending_file(hana, one).await.unwrap();
        for _ in 0..PENDING_FILES_MAX {
            assert!(store.add_pending_file(hana, &pdf(4), now).await.unwrap().is_some());
        }
        assert_eq!(store.add_pending_file(hana, &pdf(4), now).await.unwrap(), None);
        let later = Timestamp::from_second(1_700_000_001).unwrap();
        assert_eq!(store.purge(PurgeTarget::PendingFiles, later, 100).await.unwrap(), 20);
    }
}
