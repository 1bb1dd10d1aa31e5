//! The SQL of recordings.

use jiff::Timestamp;
use sqlx::Row;

use super::message_files::insert_files;
use super::messages::insert_message;
use super::script::Script;
use super::stat_marks::mark_bin_of_call;
use super::tasks;
use super::{Backend, DbConnection, DbRow};
use crate::contract::message::NewMessage;
use crate::contract::voice::{NewVoiceMessage, VoiceMessage};
use crate::ids::{CallId, PbxId, RecordId};
use crate::route::Target;
use crate::store::{StoreError, from_ms, to_ms};

/// Whom the operator of a task calls, where no record says it.
const CALLBACK_NAME: &str = "折り返しのお客様";

impl Backend {
    pub(in crate::store) async fn create_voice_message(
        &self,
        new: &NewVoiceMessage,
        message: &NewMessage,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let NewVoiceMessage { voice, file, recording } = new;
        let mut transaction = self.begin().await?;
        let is_erased: bool =
            sqlx::query_scalar(call_is_erased!()).bind(voice.call).fetch_one(&mut *transaction).await?;
        let is_known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM voice_messages WHERE pbx = $1 AND file = $2)")
                .bind(voice.pbx.as_str())
                .bind(file)
                .fetch_one(&mut *transaction)
                .await?;
        if is_erased || is_known || !is_there(&mut transaction, voice.account).await? {
            return Ok(false);
        }
        insert_message(&mut transaction, message, &voice.pbx, at).await?;
        let inserted = sqlx::query(
            "INSERT INTO voice_messages (message_id, pbx, file, account_id, call_id, ms, bytes, recorded_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (pbx, file) DO NOTHING",
        )
        .bind(voice.id)
        .bind(voice.pbx.as_str())
        .bind(file)
        .bind(voice.account)
        .bind(voice.call)
        .bind(i64::try_from(voice.ms).unwrap_or(i64::MAX))
        .bind(i64::try_from(voice.bytes).unwrap_or(i64::MAX))
        .bind(to_ms(voice.recorded_at))
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            // Another daemon was faster.
            return Ok(false);
        }
        insert_files(&mut transaction, voice.id, std::slice::from_ref(recording)).await?;
        transaction.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn create_callback(
        &self,
        message: &NewMessage,
        number: &str,
        pbx: &PbxId,
        (now, due): (Timestamp, Timestamp),
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let is_erased: bool =
            sqlx::query_scalar(call_is_erased!()).bind(message.call).fetch_one(&mut *transaction).await?;
        if is_erased || !is_there(&mut transaction, message.account).await? {
            return Ok(false);
        }
        let (stored, is_new) = insert_message(&mut transaction, message, pbx, now).await?;
        if is_new {
            let target =
                Target { name: CALLBACK_NAME.to_owned(), ..Target::phone(None, Some(number.to_owned())) };
            tasks::insert(&mut transaction, &stored, (None, &target), (now, due)).await?;
            sqlx::query("UPDATE calls SET left_behind = coalesce(left_behind, 'callback') WHERE id = $1")
                .bind(message.call)
                .execute(&mut *transaction)
                .await?;
            if let Some(call) = message.call {
                let mut script = Script::default();
                mark_bin_of_call(&mut script, call);
                script.run(&mut transaction).await?;
            }
        }
        transaction.commit().await?;
        Ok(is_new)
    }

    pub(in crate::store) async fn unpublished_voice_messages(
        &self,
        pbx: &PbxId,
        limit: u32,
    ) -> Result<Vec<VoiceMessage>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT v.* FROM voice_messages AS v WHERE v.pbx = $1 AND v.published = 0 AND ",
            account_is_kept!("v"),
            " ORDER BY v.recorded_ms, v.message_id LIMIT $2"
        ))
        .bind(pbx.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(voice_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Whether the account is there, and not being removed.
async fn is_there(db: &mut DbConnection, account: RecordId) -> Result<bool, StoreError> {
    let is_there = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM accounts AS a WHERE a.id = $1)
            AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = $1)",
    );
    Ok(is_there.bind(account).fetch_one(db).await?)
}

/// Notes that the event of a recording went out, and with its call that it left one behind. A call that is written later finds
/// the message by itself.
pub(super) async fn write_voice_publication(db: &mut DbConnection, id: RecordId) -> Result<(), StoreError> {
    let call: Option<Option<CallId>> =
        sqlx::query_scalar("UPDATE voice_messages SET published = 1 WHERE message_id = $1 RETURNING call_id")
            .bind(id)
            .fetch_optional(&mut *db)
            .await?;
    if let Some(call) = call.flatten() {
        let mut script = Script::default();
        script.statement("UPDATE calls SET left_behind = 'voice_message' WHERE id = $1").bind(call);
        mark_bin_of_call(&mut script, call);
        script.run(db).await?;
    }
    Ok(())
}

