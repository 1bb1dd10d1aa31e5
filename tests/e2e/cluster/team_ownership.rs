//! Which daemon owns the operator states when the configurations of two PBXes request the same teams.
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use super::site::{Daemon, Site, environment_of, shown, shows};
use crate::support::pbx_lab::Lab;
use crate::support::services::shared;

/// Waits until `/readyz` of a gateway reports these teams as owned elsewhere.
async fn says(site: &Site, daemon: &Daemon, kept_elsewhere: Value) {
    let is = |status: StatusCode, text: &str| {
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        let nothing = kept_elsewhere == json!([]) && said.get("kept_elsewhere").is_none();
        status == StatusCode::OK && (nothing || said["kept_elsewhere"] == kept_elsewhere)
    };
    site.until(daemon, "/readyz", is).await;
    let metric = format!("toritsugi_teams_kept_elsewhere {}\n", kept_elsewhere.as_array().unwrap().len());
    site.until(daemon, "/metrics", |_, text| text.contains(&metric)).await;
}

/// What `toritsugi check` reports about the operators of this PBX.
async fn check(site: &Site, lab: &Lab, pbx: &str) -> String {
    let mut settings = site.settings.clone();
    settings.push(("PBX__NAME".into(), pbx.into()));
    let mut check = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    let checked = check.arg("check").envs(environment_of(lab, &settings)).output().await.unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    said.lines().find(|line| line.contains("operators ")).unwrap_or(&said).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_whom_two_pbxes_request_have_one_owner_and_the_other_says_so() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    // Neither configuration names a team: both request everybody.
    let mut osaka = site.start(&lab, "osaka").await;
    says(&site, &osaka, json!([])).await;
    let tokyo = site.start(&lab, "tokyo").await;
    says(&site, &tokyo, json!([{ "pbx": "osaka" }])).await;
    says(&site, &osaka, json!([])).await;
    let found = check(&site, &lab, "tokyo").await;
    assert!(found.starts_with("FAILED") && found.contains("everybody else by osaka"), "{found}");
    let found = check(&site, &lab, "osaka").await;
    assert!(found.starts_with("ok"), "{found}");

    // Osaka owns the operator's state, whichever gateway the operator uses; both gateways show the same state.
    shows(&site, &tokyo, "1003", &json!({ "state": "logged_out", "version": 0, "pbx": "osaka" })).await;
    let path = format!("/v1/operators/{}/state", shown(&site, &tokyo, "1003").await["id"].as_str().unwrap());
    let ready = json!({ "state": "ready", "version": 0 });
    let set = site.json(&tokyo, "1003", Method::PUT, &path, &ready).await;
    assert_eq!(set["pbx"], "osaka", "{set}");
    for daemon in [&osaka, &tokyo] {
        shows(&site, daemon, "1003", &set).await;
    }
    let recorded = |_: StatusCode, text: &str| text.contains("\"ready\"");
    site.until(&osaka, &path.replace("/state", "/history"), recorded).await;

    // Osaka is configured for its own team: Tokyo takes the others over, with the states they had.
    osaka.child.kill().await.unwrap();
    let mut east = site.clone();
    east.set("OPERATORS__TEAMS", "east");
    let osaka = east.start(&lab, "osaka").await;
    says(&site, &osaka, json!([])).await;
    says(&site, &tokyo, json!([{ "team": "east", "pbx": "osaka" }])).await;
    let mut expected = set.clone();
    expected["pbx"] = json!("tokyo");
    for daemon in [&osaka, &tokyo] {
        shows(&site, daemon, "1003", &expected).await;
        shows(&site, daemon, "1001", &json!({ "state": "logged_out", "version": 0, "pbx": "osaka" })).await;
    }
}
