//! Measures the frame decoder: how fast a million events arrive as frames with indexed headers.
//!
//! This process sends recorded transcripts, multiplied, over loopback. Each reader is a separate process, so that its
//! peak memory can be measured. All readers run in turn, several times; the table shows medians and ratios of one run
//! of this program, because results of different runs are not comparable on a shared machine.
//!
//! | reader | what it does with the same bytes |
//! |---|---|
//! | `count` | searches for frame ends with memchr, and nothing else: the lower bound |
//! | `decode` | [`FrameCodec`]: frames, every header's range, the quarantine's rules; reads five headers by name |
//! | `client` | the whole client (session, backlog, batches); its consumer reads the same headers |
//! | `asterisk-rs-ami` | that crate's codec; reads the same headers |

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and a broken run must not look like a result"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use memchr::memmem::Finder;
use tokio::io::AsyncReadExt;
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;
use toritsugi::ami::client::{ClientEvent, Login, Settings, connect};
use toritsugi::ami::frame::{AMI_BUFFER_BYTES, AMI_READ_BYTES, Decoded, Frame, FrameCodec};
use toritsugi::ami::session::Auth;
use toritsugi::secret::Secret;

const EVENTS_MIN: u64 = 1_000_000;
const STREAM_BYTES_MIN: u64 = 500 * 1024 * 1024;
const ROUNDS: usize = 5;
const READERS: [&str; 4] = ["count", "decode", "client", "asterisk-rs-ami"];
const BANNER: &[u8] = b"Asterisk Call Manager/11.0.0\r\n";
/// Headers read from every event: those by which a call model finds the call.
const READ: [&str; 5] = ["Event", "Channel", "CallerIDNum", "Uniqueid", "Linkedid"];

const RATIO_TO_COUNT_MIN: f64 = 0.6;
const RATIO_TO_CRATE_MIN: f64 = 8.0;
const READER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a reader reports.
#[derive(Debug, Clone, Copy)]
struct Report {
    events: u64,
    /// Sum of the lengths of the values read, equal for all readers.
    checksum: u64,
    nanos: u64,
    /// CPU time of the reader, which other programs on the machine disturb less.
    cpu_nanos: u64,
    /// Growth of the peak resident memory while reading.
    memory_bytes: u64,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--reader"), Some(reader), Some(port)) => read_as(&reader, port.parse().unwrap()),
        _ => compare(),
    }
}

// ---- the sending side ----

