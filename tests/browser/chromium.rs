//! A headless Chromium, driven over its DevTools protocol.
//!
//! Invariants: the browser ends with the test, also when the test panics; every wait has a time-out; each tab has its
//! own cookie store, so each tab can be signed in as another person. The protocol is JSON over a WebSocket.
use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::wait::{TEST_TIMEOUT, poll};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Limit of one message; a screenshot is one message.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The line that Chromium prints when it is ready.
const READY: &str = "DevTools listening on ";

/// Evaluates the expression at once and whenever the document, the focus or the performance marks change; resolves to false
/// after a second.
const AWAITED: &str = "new Promise((resolve) => {
    const look = () => { try { if (EXPRESSION) end(true); } catch { /* not yet */ } };
    const changes = new MutationObserver(look);
    const marks = new PerformanceObserver(look);
    const end = (found) => {
        changes.disconnect();
        marks.disconnect();
        removeEventListener('focusin', look);
        resolve(found);
    };
    changes.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    marks.observe({ type: 'mark' });
    addEventListener('focusin', look);
    setTimeout(() => end(false), 1000);
    look();
})";

type Sink = SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;

/// The browser.
pub(crate) struct Chromium {
    devtools: Arc<DevTools>,
    process: Child,
    _profile: tempfile::TempDir,
}

/// The connection to the browser.
struct DevTools {
    sink: AsyncMutex<Sink>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>,
    /// Events of the pages, by session.
    events: Mutex<HashMap<String, Vec<Value>>>,
    /// Notified when an event arrives.
    arrived: Notify,
}

impl Chromium {
    /// Starts a browser.
    ///
    /// # Panics
    /// When there is no Chromium; the message says how to get it.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("chromium")
            // A microphone that beeps, for recordings.
            .args(["--use-fake-device-for-media-stream"])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--no-proxy-server", "--remote-debugging-port=0", "--lang=ja"])
            .args([
                "--force-color-profile=srgb",
                "--disable-features=Translate,MediaRouter,OptimizationHints",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium starts (on Debian or Ubuntu: sudo apt-get install chromium)");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("Chromium said no address and ended");
                if let Some(address) = line.strip_prefix(READY) {
                    return address.to_owned();
                }
            }
        };
        let address = tokio::time::timeout(TEST_TIMEOUT, ready).await.expect("Chromium is ready in time");
        // Discard later output, so that the pipe does not fill up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let (socket, _) =
            tokio_tungstenite::connect_async_with_config(address, Some(config), true).await.unwrap();
        let (sink, mut stream) = socket.split();
        let devtools = Arc::new(DevTools {
            sink: AsyncMutex::new(sink),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            events: Mutex::default(),
            arrived: Notify::new(),
        });
        let reader = Arc::clone(&devtools);
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Text(text) = message {
                    reader.take(serde_json::from_str(&text).unwrap());
                }
            }
            reader.waiting.lock().unwrap().clear();
        });
        Self { devtools, process, _profile: profile }
    }

    /// Opens a tab of this size with its own cookie store.
    pub(crate) async fn tab(&self, width: u32, height: u32) -> Tab {
        let browser = |method: &'static str, params: Value| self.devtools.call(None, method, params);
        let context = browser("Target.createBrowserContext", json!({})).await;
        let context = context["browserContextId"].clone();
        let target =
            json!({ "url": "about:blank", "browserContextId": &context, "width": width, "height": height });
        let target = browser("Target.createTarget", target).await["targetId"].clone();
        let attached = browser("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let tab = Tab { devtools: Arc::clone(&self.devtools), session, target, context };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        let agent = tab.eval("navigator.userAgent").await;
        let japanese = json!({ "userAgent": agent, "acceptLanguage": "ja" });
        tab.call("Network.setUserAgentOverride", japanese).await;
        tab.size(width, height).await;
        tab
    }

    /// Kills the browser, as a crash does.
    pub(crate) async fn crashes(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Closes the browser; kills it if it does not end in time.
    pub(crate) async fn close(mut self) {
        self.devtools.call(None, "Browser.close", json!({})).await;
        if tokio::time::timeout(TEST_TIMEOUT, self.process.wait()).await.is_err() {
            self.process.kill().await.unwrap();
        }
    }
}

impl DevTools {
    fn take(&self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            let answer = match message.get("error") {
                Some(error) => Err(error.to_string()),
                None => Ok(message["result"].clone()),
            };
            if let Some(waiting) = self.waiting.lock().unwrap().remove(&id) {
                let _ = waiting.send(answer);
            }
        } else if let Some(session) = message["sessionId"].as_str() {
            self.events.lock().unwrap().entry(session.to_owned()).or_default().push(message);
            self.arrived.notify_waiters();
        }
    }

    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let parameters = params.to_string();
        let answer = self.ask(session, method, params).await;
        answer.unwrap_or_else(|error| panic!("{method} {parameters}: {error}"))
    }

    /// Sends a command; `Err` when Chromium refuses it.
    async fn ask(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, sender);
        self.sink.lock().await.send(Message::text(message.to_string())).await.unwrap();
        let answer = tokio::time::timeout(TEST_TIMEOUT, answer).await;
        answer.unwrap_or_else(|_| panic!("{method}: no answer")).expect("Chromium is there")
    }
}

/// One tab.
pub(crate) struct Tab {
    devtools: Arc<DevTools>,
    session: String,
    /// The browser's ids of the tab and of its cookie store.
    target: Value,
    context: Value,
}

