//! The SQL of answers and links.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use super::deliveries::write_summary;
use super::dispatches::{apply, notice};
use super::messages::{acknowledge, hold, read_message};
use super::{Backend, DbConnection, DbRow, tasks};
use crate::contract::answer::{AnswerKind, MessageAnswer};
use crate::contract::event::EventKind;
use crate::ids::RecordId;
use crate::route::{Answer, DispatchInput, Target};
use crate::store::answers::{
    ANSWERS_MAX, AnswerOrigin, AnswerOutcome, EARLY_ANSWER, LinkHash, LinkedMessage, NewAnswer, NewLink,
    NewReply, WRONG_DIGITS_MAX,
};
use crate::store::{StoreError, from_ms, to_ms};

/// The person answered on the confirmation page.
const LINK: &str = "link";
/// The person answered by mail.
const REPLY: &str = "reply";
/// The person told an operator.
const OPERATOR: &str = "operator";

impl Backend {
    pub(in crate::store) async fn keep_links(&self, links: &[NewLink]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for link in links {
            sqlx::query("INSERT INTO ack_links (hash, delivery_id, expires_ms) VALUES ($1, $2, $3)")
                .bind(link.hash.as_slice())
                .bind(link.delivery)
                .bind(to_ms(link.expires_at))
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn linked_message(
        &self,
        hash: &LinkHash,
        now: Timestamp,
    ) -> Result<Option<LinkedMessage>, StoreError> {
        let row = sqlx::query(
            "SELECT d.id, d.contact_id, d.message_id, c.number, l.wrong_digits FROM ack_links AS l
             JOIN deliveries AS d ON d.id = l.delivery_id JOIN messages AS m ON m.id = d.message_id
             LEFT JOIN contacts AS c ON c.id = d.contact_id
             WHERE l.hash = $1 AND l.expires_ms > $2 AND m.deleted_ms IS NULL AND m.text <> ''",
        )
        .bind(hash.as_slice())
        .bind(to_ms(now))
        .fetch_optional(self.readers())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let Some(facts) = self.letter_facts(row.try_get("id")?).await? else { return Ok(None) };
        if facts.message.fields.text.is_empty() {
            // The caller is being forgotten.
            return Ok(None);
        }
        let answers = self.message_answers(row.try_get("message_id")?).await?;
        let may_try = row.try_get::<i64, _>("wrong_digits")? < WRONG_DIGITS_MAX;
        let number: Option<String> = row.try_get("number")?;
        let digits = number.filter(|_| may_try).and_then(|number| last_digits(&number));
        Ok(Some(LinkedMessage { facts, contact: row.try_get("contact_id")?, digits, answers }))
    }

    pub(in crate::store) async fn count_wrong_digits(&self, hash: &LinkHash) -> Result<(), StoreError> {
        sqlx::query("UPDATE ack_links SET wrong_digits = wrong_digits + 1 WHERE hash = $1")
            .bind(hash.as_slice())
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn count_opened(
        &self,
        hash: &LinkHash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE ack_links SET opened = opened + 1, opened_ms = coalesce(opened_ms, $2) WHERE hash = $1",
        )
        .bind(hash.as_slice())
        .bind(to_ms(now))
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn answer_by_link(
        &self,
        hash: &LinkHash,
        (answer, origin): (&NewAnswer, &AnswerOrigin),
        now: Timestamp,
    ) -> Result<AnswerOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let Some(mut giver) = giver_of(&mut transaction, hash, now).await? else {
            return Ok(AnswerOutcome::Gone);
        };
        giver.origin = origin.clone();
        let early = NewAnswer { kind: AnswerKind::Note, ..answer.clone() };
        let is_early = giver.is_early();
        let outcome = take(&mut transaction, &giver, if is_early { &early } else { answer }, now).await?;
        if outcome == AnswerOutcome::Taken {
            transaction.commit().await?;
        }
        let is_kept = matches!(outcome, AnswerOutcome::Taken | AnswerOutcome::Repeated);
        Ok(if is_early && is_kept { AnswerOutcome::Early } else { outcome })
    }

    pub(in crate::store) async fn answer_by_reply(
        &self,
        delivery: RecordId,
        reply: &NewReply,
        now: Timestamp,
    ) -> Result<AnswerOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT d.id, d.message_id, d.asked, d.contact_id, d.address, d.revision, m.revision AS present, c.name, c.number
             FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
             LEFT JOIN contacts AS c ON c.id = d.contact_id WHERE d.id = $1",
        )
        .bind(delivery)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(AnswerOutcome::Gone) };
        let giver = Giver { via: REPLY, ..Giver::of(&row)? };
        let to: String = row.try_get("address")?;
        let is_contact = giver.name.is_some()
            && reply.address.as_ref().is_some_and(|address| address.eq_ignore_ascii_case(&to));
        let (of_mail, present): (i64, i64) = (row.try_get("revision")?, row.try_get("present")?);
        let answer = NewAnswer {
            kind: if of_mail == present { reply.kind } else { AnswerKind::Note },
            other_name: (!is_contact).then(|| reply.by_name.clone()),
            note: reply.note.clone(),
            revision: u32::try_from(present).unwrap_or(0),
        };
        let outcome = take(&mut transaction, &giver, &answer, now).await?;
        if outcome == AnswerOutcome::Taken {
            transaction.commit().await?;
        }
        Ok(outcome)
    }

    pub(in crate::store) async fn opened_links(
        &self,
        message: RecordId,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        let rows: Vec<(RecordId, i64)> = sqlx::query_as(
            "SELECT d.id, min(l.opened_ms) FROM deliveries AS d JOIN ack_links AS l ON l.delivery_id = d.id
             WHERE d.message_id = $1 AND l.opened_ms IS NOT NULL GROUP BY d.id",
        )
        .bind(message)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.into_iter().map(|(delivery, opened_ms)| (delivery, from_ms(opened_ms))).collect())
    }

    pub(in crate::store) async fn answer_by_operator(
        &self,
        (message, contact): (RecordId, Option<RecordId>),
        answer: &NewAnswer,
        by: RecordId,
        now: Timestamp,
    ) -> Result<AnswerOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let mut giver = Giver {
            message,
            via: OPERATOR,
            by: Some(by),
            contact,
            delivery: None,
            asked: None,
            name: None,
            number: None,
            origin: AnswerOrigin::default(),
            after_ms: None,
        };
        if let Some(contact) = contact {
            let row = sqlx::query(
                "SELECT name, number FROM contacts WHERE id = $1
                    AND account_id = (SELECT account_id FROM messages WHERE id = $2)",
            )
            .bind(contact)
            .bind(message)
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(StoreError::Missing { what: "contact of the account" })?;
            (giver.name, giver.number) = (row.try_get("name")?, row.try_get("number")?);
        }
        let outcome = take(&mut transaction, &giver, answer, now).await?;
        if outcome == AnswerOutcome::Taken {
            transaction.commit().await?;
        }
        Ok(outcome)
    }

    pub(in crate::store) async fn message_answers(
        &self,
        message: RecordId,
    ) -> Result<Vec<MessageAnswer>, StoreError> {
        let mut reader = self.readers().acquire().await?;
        answers(&mut reader, message).await
    }
}

