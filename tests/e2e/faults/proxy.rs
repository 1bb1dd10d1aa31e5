//! A proxy between the daemon and the PBX manager port that injects faults on request.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::pbx_lab::Lab;
use crate::support::wait::TEST_TIMEOUT;

/// Text that identifies the login of the events session.
const EVENTS_LOGIN: &[u8] = b"toritsugi-events";
/// Bytes read at once; a busy PBX sends several frames in as many.
const CHUNK_BYTES: usize = 4096;

#[derive(Default)]
struct Faults {
    cut: AtomicBool,
    was_cut: Notify,
    swallow: AtomicBool,
    swallowed: Notify,
}

/// The proxy; stops when dropped.
pub(crate) struct Proxy {
    port: String,
    faults: Arc<Faults>,
    over: CancellationToken,
}

impl Proxy {
    pub(crate) async fn start(lab: &Lab) -> Self {
        let access = lab.manager_access();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let (faults, over) = (Arc::new(Faults::default()), CancellationToken::new());
        let (for_all, end) = (Arc::clone(&faults), over.clone());
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = end.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((daemon, _)) = accepted else { continue };
                let Ok(pbx) = TcpStream::connect((access.host.as_str(), access.port)).await else { continue };
                let (faults, end) = (Arc::clone(&for_all), end.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = end.cancelled() => {}
                        () = relay(daemon, pbx, &faults) => {}
                    }
                });
            }
        });
        Self { port, faults, over }
    }

    pub(crate) fn port(&self) -> &str {
        &self.port
    }

    /// Cuts the events session in the middle of the next frame of the PBX.
    pub(crate) async fn cut(&self) {
        self.faults.cut.store(true, Ordering::SeqCst);
        timeout(TEST_TIMEOUT, self.faults.was_cut.notified()).await.expect("the PBX says something");
    }

    /// The next Hangup event never arrives.
    pub(crate) fn swallow_a_hangup(&self) {
        self.faults.swallow.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn has_swallowed(&self) {
        timeout(TEST_TIMEOUT, self.faults.swallowed.notified()).await.expect("a Hangup comes by");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

async fn relay(daemon: TcpStream, pbx: TcpStream, faults: &Faults) {
    let (mut from_daemon, mut to_daemon) = daemon.into_split();
    let (mut from_pbx, mut to_pbx) = pbx.into_split();
    let is_events = AtomicBool::new(false);
    let up = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from_daemon.read(&mut chunk).await {
            if chunk[..read].windows(EVENTS_LOGIN.len()).any(|text| text == EVENTS_LOGIN) {
                is_events.store(true, Ordering::SeqCst);
            }
            if to_pbx.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut kept = Vec::new();
        while let Ok(read @ 1..) = from_pbx.read(&mut chunk).await {
            let mut bytes = &chunk[..read];
            if is_events.load(Ordering::SeqCst) {
                // Not at the last byte of a frame, which would not be in the middle.
                if read > 2 && faults.cut.swap(false, Ordering::SeqCst) {
                    let _ = to_daemon
                        .write_all(&bytes[..read / 2 - usize::from(bytes[read / 2 - 1] == b'\n')])
                        .await;
                    faults.was_cut.notify_one();
                    return;
                }
                if faults.swallow.load(Ordering::SeqCst) || !kept.is_empty() {
                    kept.extend_from_slice(bytes);
                    let whole = without_a_hangup(&mut kept, faults);
                    if to_daemon.write_all(&whole).await.is_err() {
                        return;
                    }
                    bytes = &[];
                }
            }
            if to_daemon.write_all(bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Takes the complete frames out of `kept`, without the first Hangup while one is to be swallowed; afterwards, everything.
fn without_a_hangup(kept: &mut Vec<u8>, faults: &Faults) -> Vec<u8> {
    let mut whole = Vec::new();
    while faults.swallow.load(Ordering::SeqCst) {
        let Some(end) = kept.windows(4).position(|text| text == b"\r\n\r\n") else { return whole };
        let frame: Vec<u8> = kept.drain(..end + 4).collect();
        if frame.starts_with(b"Event: Hangup\r\n") {
            faults.swallow.store(false, Ordering::SeqCst);
            faults.swallowed.notify_one();
        } else {
            whole.extend(frame);
        }
    }
    whole.append(kept);
    whole
}
