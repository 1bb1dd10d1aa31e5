//! The SQL of people, teams and tokens.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::{Backend, Db, DbConnection, DbRow, WriteTransaction};
use crate::ids::{Extension, RecordId};
use crate::people::look_alike::look_alike;
use crate::people::password::PasswordHash;
use crate::people::role::Role;
use crate::people::roster::{Person, Team};
use crate::people::token::TokenHash;
use crate::store::error::refusal;
use crate::store::users::{
    TOKENS_PER_USER_MAX, TokenDraft, TokenKind, TokenRecord, TokenUse, UserChange, UserDraft, UserRecord,
};
use crate::store::{StoreError, from_ms, to_ms};

/// A query of users with the names of their teams.
macro_rules! users_where {
    ($rest:literal) => {
        concat!(
            "SELECT u.*, t.name AS team_name FROM users AS u LEFT JOIN teams AS t ON t.id = u.team_id WHERE ",
            $rest
        )
    };
}

impl Backend {
    pub(in crate::store) async fn add_user(
        &self,
        draft: &UserDraft,
        at: Timestamp,
    ) -> Result<RecordId, StoreError> {
        let mut transaction = self.begin_exclusive().await?;
        refuse_look_alike(&mut transaction, None, &draft.name).await?;
        let team = team_named(&mut transaction, draft.team.as_deref()).await?;
        let id = RecordId(Uuid::now_v7());
        sqlx::query(
            "INSERT INTO users (id, name, kana, role, extension, team_id, password_hash, created_ms, changed_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        )
        .bind(id)
        .bind(&draft.name)
        .bind(&draft.kana)
        .bind(draft.role.as_str())
        .bind(draft.extension.as_ref().map(Extension::as_str))
        .bind(team)
        .bind(draft.password.as_ref().map(PasswordHash::as_stored))
        .bind(to_ms(at))
        .execute(&mut *transaction)
        .await
        .map_err(|error| taken(error, Some(&draft.name), draft.extension.as_ref()))?;
        transaction.commit().await?;
        Ok(id)
    }

    pub(in crate::store) async fn change_user(
        &self,
        user: RecordId,
        change: &UserChange,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_exclusive().await?;
        if let Some(seen) = change.seen {
            let is_same = sqlx::query("SELECT 1 FROM users WHERE id = $1 AND changed_ms = $2")
                .bind(user)
                .bind(to_ms(seen))
                .fetch_optional(&mut *transaction)
                .await?;
            if is_same.is_none() {
                return Err(StoreError::Changed { what: "user" });
            }
        }
        if change.role.is_some_and(|role| role != Role::Admin) {
            keep_an_administrator(&mut transaction, user).await?;
        }
        if let Some(name) = &change.name {
            refuse_look_alike(&mut transaction, Some(user), name).await?;
        }
        let team = match &change.team {
            Some(name) => Some(team_named(&mut transaction, name.as_deref()).await?),
            None => None,
        };
        let extension = change.extension.as_ref().map(|e| e.as_ref().map(Extension::as_str));
        let password = change.password.as_ref().map(|p| p.as_ref().map(PasswordHash::as_stored));
        // A field that may be set to NULL takes two values: whether it changes, and its new value.
        let changed = sqlx::query(
            "UPDATE users SET name = coalesce($2, name), kana = coalesce($3, kana), role = coalesce($4, role),
                extension = CASE WHEN $5 THEN $6 ELSE extension END, team_id = CASE WHEN $7 THEN $8 ELSE team_id END,
                password_hash = CASE WHEN $9 THEN $10 ELSE password_hash END, changed_ms = $11
             WHERE id = $1 AND revoked_ms IS NULL",
        )
        .bind(user)
        .bind(&change.name)
        .bind(&change.kana)
        .bind(change.role.map(Role::as_str))
        .bind(extension.is_some())
        .bind(extension.flatten())
        .bind(team.is_some())
        .bind(team.flatten())
        .bind(password.is_some())
        .bind(password.flatten())
        .bind(to_ms(at))
        .execute(&mut *transaction)
        .await
        .map_err(|error| taken(error, change.name.as_deref(), change.extension.as_ref().and_then(|e| e.as_ref())))?;
        if changed.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "user" });
        }
        if change.password.is_some() {
            sqlx::query("UPDATE tokens SET revoked_ms = $2 WHERE user_id = $1 AND kind = 'session' AND revoked_ms IS NULL")
                .bind(user)
                .bind(to_ms(at))
                .execute(&mut *transaction)
                .await?;
        }
        delete_empty_teams(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn revoke_user(
        &self,
        user: RecordId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_exclusive().await?;
        keep_an_administrator(&mut transaction, user).await?;
        let revoked = sqlx::query("UPDATE users SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL")
            .bind(user)
            .bind(to_ms(at))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        sqlx::query("UPDATE tokens SET revoked_ms = $2 WHERE user_id = $1 AND revoked_ms IS NULL")
            .bind(user)
            .bind(to_ms(at))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        if revoked == 0 && self.user(user).await?.is_none() {
            return Err(StoreError::Missing { what: "user" });
        }
        Ok(revoked > 0)
    }

    pub(in crate::store) async fn users(
        &self,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<UserRecord>, StoreError> {
        let rows = sqlx::query(users_where!("$1 IS NULL OR u.id > $1 ORDER BY u.id LIMIT $2"))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(user_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn user(&self, user: RecordId) -> Result<Option<UserRecord>, StoreError> {
        let row = sqlx::query(users_where!("u.id = $1")).bind(user).fetch_optional(self.readers()).await?;
        Ok(row.as_ref().map(user_of).transpose()?)
    }

    /// A name goes before an extension: a user may have the name 1001.
    pub(in crate::store) async fn user_by_login(
        &self,
        login: &str,
    ) -> Result<Option<(UserRecord, Option<PasswordHash>)>, StoreError> {
        let query = users_where!(
            "(u.name = $1 OR u.extension = $1) AND u.revoked_ms IS NULL ORDER BY u.name = $1 DESC LIMIT 1"
        );
        let Some(row) = sqlx::query(query).bind(login).fetch_optional(self.readers()).await? else {
            return Ok(None);
        };
        let hash: Option<&str> = row.try_get("password_hash")?;
        Ok(Some((user_of(&row)?, hash.and_then(|text| PasswordHash::from_stored(text).ok()))))
    }

    pub(in crate::store) async fn roster(&self) -> Result<(Vec<Person>, Vec<Team>), StoreError> {
        let rows = sqlx::query(users_where!("u.revoked_ms IS NULL ORDER BY u.id"));
        let rows = rows.fetch_all(self.readers()).await?;
        let people = rows.iter().map(|row| Ok(user_of(row)?.person)).collect::<Result<_, sqlx::Error>>()?;
        let rows = sqlx::query("SELECT id, name FROM teams ORDER BY name").fetch_all(self.readers()).await?;
        let team = |row: &DbRow| Ok(Team { id: row.try_get("id")?, name: row.try_get("name")? });
        Ok((people, rows.iter().map(team).collect::<Result<_, sqlx::Error>>()?))
    }

    pub(in crate::store) async fn rename_team(&self, team: RecordId, name: &str) -> Result<(), StoreError> {
        let renamed = sqlx::query("UPDATE teams SET name = $2 WHERE id = $1")
            .bind(team)
            .bind(name)
            .execute(&mut *self.write_once().await?)
            .await
            .map_err(|error| refusal(error, "the team's name", Some(name)))?;
        if renamed.rows_affected() == 0 { Err(StoreError::Missing { what: "team" }) } else { Ok(()) }
    }

    pub(in crate::store) async fn add_token(
        &self,
        draft: &TokenDraft,
        password: Option<&PasswordHash>,
        at: Timestamp,
    ) -> Result<RecordId, StoreError> {
        let mut transaction = self.begin_exclusive().await?;
        // In the transaction of the token: a change of the password ends all sessions that were added before it.
        let user = sqlx::query(
            "SELECT 1 FROM users WHERE id = $1 AND revoked_ms IS NULL AND ($2 IS NULL OR password_hash = $2)",
        )
        .bind(draft.user)
        .bind(password.map(PasswordHash::as_stored))
        .fetch_optional(&mut *transaction)
        .await?;
        if user.is_none() {
            return Err(StoreError::Missing { what: "user" });
        }
        make_room(&mut transaction, draft.user, at).await?;
        let id = RecordId(Uuid::now_v7());
        sqlx::query(
            "INSERT INTO tokens (id, sha256, user_id, kind, label, created_ms, expires_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(draft.hash.as_bytes().as_slice())
        .bind(draft.user)
        .bind(kind_as_str(draft.kind))
        .bind(&draft.label)
        .bind(to_ms(at))
        .bind(draft.expires_at.map(to_ms))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(id)
    }

    pub(in crate::store) async fn token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM tokens WHERE sha256 = $1")
            .bind(hash.as_bytes().as_slice())
            .fetch_optional(self.readers())
            .await?;
        Ok(row.as_ref().map(token_of).transpose()?)
    }

    pub(in crate::store) async fn token_by_id(
        &self,
        id: RecordId,
    ) -> Result<Option<TokenRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM tokens WHERE id = $1").bind(id);
        Ok(row.fetch_optional(self.readers()).await?.as_ref().map(token_of).transpose()?)
    }

    pub(in crate::store) async fn tokens_by_id(
        &self,
        ids: &[RecordId],
    ) -> Result<Vec<TokenRecord>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Db>::new("SELECT * FROM tokens WHERE id IN (");
        let mut listed = query.separated(", ");
        for id in ids {
            listed.push_bind(*id);
        }
        query.push(")");
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(token_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn tokens_of(&self, user: RecordId) -> Result<Vec<TokenRecord>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM tokens WHERE user_id = $1 AND revoked_ms IS NULL ORDER BY id DESC")
                .bind(user)
                .fetch_all(self.readers())
                .await?;
        Ok(rows.iter().map(token_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn record_token_uses(&self, uses: &[TokenUse]) -> Result<(), StoreError> {
        // Under the lock, as every change of several tokens.
        let mut transaction = self.begin_exclusive().await?;
        for used in uses {
            sqlx::query(
                "UPDATE tokens SET last_used_ms = $2, expires_ms = coalesce($3, expires_ms) WHERE id = $1",
            )
            .bind(used.token)
            .bind(to_ms(used.at))
            .bind(used.expires_at.map(to_ms))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn revoke_token(
        &self,
        id: RecordId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let revoked = sqlx::query("UPDATE tokens SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL")
            .bind(id)
            .bind(to_ms(at))
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(revoked.rows_affected() > 0)
    }
}

/// An error if `user` is the only administrator.
async fn keep_an_administrator(transaction: &mut WriteTransaction, user: RecordId) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT count(CASE WHEN id = $1 THEN 1 END) AS this, count(*) AS administrators FROM users
         WHERE role = 'admin' AND revoked_ms IS NULL",
    )
    .bind(user)
    .fetch_one(&mut **transaction)
    .await?;
    if row.try_get::<i64, _>("this")? == 1 && row.try_get::<i64, _>("administrators")? == 1 {
        return Err(StoreError::LastAdministrator);
    }
    Ok(())
}

/// An error if the login of another user looks like `name`. The same name is left to the constraint of the database, and a
/// name may be the extension of somebody.
async fn refuse_look_alike(
    db: &mut DbConnection,
    user: Option<RecordId>,
    name: &str,
) -> Result<(), StoreError> {
    let rows =
        sqlx::query("SELECT id, name, extension FROM users WHERE revoked_ms IS NULL").fetch_all(db).await?;
    for row in rows {
        if user == Some(row.try_get("id")?) {
            continue;
        }
        let logins = [row.try_get::<Option<&str>, _>("name")?, row.try_get("extension")?];
        if let Some(login) =
            logins.into_iter().flatten().find(|login| *login != name && look_alike(login, name))
        {
            return Err(StoreError::Taken { what: "a name that looks the same", value: login.to_owned() });
        }
    }
    Ok(())
}

/// The id of the team with this name; creates the team if there is none.
async fn team_named(
    transaction: &mut WriteTransaction,
    name: Option<&str>,
) -> Result<Option<RecordId>, StoreError> {
    let Some(name) = name else { return Ok(None) };
    let row = sqlx::query(
        "INSERT INTO teams (id, name) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET name = excluded.name
         RETURNING id",
    )
    .bind(RecordId(Uuid::now_v7()))
    .bind(name)
    .fetch_one(&mut **transaction)
    .await?;
    Ok(Some(row.try_get("id")?))
}

/// Brings back a user who was revoked at this time. Tokens and sessions stay revoked.
pub(super) async fn restore(
    db: &mut DbConnection,
    user: RecordId,
    revoked_at: Timestamp,
) -> Result<(), StoreError> {
    let row = sqlx::query(
        "UPDATE users SET revoked_ms = NULL WHERE id = $1 AND revoked_ms = $2 RETURNING name, extension",
    )
    .bind(user)
    .bind(to_ms(revoked_at))
    .fetch_optional(&mut *db)
    .await
    .map_err(|error| taken(error, None, None))?;
    let row = row.ok_or(StoreError::Missing { what: "user" })?;
    refuse_look_alike(db, Some(user), row.try_get("name")?).await
}

async fn delete_empty_teams(transaction: &mut WriteTransaction) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM teams WHERE id NOT IN (SELECT team_id FROM users WHERE team_id IS NOT NULL)")
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Deletes the user's tokens that are revoked or expired. If the user still has as many as are allowed, deletes the
/// session that was unused for longest; without a session, refuses.
async fn make_room(
    transaction: &mut WriteTransaction,
    user: RecordId,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM tokens WHERE user_id = $1 AND (revoked_ms IS NOT NULL OR expires_ms <= $2)")
        .bind(user)
        .bind(to_ms(at))
        .execute(&mut **transaction)
        .await?;
    let row = sqlx::query("SELECT count(*) AS n FROM tokens WHERE user_id = $1")
        .bind(user)
        .fetch_one(&mut **transaction)
        .await?;
    if row.try_get::<i64, _>("n")? < i64::from(TOKENS_PER_USER_MAX) {
        return Ok(());
    }
    let deleted = sqlx::query(
        "DELETE FROM tokens WHERE id = (SELECT id FROM tokens WHERE user_id = $1 AND kind = 'session'
         ORDER BY coalesce(last_used_ms, created_ms) LIMIT 1)",
    )
    .bind(user)
    .execute(&mut **transaction)
    .await?;
    if deleted.rows_affected() == 0 {
        let value = format!("{TOKENS_PER_USER_MAX} of {TOKENS_PER_USER_MAX}; revoke one first");
        return Err(StoreError::Taken { what: "every token of this user", value });
    }
    Ok(())
}

/// The error for a name or an extension that another user has.
fn taken(error: sqlx::Error, name: Option<&str>, extension: Option<&Extension>) -> StoreError {
    let message = match error.as_database_error() {
        Some(db) if db.is_unique_violation() => db.message().to_owned(),
        _ => return error.into(),
    };
    if message.contains("extension") {
        let value = extension.map(ToString::to_string).unwrap_or_default();
        StoreError::Taken { what: "the extension", value }
    } else {
        StoreError::Taken { what: "the name", value: name.unwrap_or_default().to_owned() }
    }
}

fn user_of(row: &DbRow) -> Result<UserRecord, sqlx::Error> {
    let extension: Option<&str> = row.try_get("extension")?;
    let role: &str = row.try_get("role")?;
    Ok(UserRecord {
        person: Person {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            kana: row.try_get("kana")?,
            role: role.parse::<Role>().map_err(|e| sqlx::Error::Decode(e.into()))?,
            extension: extension.and_then(|text| Extension::parse(text).ok()),
            team: row.try_get("team_id")?,
        },
        team: row.try_get("team_name")?,
        has_password: row.try_get::<Option<&str>, _>("password_hash")?.is_some(),
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_ms")?.map(from_ms),
    })
}

fn kind_as_str(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Token => "token",
        TokenKind::Session => "session",
    }
}

fn token_of(row: &DbRow) -> Result<TokenRecord, sqlx::Error> {
    let hash: &[u8] = row.try_get("sha256")?;
    let hash: [u8; 32] =
        hash.try_into().map_err(|_| sqlx::Error::Decode("a hash of another length".into()))?;
    let kind =
        if row.try_get::<&str, _>("kind")? == "session" { TokenKind::Session } else { TokenKind::Token };
    Ok(TokenRecord {
        id: row.try_get("id")?,
        user: row.try_get("user_id")?,
        hash: TokenHash::from_bytes(hash),
        kind,
        label: row.try_get("label")?,
        created_at: from_ms(row.try_get("created_ms")?),
        expires_at: row.try_get::<Option<i64>, _>("expires_ms")?.map(from_ms),
        last_used_at: row.try_get::<Option<i64>, _>("last_used_ms")?.map(from_ms),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_ms")?.map(from_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::token::Token;

    fn draft(name: &str, extension: &str) -> UserDraft {
        UserDraft {
            name: name.into(),
            kana: "さとう はなこ".into(),
            role: Role::Operator,
            extension: Extension::parse(extension).ok(),
            team: Some("A班".into()),
            password: None,
        }
    }

    fn token(user: RecordId, byte: u8, kind: TokenKind) -> TokenDraft {
        let hash = Token::from_random([byte; 32]).hash();
        TokenDraft { user, hash, kind, label: "desk".into(), expires_at: Some(from_ms(10_000)) }
    }

    #[tokio::test]
    async fn a_login_that_looks_like_another_one_is_refused() {
        let (_dir, store) = super::super::empty_store().await;
        let first = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        for (kept, like) in [("admin", "Ａｄｍｉｎ"), ("crm-1", "сrm-l")] {
            let (kept_at, like_at) = (format!("2{}", kept.len()), format!("3{}", kept.len()));
            let user = store.add_user(&draft(kept, &kept_at), from_ms(1)).await.unwrap();
            let error = store.add_user(&draft(like, &like_at), from_ms(1)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("a name that looks the same is taken already: {kept}"));
            let rename = UserChange { name: Some(like.to_owned()), ..UserChange::default() };
            let error = store.change_user(first, &rename, from_ms(1)).await.unwrap_err();
            assert!(matches!(error, StoreError::Taken { .. }), "{error}");
            // One's own name may be written otherwise, and a name is free again with its user.
            store.change_user(user, &rename, from_ms(1)).await.unwrap();
            store.revoke_user(user, from_ms(1)).await.unwrap();
            let again = store.add_user(&draft(kept, &kept_at), from_ms(1)).await.unwrap();
            store.revoke_user(again, from_ms(1)).await.unwrap();
        }
        let shown = store.add_user(&draft("１００１", "1009"), from_ms(1)).await.unwrap_err();
        assert_eq!(shown.to_string(), "a name that looks the same is taken already: 1001");
        // A name may be somebody's extension.
        store.add_user(&draft("1001", "1008"), from_ms(1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_user_who_was_changed_meanwhile_is_not_changed_again() {
        let (_dir, store) = super::super::empty_store().await;
        let user = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        let change = |kana: &str| UserChange {
            kana: Some(kana.into()),
            seen: Some(from_ms(1)),
            ..UserChange::default()
        };
        store.change_user(user, &change("さとう"), from_ms(2)).await.unwrap();
        let error = store.change_user(user, &change("サトウ"), from_ms(3)).await.unwrap_err();
        assert!(matches!(error, StoreError::Changed { what: "user" }), "{error}");
        assert_eq!(store.user(user).await.unwrap().unwrap().person.kana, "さとう");
    }

    #[tokio::test]
    async fn names_and_extensions_belong_to_one_user_until_that_user_leaves() {
        let (_dir, store) = super::super::empty_store().await;
        let first = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        let name = store.add_user(&draft("佐藤", "1002"), from_ms(1)).await.unwrap_err();
        assert_eq!(name.to_string(), "the name is taken already: 佐藤");
        let extension = store.add_user(&draft("鈴木", "1001"), from_ms(1)).await.unwrap_err();
        assert_eq!(extension.to_string(), "the extension is taken already: 1001");
        assert!(store.revoke_user(first, from_ms(2)).await.unwrap());
        assert!(!store.revoke_user(first, from_ms(3)).await.unwrap());
        let second = store.add_user(&draft("佐藤", "1001"), from_ms(4)).await.unwrap();
        let (found, _) = store.user_by_login("1001").await.unwrap().unwrap();
        assert_eq!(found.person.id, second);
        assert_eq!(store.users(None, 10).await.unwrap().items.len(), 2);
        assert_eq!(store.users(Some(first), 10).await.unwrap().items[0].person.id, second);
        assert!(store.roster().await.unwrap().person(first).is_none());
        assert!(matches!(
            store.revoke_user(RecordId(Uuid::nil()), from_ms(1)).await,
            Err(StoreError::Missing { .. })
        ));
    }

    #[tokio::test]
    async fn a_change_changes_what_it_names() {
        let (_dir, store) = super::super::empty_store().await;
        let user = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        let change =
            UserChange { extension: Some(None), role: Some(Role::Supervisor), ..UserChange::default() };
        store.change_user(user, &change, from_ms(2)).await.unwrap();
        let found = store.user(user).await.unwrap().unwrap();
        assert_eq!((found.person.name.as_str(), found.person.extension), ("佐藤", None));
        assert_eq!((found.person.role, found.team.as_deref()), (Role::Supervisor, Some("A班")));
        let change = UserChange { team: Some(Some("B班".into())), ..UserChange::default() };
        store.change_user(user, &change, from_ms(3)).await.unwrap();
        let teams: Vec<String> = store.teams().await.unwrap().into_iter().map(|t| t.name).collect();
        assert_eq!(teams, ["B班"]);
    }

    #[tokio::test]
    async fn a_token_opens_until_it_expires_or_is_revoked() {
        let (_dir, store) = super::super::empty_store().await;
        let user = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        let draft = token(user, 7, TokenKind::Token);
        let id = store.add_token(&draft, from_ms(1)).await.unwrap();
        let found = store.token(&draft.hash).await.unwrap().unwrap();
        assert_eq!((found.id, found.user), (id, user));
        assert!(found.is_valid(from_ms(9_999)) && !found.is_valid(from_ms(10_000)));
        assert!(store.token(&Token::from_random([8; 32]).hash()).await.unwrap().is_none());
        assert!(store.revoke_token(id, from_ms(2)).await.unwrap());
        assert!(!store.token_by_id(id).await.unwrap().unwrap().is_valid(from_ms(3)));
        let other = store.add_token(&token(user, 9, TokenKind::Token), from_ms(4)).await.unwrap();
        store.revoke_user(user, from_ms(5)).await.unwrap();
        assert!(!store.token_by_id(other).await.unwrap().unwrap().is_valid(from_ms(6)));
        let refused = store.add_token(&token(user, 10, TokenKind::Token), from_ms(7)).await;
        assert!(matches!(refused, Err(StoreError::Missing { .. })));
    }

    #[tokio::test]
    async fn a_use_moves_a_sessions_end_and_no_tokens() {
        let (_dir, store) = super::super::empty_store().await;
        let user = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        let session = store.add_token(&token(user, 1, TokenKind::Session), from_ms(1)).await.unwrap();
        let fixed = store.add_token(&token(user, 2, TokenKind::Token), from_ms(1)).await.unwrap();
        let unknown = RecordId(Uuid::nil());
        let uses = [(session, Some(from_ms(20_000))), (fixed, None), (unknown, None)]
            .map(|(token, expires_at)| TokenUse { token, at: from_ms(5), expires_at });
        store.record_token_uses(&uses).await.unwrap();
        for (token, ends) in [(session, 20_000), (fixed, 10_000)] {
            let found = store.token_by_id(token).await.unwrap().unwrap();
            assert_eq!((found.last_used_at, found.expires_at), (Some(from_ms(5)), Some(from_ms(ends))));
        }
    }

    #[tokio::test]
    async fn a_new_token_replaces_the_oldest_session_but_no_token() {
        let (_dir, store) = super::super::empty_store().await;
        let user = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        let session = store.add_token(&token(user, 0, TokenKind::Session), from_ms(1)).await.unwrap();
        let max = u8::try_from(TOKENS_PER_USER_MAX).unwrap();
        for n in 1..=max {
            store.add_token(&token(user, n, TokenKind::Token), from_ms(2)).await.unwrap();
        }
        assert!(store.token_by_id(session).await.unwrap().is_none());
        // Several are read at once; those that are gone are not among them.
        let kept = store.tokens_of(user).await.unwrap()[0].id;
        let read = store.tokens_by_id(&[session, kept]).await.unwrap();
        assert_eq!(read.iter().map(|one| one.id).collect::<Vec<_>>(), [kept]);
        let refused = store.add_token(&token(user, max + 1, TokenKind::Token), from_ms(3)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Taken { .. }), "{refused}");
        // An expired token makes room.
        store.add_token(&token(user, max + 1, TokenKind::Token), from_ms(10_000)).await.unwrap();
    }

    #[tokio::test]
    async fn a_password_that_was_changed_since_it_was_checked_opens_no_session() {
        let (_dir, store) = super::super::empty_store().await;
        let first = PasswordHash::of("correct horse").unwrap();
        let with_password = UserDraft { password: Some(first.clone()), ..draft("佐藤", "1001") };
        let user = store.add_user(&with_password, from_ms(1)).await.unwrap();
        store.open_session(&token(user, 1, TokenKind::Session), &first, from_ms(1)).await.unwrap();
        // Another hash of the same password is a reset, too.
        for (byte, password) in [(2, Some("correct horse")), (3, Some("battery staple")), (4, None)] {
            let hash = password.map(|text| PasswordHash::of(text).unwrap());
            let change = UserChange { password: Some(hash.clone()), ..UserChange::default() };
            store.change_user(user, &change, from_ms(2)).await.unwrap();
            let late = store.open_session(&token(user, byte, TokenKind::Session), &first, from_ms(3)).await;
            assert!(matches!(late, Err(StoreError::Missing { .. })), "{password:?}: {late:?}");
            assert!(store.tokens_of(user).await.unwrap().is_empty());
            if let Some(hash) = hash {
                let draft = token(user, byte + 10, TokenKind::Session);
                store.open_session(&draft, &hash, from_ms(3)).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn another_password_ends_the_sessions() {
        let (_dir, store) = super::super::empty_store().await;
        let user = store.add_user(&draft("佐藤", "1001"), from_ms(1)).await.unwrap();
        let session = store.add_token(&token(user, 1, TokenKind::Session), from_ms(1)).await.unwrap();
        let other = store.add_token(&token(user, 2, TokenKind::Token), from_ms(1)).await.unwrap();
        let hash = PasswordHash::of("correct horse").unwrap();
        let change = UserChange { password: Some(Some(hash.clone())), ..UserChange::default() };
        store.change_user(user, &change, from_ms(2)).await.unwrap();
        let (found, stored) = store.user_by_login("佐藤").await.unwrap().unwrap();
        assert!(found.has_password);
        assert_eq!(stored, Some(hash));
        assert!(!store.token_by_id(session).await.unwrap().unwrap().is_valid(from_ms(3)));
        assert!(store.token_by_id(other).await.unwrap().unwrap().is_valid(from_ms(3)));
    }
}
