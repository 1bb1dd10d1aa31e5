//! The SQL of links that set a password.

use jiff::Timestamp;

use super::Backend;
use crate::ids::RecordId;
use crate::people::password::PasswordHash;
use crate::people::token::TokenHash;
use crate::store::{StoreError, to_ms};

impl Backend {
    pub(in crate::store) async fn add_password_link(
        &self,
        user: RecordId,
        link: &TokenHash,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let added = sqlx::query(
            "INSERT INTO password_links (sha256, user_id, expires_ms)
             SELECT $1, id, $3 FROM users WHERE id = $2 AND revoked_ms IS NULL
             ON CONFLICT (user_id) DO UPDATE SET sha256 = excluded.sha256, expires_ms = excluded.expires_ms",
        )
        .bind(link.as_bytes().as_slice())
        .bind(user)
        .bind(to_ms(expires))
        .execute(&mut *self.write_once().await?)
        .await?;
        if added.rows_affected() == 0 { Err(StoreError::Missing { what: "user" }) } else { Ok(()) }
    }

    pub(in crate::store) async fn password_link(
        &self,
        link: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<RecordId>, StoreError> {
        let user = sqlx::query_scalar(
            "SELECT l.user_id FROM password_links AS l JOIN users AS u ON u.id = l.user_id
             WHERE l.sha256 = $1 AND l.expires_ms > $2 AND u.revoked_ms IS NULL",
        )
        .bind(link.as_bytes().as_slice())
        .bind(to_ms(now))
        .fetch_optional(self.readers())
        .await?;
        Ok(user)
    }

    pub(in crate::store) async fn use_password_link(
        &self,
        link: &TokenHash,
        password: &PasswordHash,
        now: Timestamp,
    ) -> Result<Option<RecordId>, StoreError> {
        let mut transaction = self.begin_exclusive().await?;
        let user: Option<RecordId> = sqlx::query_scalar(
            "DELETE FROM password_links WHERE sha256 = $1 AND expires_ms > $2 RETURNING user_id",
        )
        .bind(link.as_bytes().as_slice())
        .bind(to_ms(now))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(user) = user else { return Ok(None) };
        let changed = sqlx::query(
            "UPDATE users SET password_hash = $2, changed_ms = $3 WHERE id = $1 AND revoked_ms IS NULL",
        )
        .bind(user)
        .bind(password.as_stored())
        .bind(to_ms(now))
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(None);
        }
        sqlx::query(
            "UPDATE tokens SET revoked_ms = $2 WHERE user_id = $1 AND kind = 'session' AND revoked_ms IS NULL",
        )
        .bind(user)
        .bind(to_ms(now))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::role::Role;
    use crate::people::token::Token;
    use crate::store::from_ms;
    use crate::store::users::{TokenDraft, TokenKind, UserDraft};

    fn link(byte: u8) -> TokenHash {
        Token::from_random([byte; 32]).hash()
    }

    #[tokio::test]
    async fn a_link_sets_a_password_once_and_ends_the_sessions() {
        let (_dir, store) = super::super::empty_store().await;
        let draft = UserDraft {
            name: "佐藤".into(),
            kana: String::new(),
            role: Role::Operator,
            extension: None,
            team: None,
            password: None,
        };
        let user = store.add_user(&draft, from_ms(1)).await.unwrap();
        let session = TokenDraft {
            user,
            hash: link(9),
            kind: TokenKind::Session,
            label: String::new(),
            expires_at: Some(from_ms(10_000)),
        };
        store.add_token(&session, from_ms(1)).await.unwrap();
        store.add_password_link(user, &link(1), from_ms(100)).await.unwrap();
        store.add_password_link(user, &link(2), from_ms(100)).await.unwrap();
        // The earlier one was replaced; the later one expires.
        for (hash, at, whose) in [(link(1), 50, None), (link(2), 100, None), (link(2), 99, Some(user))] {
            assert_eq!(store.password_link(&hash, from_ms(at)).await.unwrap(), whose, "{at}");
        }
        let password = PasswordHash::of("correct horse").unwrap();
        assert_eq!(store.use_password_link(&link(1), &password, from_ms(50)).await.unwrap(), None);
        assert_eq!(store.use_password_link(&link(2), &password, from_ms(100)).await.unwrap(), None);
        assert_eq!(store.use_password_link(&link(2), &password, from_ms(50)).await.unwrap(), Some(user));
        assert_eq!(store.use_password_link(&link(2), &password, from_ms(50)).await.unwrap(), None);
        let (_, stored) = store.user_by_login("佐藤").await.unwrap().unwrap();
        assert!(stored.unwrap().verify("correct horse"));
        let session = store.token(&session.hash).await.unwrap().unwrap();
        assert_eq!(session.revoked_at, Some(from_ms(50)));
    }

    #[tokio::test]
    async fn nobody_gets_a_link_who_was_revoked() {
        let (_dir, store) = super::super::empty_store().await;
        let unknown = RecordId(uuid::Uuid::from_u128(1));
        let error = store.add_password_link(unknown, &link(1), from_ms(100)).await.unwrap_err();
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        let draft = |name: &str, role| UserDraft {
            name: name.into(),
            kana: String::new(),
            role,
            extension: None,
            team: None,
            password: None,
        };
        store.add_user(&draft("admin", Role::Admin), from_ms(1)).await.unwrap();
        let user = store.add_user(&draft("佐藤", Role::Operator), from_ms(1)).await.unwrap();
        store.add_password_link(user, &link(1), from_ms(100)).await.unwrap();
        store.revoke_user(user, from_ms(2)).await.unwrap();
        assert_eq!(store.password_link(&link(1), from_ms(50)).await.unwrap(), None);
        let password = PasswordHash::of("correct horse").unwrap();
        assert_eq!(store.use_password_link(&link(1), &password, from_ms(50)).await.unwrap(), None);
    }
}
