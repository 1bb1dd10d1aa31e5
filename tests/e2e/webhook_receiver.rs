//! A receiver of webhooks.
use axum::Router;
use axum::routing::MethodRouter;
use tokio::net::TcpListener;

/// The secret that signs the webhooks.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Listens until the test ends and answers each webhook with `take`; returns the URL.
pub(crate) async fn receive<S: Clone + Send + Sync + 'static>(take: MethodRouter<S>, state: S) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let app = Router::new().route("/in", take).with_state(state);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// The settings of a daemon that posts to this URL.
pub(crate) fn posting_to(url: &str) -> [(&str, &str); 3] {
    [
        ("WEBHOOKS__URLS__crm", url),
        ("WEBHOOKS__SECRETS__crm", SECRET),
        ("WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true"),
    ]
}
