//! A store that neither answers nor fails: pops and requests go on all the same.
use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};
use toritsugi::store::{Location, PostgresAddress, Store};

use crate::backends::postgres;
use crate::rig::{Options, PATIENCE, Rig};

/// Holds the table of tokens, so that every question about one waits.
struct Holder(PgConnection);

impl Holder {
    async fn hold(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        sqlx::query("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE").execute(&mut connection).await.unwrap();
        Self(connection)
    }

    /// Who waits for it, and since when.
    async fn waiting(&mut self) -> BTreeSet<(i32, String)> {
        let query = "SELECT pid, waitstart::text FROM pg_locks WHERE waitstart IS NOT NULL \
                     AND relation = 'tokens'::regclass \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query_as(query).fetch_all(&mut self.0).await.unwrap().into_iter().collect()
    }

    /// Those who wait, once anybody does. No event tells.
    async fn is_waited_for(&mut self) -> BTreeSet<(i32, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let waiting = self.waiting().await;
            if !waiting.is_empty() {
                return waiting;
            }
            assert!(Instant::now() < deadline, "nobody asks the store about a token");
            sleep(Duration::from_millis(10)).await;
        }
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
    // All that happened before the store said a word about the token.
    let still = holder.waiting().await;
    assert!(asking.is_subset(&still), "{asking:?} are no longer among {still:?}");

    // A token that nobody has seen is looked up, however long that takes.
    let unseen = tokio::spawn(rig.request("1002", Method::GET, "/v1/calls").send());
    holder.0.close().await.unwrap();
    assert_eq!(unseen.await.unwrap().unwrap().status(), StatusCode::OK);
}
