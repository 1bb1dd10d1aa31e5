//! A store that neither answers nor fails: pops and authenticated requests continue.
use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use sqlx::{Connection as _, PgConnection};
use toritsugi::store::{Location, PostgresAddress, Store};

use crate::support::gateway_rig::{Options, Rig};
use crate::support::services::postgres;
use crate::support::wait::eventually;

/// Locks the table of tokens, so that every query about a token waits.
struct Holder(PgConnection);

impl Holder {
    async fn hold(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        sqlx::query("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE").execute(&mut connection).await.unwrap();
        Self(connection)
    }

    /// The backends that wait for the lock, and since when.
    async fn waiting(&mut self) -> BTreeSet<(i32, String)> {
        let query = "SELECT pid, waitstart::text FROM pg_locks WHERE waitstart IS NOT NULL \
                     AND relation = 'tokens'::regclass \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query_as(query).fetch_all(&mut self.0).await.unwrap().into_iter().collect()
    }

    /// The waiting backends, once there are any.
    async fn is_waited_for(&mut self) -> BTreeSet<(i32, String)> {
        eventually("the gateway asks the store about a token", async || {
            let waiting = self.waiting().await;
            if waiting.is_empty() { Err("no lock is awaited".to_owned()) } else { Ok(waiting) }
        })
        .await
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_holds_up_no_pop_and_no_request() {
    let url = tokio::task::spawn_blocking(postgres).await.unwrap().empty_database().await;
    let store = Store::open_at(&Location::Postgres(PostgresAddress::parse(&url).unwrap())).await.unwrap();
    let rig = Rig::over(store, Options { heartbeat: Duration::from_millis(50), ..Options::default() }).await;
    let mut desk = rig.follow("1001", None).await;
    assert!(desk.next().await.is_some());

    let mut holder = Holder::hold(&url).await;
    let asking = holder.is_waited_for().await;
    rig.ring(1, &["1001"]);
    let pop = desk.next().await.unwrap();
    assert_eq!(pop["kind"], "call.presented");
    let (status, calls) = rig.get("1001", "/v1/calls").await;
    assert_eq!((status, &calls["items"][0]["id"]), (StatusCode::OK, &pop["call"]));
    // All of that happened before the store answered about the token.
    let still = holder.waiting().await;
    assert!(asking.is_subset(&still), "{asking:?} are no longer among {still:?}");

    // A token that is not in memory is looked up, however long that takes.
    let unseen = tokio::spawn(rig.request("1002", Method::GET, "/v1/calls").send());
    holder.0.close().await.unwrap();
    assert_eq!(unseen.await.unwrap().unwrap().status(), StatusCode::OK);
}
