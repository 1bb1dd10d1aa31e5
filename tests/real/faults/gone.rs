//! What nobody saw: a call that came and went while no daemon lived is in no history, and lies inside a gap that is told
//! and kept.
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::desktop::Desktop;
use super::{all_is_logged, start};
use crate::far_record::{Placed, far_record};
use crate::lab::{CallSpec, Lab};
use crate::ms;
use crate::service::Service;

/// As often as a daemon notes that it lives, and a second.
const UNCERTAIN: SignedDuration = SignedDuration::from_secs(6);
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_no_daemon_saw_lies_inside_a_gap_that_is_told_and_kept() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let mut daemon = start(&service);
    let desktop = Desktop::follow(&service, "admin").await;
    lab.phone("1101").answers_after(ms(100)).await;
    let (mut placed, mut dark) = (Vec::new(), Vec::new());
    for n in 0..KILLS {
        let told = desktop.count("pbx.gap");
        all_is_logged(&service).await;
        daemon.kill().await.unwrap();
        let killed = Timestamp::now();
        desktop.wait("the stream has ended", |knows| !knows.up).await;
        let call = lab.place_call(CallSpec::new(&format!("0906600000{n}"), "0355502101")).await;
        call.answered().await;
        call.hang_up().await;
        placed.push(Placed::from(&call));
        drop(call);
        dark.push((killed, Timestamp::now()));
        daemon = start(&service);
        desktop.wait("it is back", |knows| knows.up).await;
        desktop.wait("the gap is told", |knows| knows.count("pbx.gap") > told).await;
    }

    let are_kept = |_, answer: &Value| answer["items"].as_array().is_some_and(|gaps| gaps.len() >= KILLS);
    let gaps = service.until("admin", "/v1/pbx/gaps", are_kept).await["items"].as_array().unwrap().clone();
    assert_eq!(gaps.len(), KILLS, "{gaps:#?}");
    let time = |gap: &Value, key: &str| gap[key].as_str().unwrap().parse::<Timestamp>().unwrap();
    for ((killed, back), gap) in dark.iter().zip(gaps.iter().rev()) {
        let (from, to) = (time(gap, "from"), time(gap, "to"));
        assert!(from <= *killed && *back <= to, "{killed} to {back} is not inside {gap}");
        assert!(killed.duration_since(from) <= UNCERTAIN, "killed at {killed}: {gap}");
        assert_eq!((&gap["cause"], &gap["restarted"]), (&json!("the daemon was not running"), &json!(false)));
    }
    let far = far_record(&lab, &placed).await;
    assert!(far.values().all(|call| call.answered), "{far:?}");
    // What is still on its way to the history would be there after this.
    all_is_logged(&service).await;
    let (_, history) = service.ask("admin", Method::GET, "/v1/history", None).await;
    assert_eq!(history["items"], json!([]), "nobody saw them");
    desktop.look(|knows| assert!(knows.open.is_empty()));
    println!("{KILLS} calls that no daemon saw, each inside a gap that is told and kept");
    daemon.kill().await.unwrap();
}
