//! Measures decoding and the call model on multiplied recorded calls: events a second on one core, memory of a live
//! call, and whether the model keeps anything after a million calls.
//!
//! `cargo bench --bench model`. Each call is a recorded one with its own ids. The rate is the median of [`RUNS`] runs,
//! beside the decoder alone on the same bytes in the same run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its results and stops on failure"
)]

#[path = "calls/mod.rs"]
mod calls;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use jiff::Timestamp;
use tokio_util::codec::Decoder;
use toritsugi::ami::event::Event;
use toritsugi::ami::frame::{Decoded, FrameCodec};
use toritsugi::call::{EndpointRules, Input, Model, Output};
use toritsugi::ids::PbxId;

use calls::Template;

const RUNS: usize = 5;
const CALLS_PER_RUN: u64 = 3_000;
const LIVE_CALLS: u64 = 10_000;
const MANY_CALLS: u64 = 1_000_000;
const EVENTS_PER_SECOND_MIN: f64 = 200_000.0;
const BYTES_PER_CALL_MAX: f64 = 8_192.0;

struct Bench {
    model: Model,
    now: Timestamp,
    codec: FrameCodec,
    buffer: BytesMut,
    events: u64,
    notices: u64,
}

impl Bench {
    fn new() -> Self {
        let plan = EndpointRules {
            pbx: PbxId::parse("bench").unwrap(),
            trunks: vec!["trunk".into()],
            endpoints: toritsugi::contract::endpoint::EndpointNames::default(),
            phones: vec!["1XXX".parse().unwrap()],
            identity_timeout: Duration::from_millis(100),
            presentation_timeout: Duration::from_millis(100),
            card_timeout: Duration::ZERO,
        };
        Self {
            model: Model::new(plan),
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            codec: FrameCodec::without_banner(),
            buffer: BytesMut::new(),
            events: 0,
            notices: 0,
        }
    }

    /// Processes one call; advances the clock by 50 ms, as at 20 calls a second.
    fn call(&mut self, template: &Template, n: u64, with_model: bool) {
        template.stamp(n, &mut self.buffer);
        self.now = self.now.checked_add(Duration::from_millis(50)).unwrap();
        while let Some(decoded) = self.codec.decode(&mut self.buffer).unwrap() {
            let Decoded::Frame(frame) = decoded else { panic!("{decoded:?}") };
            self.events += 1;
            let event = Event::decode(&frame).unwrap();
            if let Some(event) = event.filter(|_| with_model) {
                self.model.handle(self.now, Input::Pbx(event));
                self.drain();
            }
        }
        if with_model {
            self.model.handle_timeout(self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.model.poll_output() {
            self.notices += u64::from(matches!(output, Output::Notice(_)));
        }
    }

    fn rate(template: &Template, with_model: bool) -> f64 {
        let mut bench = Self::new();
        let started = Instant::now();
        for n in 0..CALLS_PER_RUN {
            bench.call(template, n, with_model);
        }
        #[expect(clippy::cast_precision_loss, reason = "a printed result")]
        let rate = bench.events as f64 / started.elapsed().as_secs_f64();
        assert!(!with_model || bench.notices >= 4 * CALLS_PER_RUN, "{} notices", bench.notices);
        rate
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "printed results")]
fn main() {
    let template = Template::recorded("answered-first-operator");
    let (mut decoding, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        decoding.push(Bench::rate(&template, false));
        whole.push(Bench::rate(&template, true));
    }
    let (decoding, whole) = (median(decoding), median(whole));
    println!("| decoding and call model, one core | events/s | ratio |");
    println!("|---|---:|---:|");
    println!("| decoding to typed events alone | {decoding:.0} | 1.00 |");
    println!("| decoding and the call model | {whole:.0} | {:.2} |", whole / decoding);
    println!("| target | {EVENTS_PER_SECOND_MIN:.0} | {:.2} times |", whole / EVENTS_PER_SECOND_MIN);
    println!();

    let talking = template.until_talking();
    let mut bench = Bench::new();
    bench.call(&talking, 0, true);
    let before = resident_kib();
    for n in 1..=LIVE_CALLS {
        bench.call(&talking, n, true);
    }
    let per_call = (resident_kib() - before) as f64 * 1_024.0 / LIVE_CALLS as f64;
    println!("| memory | bytes | ratio |");
    println!("|---|---:|---:|");
    println!(
        "| a live call, of {} with {} legs | {per_call:.0} | {:.2} of the 8 KiB allowed |",
        bench.model.stats().calls,
        bench.model.stats().legs,
        per_call / BYTES_PER_CALL_MAX
    );
    drop(bench);

    let mut bench = Bench::new();
    let mut early = 0;
    for n in 0..MANY_CALLS {
        bench.call(&template, n, true);
        if n == MANY_CALLS / 10 {
            early = resident_kib();
        }
    }
    let late = resident_kib();
    println!("| resident after {} calls (KiB) | {early} | 1.00 |", MANY_CALLS / 10);
    println!("| resident after {MANY_CALLS} calls (KiB) | {late} | {:.2} |", late as f64 / early as f64);
    println!("| remaining in the model | {:?} | |", bench.model.stats());
}
