//! Connection limits, and what health checks and metrics show.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::gateway_rig::{Options, Rig, answer};
use crate::support::wait::TEST_TIMEOUT;

#[tokio::test]
async fn one_connection_too_many_is_refused_at_once() {
    let rig = Rig::with(Options { connections: 2, ..Options::default() }).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
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
    let rig = Rig::start().await;
    let ask = async || answer(rig.bare(Method::GET, "/readyz").send().await.unwrap()).await;
    assert_eq!(
        ask().await,
        (StatusCode::SERVICE_UNAVAILABLE, json!({"ready": false, "pbx": false, "store": true}))
    );
    rig.link(true);
    assert_eq!(ask().await, (StatusCode::OK, json!({"ready": true, "pbx": true, "store": true})));
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
