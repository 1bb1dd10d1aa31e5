//! The conditions of a page of messages, and the search by words.

use sqlx::QueryBuilder;

use super::super::dialect::{MATCHING_MESSAGES, text_words};
use super::super::{Backend, Db};
use crate::contract::delivery::MessageDeliveryState;
use crate::contract::message::{Mark, MessageKind, MessageState, Urgency};
use crate::contract::records::search::{fold, fold_number};
use crate::ids::RecordId;
use crate::store::messages::{MessageFilter, SEARCH_CHARS_MAX, SEARCH_WORDS_MAX};
use crate::store::{StoreError, to_ms};

/// Most messages with a word that are looked up by their ids: of a word that more have, the newest have some.
const MATCHES_MAX: u32 = 1_000;

impl Backend {
    /// The messages that the text index finds for the longest word of a search; `None` where no text is searched for, or where
    /// there are so many that a page of them is found sooner in the order of the time.
    pub(super) async fn matching_messages(
        &self,
        filter: &MessageFilter,
    ) -> Result<Option<Vec<RecordId>>, StoreError> {
        let text = searched_text(filter);
        // What is folded may consist of several words, or of nothing.
        let folded = searched_words(&text).map(|word| (word, fold(word)));
        let folded = folded.filter(|(_, folded)| !folded.is_empty() && !folded.contains(char::is_whitespace));
        let Some((word, folded)) = folded.max_by_key(|(_, folded)| folded.chars().count()) else {
            return Ok(None);
        };
        let words = |text: &str| text_words(filter.account, text);
        let found: Vec<RecordId> = sqlx::query_scalar(MATCHING_MESSAGES)
            .bind(filter.account)
            .bind(words(&folded))
            .bind(fold_number(word).filter(|digits| *digits != folded).map(|digits| words(&digits)))
            .bind(Some(word).filter(|word| *word != folded).map(words))
            .bind(i64::from(MATCHES_MAX) + 1)
            .fetch_all(self.readers())
            .await?;
        Ok(Some(found).filter(|found| found.len() <= MATCHES_MAX as usize))
    }
}

/// The text that a search counts.
fn searched_text(filter: &MessageFilter) -> String {
    filter.text.iter().flat_map(|text| text.chars()).take(SEARCH_CHARS_MAX).collect()
}

/// Its words.
fn searched_words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().take(SEARCH_WORDS_MAX)
}

pub(super) fn push_filter(query: &mut QueryBuilder<Db>, filter: &MessageFilter) {
    let ids = [(" AND m.account_id = ", filter.account), (" AND m.contact_id = ", filter.contact)];
    for (condition, id) in ids.into_iter().chain([(" AND m.taken_by = ", filter.taken_by)]) {
        if let Some(id) = id {
            query.push(condition).push_bind(id);
        }
    }
    let words = [
        (" AND m.state = ", filter.state.map(MessageState::as_str)),
        (" AND m.delivery_state = ", filter.delivery.map(MessageDeliveryState::as_str)),
        (" AND m.kind = ", filter.kind.map(MessageKind::as_str)),
        (" AND m.urgency = ", filter.urgency.map(Urgency::as_str)),
        (" AND m.mark = ", filter.mark.map(Mark::as_str)),
    ];
    for (condition, word) in words {
        if let Some(word) = word {
            query.push(condition).push_bind(word);
        }
    }
    if filter.is_unanswered {
        query.push(" AND m.route_state = 'unanswered' AND m.state = 'sent'");
    }
    // The conditions of the indexes of what is rare, which SQLite must find word for word.
    if filter.kind.is_some_and(|kind| kind != MessageKind::Message) {
        query.push(" AND m.kind <> 'message'");
    }
    if filter.urgency.is_some_and(|urgency| urgency != Urgency::Normal) {
        query.push(" AND m.urgency <> 'normal'");
    }
    if let Some(call) = filter.call {
        query.push(" AND m.call_id = ").push_bind(call);
    }
    if let Some(number) = &filter.number {
        query.push(" AND m.number = ").push_bind(number.clone());
    }
    if let Some((is_held, at)) = filter.held {
        query.push(if is_held { " AND m.hold_until_ms > " } else { " AND coalesce(m.hold_until_ms, 0) <= " });
        query.push_bind(to_ms(at));
    }
    if let Some(caller) = &filter.caller {
        query.push(" AND (m.caller_key = ").push_bind(caller.clone());
        query.push(" OR m.from_key = ").push_bind(caller.clone()).push(")");
    }
    if let Some(from) = filter.from {
        query.push(" AND m.created_ms >= ").push_bind(to_ms(from));
    }
    if let Some(to) = filter.to {
        query.push(" AND m.created_ms < ").push_bind(to_ms(to));
    }
    let text = searched_text(filter);
    for word in searched_words(&text) {
        query.push(" AND (instr(m.search, ").push_bind(fold(word)).push(") > 0");
        if let Some(digits) = fold_number(word) {
            query.push(" OR instr(m.search, ").push_bind(digits).push(") > 0");
        }
        query.push(" OR m.search IS NULL AND instr(m.text, ").push_bind(word.to_owned()).push(") > 0)");
    }
    if filter.caller.is_some() || !text.trim().is_empty() {
        // That a message is found would say whose it is, and what was in it.
        query.push(concat!(" AND NOT ", message_is_being_erased!()));
    }
}
