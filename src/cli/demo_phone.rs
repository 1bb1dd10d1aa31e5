//! `toritsugi demo-phone`: the desk phone of `make demo`. It rings, and does what the daemon asks it to by NOTIFY, as the desk
//! phones of Yealink, Poly and Snom do.
//!
//! | it receives | it does |
//! |---|---|
//! | INVITE | rings; while it has a call already, it is busy |
//! | NOTIFY, event `talk` | answers the call that rings, or takes the caller off hold |
//! | NOTIFY, event `hold` | puts the caller on hold (re-INVITE, sendonly) |
//! | CANCEL, BYE | the call is over |
//! | another request in its call | answers it with 200 |
//!
//! Until it is asked for the first time it answers by itself after `--answers-alone`, and hangs up a little later, so that a
//! demo without a person at the page has conversations, too.
//!
//! Invariant: it listens on a loopback address only, has one call, and plays no sound: what is said is not the demo's matter.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// The largest datagram on loopback.
const DATAGRAM_BYTES_MAX: usize = 65_000;
/// How long it talks when it answered by itself.
const ALONE_TALK_TIME: Duration = Duration::from_secs(6);
/// How long it talks at most.
const TALK_TIME_MAX: Duration = Duration::from_secs(1_800);
/// The tag of its side of each call.
const TAG: &str = "desk";

#[derive(Debug, Args)]
pub(super) struct DemoPhone {
    /// Where it listens, on loopback.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Its extension.
    #[arg(long)]
    extension: String,
    /// Answers by itself after so many seconds, until it is asked to do something for the first time.
    #[arg(long, value_name = "SECONDS")]
    answers_alone: Option<u64>,
}

impl DemoPhone {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.listen.ip().is_loopback() {
            bail!("--listen {}: an address of loopback, for instance 127.0.0.3:5064", self.listen);
        }
        let socket = UdpSocket::bind(self.listen)
            .await
            .with_context(|| format!("the phone cannot listen on {}", self.listen))?;
        let alone = self.answers_alone.map(Duration::from_secs);
        let mut phone = Phone { at: self.listen, extension: self.extension, alone, call: None };
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let deadline = phone.deadline();
            tokio::select! {
                received = socket.recv_from(&mut datagram) => {
                    let Ok((length, from)) = received else { continue };
                    let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
                    for message in phone.on_message(&text, from, Instant::now()) {
                        send(&socket, &message).await;
                    }
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    for message in phone.on_deadline(Instant::now()) {
                        send(&socket, &message).await;
                    }
                }
            }
        }
    }
}

async fn send(socket: &UdpSocket, (to, text): &Message) {
    // A PBX that is away sends its request again.
    let _ = socket.send_to(text.as_bytes(), to).await;
}

/// Where a message goes, and its text.
type Message = (SocketAddr, String);

/// The phone, without its socket.
#[derive(Debug)]
struct Phone {
    at: SocketAddr,
    extension: String,
    /// After how long it answers by itself.
    alone: Option<Duration>,
    call: Option<Call>,
}

/// Its call.
#[derive(Debug)]
struct Call {
    pbx: SocketAddr,
    /// The INVITE that began it.
    invite: String,
    state: CallState,
    /// CSeq of its own requests.
    sequence: u32,
    /// When it does something by itself.
    deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallState {
    Ringing,
    Talking,
    Held,
}

impl Phone {
    fn deadline(&self) -> Option<Instant> {
        self.call.as_ref().and_then(|call| call.deadline)
    }

    fn on_message(&mut self, text: &str, from: SocketAddr, now: Instant) -> Vec<Message> {
        let is_of_call =
            self.call.as_ref().is_some_and(|call| header(&call.invite, "Call-ID") == header(text, "Call-ID"));
        match text.split(' ').next().unwrap_or_default() {
            "SIP/2.0" => self.on_response(text, is_of_call),
            "ACK" => Vec::new(),
            "INVITE" if is_of_call => self.on_invite_again(text, from),
            "INVITE" if self.call.is_some() => vec![(from, self.answer("486 Busy Here", text, ""))],
            "INVITE" => {
                let deadline = self.alone.map(|alone| now + alone);
                let (invite, state) = (text.to_owned(), CallState::Ringing);
                self.call = Some(Call { pbx: from, invite, state, sequence: 0, deadline });
                vec![(from, self.answer("180 Ringing", text, ""))]
            }
            "CANCEL" if is_of_call => {
                let mut said = vec![(from, self.answer("200 OK", text, ""))];
                if let Some(call) = self.call.take_if(|call| call.state == CallState::Ringing) {
                    said.push((from, self.answer("487 Request Terminated", &call.invite, "")));
                }
                said
            }
            "BYE" if is_of_call => {
                self.call = None;
                vec![(from, self.answer("200 OK", text, ""))]
            }
            "NOTIFY" => {
                let mut said = vec![(from, self.answer("200 OK", text, ""))];
                let event = header(text, "Event").unwrap_or_default();
                said.extend(self.is_asked(event, now));
                said
            }
            _ => vec![(from, self.answer("200 OK", text, ""))],
        }
    }

