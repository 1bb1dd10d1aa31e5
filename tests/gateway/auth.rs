//! Authentication: tokens, sessions, origins, and the throttle after failures.

use std::future::ready;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use toritsugi::gateway::openapi_document;

use crate::support::gateway_rig::{Options, PASSWORD, Rig, add, answer};
use crate::support::people::add_token;
use crate::support::wait::TEST_TIMEOUT;

const OPEN: &[&str] = &["/healthz", "/readyz", "/metrics"];

#[tokio::test]
async fn every_documented_path_is_there_and_asks_for_a_token() {
    let rig = Rig::start().await;
    let document: Value = serde_json::from_str(&openapi_document()).unwrap();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path.split('/').map(|part| if part.starts_with('{') { "0" } else { part });
            let path = path.collect::<Vec<_>>().join("/");
            let method: Method = method.to_uppercase().parse().unwrap();
            let (status, body) = answer(rig.bare(method.clone(), &path).send().await.unwrap()).await;
            let is_sign_in = matches!(path.as_str(), "/v1/session" | "/v1/session/password-link");
            if OPEN.contains(&path.as_str()) || (method == Method::POST && is_sign_in) {
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
                assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            } else {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
                assert_eq!(body["type"], "not-signed-in");
                asked += 1;
            }
        }
    }
    assert!(asked > 20, "{asked}");
    let served = rig.bare(Method::GET, "/openapi.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(served, openapi_document());
}