fn compare() -> ExitCode {
    let (block, block_events) = block();
    let block_bytes = block.len() as u64;
    let repeats = STREAM_BYTES_MIN.div_ceil(block_bytes).max(EVENTS_MIN.div_ceil(block_events));
    let (events, bytes) = (repeats * block_events, repeats * block_bytes);
    println!(
        "{events} events, {} MB, {} bytes each on average; median of {ROUNDS}",
        bytes >> 20,
        bytes / events
    );
    let mut reports: [Vec<Report>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (reader, reports) in READERS.iter().zip(&mut reports) {
            let report = run(reader, &block, repeats);
            assert_eq!(report.events, events, "{reader} lost events");
            reports.push(report);
        }
    }
    let medians = reports.map(|mut of_reader| {
        of_reader.sort_by_key(|report| report.nanos);
        Report {
            memory_bytes: of_reader.iter().map(|report| report.memory_bytes).max().unwrap(),
            ..of_reader[ROUNDS / 2]
        }
    });
    let [count, decode, client, theirs] = medians;
    assert_eq!(decode.checksum, theirs.checksum, "the readers disagree on values");
    assert_eq!(decode.checksum, client.checksum, "the readers disagree on values");
    println!(
        "{:<16} {:>8} {:>11} {:>9} {:>8} {:>13} {:>11} {:>9}",
        "reader", "MB/s", "events/s", "of count", "x crate", "CPU ns/event", "CPU: count", "peak KiB"
    );
    for (name, report) in READERS.iter().zip(medians) {
        let seconds = report.nanos as f64 / 1e9;
        println!(
            "{name:<16} {:>8.0} {:>11.0} {:>9.2} {:>8.2} {:>13.0} {:>11.2} {:>9}",
            bytes as f64 / 1e6 / seconds,
            events as f64 / seconds,
            count.nanos as f64 / report.nanos as f64,
            theirs.nanos as f64 / report.nanos as f64,
            report.cpu_nanos as f64 / events as f64,
            count.cpu_nanos as f64 / report.cpu_nanos as f64,
            report.memory_bytes / 1024,
        );
    }
    let to_count = count.nanos as f64 / decode.nanos as f64;
    let to_crate = theirs.nanos as f64 / decode.nanos as f64;
    let memory = decode.memory_bytes.max(client.memory_bytes);
    let met = [
        (format!("decode / count {to_count:.2} >= {RATIO_TO_COUNT_MIN}"), to_count >= RATIO_TO_COUNT_MIN),
        (format!("decode / crate {to_crate:.1} >= {RATIO_TO_CRATE_MIN}"), to_crate >= RATIO_TO_CRATE_MIN),
        (format!("reader's memory {} KiB < 16 MiB", memory / 1024), memory < READER_BYTES_MAX),
        ("no event lost".to_owned(), true),
    ];
    for (target, met) in &met {
        println!("{} {target}", if *met { "met   " } else { "MISSED" });
    }
    if met.iter().all(|(_, met)| *met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The events of all transcripts, several times, so that one write is large; and their number.
fn block() -> (Vec<u8>, u64) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let entries = |folder: &std::path::Path| -> Vec<_> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let versions = entries(&root).into_iter().filter(|path| path.is_dir());
    let mut paths: Vec<_> = versions.flat_map(|version| entries(&version)).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ami"));
    paths.sort();
    let mut all = Vec::new();
    let mut events = 0;
    for path in paths {
        let mut transcript = BytesMut::from(&std::fs::read(path).unwrap()[..]);
        let mut codec = FrameCodec::new();
        while let Some(decoded) = codec.decode(&mut transcript).unwrap() {
            if let Decoded::Frame(frame) = decoded
                && frame.event_name().is_some()
                && frame.headers().nth(1).is_some_and(|(key, _)| key == b"Privilege")
            {
                all.extend_from_slice(frame.as_bytes());
                all.extend_from_slice(b"\r\n");
                events += 1;
            }
        }
    }
    let copies = (1024 * 1024 / all.len()).max(1);
    (all.repeat(copies), events * copies as u64)
}

fn run(reader: &str, block: &[u8], repeats: u64) -> Report {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let own = std::env::current_exe().unwrap();
    let mut child =
        Command::new(own).args(["--reader", reader, &port]).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    // The client has two sessions; the actions session is logged in and gets no events.
    let mut idle = None;
    if reader == "client" {
        let (second, _) = listener.accept().unwrap();
        stream.write_all(BANNER).unwrap();
        (&second).write_all(BANNER).unwrap();
        let first_is_events = log_in(&stream);
        let second_is_events = log_in(&second);
        assert!(first_is_events != second_is_events);
        if second_is_events {
            idle = Some(std::mem::replace(&mut stream, second));
        } else {
            idle = Some(second);
        }
    }
    for _ in 0..repeats {
        stream.write_all(block).unwrap();
    }
    // Closed after the reader ends: closing a socket with unread data would reset the connection.
    stream.shutdown(Shutdown::Write).unwrap();
    let output = child.wait_with_output_line();
    drop((stream, idle));
    let mut numbers = output.split_whitespace().map(|number| number.parse::<u64>().unwrap());
    let mut next = || numbers.next().unwrap();
    Report { events: next(), checksum: next(), nanos: next(), cpu_nanos: next(), memory_bytes: next() }
}

/// Accepts a login; returns whether it is the events session's.
fn log_in(stream: &TcpStream) -> bool {
    let (mut id, mut events) = (String::new(), true);
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(text) = line.strip_prefix("ActionID: ") {
            id = text.to_owned();
        }
        events &= line != "Events: off";
        if line.is_empty() {
            break;
        }
    }
    let mut stream = stream;
    write!(stream, "Response: Success\r\nActionID: {id}\r\nMessage: Authentication accepted\r\n\r\n")
        .unwrap();
    events
}

trait WaitLine {
    fn wait_with_output_line(&mut self) -> String;
}

impl WaitLine for std::process::Child {
    fn wait_with_output_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(self.wait().unwrap().success());
        line
    }
}

