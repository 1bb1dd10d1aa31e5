//! A manager connection that keeps every byte it receives.
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;

use crate::support::pbx_lab::Lab;
use crate::support::wait::eventually;

/// After the last Hangup some events still follow (queue members, device states). They are over after this time without
/// a byte.
const QUIET: Duration = Duration::from_millis(700);

/// One scenario's recording.
pub(crate) struct Tap {
    bytes: Arc<Mutex<Vec<u8>>>,
    writer: OwnedWriteHalf,
    reader: JoinHandle<()>,
}

impl Tap {
    /// Logs in as the product does, and keeps everything from the banner on.
    pub(crate) async fn open(lab: &Lab) -> Self {
        let access = lab.manager_access();
        let stream = TcpStream::connect((access.host.as_str(), access.port)).await;
        let (mut read, writer) = stream.unwrap().into_split();
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = bytes.clone();
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count) = read.read(&mut buffer).await {
                if count == 0 {
                    return;
                }
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        let mut tap = Self { bytes, writer, reader };
        let (user, secret) = access.events;
        tap.send(&[("Action", "Login"), ("Username", &user), ("Secret", &secret)]).await;
        tap.heard("FullyBooted").await;
        tap
    }

    /// Sends an action on the recorded connection, so that its reply is recorded too.
    pub(crate) async fn send(&mut self, headers: &[(&str, &str)]) {
        let mut text = String::new();
        for (key, value) in headers {
            text.push_str(&format!("{key}: {value}\r\n"));
        }
        let action = headers.first().map_or("", |(_, action)| *action);
        text.push_str(&format!("ActionID: recorder-{action}\r\n\r\n"));
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits until the PBX has sent these words.
    pub(crate) async fn heard(&self, words: &str) {
        eventually(&format!("the PBX sends {words}"), async || {
            let bytes = self.bytes.lock().unwrap();
            let found = contains(&bytes, words.as_bytes());
            if found { Ok(()) } else { Err(format!("{} bytes", bytes.len())) }
        })
        .await;
    }

    /// Waits for silence and writes the recording with its description.
    pub(crate) async fn close(self, directory: &Path, name: &str, asterisk: &str, played: &str) {
        let mut length = 0;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.bytes.lock().unwrap().len();
            if now == length {
                break;
            }
            length = now;
        }
        self.reader.abort();
        let bytes = self.bytes.lock().unwrap().clone();
        let banner = bytes.split(|byte| *byte == b'\r').next().unwrap_or(b"");
        let banner = String::from_utf8_lossy(banner);
        let ami = banner.rsplit('/').next().unwrap_or("");
        let facts = format!("asterisk = \"{asterisk}\"\nami = \"{ami}\"\nplayed = \"{played}\"\n");
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(format!("{name}.ami")), &bytes).unwrap();
        std::fs::write(directory.join(format!("{name}.toml")), facts).unwrap();
        println!("{name}: {} bytes", bytes.len());
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