/// The last four digits of a number.
fn last_digits(number: &str) -> Option<String> {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let from = digits.len().checked_sub(4)?;
    Some(digits[from..].iter().collect())
}

/// Who answers, and how.
struct Giver {
    message: RecordId,
    /// How: [`LINK`], [`REPLY`] or [`OPERATOR`].
    via: &'static str,
    /// The operator who noted the answer.
    by: Option<RecordId>,
    /// The delivery in which the link was.
    delivery: Option<RecordId>,
    /// Which recipient of the dispatch answers.
    asked: Option<i64>,
    contact: Option<RecordId>,
    name: Option<String>,
    number: Option<String>,
    origin: AnswerOrigin,
    /// How long ago the mail was handed on; absent: that is not known any more.
    after_ms: Option<i64>,
}

impl Giver {
    /// Who answers a delivery.
    fn of(row: &DbRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            message: row.try_get("message_id")?,
            via: LINK,
            by: None,
            delivery: Some(row.try_get("id")?),
            asked: row.try_get("asked")?,
            contact: row.try_get("contact_id")?,
            name: row.try_get("name")?,
            number: row.try_get("number")?,
            origin: AnswerOrigin::default(),
            after_ms: None,
        })
    }

    fn is_early(&self) -> bool {
        self.after_ms.is_some_and(|after| u128::from(after.unsigned_abs()) < EARLY_ANSWER.as_millis())
    }
}

async fn giver_of(
    db: &mut DbConnection,
    hash: &LinkHash,
    now: Timestamp,
) -> Result<Option<Giver>, StoreError> {
    let row = sqlx::query(
        "SELECT d.id, d.message_id, d.asked, d.contact_id, c.name, c.number, CASE WHEN d.state = 'sending' THEN d.changed_ms
            ELSE (SELECT max(at_ms) FROM delivery_log AS g WHERE g.delivery_id = d.id AND g.state = 'sent') END AS handed_ms
         FROM ack_links AS l
         JOIN deliveries AS d ON d.id = l.delivery_id LEFT JOIN contacts AS c ON c.id = d.contact_id
         WHERE l.hash = $1 AND l.expires_ms > $2",
    )
    .bind(hash.as_slice())
    .bind(to_ms(now))
    .fetch_optional(db)
    .await?;
    let giver = |row: DbRow| {
        let handed_ms: Option<i64> = row.try_get("handed_ms")?;
        Ok(Giver { after_ms: handed_ms.map(|at| to_ms(now) - at), ..Giver::of(&row)? })
    };
    Ok(row.map(giver).transpose().map_err(|error: sqlx::Error| error)?)
}