#[tokio::test]
async fn a_token_counts_in_the_header_alone() {
    let rig = Rig::start().await;
    let token = rig.token("admin");
    for path in ["/v1/calls?token=", "/v1/calls?access_token=", "/v1/events?authorization="] {
        let response = rig.bare(Method::GET, &format!("{path}{token}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"toritsugi\"");
    }
    for header in
        ["", "Bearer", "Bearer ", "Basic eDp5", &format!("Token {token}"), &format!("Bearer {token}0")]
    {
        let request = rig.bare(Method::GET, "/v1/calls").header("authorization", header);
        assert_eq!(answer(request.send().await.unwrap()).await.0, StatusCode::UNAUTHORIZED, "{header:?}");
    }
    let request = rig.bare(Method::GET, "/v1/calls").header("authorization", format!("bearer {token}"));
    assert_eq!(answer(request.send().await.unwrap()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_dead_token_says_why_it_is_dead() {
    let rig = Rig::start().await;
    let now = rig.app.clock.now();
    let expires = Some(now + Duration::from_secs(60));
    let token = add_token(&rig.app.store, rig.user("1001"), expires, now).await;
    let ask =
        async || answer(rig.bare(Method::GET, "/v1/session").bearer_auth(&token).send().await.unwrap()).await;
    let (status, body) = ask().await;
    assert_eq!((status, &body["expires_at"]), (StatusCode::OK, &json!("2026-01-05T00:01:00.000Z")));
    rig.advance(Duration::from_secs(60));
    let (status, body) = ask().await;
    assert_eq!((status, &body["type"]), (StatusCode::UNAUTHORIZED, &json!("token-expired")));

    let (status, body) =
        rig.send("admin", Method::DELETE, &format!("/v1/users/{}", rig.user("1002")), &json!({})).await;
    assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
    let (status, body) = rig.get("1002", "/v1/calls").await;
    assert_eq!((status, &body["type"]), (StatusCode::UNAUTHORIZED, &json!("token-revoked")));
}

#[tokio::test]
async fn who_was_added_by_the_command_line_is_let_in_at_once() {
    let rig = Rig::start().await;
    let (_, token) = add(&rig.app.store, "新人", rig.app.clock.now()).await;
    let (status, body) =
        answer(rig.bare(Method::GET, "/v1/session").bearer_auth(token).send().await.unwrap()).await;
    assert_eq!((status, &body["name"], &body["role"]), (StatusCode::OK, &json!("新人"), &json!("operator")));
}

#[tokio::test]
async fn who_was_seen_lately_goes_on_while_the_store_is_gone() {
    let rig = Rig::start().await;
    assert_eq!(rig.get("1001", "/v1/calls").await.0, StatusCode::OK);
    rig.app.store.close().await;
    assert_eq!(rig.get("1001", "/v1/calls").await.0, StatusCode::OK);
    let (status, body) = rig.get("1002", "/v1/calls").await;
    assert_eq!((status, &body["type"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("store-unavailable")));
    assert_eq!(answer(rig.bare(Method::GET, "/readyz").send().await.unwrap()).await.1["store"], json!(false));
}

async fn sign_in(rig: &Rig, login: &str, password: &str) -> (StatusCode, Value, Option<String>) {
    let body = json!({"login": login, "password": password});
    let response = rig.bare(Method::POST, "/v1/session").json(&body).send().await.unwrap();
    let cookie = response.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
    let (status, body) = answer(response).await;
    (status, body, cookie)
}

#[tokio::test]
async fn a_page_signs_in_works_and_signs_out() {
    let rig = Rig::start().await;
    let (status, body, cookie) = sign_in(&rig, "1001", PASSWORD).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!((&body["extension"], &body["team"]), (&json!("1001"), &json!("A班")));
    let cookie = cookie.unwrap();
    for wanted in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(wanted), "{wanted} in the cookie");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let own = format!("http://{}", rig.address);
    let with = |method: Method, path: &str| rig.bare(method, path).header("cookie", &cookie);

    // Reading needs only the cookie; changing needs the page's own origin, too.
    assert_eq!(answer(with(Method::GET, "/v1/calls").send().await.unwrap()).await.0, StatusCode::OK);
    rig.ring(1, &["1001"]);
    let ack = format!("/v1/calls/{}/ack", crate::support::ids::call(1));
    for origin in [None, Some("https://evil.example"), Some("null"), Some("http://127.0.0.1:1")] {
        let mut request = with(Method::POST, &ack);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!((status, &body["type"]), (StatusCode::FORBIDDEN, &json!("foreign-origin")), "{origin:?}");
    }
    for origin in [&own, "https://desk.example.jp"] {
        let request = with(Method::POST, &ack).header("origin", origin);
        assert_eq!(answer(request.send().await.unwrap()).await.0, StatusCode::NO_CONTENT);
    }

    // A WebSocket from another page would carry the cookie as well.
    let foreign = [("cookie", cookie.as_str()), ("origin", "https://evil.example")];
    let refused = rig.web_socket("/v1/events/ws", &foreign).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
    let mut socket = rig
        .web_socket("/v1/events/ws", &[("cookie", cookie.as_str()), ("origin", own.as_str())])
        .await
        .unwrap();
    assert_eq!(socket.next().await.unwrap()["kind"], "stream.snapshot");

    let end = with(Method::DELETE, "/v1/session").header("origin", &own).send().await.unwrap();
    assert!(end.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(end.status(), StatusCode::NO_CONTENT);
    assert_eq!(socket.next().await.unwrap_err(), (1008, "token-revoked".into()));
    let (status, body) = answer(with(Method::GET, "/v1/calls").send().await.unwrap()).await;
    assert_eq!((status, &body["type"]), (StatusCode::UNAUTHORIZED, &json!("token-revoked")));
}

#[tokio::test]
async fn a_session_lives_while_it_is_used() {
    let rig = Rig::start().await;
    let (_, _, cookie) = sign_in(&rig, "1001", PASSWORD).await;
    let cookie = cookie.unwrap().split(';').next().unwrap().to_owned();
    let ask = async || {
        answer(rig.bare(Method::GET, "/v1/session").header("cookie", &cookie).send().await.unwrap()).await
    };
    for _ in 0..3 {
        rig.advance(Duration::from_secs(11 * 3600));
        assert_eq!(ask().await.0, StatusCode::OK);
    }
    rig.advance(Duration::from_secs(12 * 3600));
    let (status, body) = ask().await;
    assert_eq!((status, &body["type"]), (StatusCode::UNAUTHORIZED, &json!("token-expired")));
}

#[tokio::test]
async fn uses_are_written_behind_the_requests_and_at_the_end_at_the_latest() {
    let mut rig = Rig::start().await;
    rig.advance(Duration::from_secs(60));
    for who in ["1001", "2001"] {
        assert_eq!(rig.get(who, "/v1/session").await.0, StatusCode::OK);
    }
    rig.shutdown.cancel();
    let served = rig.served.take().unwrap();
    tokio::time::timeout(TEST_TIMEOUT, served).await.expect("it stops").unwrap().unwrap();
    let used = async |who| {
        let tokens = rig.app.store.tokens_of(rig.user(who)).await.unwrap();
        tokens[0].last_used_at
    };
    let now = Some(rig.app.clock.now());
    assert_eq!((used("1001").await, used("2001").await, used("1002").await), (now, now, None));
}

#[tokio::test]
async fn guessing_is_slowed_down_and_learns_nothing() {
    let rig = Rig::start().await;
    let (_, no_user, _) = sign_in(&rig, "nobody", "0123456789").await;
    let (_, no_password, _) = sign_in(&rig, "admin", "0123456789").await;
    let (status, wrong, cookie) = sign_in(&rig, "1001", "0123456789").await;
    assert_eq!((status, &wrong["type"]), (StatusCode::UNAUTHORIZED, &json!("wrong-credentials")));
    assert_eq!((&wrong, &wrong, None), (&no_user, &no_password, cookie));
    // No password is that long: whether the login exists makes no difference.
    for login in ["1001", "nobody", "\u{0}", &"x".repeat(10_000)] {
        let (status, body, _) = sign_in(&rig, login, &"x".repeat(257)).await;
        assert_eq!((status, body), (StatusCode::UNAUTHORIZED, wrong.clone()), "{login:?}");
    }
    let attempts = (0..40).map(|_| sign_in(&rig, "1001", "0123456789"));
    let answers = futures_util::future::join_all(attempts).await;
    let with = |status| answers.iter().filter(|answer| answer.0 == status).count();
    // Two were made above. One more waits for its turn, and the others are refused before they are checked.
    assert_eq!((with(StatusCode::UNAUTHORIZED), with(StatusCode::TOO_MANY_REQUESTS)), (9, 31));
    // Other users, and signed-in users, are not slowed down.
    assert_eq!(sign_in(&rig, "1002", "0123456789").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.get("1001", "/v1/calls").await.0, StatusCode::OK);
}

/// Makes requests at the same time, and returns the answer of the one that is refused. Those that wait for their turn then
/// are given up.
async fn refusal(requests: impl Iterator<Item = impl Future<Output = Response>>) -> Response {
    let answers = requests.collect::<FuturesUnordered<_>>();
    let mut refused = answers.filter(|answer| ready(answer.status() == StatusCode::TOO_MANY_REQUESTS));
    refused.next().await.expect("one request too many")
}

#[tokio::test]
async fn whose_login_is_guessed_still_signs_in() {
    let rig = Rig::start().await;
    let from = async |network: &str, login: &str, password: &str| {
        let body = json!({"login": login, "password": password});
        let request = rig.bare(Method::POST, "/v1/session").header("x-forwarded-for", network).json(&body);
        request.send().await.unwrap()
    };
    assert_eq!(from("192.0.2.1", "1001", PASSWORD).await.status(), StatusCode::CREATED);
    // Guesses from everywhere.
    let networks: Vec<String> = (0..23).map(|n| format!("198.51.100.{n}")).collect();
    refusal(networks.iter().map(|network| from(network, "1001", "0123456789"))).await;
    assert_eq!(from("192.0.2.1", "1001", PASSWORD).await.status(), StatusCode::CREATED);
    // Guesses from the same network, with made-up tokens before: the next turn comes within seconds.
    for _ in 0..250 {
        let request = rig.bare(Method::GET, "/v1/calls").header("x-forwarded-for", "192.0.2.1");
        request.bearer_auth("toritsugi_made_up").send().await.unwrap();
    }
    let refused = refusal((0..13).map(|_| from("192.0.2.1", "1001", "0123456789"))).await;
    let pause: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(pause <= 6, "{pause} s");
    // Meanwhile somebody sets the clock back.
    rig.set_back(Duration::from_secs(24 * 3600));
    rig.advance(Duration::from_secs(18));
    assert_eq!(from("192.0.2.1", "1001", PASSWORD).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn behind_a_proxy_each_client_fails_for_itself() {
    for (trusted, believed) in [("127.0.0.1", true), ("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let trusted_proxies = vec![trusted.parse().unwrap()];
        let rig = Rig::with(Options { trusted_proxies, ..Options::default() }).await;
        let sign_in = async |forwarded: &str, login: &str| {
            let body = json!({"login": login, "password": "0123456789"});
            let request =
                rig.bare(Method::POST, "/v1/session").header("x-forwarded-for", forwarded).json(&body);
            request.send().await.unwrap()
        };
        // The header has what the client claims before what the proxy added.
        let claims: Vec<String> = (0..13).map(|n| format!("203.0.113.{n}, 198.51.100.1")).collect();
        refusal(claims.iter().map(|forwarded| sign_in(forwarded, "1001"))).await;
        let other = if believed { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(sign_in("198.51.100.2", "1001").await.status(), other, "{trusted}");
        assert_eq!(sign_in("198.51.100.1", "1002").await.status(), StatusCode::UNAUTHORIZED);
    }
}

/// Sign-ins that are under way while the password is reset: not one outlives the reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_reset_ends_the_sessions_that_are_being_opened() {
    let rig = Rig::start().await;
    let path = format!("/v1/users/{}", rig.user("1001"));
    for round in 0..3 {
        let old = if round == 0 { PASSWORD.to_owned() } else { format!("correct horse {round}") };
        let new = json!({"password": format!("correct horse {}", round + 1)});
        // From one network that is familiar, so that none of them waits.
        let attempts = (0..8).map(|_| sign_in(&rig, "1001", &old));
        let reset = rig.send("admin", Method::PATCH, &path, &new);
        let (opened, (status, body)) = tokio::join!(futures_util::future::join_all(attempts), reset);
        assert_eq!(status, StatusCode::OK, "{body}");
        for (status, body, cookie) in opened {
            let Some(cookie) = cookie else {
                assert_ne!(status, StatusCode::CREATED, "{body}");
                continue;
            };
            let cookie = cookie.split(';').next().unwrap().to_owned();
            let request = rig.bare(Method::GET, "/v1/session").header("cookie", cookie);
            let (status, body) = answer(request.send().await.unwrap()).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "round {round}: {body}");
        }
        let sessions = rig.app.store.tokens_of(rig.user("1001")).await.unwrap();
        assert_eq!(sessions.len(), 1, "the token of the command line alone");
        rig.advance(Duration::from_secs(600));
    }
}

#[tokio::test]
async fn a_page_over_http_is_not_the_page_over_https() {
    let rig = Rig::with(Options { secure_cookie: true, ..Options::default() }).await;
    let sign_in = async |host: &str, origin: &str| {
        let request = rig.bare(Method::POST, "/v1/session").header("host", host).header("origin", origin);
        request.json(&json!({"login": "1001", "password": PASSWORD})).send().await.unwrap().status()
    };
    for (host, origin, expected) in [
        ("desk.example.com", "https://desk.example.com", StatusCode::CREATED),
        ("desk.example.com", "http://desk.example.com", StatusCode::FORBIDDEN),
        ("127.0.0.1:8470", "http://127.0.0.1:8470", StatusCode::CREATED),
        ("desk.example.com", "http://", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(sign_in(host, origin).await, expected, "{host} {origin}");
    }
}

#[tokio::test]
async fn another_page_cannot_sign_its_visitor_in() {
    let rig = Rig::start().await;
    let request = rig.bare(Method::POST, "/v1/session").header("origin", "https://evil.example");
    let request = request.json(&json!({"login": "1001", "password": PASSWORD}));
    let (status, body) = answer(request.send().await.unwrap()).await;
    assert_eq!((status, &body["type"]), (StatusCode::FORBIDDEN, &json!("foreign-origin")));
}
