//! A call that starts and ends while no daemon runs: it is in no history, and the time lies inside a gap that is
//! published and stored.
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::desktop::Desktop;
use super::{all_is_logged, start};
use crate::far_end_cdr::{Placed, far_end_cdr};
use crate::ms;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;

/// The heartbeat interval of a daemon, plus one second.
const UNCERTAIN: SignedDuration = SignedDuration::from_secs(6);
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_no_daemon_saw_lies_inside_a_gap_that_is_published_and_stored() {
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[]).await;
    let mut daemon = start(&service);
    let desktop = Desktop::follow(&service, "admin").await;
    lab.phone("1101").answers_after(ms(100)).await;
    let (mut placed, mut dark) = (Vec::new(), Vec::new());
    for n in 0..KILLS {
        let gaps = desktop.count("pbx.gap");
        all_is_logged(&service).await;
        daemon.kill().await.unwrap();
        let killed = Timestamp::now();
        desktop.wait("the stream has ended", |model| !model.up).await;
        let call = lab.place_call(CallSpec::new(&format!("0906600000{n}"), "0355502101")).await;
        call.answered().await;
        call.hang_up().await;
        placed.push(Placed::from(&call));
        drop(call);
        dark.push((killed, Timestamp::now()));
        daemon = start(&service);
        desktop.wait("it is back", |model| model.up).await;
        desktop.wait("the gap is published", |model| model.count("pbx.gap") > gaps).await;
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
    let far = far_end_cdr(&lab, &placed).await;
    assert!(far.values().all(|call| call.answered), "{far:?}");
    // A record that is still being written would be in the history by then.
    all_is_logged(&service).await;
    let (_, history) = service.ask("admin", Method::GET, "/v1/history", None).await;
    assert_eq!(history["items"], json!([]), "nobody saw them");
    desktop.look(|model| assert!(model.open.is_empty()));
    println!("{KILLS} calls that no daemon saw, each inside a gap that is published and stored");
    daemon.kill().await.unwrap();
}
