//! One connection of the fake PBX.

use std::io;
use std::sync::Arc;

use md5::{Digest, Md5};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::script::{Instruction, ReceivedAction, Reply, Script};
use super::{ACTION_USER, EVENT_USER, SECRET};

const CHALLENGE: &str = "840415273";
const LINE_BYTES_MAX: usize = 1_024;
const HEADERS_MAX: usize = 128;
/// Actions that are answered with a list, and the event that ends it.
const LISTS: [(&str, &str); 6] = [
    ("CoreShowChannels", "CoreShowChannelsComplete"),
    ("BridgeList", "BridgeListComplete"),
    ("BridgeInfo", "BridgeInfoComplete"),
    ("QueueStatus", "QueueStatusComplete"),
    ("DeviceStateList", "DeviceStateListComplete"),
    ("ShowDialPlan", "ShowDialPlanComplete"),
];

struct Connection<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    /// Bytes that arrived and are not yet taken.
    arrived: Vec<u8>,
    script: Arc<Script>,
}

/// Serves one connection. Returns when the client closes it.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S, script: Arc<Script>) {
    let (reader, writer) = tokio::io::split(stream);
    let mut connection = Connection { reader, writer, arrived: Vec::new(), script };
    if let Ok(Some((number, instructions))) = connection.log_in().await {
        let _ = connection.live(instructions).await;
        connection.script.logged_off(number);
    }
    let _ = connection.writer.shutdown().await;
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    async fn log_in(&mut self) -> io::Result<Option<(u64, mpsc::UnboundedReceiver<Instruction>)>> {
        self.say("Asterisk Call Manager/11.0.0\r\n").await?;
        loop {
            let asked = self.action().await?;
            if asked.name == "Challenge" {
                self.respond(&asked, "Success", &format!("Challenge: {CHALLENGE}\r\n")).await?;
                continue;
            }
            assert_eq!(asked.name, "Login", "only a login may come now");
            let refusal = self.script.refusal().or_else(|| {
                let known = [EVENT_USER, ACTION_USER].map(Some).contains(&asked.get("Username"));
                (!known || !proves_secret(&asked)).then(|| "Authentication failed".to_owned())
            });
            if let Some(message) = refusal {
                self.respond(&asked, "Error", &format!("Message: {message}\r\n")).await?;
                return Ok(None);
            }
            let gets_events = !asked.get("Events").is_some_and(|mask| mask.eq_ignore_ascii_case("off"));
            self.respond(&asked, "Success", "Message: Authentication accepted\r\n").await?;
            return Ok(Some(self.script.logged_in(gets_events)));
        }
    }

    async fn live(&mut self, mut instructions: mpsc::UnboundedReceiver<Instruction>) -> io::Result<()> {
        loop {
            let asked = tokio::select! {
                instruction = instructions.recv() => match instruction {
                    Some(Instruction::Say(bytes)) => {
                        self.writer.write_all(&bytes).await?;
                        continue;
                    }
                    Some(Instruction::Cut(bytes)) => return self.writer.write_all(&bytes).await,
                    None => return Ok(()),
                },
                asked = self.action() => asked?,
            };
            if !self.answer(asked).await? {
                return Ok(());
            }
        }
    }

    /// Answers one action; returns whether the connection continues.
    async fn answer(&mut self, asked: ReceivedAction) -> io::Result<bool> {
        let list_end = LISTS.iter().find(|(name, _)| *name == asked.name).map(|(_, end)| *end);
        if list_end.is_none() && asked.name != "Ping" && asked.name != "CoreStatus" {
            self.script.record_action(asked.clone());
        }
        match self.script.reply(&asked.name) {
            Some(Reply::HangUp) => return Ok(false),
            Some(Reply::Silence) => return Ok(true),
            Some(Reply::Error(message)) => {
                self.respond(&asked, "Error", &format!("Message: {message}\r\n")).await?;
            }
            Some(Reply::Success(lines)) => {
                self.respond(&asked, "Success", &lines.replace('\n', "\r\n")).await?;
            }
            None => match list_end {
                Some(end) => self.list(&asked, end).await?,
                None if asked.name == "Ping" => self.respond(&asked, "Success", "Ping: Pong\r\n").await?,
                None => self.respond(&asked, "Success", "Message: Done\r\n").await?,
            },
        }
        Ok(asked.name != "Logoff")
    }

    async fn list(&mut self, asked: &ReceivedAction, end: &str) -> io::Result<()> {
        let items = self.script.list(&asked.name);
        self.respond(asked, "Success", "EventList: start\r\nMessage: A list will follow\r\n").await?;
        let id = &asked.id;
        for (event, lines) in &items {
            let lines = lines.replace('\n', "\r\n");
            // The queue list prints its ActionID last, all others second (app_queue.c, manager.c).
            let item = if asked.name == "QueueStatus" {
                format!("Event: {event}\r\n{lines}ActionID: {id}\r\n\r\n")
            } else {
                format!("Event: {event}\r\nActionID: {id}\r\n{lines}\r\n")
            };
            self.say(&item).await?;
        }
        let count = items.len();
        self.say(&format!(
            "Event: {end}\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: {count}\r\n\r\n"
        ))
        .await
    }

    async fn respond(&mut self, asked: &ReceivedAction, response: &str, lines: &str) -> io::Result<()> {
        self.say(&format!("Response: {response}\r\nActionID: {}\r\n{lines}\r\n", asked.id)).await
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes()).await?;
        self.writer.flush().await
    }

    /// The next action. Dropping this future loses nothing.
    async fn action(&mut self) -> io::Result<ReceivedAction> {
        loop {
            if let Some(end) = self.arrived.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.arrived.split_off(end + 4);
                let action = std::mem::replace(&mut self.arrived, rest);
                return Ok(parse(&action[..end]));
            }
            let mut some = [0; 4_096];
            match self.reader.read(&mut some).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.arrived.extend_from_slice(&some[..count]),
            }
        }
    }
}

/// Reads an action as strictly as Asterisk does.
fn parse(action: &[u8]) -> ReceivedAction {
    let text = std::str::from_utf8(action).unwrap();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines.len() <= HEADERS_MAX, "too many headers: {text}");
    let mut headers = Vec::new();
    for line in lines {
        assert!(line.len() + 2 <= LINE_BYTES_MAX, "line too long: {line}");
        assert!(!line.contains(['\r', '\n', '\0']), "line with a control character: {line:?}");
        let (key, value) = line.split_once(": ").unwrap();
        headers.push((key.to_owned(), value.to_owned()));
    }
    let first = |wanted: &str| headers.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
    let (name, id) = (first("Action").unwrap(), first("ActionID").unwrap());
    assert!(!id.is_empty() && id.len() <= 100, "bad ActionID {id}");
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "bad ActionID {id}");
    ReceivedAction { name, id, headers }
}

fn proves_secret(login: &ReceivedAction) -> bool {
    let digest = Md5::digest(format!("{CHALLENGE}{SECRET}"));
    let key: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    login.get("Key") == Some(&key) || login.get("Secret") == Some(SECRET)
}
