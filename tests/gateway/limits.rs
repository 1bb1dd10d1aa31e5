//! Connection limits, and what health checks and metrics show.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::gateway_rig::{Options, Rig, answer};
use crate::support::wait::TEST_TIMEOUT;

/// Opens a connection and sends one request for `path` on it, with `token`; returns the connection and the status line.
async fn connect(rig: &Rig, path: &str, token: Option<&str>) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let token = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{token}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = tokio::time::timeout(TEST_TIMEOUT, stream.read_exact(&mut answer)).await.expect("an answer");
    (stream, read.map_or(String::new(), |_| String::from_utf8_lossy(&answer).into_owned()))
}

#[tokio::test]
async fn one_connection_too_many_is_refused_at_once() {
    let rig = Rig::with(Options { connections: 2, ..Options::default() }).await;
    let mut open = Vec::new();
    for who in ["1001", "1002"] {
        let (stream, status) = connect(&rig, "/v1/session", Some(rig.token(who))).await;
        assert_eq!(status, "HTTP/1.1 200");
        open.push(stream);
    }
    let mut refused = TcpStream::connect(rig.address).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(TEST_TIMEOUT, refused.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\"type\":\"overloaded\""), "{text}");
    drop(open);
    // The two connections are free again as soon as the gateway has seen them close.
    let mut free = false;
    for _ in 0..1000 {
        if let Ok(response) = rig.bare(Method::GET, "/healthz").send().await
            && response.status() == StatusCode::OK
        {
            free = true;
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(free);
}

/// A flood of connections without a token, silent or asking what needs none, from the same machine as everybody else.
#[tokio::test]
async fn nobody_without_a_token_keeps_others_out() {
    let rig = Rig::with(Options { connections: 30, ..Options::default() }).await;
    let mut desk = rig.follow("1001", None).await;
    assert_eq!(desk.next().await.unwrap()["kind"], "stream.snapshot");
    let mut flood = Vec::new();
    for n in 0..200 {
        match n % 2 {
            0 => flood.push(TcpStream::connect(rig.address).await.unwrap()),
            _ => flood.push(connect(&rig, "/healthz", None).await.0),
        }
        if n % 20 == 0 {
            for (path, token) in [("/healthz", None), ("/v1/calls", Some(rig.token("2001")))] {
                assert_eq!(connect(&rig, path, token).await.1, "HTTP/1.1 200", "{path}");
            }
        }
    }
    // Who was connected before has not noticed it.
    rig.ring(1, &["1001"]);
    assert_eq!(desk.next().await.unwrap()["kind"], "call.presented");
    let metrics = rig.bare(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("toritsugi_connections_refused_total 0\n"), "{metrics}");
    assert!(!metrics.contains("toritsugi_connections_displaced_total 0\n"), "{metrics}");
}

#[tokio::test]
async fn one_person_takes_no_more_than_a_share_of_the_streams() {
    let rig = Rig::with(Options { subscribers: 100, ..Options::default() }).await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(rig.follow("1001", None).await);
    }
    for path in ["/v1/events", "/v1/events/ws"] {
        let mut request = rig.request("1001", Method::GET, path);
        if path.ends_with("ws") {
            let upgrade = [
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ];
            request = upgrade.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        }
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!(
            (status, &body["type"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded")),
            "{path}"
        );
    }
    assert_eq!(rig.follow("1002", None).await.next().await.unwrap()["kind"], "stream.snapshot");
    streams.pop();
    rig.streams(31).await;
    assert_eq!(rig.follow("1001", None).await.next().await.unwrap()["kind"], "stream.snapshot");
}

#[tokio::test]
async fn a_head_that_http_does_not_allow_is_refused() {
    let rig = Rig::start().await;
    let padding = format!("x: {}\r\n", "y".repeat(8_000)).repeat(5);
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\nhost: a\r\n", "HTTP/1.1 200"),
        ("GET /healthz HTTP/1.0\r\n", "HTTP/1.0 200"),
        ("GET /healthz HTTP/1.1\r\n", "HTTP/1.1 400"),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "HTTP/1.1 400"),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nHOST: b\r\n", "HTTP/1.1 400"),
        ("GET /healthz HTTP/1.1\r\nhost: a b\r\n", "HTTP/1.1 400"),
        (&format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{padding}"), "HTTP/1.1 431"),
    ] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_string(&mut text)).await.unwrap();
        assert!(text.starts_with(status), "{} ... {text}", &head[..40.min(head.len())]);
    }
}

