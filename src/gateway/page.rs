//! The page of operators and supervisors: the files of `desktop/`, built into this binary.
//!
//! | path | how long browsers cache it |
//! |---|---|
//! | `/` | not without asking: a new daemon serves its new page at the next load |
//! | `/assets/…` | for ever: their names change with their content |
//! | the worker (`sw.js`) | not without asking |
//! | others (the icon) | one hour |
//!
//! Invariant: the page connects to the daemon only, runs only its own script files, is never in a frame, and inserts
//! text only as text. Browsers enforce this by its Content-Security-Policy ([`POLICY`]).

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The Content-Security-Policy of the page. The Trusted Types policy of its framework admits the framework's own
/// templates only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; worker-src 'self'; \
    require-trusted-types-for 'script'; trusted-types svelte-trusted-html toritsugi-worker";
/// The Content-Security-Policy of the worker, which opens the page without a connection: it fetches the page's files
/// only.
const WORKER_POLICY: &str = "default-src 'none'; connect-src 'self'";
const CACHE_FOR_EVER: &str = "public, max-age=31536000, immutable";
const CACHE_ONE_HOUR: &str = "public, max-age=3600";
const REVALIDATE: &str = "no-cache";

/// The document at `/`.
const DOCUMENT: &str = "index.html";
/// The worker.
const WORKER: &str = "sw.js";
/// The document at `/` of a binary that was built without the page.
const NOT_BUILT: &str = "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\"><title>Toritsugi</title>\
    <p lang=\"ja\">この toritsugi には画面が組み込まれていません。ソースの最上位で make page を実行し、ビルドし直してください。\
    <p lang=\"en\">This toritsugi was built without its page: run “make page” at the top of its source and build it again.";

/// A file of the page. `build.rs` writes the table.
struct File {
    path: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// Whether this binary has the page.
#[must_use]
pub fn page_is_built() -> bool {
    FILES.iter().any(|file| file.path == DOCUMENT)
}

/// The routes of the page's files.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    for file in FILES.iter().filter(|file| file.path != DOCUMENT) {
        router = router
            .route(&format!("/{}", file.path), get(move |headers| async move { answer(file, &headers) }));
    }
    router.route("/", get(document))
}

async fn document(headers: HeaderMap) -> Response {
    let mut response = match FILES.iter().find(|file| file.path == DOCUMENT) {
        Some(file) => answer(file, &headers),
        None => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            (StatusCode::NOT_FOUND, kind, NOT_BUILT).into_response()
        }
    };
    let policy = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(self)",
        ),
    ];
    for (name, value) in policy {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn answer(file: &File, request: &HeaderMap) -> Response {
    let compressed = [("br", file.brotli), ("gzip", file.gzip)];
    let chosen = compressed
        .into_iter()
        .find_map(|(coding, bytes)| Some((coding, bytes.filter(|_| accepts(request, coding))?)));
    let cache_control = match file.path {
        DOCUMENT | WORKER => REVALIDATE,
        path if path.starts_with("assets/") => CACHE_FOR_EVER,
        _ => CACHE_ONE_HOUR,
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(file.path)),
        (header::CACHE_CONTROL, cache_control),
        (header::VARY, "accept-encoding"),
    ];
    let mut response = match chosen {
        Some((coding, bytes)) => (headers, [(header::CONTENT_ENCODING, coding)], bytes).into_response(),
        None => (headers, file.plain).into_response(),
    };
    if file.path == WORKER {
        let policy = HeaderValue::from_static(WORKER_POLICY);
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Whether the client accepts this content coding.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let accepted =
        headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|text| text.split(',')).any(|one| {
        let (name, quality) = one.split_once(';').unwrap_or((one, ""));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))])
    }

    #[test]
    fn the_smallest_form_that_the_client_accepts_is_sent() {
        let file = File { path: "assets/a-1.js", plain: b"plain", brotli: Some(b"br"), gzip: Some(b"gz") };
        for (accepts, coding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip", Some("gzip")),
            ("br;q=0, GZIP;q=0.5", Some("gzip")),
            ("br; q=1.0", Some("br")),
            ("identity", None),
            ("", None),
        ] {
            let response = answer(&file, &headers(accepts));
            let sent = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap());
            assert_eq!(sent, coding, "{accepts}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], CACHE_FOR_EVER);
        }
    }

    #[tokio::test]
    async fn the_document_has_the_policy_and_is_revalidated_at_each_load() {
        let response = document(HeaderMap::new()).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
}
