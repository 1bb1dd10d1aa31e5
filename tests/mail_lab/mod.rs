//! A private Postfix and a private Dovecot for the tests of the outbox.
//!
//! `up.sh` starts the servers and ends them with the test binary. The [`Policy`] of the lab answers, for each recipient, what
//! Postfix asks before it takes a recipient (`RCPT`) and a mail (`END-OF-MESSAGE`): a test says what a recipient's server
//! does, and Postfix does it with its own words on the wire. [`CuttingProxy`] stands before Postfix and loses the answer to a
//! mail that Postfix has taken.
//!
//! Invariant: the lab uses no type of the product, so that what arrives is an independent check.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The user who may sign in, and the password.
pub(crate) const LOGIN: (&str, &str) = ("report", "hunter2");

/// The running servers.
pub(crate) struct MailLab {
    shell: Mutex<Shell>,
    run_dir: PathBuf,
    /// The certificate of the authority that signed the servers' certificate.
    pub(crate) ca_file: PathBuf,
    policy: Policy,
}

struct Shell {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What Postfix answers for a recipient.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It takes the recipient, or the mail.
    Take,
    /// It says this: a code, a status and words.
    Say(&'static str),
    /// It takes the mail after this time.
    TakeAfter(Duration),
}

/// The policy service that Postfix asks, and what Dovecot asks about access tokens.
#[derive(Clone, Default)]
struct Policy(Arc<Mutex<Answers>>, Arc<Mutex<HashMap<String, String>>>);

/// By phase and recipient.
type Answers = HashMap<(&'static str, String), VecDeque<Answer>>;

impl MailLab {
    /// Starts the servers: some seconds, or some minutes where they have to be installed first.
    pub(crate) async fn start() -> Self {
        let run = NEXT.fetch_add(1, Ordering::Relaxed);
        let run_dir = std::env::temp_dir().join(format!("toritsugi-mail-{}-{run}", std::process::id()));
        let ca_file = write_certificates(&run_dir.join("tls"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let policy = Policy::default();
        tokio::spawn(policy.clone().serve(listener));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail_lab/up.sh");
        let mut child = Command::new(script)
            .arg(&run_dir)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/mail_lab/up.sh runs (bash is installed)");
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped above"));
        let shell = Shell { child, commands, answers };
        let lab = Self { shell: Mutex::new(shell), run_dir, ca_file, policy };
        tokio::task::block_in_place(|| lab.shell.lock().unwrap().expect("ready"));
        lab
    }

    /// One of the ports that `up.sh` names.
    pub(crate) fn port(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.run_dir.join("mail.env")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} is in mail.env")).to_owned()
    }

    /// What Postfix answers, in this order, when it is asked whether it takes this recipient; then it takes it.
    pub(crate) fn at_recipient(&self, address: &str, answers: &[Answer]) {
        self.policy.set("RCPT", address, answers);
    }

    /// What Postfix answers, in this order, after the last byte of a mail to this recipient; then it takes it.
    pub(crate) fn at_last_byte(&self, address: &str, answers: &[Answer]) {
        self.policy.set("END-OF-MESSAGE", address, answers);
    }

    /// From now on this access token is one of `user` (XOAUTH2).
    pub(crate) fn allow_token(&self, token: &str, user: &str) {
        self.policy.1.lock().unwrap().insert(token.to_owned(), user.to_owned());
    }

    /// Sends a mail as another system does: over the port without a sign-in.
    pub(crate) async fn post(&self, to: &str, mail: &str) {
        let address = format!("127.0.0.1:{}", self.port("PLAIN_PORT"));
        let (reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let mut answers = tokio::io::BufReader::new(reader).lines();
        let mail = mail.replace("\r\n", "\n").replace('\n', "\r\n");
        for line in [
            "HELO test.example.jp",
            "MAIL FROM:<sasaki@sakura.example.jp>",
            &format!("RCPT TO:<{to}>"),
            "DATA",
            &format!("{mail}\r\n."),
            "QUIT",
        ] {
            let answer = answers.next_line().await.unwrap().unwrap();
            assert!(answer.starts_with(['2', '3']), "{line}: {answer}");
            writer.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        }
        let answer = answers.next_line().await.unwrap().unwrap();
        assert!(answer.starts_with("221"), "{answer}");
    }

    /// The mails in a mailbox, in the order of their arrival.
    pub(crate) fn mails(&self, mailbox: &str) -> Vec<Vec<u8>> {
        let Ok(found) = std::fs::read_dir(self.run_dir.join("mail").join(mailbox).join("new")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        files.sort_by_key(|file| arrived(file.file_name().unwrap().to_str().unwrap()));
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }

    /// How many mails are in a mailbox.
    pub(crate) fn count(&self, mailbox: &str) -> usize {
        std::fs::read_dir(self.run_dir.join("mail").join(mailbox).join("new")).map_or(0, Iterator::count)
    }

    /// What Postfix has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.run_dir.join("postfix.log")).unwrap_or_default()
    }

    /// Ends Postfix.
    pub(crate) fn stop(&self) {
        tokio::task::block_in_place(|| self.shell.lock().unwrap().command("stop", "stopped"));
    }

    /// Starts it again, on the same ports.
    pub(crate) fn revive(&self) {
        tokio::task::block_in_place(|| self.shell.lock().unwrap().command("start", "ready"));
    }
}

impl Drop for MailLab {
    fn drop(&mut self) {
        // A second panic would end the process and leave its servers behind.
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        shell.commands = None;
        let _ = shell.child.wait();
    }
}

impl Shell {
    fn command(&mut self, command: &str, answer: &str) {
        let commands = self.commands.as_mut().unwrap();
        writeln!(commands, "{command}").unwrap();
        commands.flush().unwrap();
        self.expect(answer);
    }

    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), answer, "up.sh says why on standard error");
    }
}

impl Policy {
    fn set(&self, phase: &'static str, address: &str, answers: &[Answer]) {
        let answers = answers.iter().cloned().collect();
        self.0.lock().unwrap().insert((phase, address.to_owned()), answers);
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().answer(stream));
        }
    }

    /// Answers the requests of one Postfix process (SMTPD_POLICY_README).
    async fn answer(self, stream: TcpStream) {
        let (reader, mut writer) = stream.into_split();
        let mut lines = tokio::io::BufReader::new(reader).lines();
        let mut request = HashMap::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(token) = line.strip_prefix("GET /token?access_token=") {
                return self.answer_about(token, &mut writer).await;
            }
            if let Some((key, value)) = line.split_once('=') {
                request.insert(key.to_owned(), value.to_owned());
                continue;
            }
            let action = self.action(&request).await;
            request.clear();
            if writer.write_all(format!("action={action}\n\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// Says over HTTP whose an access token is.
    async fn answer_about(&self, request: &str, writer: &mut tokio::net::tcp::OwnedWriteHalf) {
        let token = request.split(['&', ' ']).next().unwrap_or_default();
        let user = self.1.lock().unwrap().get(token).cloned();
        let body = match user {
            Some(user) => format!(r#"{{"username":"{user}","active":true}}"#),
            None => r#"{"active":false}"#.to_owned(),
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        // Dovecot may have gone.
        let _ = writer.write_all(answer.as_bytes()).await;
    }

    async fn action(&self, request: &HashMap<String, String>) -> &'static str {
        let attribute = |name: &str| request.get(name).cloned().unwrap_or_default();
        let phase = if attribute("protocol_state") == "RCPT" { "RCPT" } else { "END-OF-MESSAGE" };
        let next = {
            let mut answers = self.0.lock().unwrap();
            answers.get_mut(&(phase, attribute("recipient"))).and_then(VecDeque::pop_front)
        };
        match next.unwrap_or(Answer::Take) {
            Answer::Take => "DUNNO",
            Answer::Say(words) => words,
            Answer::TakeAfter(delay) => {
                tokio::time::sleep(delay).await;
                "DUNNO"
            }
        }
    }
}

/// A proxy before a port of Postfix: it passes everything on, and after some mails it loses the answer to the last byte.
pub(crate) struct CuttingProxy {
    /// Where it listens.
    pub(crate) port: u16,
    /// Answers that it still loses.
    left: Arc<AtomicUsize>,
    /// What clients have written.
    pub(crate) written: Arc<Mutex<Vec<u8>>>,
}

impl CuttingProxy {
    /// Starts it before `port`; it loses `cuts` answers.
    pub(crate) async fn start(port: &str, cuts: usize) -> Self {
        let server = format!("127.0.0.1:{port}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (left, written) = (Arc::new(AtomicUsize::new(cuts)), Arc::new(Mutex::new(Vec::new())));
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            left: left.clone(),
            written: written.clone(),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), left.clone(), written.clone()));
            }
        });
        proxy
    }

    /// How many answers it still loses.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, server: String, left: Arc<AtomicUsize>, written: Arc<Mutex<Vec<u8>>>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_cutting = Arc::new(AtomicUsize::new(0));
    let cutting = is_cutting.clone();
    let upwards = async move {
        let (mut buffer, mut tail) = ([0; 8192], Vec::new());
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            written.lock().unwrap().extend_from_slice(&buffer[..count]);
            tail.extend_from_slice(&buffer[..count]);
            if tail.windows(5).any(|at| at == b"\r\n.\r\n") && left.load(Ordering::SeqCst) > 0 {
                left.fetch_sub(1, Ordering::SeqCst);
                cutting.store(1, Ordering::SeqCst);
            }
            let keep = tail.len().saturating_sub(4);
            tail.drain(..keep);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let downwards = async move {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            // Postfix has taken the mail, and the connection breaks before the client hears of it.
            if is_cutting.load(Ordering::SeqCst) > 0 {
                assert!(buffer.starts_with(b"250"), "{}", String::from_utf8_lossy(&buffer[..count]));
                return;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upwards => {}
        () = downwards => {}
    }
}

/// When the mail in a file of a mailbox arrived, in seconds and microseconds: Postfix names it `SECONDS.V…M123456.host`, and between
/// two of one second the number of the file comes first in the name.
fn arrived(file: &str) -> (u64, u64) {
    let (seconds, rest) = file.split_once('.').unwrap();
    let micros = rest.split('.').next().unwrap().rsplit('M').next().unwrap();
    (seconds.parse().unwrap(), micros.parse().unwrap())
}

/// Writes a certificate for `localhost` and 127.0.0.1, its key, and the certificate of its authority, whose path it returns.
fn write_certificates(dir: &Path) -> PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    std::fs::create_dir_all(dir).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(dir.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let ca_file = dir.join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    ca_file
}