/// Takes an answer. Unless it is taken, the caller commits nothing.
async fn take(
    db: &mut DbConnection,
    giver: &Giver,
    answer: &NewAnswer,
    now: Timestamp,
) -> Result<AnswerOutcome, StoreError> {
    hold(&mut *db, giver.message).await?;
    let message = match read_message(&mut *db, giver.message).await {
        // Its account is being removed.
        Err(StoreError::Missing { .. }) => return Ok(AnswerOutcome::Gone),
        message => message?,
    };
    if message.withdrawn_at.is_some() || message.fields.text.is_empty() {
        return Ok(AnswerOutcome::Gone);
    }
    if message.revision != answer.revision {
        return Ok(AnswerOutcome::Changed);
    }
    let before = answers(&mut *db, giver.message).await?;
    let by_name = answer.other_name.clone().or(giver.name.clone()).unwrap_or_default();
    let is_same = |other: &MessageAnswer| {
        (other.kind, &other.by_name, &other.note, other.revision)
            == (answer.kind, &by_name, &answer.note, answer.revision)
    };
    if before.iter().any(is_same) {
        return Ok(AnswerOutcome::Repeated);
    }
    if before.len() >= ANSWERS_MAX as usize {
        return Ok(AnswerOutcome::TooMany);
    }
    let contact = giver.contact.filter(|_| answer.other_name.is_none());
    insert(&mut *db, giver, (answer, &by_name, contact), now).await?;
    let data = json!({
        "message": message.id, "account": message.account, "number": message.number, "revision": message.revision,
        "kind": answer.kind, "by_name": by_name,
    });
    // Without the note, which may repeat what the caller said: events are kept longer than a caller who is forgotten.
    notice(&mut *db, giver.message, EventKind::MessageAnswered, &data, now).await?;
    if answer.kind.confirms() && giver.delivery.is_some() {
        sqlx::query(
            "UPDATE message_endpoints SET verified_ms = $2 WHERE id = (SELECT endpoint_id FROM deliveries WHERE id = $1)",
        )
        .bind(giver.delivery)
        .bind(to_ms(now))
        .execute(&mut *db)
        .await?;
    }
    if answer.kind.confirms() {
        acknowledge(&mut *db, giver.message, giver.by, now).await?;
    } else if answer.kind == AnswerKind::NotMine {
        let asked = giver.asked.and_then(|asked| usize::try_from(asked).ok());
        let not_mine = DispatchInput::Answered(Answer::NotMine { asked });
        apply(&mut *db, giver.message, not_mine, now).await?;
        write_summary(&mut *db, giver.message, now).await?;
    }
    if answer.kind == AnswerKind::CallMe
        && let Some(number) = &giver.number
    {
        let target = Target { name: by_name, ..Target::phone(giver.contact, Some(number.clone())) };
        tasks::insert(db, &message, (None, &target), (now, now)).await?;
    }
    Ok(AnswerOutcome::Taken)
}

async fn insert(
    db: &mut DbConnection,
    giver: &Giver,
    (answer, by_name, contact): (&NewAnswer, &str, Option<RecordId>),
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO message_answers (id, message_id, revision, kind, by_name, contact_id, via, delivery_id, note, at_ms,
            client_address, agent_hash, after_s)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(RecordId(Uuid::now_v7()))
    .bind(giver.message)
    .bind(i64::from(answer.revision))
    .bind(answer.kind.as_str())
    .bind(by_name)
    .bind(contact)
    .bind(giver.via)
    .bind(giver.delivery)
    .bind(&answer.note)
    .bind(to_ms(now))
    .bind(Some(&giver.origin.address).filter(|address| !address.is_empty()))
    .bind(Some(&giver.origin.agent_hash).filter(|hash| !hash.is_empty()))
    .bind(giver.after_ms.map(|after| after / 1_000))
    .execute(db)
    .await?;
    Ok(())
}

async fn answers(db: &mut DbConnection, message: RecordId) -> Result<Vec<MessageAnswer>, StoreError> {
    // A note may repeat what a caller said who is being forgotten.
    let rows = sqlx::query(concat!(
        "SELECT a.id, a.kind, a.by_name, a.contact_id, a.via, a.revision, a.at_ms, a.after_s, CASE WHEN ",
        message_is_being_erased!(),
        " THEN NULL ELSE a.note END AS note FROM message_answers AS a JOIN messages AS m ON m.id = a.message_id
         WHERE a.message_id = $1 ORDER BY a.at_ms, a.id LIMIT $2"
    ))
    .bind(message)
    .bind(i64::from(ANSWERS_MAX))
    .fetch_all(db)
    .await?;
    let answer = |row: &DbRow| {
        Ok(MessageAnswer {
            id: row.try_get("id")?,
            kind: AnswerKind::parse(row.try_get("kind")?).unwrap_or(AnswerKind::Seen),
            by_name: row.try_get("by_name")?,
            contact: row.try_get("contact_id")?,
            via: row.try_get("via")?,
            note: row.try_get("note")?,
            revision: u32::try_from(row.try_get::<i64, _>("revision")?).unwrap_or(0),
            at: from_ms(row.try_get("at_ms")?),
            after_s: row.try_get("after_s")?,
        })
    };
    Ok(rows.iter().map(answer).collect::<Result<_, sqlx::Error>>()?)
}
