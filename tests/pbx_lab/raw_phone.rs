//! A desk phone written byte by byte: it rings, and carries out `NOTIFY` requests as such phones do, or refuses them.
//!
//! Its extension is [`RAW_PHONE`], which rings for the number [`RAW_PHONE_DIALLED`].
use std::collections::HashMap;
use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::rig::Lab;
use crate::support::wait::TEST_TIMEOUT;

/// Its extension.
pub(crate) const RAW_PHONE: &str = "1004";
/// The number that rings at it.
pub(crate) const RAW_PHONE_DIALLED: &str = "0355502204";
/// The largest datagram on loopback.
const DATAGRAM_BYTES_MAX: usize = 65_000;

/// A phone that waits for a call.
pub(crate) struct RawPhone {
    socket: UdpSocket,
    pbx: SocketAddr,
    invite: String,
    /// CSeq of its own requests.
    sequence: u32,
}

impl RawPhone {
    /// Starts the phone.
    pub(crate) async fn plug_in(lab: &Lab) -> Self {
        let pbx: SocketAddr = lab.fact("LAB_PBX_SIP").parse().unwrap();
        // The address that the lab configures as the contact of its extension.
        let socket = UdpSocket::bind(("127.0.0.3", pbx.port() + 3)).await.unwrap();
        Self { socket, pbx, invite: String::new(), sequence: 0 }
    }

    /// Waits for the call, and rings.
    pub(crate) async fn rings(&mut self) {
        self.invite = self.request("INVITE").await;
        self.say("180 Ringing", &self.invite, "").await;
    }

    /// Waits for the NOTIFY that a desktop caused, answers it with this status, and returns its event.
    pub(crate) async fn is_asked(&self, answer: &str) -> String {
        let notify = self.request("NOTIFY").await;
        self.say(answer, &notify, "").await;
        header(&notify, "Event").expect("NOTIFY names its event").to_owned()
    }

    /// Answers the call.
    pub(crate) async fn picks_up(&self) {
        self.say("200 OK", &self.invite, &self.offer("sendrecv")).await;
    }

    /// Puts the caller on hold (re-INVITE, sendonly).
    pub(crate) async fn holds(&mut self) {
        self.invites_again("sendonly").await;
    }

    /// Resumes the call.
    pub(crate) async fn resumes(&mut self) {
        self.invites_again("sendrecv").await;
    }

    async fn invites_again(&mut self, direction: &str) {
        self.sequence += 1;
        let body = self.offer(direction);
        let kind = "Content-Type: application/sdp\r\n";
        self.ask("INVITE", &format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        let mine = format!("{} INVITE", self.sequence);
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = timeout(TEST_TIMEOUT, self.socket.recv_from(&mut datagram)).await;
            let (length, _) = received.expect("the PBX answers the INVITE").unwrap();
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let code = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
            if header(&text, "CSeq") == Some(&mine) && code.is_some_and(|code| code != "100") {
                assert_eq!(code, Some("200"), "{text}");
                return self.ask("ACK", "Content-Length: 0\r\n\r\n").await;
            }
        }
    }

    /// Sends a request of its own within the call.
    async fn ask(&self, method: &str, rest: &str) {
        let of = |name| header(&self.invite, name).unwrap_or_default();
        let target = of("Contact").trim_start_matches('<').split('>').next().unwrap_or_default();
        let (port, sequence) = (self.socket.local_addr().unwrap().port(), self.sequence);
        let request = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3:{port};branch=z9hG4bK{method}{sequence}\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=raw\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {sequence} {method}\r\n\
             Contact: <sip:{RAW_PHONE}@127.0.0.3:{port}>\r\n{rest}",
            of("To"),
            of("From"),
            of("Call-ID"),
        );
        self.socket.send_to(request.as_bytes(), self.pbx).await.unwrap();
    }

    fn offer(&self, direction: &str) -> String {
        let port = self.socket.local_addr().unwrap().port();
        let version = self.sequence + 1;
        format!(
            "v=0\r\no=- 1 {version} IN IP4 127.0.0.3\r\ns=-\r\nc=IN IP4 127.0.0.3\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
        )
    }

    /// Waits for the next request with this method; any other except ACK is answered with 200.
    async fn request(&self, method: &str) -> String {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = timeout(TEST_TIMEOUT, self.socket.recv_from(&mut datagram)).await;
            let (length, _) = received.unwrap_or_else(|_| panic!("the PBX sends {method}")).unwrap();
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            match text.split(' ').next() {
                Some(this) if this == method => return text,
                Some("ACK" | "SIP/2.0") | None => {}
                Some(_) => self.say("200 OK", &text, "").await,
            }
        }
    }

    async fn say(&self, status: &str, request: &str, body: &str) {
        let mut answer = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            match name.as_str() {
                "via" | "from" | "call-id" | "cseq" | "record-route" => answer += &format!("{line}\r\n"),
                "to" if line.contains("tag=") => answer += &format!("{line}\r\n"),
                "to" => answer += &format!("{line};tag=raw\r\n"),
                _ => {}
            }
        }
        let port = self.socket.local_addr().unwrap().port();
        answer += &format!("Contact: <sip:{RAW_PHONE}@127.0.0.3:{port}>\r\n");
        if !body.is_empty() {
            answer += "Content-Type: application/sdp\r\n";
        }
        answer += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.socket.send_to(answer.as_bytes(), self.pbx).await.unwrap();
    }
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let lines = message.lines().take_while(|line| !line.is_empty());
    let headers: HashMap<_, _> = lines.filter_map(|line| line.split_once(": ")).collect();
    headers.get(name).copied()
}