/// RFC 9112, section 2.2: a line may end with LF alone, and nothing else ends one. What a proxy in front reads as one
/// request is one here, too: an LF in a value begins another header, which counts like any other.
#[tokio::test]
async fn a_bare_lf_ends_a_line_wherever_it_stands_and_a_bare_cr_none() {
    let rig = Rig::start().await;
    let last = "connection: close\r\n\r\n";
    for (request, status) in [
        (format!("GET /healthz HTTP/1.1\nhost: a\r\n{last}"), "200"),
        ("GET /healthz HTTP/1.1\nhost: a\nconnection: close\n\n".to_owned(), "200"),
        (format!("GET /healthz\nHTTP/1.1\r\nhost: a\r\n{last}"), "400"),
        (format!("GET /healthz\r HTTP/1.1\r\nhost: a\r\n{last}"), "400"),
        (format!("GET /healthz HTTP/1.1\rhost: a\r\n{last}"), "400"),
        (format!("GET /healthz HTTP/1.1\r\nhost: a\rx: b\r\n{last}"), "400"),
        (format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: y\nhost: b\r\n{last}"), "400"),
        (format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: y\n continued\r\n{last}"), "400"),
        // The body of the first request is no second one, and its length is not in doubt.
        (
            format!(
                "POST /v1/session HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\nconnection: close\r\n\r\n\
                5\nGET /\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: a\r\n{last}"
            ),
            "4",
        ),
    ] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_string(&mut text)).await.unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{request:?} ... {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{request:?} ... {text}");
    }
}

#[tokio::test]
async fn requests_that_are_no_http_are_dropped() {
    let rig = Rig::start().await;
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(200_000));
    for bytes in ["\u{0}\u{1}\u{2}\r\n\r\n", "Response: Error\r\n\r\n", &headers, &long] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        // The gateway may close before it has read everything.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer))
            .await
            .expect("closed in time");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(rig.bare(Method::GET, "/healthz").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn readiness_is_the_link_and_the_store() {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let rig = Rig::start().await;
    let ask = async || answer(rig.bare(Method::GET, "/readyz").send().await.unwrap()).await;
    assert_eq!(
        ask().await,
        (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"ready": false, "pbx": false, "store": true, "version": VERSION})
        )
    );
    rig.link(true);
    let ready = json!({"ready": true, "pbx": true, "store": true, "version": VERSION});
    assert_eq!(ask().await, (StatusCode::OK, ready));
    rig.link(false);
    assert_eq!(ask().await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.bare(Method::GET, "/healthz").send().await.unwrap().text().await.unwrap(), "ok\n");
}

#[tokio::test]
async fn metrics_have_bounded_labels_and_no_secrets() {
    let rig = Rig::start().await;
    for n in 0..20 {
        rig.get("1001", &format!("/v1/calls/{n}")).await;
        rig.get("1001", &format!("/made/up/{n}")).await;
    }
    let method = Method::from_bytes(b"BREW").unwrap();
    rig.request("1001", method, "/v1/calls").send().await.unwrap();
    let _open = rig.follow("1001", None).await;
    let response = rig.bare(Method::GET, "/metrics").send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    for line in [
        r#"toritsugi_http_requests_total{route="/v1/calls/{call}",method="GET",status="4xx"} 20"#,
        r#"toritsugi_http_requests_total{route="none",method="GET",status="4xx"} 20"#,
        r#"toritsugi_http_requests_total{route="/v1/calls",method="other",status="4xx"} 1"#,
        "toritsugi_event_streams 1",
        "toritsugi_subscribers 1",
        "toritsugi_pbx_links_up 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("made") && !text.contains(rig.token("1001")));
}
