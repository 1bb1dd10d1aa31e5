//! A caller whose INVITE is written byte by byte: what no telephone sends, and what an attacker with a socket can.
//!
//! It only rings and cancels; for a conversation use `Lab::place_call`.
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::events::Event;
use super::rig::Lab;
use crate::support::wait::TEST_TIMEOUT;

/// The largest datagram on loopback.
const DATAGRAM_BYTES_MAX: usize = 65_000;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// One INVITE in progress.
pub(crate) struct RawCall<'a> {
    lab: &'a Lab,
    socket: UdpSocket,
    to: String,
    /// The number in the header To.
    header_to: String,
    id: String,
}

impl<'a> RawCall<'a> {
    /// Sends an INVITE to `to`. `from` is the whole value of From without its tag;
    /// `headers` are whole header lines, each ended by CRLF, in any bytes.
    pub(crate) async fn invite(lab: &'a Lab, to: &str, from: &[u8], headers: &[u8]) -> RawCall<'a> {
        Self::invite_to(lab, to, to, from, headers).await
    }

    /// As [`Self::invite`], with another number in To than in the Request-URI.
    pub(crate) async fn invite_to(
        lab: &'a Lab,
        to: &str,
        header_to: &str,
        from: &[u8],
        headers: &[u8],
    ) -> RawCall<'a> {
        // The carrier's address, which the PBX treats as the trunk whatever the port.
        let socket = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        socket.connect(lab.fact("LAB_PBX_SIP")).await.unwrap();
        let id = format!("raw-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let call = Self { lab, socket, to: to.to_owned(), header_to: header_to.to_owned(), id };
        let port = call.socket.local_addr().unwrap().port();
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        );
        let mut message = call.head("INVITE", from);
        message.extend_from_slice(
            format!("Contact: <sip:raw@127.0.0.2:{port}>\r\nContent-Type: application/sdp\r\n").as_bytes(),
        );
        message.extend_from_slice(headers);
        message.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        assert!(message.len() <= DATAGRAM_BYTES_MAX, "{} bytes", message.len());
        call.socket.send(&message).await.unwrap();
        call
    }

    /// The first response that is not 100 Trying, as its status code.
    pub(crate) async fn response(&self) -> u16 {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = timeout(TEST_TIMEOUT, self.socket.recv(&mut datagram)).await;
            let length = received.expect("the PBX answers an INVITE").unwrap();
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let mine = text.contains(&self.id);
            let code = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
            match code.and_then(|code| code.parse().ok()) {
                Some(code) if mine && code != 100 => return code,
                _ => {}
            }
        }
    }

    /// The PBX's own channel of this call, as its `Newchannel` event: matched by the
    /// SIP Call-ID.
    pub(crate) async fn at_pbx(&self) -> Event {
        self.lab.pbx_channel_of(&self.id).await
    }

    /// The caller cancels.
    pub(crate) async fn cancel(&self) {
        let mut message = self.head("CANCEL", b"<sip:raw@127.0.0.2>");
        message.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        self.socket.send(&message).await.unwrap();
    }

    fn head(&self, method: &str, from: &[u8]) -> Vec<u8> {
        let (to, header_to, id) = (&self.to, &self.header_to, &self.id);
        let port = self.socket.local_addr().unwrap().port();
        let mut head = format!(
            "{method} sip:{to}@127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.2:{port};branch=z9hG4bK{id}\r\n\
             Max-Forwards: 70\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\n\
             To: <sip:{header_to}@127.0.0.1>\r\nFrom: "
        )
        .into_bytes();
        head.extend_from_slice(from);
        head.extend_from_slice(format!(";tag={id}\r\n").as_bytes());
        head
    }
}