    /// The daemon asks for something.
    fn is_asked(&mut self, event: &str, now: Instant) -> Option<Message> {
        // From now on somebody operates it.
        self.alone = None;
        let call = self.call.as_mut()?;
        let next = match (event, call.state) {
            ("talk", CallState::Ringing | CallState::Held) => CallState::Talking,
            ("hold", CallState::Talking) => CallState::Held,
            _ => return None,
        };
        let rings = call.state == CallState::Ringing;
        call.state = next;
        call.deadline = Some(now + TALK_TIME_MAX);
        if rings { Some(self.pick_up()) } else { self.invite_again() }
    }

    fn on_deadline(&mut self, now: Instant) -> Vec<Message> {
        let Some(call) = self.call.as_mut() else { return Vec::new() };
        if call.state == CallState::Ringing {
            (call.state, call.deadline) = (CallState::Talking, Some(now + ALONE_TALK_TIME));
            return vec![self.pick_up()];
        }
        let bye = self.request("BYE", "Content-Length: 0\r\n\r\n");
        self.call = None;
        bye.into_iter().collect()
    }

    fn pick_up(&self) -> Message {
        let call = self.call.as_ref();
        let invite = call.map_or("", |call| call.invite.as_str());
        (call.map_or(self.at, |call| call.pbx), self.answer("200 OK", invite, &self.media()))
    }

    /// The PBX sends its INVITE once more, or another one in the call.
    fn on_invite_again(&mut self, text: &str, from: SocketAddr) -> Vec<Message> {
        let is_ringing = self.call.as_ref().is_some_and(|call| call.state == CallState::Ringing);
        let said = if is_ringing {
            self.answer("180 Ringing", text, "")
        } else {
            self.answer("200 OK", text, &self.media())
        };
        vec![(from, said)]
    }

    /// Its own INVITE is answered: it confirms that.
    fn on_response(&mut self, text: &str, is_of_call: bool) -> Vec<Message> {
        let is_final = !text.starts_with("SIP/2.0 1");
        let is_invite = header(text, "CSeq").is_some_and(|cseq| cseq.ends_with(" INVITE"));
        if !(is_of_call && is_final && is_invite) {
            return Vec::new();
        }
        self.request("ACK", "Content-Length: 0\r\n\r\n").into_iter().collect()
    }

    fn invite_again(&mut self) -> Option<Message> {
        self.call.as_mut()?.sequence += 1;
        let body = self.media();
        let length = body.len();
        self.request(
            "INVITE",
            &format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"),
        )
    }

    /// A request of its own in its call.
    fn request(&mut self, method: &str, rest: &str) -> Option<Message> {
        let call = self.call.as_mut()?;
        if method == "BYE" {
            call.sequence += 1;
        }
        let of = |name| header(&call.invite, name).unwrap_or_default();
        let target = of("Contact").trim_start_matches('<').split('>').next().unwrap_or_default();
        let (at, extension, sequence) = (self.at, &self.extension, call.sequence);
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{method}{sequence}\r\nMax-Forwards: 70\r\n\
             From: {};tag={TAG}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {sequence} {method}\r\n\
             Contact: <sip:{extension}@{at}>\r\n{rest}",
            of("To"),
            of("From"),
            of("Call-ID"),
        );
        Some((call.pbx, text))
    }

    /// What it sends and takes: u-law and keys, or nothing while the caller is on hold.
    fn media(&self) -> String {
        let held = self.call.as_ref().is_some_and(|call| call.state == CallState::Held);
        let direction = if held { "sendonly" } else { "sendrecv" };
        let version = self.call.as_ref().map_or(1, |call| call.sequence + 1);
        let (ip, port) = (self.at.ip(), self.at.port());
        format!(
            "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na={direction}\r\n"
        )
    }

