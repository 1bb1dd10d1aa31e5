//! Call load, and the far end's own record of it.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::desktop::Desktop;
use crate::lab::{CallSpec, Lab, PATIENCE, PlacedCall};
use crate::ms;
use crate::service::Service;

/// Phones that ring alone: 0355502101 rings at 1101, and so on.
const PHONES: usize = 20;
/// How often what no event tells is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Columns of the far end's record.
const DISPOSITION: usize = 14;
const UNIQUE_ID: usize = 16;

/// Calls one after the other, each to the next phone, until told to stop.
///
/// A caller hangs up only after it is sure that a daemon has noted that she was answered. Why not by the clock: a call that
/// comes and ends while nobody follows the PBX is in no history, and must not be; how long nobody does is the
/// machine's affair.
pub(crate) struct Load<'a> {
    lab: &'a Lab,
    calls: RefCell<Vec<Rc<PlacedCall<'a>>>>,
    /// When each was placed.
    placed: RefCell<Vec<Instant>>,
    over: Cell<bool>,
    series: &'static str,
    talks: Duration,
}

/// How long the phones of a load talk unless they are hung up.
const PHONES_TALK: Duration = Duration::from_secs(3_600);

impl<'a> Load<'a> {
    /// Every phone answers after `rings`; callers hang up `talks` after they were placed, or later. `series` tells this
    /// load's callers from others.
    pub(crate) async fn new(lab: &'a Lab, series: &'static str, rings: u64, talks: u64) -> Load<'a> {
        for n in 1..=PHONES {
            lab.phone(&format!("{}", 1100 + n)).talks_briefly(ms(rings), PHONES_TALK).await;
        }
        Load {
            lab,
            calls: RefCell::default(),
            placed: RefCell::default(),
            over: Cell::new(false),
            series,
            talks: ms(talks),
        }
    }

    /// Places a call every `pace`, as long as a phone is free, and has callers hang up once `desktop` knows enough of
    /// them. Ends with the last call.
    pub(crate) async fn run(&self, pace: Duration, service: &Service, desktop: &Desktop) {
        tokio::join!(self.place_all(pace), self.hang_up_known(service, desktop));
    }

    async fn place_all(&self, pace: Duration) {
        let mut every = tokio::time::interval(pace);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.over.get() {
            every.tick().await;
            let before = self.calls().iter().rev().nth(PHONES - 1).cloned();
            if before.is_none_or(|before| before.is_over()) {
                self.place().await;
            }
        }
    }

    async fn hang_up_known(&self, service: &Service, desktop: &Desktop) {
        let (mut over, mut since) = (0, Instant::now());
        while !self.over.get() || over < self.calls().len() {
            sleep(POLL).await;
            // As long as daemons come and go, it takes as long as it takes.
            if !self.over.get() {
                since = Instant::now();
            }
            // The first that is not over; those behind it wait their turn.
            let Some(call) = self.calls().get(over).cloned() else { continue };
            let placed = self.placed.borrow()[over];
            desktop.makes_sure(service).await;
            let is_sure = desktop.look(|knows| knows.is_sure_of_answered(call.from()));
            if call.is_over() || placed.elapsed() >= self.talks && is_sure {
                call.hang_up().await;
                (over, since) = (over + 1, Instant::now());
            }
            assert!(
                since.elapsed() < PATIENCE,
                "no desktop is sure that {} was answered: {}",
                call.from(),
                desktop.look(|knows| knows.of_caller(call.from()))
            );
        }
    }

    pub(crate) async fn place(&self) {
        let n = self.calls.borrow().len();
        let from = format!("090{}{n:06}", self.series);
        let call = self.lab.place_call(CallSpec::new(&from, &format!("03555021{:02}", n % PHONES + 1))).await;
        self.calls.borrow_mut().push(Rc::new(call));
        self.placed.borrow_mut().push(Instant::now());
    }

    fn calls(&self) -> Vec<Rc<PlacedCall<'a>>> {
        self.calls.borrow().clone()
    }

    pub(crate) fn stop(&self) {
        self.over.set(true);
    }

    /// Waits until every call is over at the far end.
    pub(crate) async fn all_ended(&self) {
        for call in self.calls() {
            call.ended().await;
        }
    }

    /// All callers hang up.
    pub(crate) async fn hang_up_all(&self) {
        for call in self.calls() {
            call.hang_up().await;
        }
    }

    /// By caller, whether the far end's record says that the call was answered. Waits until the record is whole.
    async fn record(&self) -> HashMap<String, bool> {
        let file = self.lab.fact("LAB_CALL_RECORD");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut answered: HashMap<String, bool> = HashMap::new();
            if let Ok(lines) = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(&file) {
                for line in lines.into_records().filter_map(Result::ok) {
                    let Some(id) = line.get(UNIQUE_ID) else { continue };
                    *answered.entry(id.to_owned()).or_default() |= line.get(DISPOSITION) == Some("ANSWERED");
                }
            }
            let calls = self.calls();
            let found: HashMap<String, bool> = calls
                .iter()
                .filter_map(|call| Some((call.from().to_owned(), *answered.get(call.id())?)))
                .collect();
            if found.len() == calls.len() {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "the far end recorded {} of {} calls",
                found.len(),
                calls.len()
            );
            sleep(POLL).await;
        }
    }

    /// The end of every test of the battery: history, pops and open calls against the far end's record. Answers
    /// how many calls there were.
    pub(crate) async fn nothing_is_lost(&self, service: &Service, desktops: &[Desktop]) -> usize {
        let record = self.record().await;
        for (n, desktop) in desktops.iter().enumerate() {
            desktop.wait(&format!("desktop {n} sees every call end"), |knows| knows.open.is_empty()).await;
            desktop.look(|knows| assert_eq!(knows.twice, [""; 0], "desktop {n} was told this twice"));
        }
        let (_, open) = service.ask("admin", Method::GET, "/v1/calls", None).await;
        assert_eq!(open["items"], serde_json::json!([]), "a call was left open");
        let history = self.history(service, record.len()).await;
        for (n, desktop) in desktops.iter().enumerate() {
            for (caller, (_, id)) in &history {
                desktop.look(|knows| assert!(knows.popped.contains(id), "desktop {n}: no pop of {caller}"));
            }
        }
        let answered: HashMap<String, bool> =
            history.into_iter().map(|(caller, (answered, _))| (caller, answered)).collect();
        assert_eq!(answered, record, "what the daemon recorded and what the far end did");
        record.len()
    }

    /// By caller, whether the call was answered, as the daemon recorded it, and the call's id; each call once.
    async fn history(&self, service: &Service, calls: usize) -> HashMap<String, (bool, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (mut found, mut cursor) = (HashMap::new(), String::new());
            loop {
                let path = format!("/v1/history?limit=500{cursor}");
                let (status, page) = service.ask("admin", Method::GET, &path, None).await;
                assert_eq!(status.as_u16(), 200, "{page}");
                for call in page["items"].as_array().unwrap() {
                    let caller = call["caller"].as_str().unwrap_or_default().replacen("+81", "0", 1);
                    if caller.starts_with(&format!("090{}", self.series)) {
                        let answered = call["answered_at"].is_string();
                        let id = call["id"].as_str().unwrap().to_owned();
                        assert!(found.insert(caller, (answered, id)).is_none(), "recorded twice: {call}");
                    }
                }
                let Value::String(next) = &page["next"] else { break };
                cursor = format!("&cursor={next}");
            }
            // Records are written behind the events; the last ones may be on their way.
            if found.len() >= calls || Instant::now() > deadline {
                return found;
            }
            sleep(POLL).await;
        }
    }
}