impl Tab {
    /// Sends a command of the protocol.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.devtools.call(Some(&self.session), method, params).await
    }

    /// The value of an expression, awaited.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true. The page evaluates it at each change of the document, and once a second for what
    /// changes without an observable mutation (a typed value, a mark).
    pub(crate) async fn until(&self, what: &str, expression: &str) {
        let awaited = AWAITED.replace("EXPRESSION", expression);
        // A page that is being left answers with an error; the next page is asked again.
        let coming = poll(async || (self.try_eval(&awaited).await.ok() == Some(json!(true))).then_some(()));
        if tokio::time::timeout(TEST_TIMEOUT, coming).await.is_err() {
            let shown = self.eval("document.body.innerText").await;
            panic!("{what} did not come; shown is: {}", shown.as_str().unwrap_or_default());
        }
    }

    async fn try_eval(&self, expression: &str) -> Result<Value, String> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.devtools.ask(Some(&self.session), "Runtime.evaluate", params).await?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].clone()),
            Some(details) => Err(details.to_string()),
        }
    }

    /// The received events of this kind, for instance `Runtime.exceptionThrown`.
    pub(crate) fn events(&self, method: &str) -> Vec<Value> {
        let events = self.devtools.events.lock().unwrap();
        let all = events.get(&self.session).into_iter().flatten();
        all.filter(|event| event["method"] == method).map(|event| event["params"].clone()).collect()
    }

    /// Opens another tab in front of this one.
    pub(crate) async fn is_covered(&self) {
        let other = json!({ "url": "about:blank", "browserContextId": &self.context });
        let other = self.devtools.call(None, "Target.createTarget", other).await;
        self.devtools.call(None, "Target.activateTarget", json!({ "targetId": other["targetId"] })).await;
        self.until("that it is hidden", "document.hidden").await;
    }

    /// Brings this tab to the front again.
    pub(crate) async fn is_uncovered(&self) {
        self.devtools.call(None, "Target.activateTarget", json!({ "targetId": &self.target })).await;
        self.until("that it is seen", "!document.hidden").await;
    }

    /// Grants the page this permission.
    pub(crate) async fn permits(&self, origin: &str, what: &str) {
        let permission =
            json!({ "origin": origin, "browserContextId": &self.context, "permissions": [what] });
        self.devtools.call(None, "Browser.grantPermissions", permission).await;
    }

    /// Holds each request to `url` from now on, before it is sent (`Request`) or when it is answered (`Response`); each is
    /// reported as `Fetch.requestPaused`.
    pub(crate) async fn holds_requests(&self, url: &str, stage: &str) {
        // Requests of a page that its service worker takes over in this moment would bypass the hold.
        self.until("the service worker", "navigator.serviceWorker.controller").await;
        let pattern = json!({ "patterns": [{ "urlPattern": url, "requestStage": stage }] });
        self.call("Fetch.enable", pattern).await;
    }

    /// Waits for the first event of this kind.
    pub(crate) async fn wait_event(&self, method: &str) -> Value {
        self.wait_event_after(0, method).await
    }

    /// Waits for the event of this kind that follows `others` of them.
    pub(crate) async fn wait_event_after(&self, others: usize, method: &str) -> Value {
        let coming = async {
            loop {
                let notified = self.devtools.arrived.notified();
                if let Some(event) = self.events(method).into_iter().nth(others) {
                    return event;
                }
                notified.await;
            }
        };
        let event = tokio::time::timeout(TEST_TIMEOUT, coming).await;
        event.unwrap_or_else(|_| panic!("the page did not report {method} for the {}. time", others + 1))
    }

    pub(crate) async fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(crate) async fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Presses a key, as a person does.
    pub(crate) async fn key(&self, key: &str) {
        let shift = key.len() == 1 && key.chars().all(|c| c.is_ascii_uppercase() || c == '?');
        let modifiers = if shift { 8 } else { 0 };
        let text = if key.len() == 1 {
            key
        } else if key == "Enter" {
            "\r"
        } else {
            ""
        };
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            _ => function_key(key).unwrap_or(0),
        };
        let down = json!({ "type": "keyDown", "key": key, "text": text, "modifiers": modifiers, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", down).await;
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "modifiers": modifiers }))
            .await;
    }

    /// Presses a key together with `alt`, `ctrl`, `shift` or several of them, with `+` between.
    pub(crate) async fn chord(&self, modifiers: &str, key: &str) {
        let bit = |name: &str| match name {
            "alt" => 1,
            "ctrl" => 2,
            "shift" => 8,
            other => panic!("{other} is no modifier"),
        };
        let modifiers: u32 = modifiers.split('+').map(bit).sum();
        let code = match key {
            "Enter" => "Enter".to_owned(),
            function if function_key(key).is_some() => function.to_owned(),
            digit if digit.bytes().all(|b| b.is_ascii_digit()) => format!("Digit{digit}"),
            letter => format!("Key{}", letter.to_ascii_uppercase()),
        };
        let number = match function_key(key) {
            Some(number) => number,
            None if key == "Enter" => 13,
            None => u32::from(key.to_ascii_uppercase().as_bytes()[0]),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": code, "modifiers": modifiers,
                "windowsVirtualKeyCode": number });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Types into what has the focus.
    pub(crate) async fn types(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// A screenshot, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        base64(answer["data"].as_str().unwrap())
    }
}

/// The number of a function key, as the browser knows it.
fn function_key(key: &str) -> Option<u32> {
    Some(111 + key.strip_prefix('F')?.parse::<u32>().ok()?)
}

/// Decodes Base64.
fn base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len() / 4 * 3));
    for six in text.bytes().filter_map(value) {
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}
