//! How long a key takes until the page shows what it did, by what the key does. Printed and written to
//! `target/pictures/figures-keys.txt`; not asserted, because machines differ.
//!
//! The browser measures it (Event Timing): from the key to the frame that was presented, in steps of 8 ms. A key that took
//! less than 16 ms is not reported, and counts as 16.
//!
//! | figure | the next key is pressed |
//! |---|---|
//! | at a person's pace | 50 ms after this one, which is faster than people type: the goal is about this figure |
//! | as fast as possible | as soon as the browser has handed this one over: it also counts the frames of the keys before |
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::chromium::Chromium;
use crate::figures::{keep, quantile};
use crate::person::{LEFT, Person};
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;

/// Rounds at a person's pace where `TORITSUGI_KEY_ROUNDS` does not say how many; a third of them is typed as fast as possible.
const ROUNDS: usize = 3;
const PACE: Duration = Duration::from_millis(50);
const TEXT: &str = "nouki no kakunin wo onegai";
/// What an input method shows while this word is typed.
const KANA: [&str; 5] = ["ｋ", "か", "かｉ", "かいぎ", "会議"];

/// Notes each key, and how long those took that the browser reports.
const WATCH: &str = "{
    globalThis.pressed = [];
    const took = new Map();
    const report = new PerformanceObserver((list) => note(list.getEntries()));
    const note = (entries) => entries.filter((one) => one.name === 'keydown')
        .forEach((one) => took.set(Math.round(one.startTime * 10), one.duration));
    addEventListener('keydown', (event) => pressed.push(event.timeStamp), { capture: true });
    report.observe({ type: 'event', durationThreshold: 16 });
    globalThis.tookEach = () => {
        note(report.takeRecords());
        return pressed.splice(0).map((at) => took.get(Math.round(at * 10)) ?? 16);
    };
    0
}";

/// Somebody at the keyboard, and what each key was for.
struct Typist<'a> {
    person: &'a Person,
    pace: Option<Interval>,
    pressed: Vec<&'static str>,
}

impl<'a> Typist<'a> {
    fn new(person: &'a Person, pace: Option<Duration>) -> Self {
        let pace = pace.map(|pace| {
            let mut pace = interval(pace);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        Self { person, pace, pressed: Vec::new() }
    }

    async fn next(&mut self, what: &'static str) {
        self.pressed.push(what);
        if let Some(pace) = &mut self.pace {
            pace.tick().await;
        }
    }

    async fn presses(&mut self, what: &'static str, key: &str) {
        self.next(what).await;
        self.person.tab.key(key).await;
    }

    /// A key that the input method takes, and what it shows then.
    async fn composes(&mut self, shown: &str) {
        self.next("kana").await;
        let key =
            json!({ "type": "rawKeyDown", "key": "Process", "code": "KeyA", "windowsVirtualKeyCode": 229 });
        self.person.tab.call("Input.dispatchKeyEvent", key).await;
        let end = shown.encode_utf16().count();
        let composition = json!({ "text": shown, "selectionStart": end, "selectionEnd": end });
        self.person.tab.call("Input.imeSetComposition", composition).await;
    }

    async fn commits(&mut self, text: &str) {
        self.next("Enter of the input method").await;
        let enter =
            json!({ "type": "rawKeyDown", "key": "Process", "code": "Enter", "windowsVirtualKeyCode": 229 });
        self.person.tab.call("Input.dispatchKeyEvent", enter).await;
        self.person.tab.types(text).await;
    }

    /// Orders' places, menus and views, and a message as it is typed.
    async fn round(&mut self) {
        self.presses("T: people", "t").await;
        self.presses("Esc", "Escape").await;
        self.presses("R: states", "r").await;
        self.presses("Esc", "Escape").await;
        for view in ["2", "3", "4"] {
            self.presses("2 to 4: another view", view).await;
        }
        self.presses("1: the desk again", "1").await;
        self.presses("M: the message", "m").await;
        let text = "document.activeElement?.matches('form.message textarea')";
        self.person.tab.until("the text", text).await;
        for (at, key) in TEXT.chars().enumerate() {
            let what = if at == 0 { "first letter" } else { "letter" };
            self.presses(what, &key.to_string()).await;
        }
        for shown in KANA {
            self.composes(shown).await;
        }
        self.commits(KANA[KANA.len() - 1]).await;
        self.presses("Esc", "Escape").await;
        self.person.tab.until("the caret to leave", LEFT).await;
    }

    /// What each key took, by what it was for, in the order of the first of each.
    async fn took(self) -> Vec<(&'static str, Vec<f64>)> {
        let tab = &self.person.tab;
        tab.until("each key", &format!("pressed.length === {}", self.pressed.len())).await;
        let painted =
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))";
        tab.eval(painted).await;
        let took = tab.eval("tookEach()").await;
        let took = took.as_array().unwrap().iter().filter_map(Value::as_f64);
        let mut by_kind: Vec<(&'static str, Vec<f64>)> = vec![("all", Vec::new())];
        for (what, took) in self.pressed.into_iter().zip(took) {
            by_kind[0].1.push(took);
            match by_kind.iter_mut().find(|(kind, _)| *kind == what) {
                Some((_, all)) => all.push(took),
                None => by_kind.push((what, vec![took])),
            }
        }
        for (_, all) in &mut by_kind {
            all.sort_by(f64::total_cmp);
        }
        by_kind
    }
}

fn written(text: &mut String, pace: &str, by_kind: &[(&'static str, Vec<f64>)]) {
    let _ = writeln!(text, "key to painted page, {pace}:");
    for (kind, took) in by_kind {
        let of = |share| quantile(took, share);
        let (p50, p95, most) = (of(0.5), of(0.95), of(1.0));
        let _ = writeln!(
            text,
            "  {kind:<26} {:>4} keys: p50 {p50:.0} ms, p95 {p95:.0} ms, most {most:.0} ms",
            took.len()
        );
    }
}

#[tokio::test]
async fn from_a_key_to_the_painted_page() {
    let rounds = std::env::var("TORITSUGI_KEY_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    let call = person.takes_call(&lab).await;
    person.tab.eval(WATCH).await;
    let mut text = String::new();
    let paces =
        [("at a person's pace", Some(PACE), rounds), ("as fast as possible", None, rounds.div_ceil(3))];
    for (words, pace, rounds) in paces {
        let mut typist = Typist::new(&person, pace);
        for _ in 0..rounds {
            typist.round().await;
        }
        written(&mut text, words, &typist.took().await);
    }
    keep("keys", text.trim_end());
    call.hang_up().await;
    browser.close().await;
    service.stop().await;
}