    fn answer(&self, status: &str, request: &str, body: &str) -> String {
        let mut answer = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            match name.as_str() {
                "via" | "from" | "call-id" | "cseq" | "record-route" => answer += &format!("{line}\r\n"),
                "to" if line.contains("tag=") => answer += &format!("{line}\r\n"),
                "to" => answer += &format!("{line};tag={TAG}\r\n"),
                _ => {}
            }
        }
        answer += &format!("Contact: <sip:{}@{}>\r\n", self.extension, self.at);
        if !body.is_empty() {
            answer += "Content-Type: application/sdp\r\n";
        }
        answer + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// A header of a SIP message.
fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let lines = message.lines().take_while(|line| !line.is_empty());
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    headers.find(|(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PBX: &str = "127.0.0.1:5060";

    fn phone(alone: Option<Duration>) -> Phone {
        Phone { at: "127.0.0.3:5064".parse().unwrap(), extension: "1001".into(), alone, call: None }
    }

    fn message(method: &str, call: &str, rest: &str) -> String {
        format!(
            "{method} sip:1001@127.0.0.3:5064 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK1\r\nFrom: <sip:0312345678@127.0.0.1>;tag=a\r\n\
             To: <sip:1001@127.0.0.3>\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\nContact: <sip:asterisk@{PBX}>\r\n{rest}\r\n"
        )
    }

    impl Phone {
        /// The first lines of what it says to this message.
        fn says(&mut self, text: &str) -> Vec<String> {
            let said = self.on_message(text, PBX.parse().unwrap(), Instant::now());
            said.iter().map(|(_, text)| text.lines().next().unwrap().to_owned()).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_answers_holds_and_resumes_when_it_is_asked_to() {
        let mut phone = phone(Some(Duration::from_secs(9)));
        assert_eq!(phone.says(&message("INVITE", "a", "")), ["SIP/2.0 180 Ringing"]);
        assert_eq!(phone.says(&message("INVITE", "b", "")), ["SIP/2.0 486 Busy Here"]);
        let hold = message("NOTIFY", "x", "Event: hold\r\n");
        let talk = message("NOTIFY", "x", "Event: talk\r\n");
        assert_eq!(phone.says(&hold), ["SIP/2.0 200 OK"], "nobody talks yet");
        assert_eq!(phone.says(&talk), ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]);
        let held = phone.on_message(&hold, PBX.parse().unwrap(), Instant::now());
        assert!(held[1].1.starts_with(&format!("INVITE sip:asterisk@{PBX} SIP/2.0\r\n")), "{held:?}");
        assert!(held[1].1.contains("a=sendonly") && held[1].1.contains("CSeq: 1 INVITE"), "{held:?}");
        let answered = "SIP/2.0 200 OK\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n";
        assert_eq!(phone.says(answered), [format!("ACK sip:asterisk@{PBX} SIP/2.0")]);
        let resumed = phone.on_message(&talk, PBX.parse().unwrap(), Instant::now());
        assert!(
            resumed[1].1.contains("a=sendrecv") && resumed[1].1.contains("CSeq: 2 INVITE"),
            "{resumed:?}"
        );
        assert_eq!(phone.says(&message("BYE", "a", "")), ["SIP/2.0 200 OK"]);
        assert_eq!(phone.says(&message("INVITE", "b", "")), ["SIP/2.0 180 Ringing"]);
        assert_eq!(phone.deadline(), None, "somebody operates it: it does nothing by itself");
        assert_eq!(
            phone.says(&message("CANCEL", "b", "")),
            ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
        );
        assert!(phone.call.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn alone_it_answers_and_hangs_up_by_itself() {
        let mut phone = phone(Some(Duration::from_secs(9)));
        phone.says(&message("INVITE", "a", ""));
        assert_eq!(phone.deadline(), Some(Instant::now() + Duration::from_secs(9)));
        let picked_up = phone.on_deadline(Instant::now());
        assert!(picked_up[0].1.starts_with("SIP/2.0 200 OK\r\n"), "{picked_up:?}");
        assert_eq!(phone.deadline(), Some(Instant::now() + ALONE_TALK_TIME));
        let hung_up = phone.on_deadline(Instant::now());
        assert!(hung_up[0].1.starts_with("BYE "), "{hung_up:?}");
        assert_eq!((phone.deadline(), phone.on_deadline(Instant::now())), (None, Vec::new()));
    }
}