fn voice_of(row: &DbRow) -> Result<VoiceMessage, sqlx::Error> {
    let number =
        |column: &str| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    Ok(VoiceMessage {
        id: row.try_get("message_id")?,
        pbx: PbxId::parse(row.try_get("pbx")?).map_err(|error| sqlx::Error::Decode(error.into()))?,
        account: row.try_get("account_id")?,
        call: row.try_get("call_id")?,
        ms: number("ms")?,
        bytes: number("bytes")?,
        recorded_at: from_ms(row.try_get("recorded_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::call::{Direction, Outcome};
    use crate::contract::card::MatchedBy;
    use crate::contract::history::{CallSource, FinishedCall, LeftBehind};
    use crate::contract::message::{MessageFields, MessageKind, NewFile};
    use crate::contract::records::AccountFields;
    use crate::identity::Presentation;
    use crate::ids::ChannelId;
    use crate::journal::entry::JournalEntry;
    use crate::numbers::NumberPlan;
    use crate::stats::BIN_MS;
    use crate::store::Store;
    use crate::store::stats::StatsOf;

    fn pbx() -> PbxId {
        PbxId::parse("lab").unwrap()
    }

    fn call_id(n: u32) -> CallId {
        CallId::derive(&pbx(), &ChannelId::parse(&n.to_string()).unwrap())
    }

    async fn store() -> (impl Sized, Store, RecordId) {
        let (held, store) = super::super::empty_store().await;
        let fields = AccountFields { code: "A".into(), name: "さくら".into(), ..AccountFields::default() };
        let account =
            store.create_account(&fields.checked(&NumberPlan::default()).unwrap(), from_ms(0)).await;
        (held, store, account.unwrap().id)
    }

    fn voice(n: u32, account: RecordId) -> (NewVoiceMessage, NewMessage) {
        let id = RecordId(Uuid::from_u128(u128::from(n)));
        let new = NewVoiceMessage {
            voice: VoiceMessage {
                id,
                pbx: pbx(),
                account,
                call: Some(call_id(n)),
                ms: 4_200,
                bytes: 12,
                recorded_at: from_ms(i64::from(n)),
            },
            file: format!("1.{n}_{}.wav", account.0.simple()),
            recording: NewFile::new("voice.wav", b"RIFF....WAVE".to_vec()).unwrap(),
        };
        let content = MessageFields { text: "音声メッセージ".into(), ..MessageFields::default() };
        let message = NewMessage {
            id,
            account,
            call: Some(call_id(n)),
            customer: None,
            kind: MessageKind::Voice,
            taken_by: None,
            taken_by_name: String::new(),
            caller: Some("+819012345678".into()),
            content: content.checked(&NumberPlan::default()).unwrap(),
            day: "261130".into(),
            not_before: from_ms(9),
        };
        (new, message)
    }

    fn call(n: u32, account: RecordId) -> FinishedCall {
        FinishedCall {
            id: call_id(n),
            pbx: pbx(),
            direction: Direction::Inbound,
            account: Some(account),
            matched_by: MatchedBy::Dialled,
            customer: None,
            caller: None,
            presentation: Presentation::Withheld,
            dialled: None,
            diverted_by: None,
            offered_at: from_ms(0),
            answered_at: None,
            ended_at: from_ms(9),
            outcome: Outcome::Closed,
            operators: vec![],
            handled_by: Some(vec![]),
            channels: vec![],
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments: vec![],
        }
    }

    #[tokio::test]
    async fn a_file_is_one_recording_and_one_message_with_its_content() {
        let (_held, store, account) = store().await;
        let (new, message) = voice(1, account);
        assert!(store.create_voice_message(&new, &message, from_ms(9)).await.unwrap());
        let again = NewVoiceMessage {
            voice: VoiceMessage { id: RecordId(Uuid::from_u128(99)), ..new.voice.clone() },
            ..new.clone()
        };
        let of_again = NewMessage { id: again.voice.id, ..message.clone() };
        assert!(!store.create_voice_message(&again, &of_again, from_ms(9)).await.unwrap());
        assert!(store.message(again.voice.id).await.unwrap().is_none());
        let stored = store.message(new.voice.id).await.unwrap().unwrap();
        assert_eq!((stored.kind, stored.caller.as_deref()), (MessageKind::Voice, Some("+819012345678")));
        assert_eq!(stored.files, std::slice::from_ref(&new.recording.file));
        let files = store.message_files(new.voice.id).await.unwrap();
        assert_eq!(files, [(new.recording.file, new.recording.content)]);
        // An account that was deleted while the caller spoke.
        let (gone, message) = voice(2, RecordId(Uuid::from_u128(77)));
        assert!(!store.create_voice_message(&gone, &message, from_ms(9)).await.unwrap());
    }

    #[tokio::test]
    async fn the_call_knows_of_it_whichever_is_written_first() {
        let (_held, store, account) = store().await;
        for (n, is_call_first) in [(1, true), (2, false)] {
            let (new, message) = voice(n, account);
            if is_call_first {
                store.record_call(&call(n, account)).await.unwrap();
            }
            assert!(store.create_voice_message(&new, &message, from_ms(9)).await.unwrap());
            assert_eq!(
                store.unpublished_voice_messages(&pbx(), 9).await.unwrap(),
                std::slice::from_ref(&new.voice)
            );
            super::super::of(&store)
                .write_entry(&pbx(), &JournalEntry::VoicePublished(new.voice.id))
                .await
                .unwrap();
            if !is_call_first {
                store.record_call(&call(n, account)).await.unwrap();
            }
            assert_eq!(store.unpublished_voice_messages(&pbx(), 9).await.unwrap(), []);
            let stored = store.finished_call(call_id(n)).await.unwrap().unwrap();
            assert_eq!(stored.left_behind, Some(LeftBehind::VoiceMessage), "{n}");
            // Written again by the other daemon of the PBX.
            store.record_call(&call(n, account)).await.unwrap();
            assert_eq!(store.finished_call(call_id(n)).await.unwrap().unwrap(), stored);
        }
        // Both are counted as such.
        while store.build_stats(None).await.unwrap() > 0 {}
        let counted = store.stats(StatsOf::Total, 0, BIN_MS, |_| Some(())).await.unwrap();
        assert_eq!(counted[&()].voice, 2, "{counted:?}");
        // Another call left nothing.
        store.record_call(&call(3, account)).await.unwrap();
        assert_eq!(store.finished_call(call_id(3)).await.unwrap().unwrap().left_behind, None);
    }
}