// ---- the reading side ----

fn read_as(reader: &str, port: u16) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (before, cpu_before) = (peak_bytes(), cpu_nanos());
    let started = Instant::now();
    let (events, checksum) = match reader {
        "count" => runtime.block_on(count(port)),
        "decode" => runtime.block_on(decode(port)),
        "client" => runtime.block_on(client(port)),
        _ => runtime.block_on(asterisk_rs(port)),
    };
    let nanos = started.elapsed().as_nanos();
    println!("{events} {checksum} {nanos} {} {}", cpu_nanos() - cpu_before, peak_bytes() - before);
    ExitCode::SUCCESS
}

async fn tcp(port: u16) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

async fn count(port: u16) -> (u64, u64) {
    let mut stream = tcp(port).await;
    let finder = Finder::new(b"\r\n\r\n");
    let mut buffer = vec![0; AMI_BUFFER_BYTES];
    let (mut kept, mut ends) = (0, 0);
    loop {
        let read = stream.read(&mut buffer[kept..]).await.unwrap();
        if read == 0 {
            return (ends, 0);
        }
        let filled = kept + read;
        let mut searched = 0;
        while let Some(found) = finder.find(&buffer[searched..filled]) {
            ends += 1;
            searched += found + 4;
        }
        // An end may lie across two reads.
        let from = searched.max(filled.saturating_sub(3));
        buffer.copy_within(from..filled, 0);
        kept = filled - from;
    }
}

fn read_values(frame: &Frame) -> u64 {
    let [event, channel, number, id, set] = READ;
    let read = [frame.get(event), frame.get(channel), frame.get(number), frame.get(id), frame.get(set)];
    read.into_iter().flatten().map(|value| value.len() as u64).sum()
}

async fn decode(port: u16) -> (u64, u64) {
    let mut stream = tcp(port).await;
    let mut codec = FrameCodec::without_banner();
    let mut bytes = FrameCodec::buffer();
    let (mut events, mut checksum) = (0, 0);
    loop {
        while let Some(decoded) = codec.decode(&mut bytes).unwrap() {
            match decoded {
                Decoded::Frame(frame) => {
                    events += 1;
                    checksum += read_values(&frame);
                }
                other => panic!("{other:?}"),
            }
        }
        FrameCodec::make_room(&mut bytes);
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return (events, checksum);
        }
    }
}

async fn client(port: u16) -> (u64, u64) {
    let login = || Login { username: "bench".to_owned(), secret: Secret::new("bench") };
    let mut settings = Settings::new("127.0.0.1", port, login(), login(), || 1);
    settings.auth = Auth::Plain;
    settings.ping = Duration::from_secs(60);
    let (_handle, mut stream) = connect(settings, CancellationToken::new());
    let (mut events, mut checksum) = (0, 0);
    loop {
        for event in stream.next_frames().await.unwrap() {
            match event {
                ClientEvent::Pbx(frame) => {
                    events += 1;
                    checksum += read_values(&frame);
                }
                ClientEvent::Down { .. } => return (events, checksum),
                ClientEvent::Overrun { dropped } => panic!("{dropped} dropped"),
                _ => {}
            }
        }
    }
}

async fn asterisk_rs(port: u16) -> (u64, u64) {
    let mut stream = tcp(port).await;
    let mut codec = asterisk_rs_ami::codec::AmiCodec::new();
    codec.decode(&mut BytesMut::from(BANNER)).unwrap();
    let mut buffer = BytesMut::with_capacity(AMI_BUFFER_BYTES);
    let (mut events, mut checksum) = (0, 0);
    loop {
        while let Some(message) = codec.decode(&mut buffer).unwrap() {
            events += 1;
            checksum +=
                READ.iter().filter_map(|key| message.get(key)).map(|value| value.len() as u64).sum::<u64>();
        }
        buffer.reserve(AMI_READ_BYTES);
        if stream.read_buf(&mut buffer).await.unwrap() == 0 {
            return (events, checksum);
        }
    }
}

/// CPU time of this process so far.
fn cpu_nanos() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    schedstat.split_whitespace().next().unwrap().parse().unwrap()
}

/// Peak resident memory of this process so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}
