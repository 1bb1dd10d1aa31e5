//! What a PBX that was there before must have, beyond the logins: the queues and trunks that the configuration names, and a
//! dialplan that loses no call.
//!
//! | test | compares |
//! |---|---|
//! | queues | `operators.queues` and `transfer.queues` with the PBX's queues |
//! | trunks | `pbx.trunks` with the PJSIP endpoints |
//! | dialplan, identity | what the dialplan does with calls that begin in a trunk's context (`dialplan.rs`) |
//! | fax | the context, its modules (`fax.rs`) |
//! | voice | the context, its modules (`voice.rs`) |
//! | transfers | `TORITSUGI_TRUNK`, the feature code of consultations, option t |
//!
//! Invariant: the tests only read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use toritsugi::ami::action::{Action, PbxValue};
use toritsugi::ami::client::{Handle, ListError};
use toritsugi::ami::event::PbxEvent;
use toritsugi::ami::frame::Frame;
use toritsugi::ami::member::MemberEvent;
use toritsugi::ami::session::ActionOutcome;
use toritsugi::callflow::CLOCK_OFF_MAX_S;
use toritsugi::config::{Config, PbxConfig};
use toritsugi::contract::endpoint::{TRUNK_CONTEXTS, TRUNKS};
use toritsugi::ids::QueueName;

use super::Finding;
use super::dialplan::{Context, Dialplan, Priority};
use super::{callflow, fax, voice};

/// The contexts of toritsugi-dialplan.conf, and what does not work without each.
const OWN_CONTEXTS: [(&str, &str); 5] = [
    ("toritsugi-identity", "the SIP headers are read from the channel, a moment later"),
    ("toritsugi-callflow", "no callflow treats a call"),
    ("toritsugi-plan", "no callflow can be written"),
    ("toritsugi-transfer", "no transfer after answer"),
    ("toritsugi-spy", "no listening, whispering or barging in"),
];
/// Most extensions or applications that one line names.
const NAMES_SHOWN_MAX: usize = 5;
/// Modules without which a transfer fails, in toritsugi-dialplan.conf.
const TRANSFER_MODULES: [&str; 6] = [
    "app_read.so",
    "app_userevent.so",
    "func_cut.so",
    "func_devstate.so",
    "func_hangupcause.so",
    "res_musiconhold.so",
];
/// Modules of other drivers than PJSIP, whose trunks are no PJSIP endpoints.
const OTHER_DRIVERS: [&str; 3] = ["chan_sip.so", "chan_dahdi.so", "chan_iax2.so"];
/// The module that reads the endpoints.
const ENDPOINT_MODULE: &str = "func_pjsip_endpoint.so";
/// The step that hands over a call's identity. Without the file that has the context, it does nothing.
const IDENTITY_STEP: &str = "GosubIf(${DIALPLAN_EXISTS(toritsugi-identity,s,1)}?toritsugi-identity,s,1)";

/// All findings; both sessions are up.
pub(super) async fn check(config: &Config, handle: &Handle) -> Vec<Finding> {
    let mut findings = vec![queues(config, handle).await];
    findings.extend(clock(handle).await);
    let mut first = BTreeSet::new();
    findings.extend(trunks(&config.pbx, handle, &mut first).await);
    findings.extend(dialplan(&config.pbx, first, handle).await);
    findings.extend(fax::pbx(config, handle).await);
    findings.extend(voice::pbx(config, handle).await);
    findings.extend(callflow::plans(handle).await);
    findings
}

/// Whether the PBX's clock is this machine's: plans open and close accounts by the PBX's.
async fn clock(handle: &Handle) -> Option<Finding> {
    const WHAT: &str = "clock";
    let theirs: i64 = read(handle, PbxValue::Clock).await?.parse().ok()?;
    let ahead = theirs - Timestamp::now().as_second();
    if ahead.abs() <= CLOCK_OFF_MAX_S {
        return Some(Finding::ok(WHAT, "the PBX's clock is this machine's".to_owned()));
    }
    let by = if ahead > 0 { "ahead of" } else { "behind" };
    Some(Finding::failed(
        WHAT,
        format!(
            "the PBX's clock is {} s {by} this machine's, so accounts open and close at wrong times: keep both right with NTP",
            ahead.abs()
        ),
    ))
}

async fn queues(config: &Config, handle: &Handle) -> Finding {
    const WHAT: &str = "queues";
    let events = match handle.list(Action::queue_status()).await {
        Ok(events) => events,
        Err(error) => return Finding::failed(WHAT, format!("the PBX did not list its queues: {error}")),
    };
    let name = |event| match event {
        PbxEvent::Member(MemberEvent::Queue { queue, .. }) => Some(queue),
        _ => None,
    };
    let present: BTreeSet<QueueName> = events.into_iter().filter_map(name).collect();
    let names = |queues: &mut dyn Iterator<Item = &QueueName>| {
        queues.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let configured = [
        ("operators.queues", &config.operators.queues, "nobody becomes a member there"),
        ("transfer.queues", &config.transfer.queues, "no caller can be sent there"),
    ];
    let mut missing = Vec::new();
    for (key, queues, effect) in configured {
        let lacking = names(&mut queues.iter().filter(|queue| !present.contains(*queue)));
        if !lacking.is_empty() {
            missing.push(format!("{key} names {lacking}, which the PBX does not have ({effect})"));
        }
    }
    let has = if present.is_empty() {
        "the PBX has no queue".to_owned()
    } else {
        format!("the PBX has {}", names(&mut present.iter()))
    };
    if missing.is_empty() {
        return Finding::ok(WHAT, has);
    }
    Finding::failed(WHAT, format!("{}; {has}: correct the key, [] is no queue", missing.join("; ")))
}

/// Adds the contexts of the trunks' endpoints to `first`.
async fn trunks(pbx: &PbxConfig, handle: &Handle, first: &mut BTreeSet<String>) -> Vec<Finding> {
    const WHAT: &str = "trunks";
    let mut findings = Vec::new();
    let mut has_others = false;
    for module in OTHER_DRIVERS {
        has_others |= has_module(handle, module).await == Some(true);
    }
    if has_module(handle, ENDPOINT_MODULE).await == Some(false) {
        return vec![Finding::note(
            WHAT,
            format!("not compared with the PBX, which has not loaded {ENDPOINT_MODULE}"),
        )];
    }
    let is_default = pbx.trunks == TRUNKS;
    for trunk in &pbx.trunks {
        let name = trunk.strip_prefix("PJSIP/").unwrap_or(trunk);
        // Neither a pattern nor the line of another driver can be looked up.
        if Action::read_pbx(PbxValue::EndpointContext(name)).is_err() {
            continue;
        }
        findings.push(match read(handle, PbxValue::EndpointContext(name)).await {
            Some(context) => {
                let detail = format!("calls from {trunk} enter {context}");
                first.insert(context);
                Finding::ok(WHAT, detail)
            }
            None if has_others => Finding::note(
                WHAT,
                format!("{trunk} is no PJSIP endpoint; is it the name of a trunk of another driver?"),
            ),
            None if is_default => Finding::note(
                WHAT,
                format!(
                    "the PBX has no endpoint {trunk}, the default of pbx.trunks: write the names of `pjsip show endpoints`, so that a call is recognised in every context"
                ),
            ),
            None => Finding::failed(
                WHAT,
                format!("pbx.trunks names {trunk}, and the PBX has no endpoint of that name: write the names of `pjsip show endpoints`"),
            ),
        });
    }
    findings
}

/// `first` are the contexts in which calls from outside begin, so far.
async fn dialplan(pbx: &PbxConfig, mut first: BTreeSet<String>, handle: &Handle) -> Vec<Finding> {
    const WHAT: &str = "dialplan";
    let mut findings = Vec::new();
    // A pattern cannot be looked up, and the default names contexts of many kinds of PBX.
    let is_default = pbx.trunk_contexts == TRUNK_CONTEXTS;
    for context in pbx.trunk_contexts.iter().filter(|context| !context.contains('*')) {
        match context_of(handle, context).await {
            Ok(_) => {
                findings.push(Finding::ok(WHAT, format!("calls from the telephone network enter {context}")));
                first.insert(context.to_string());
            }
            Err(_) if is_default => {}
            Err(why) => {
                findings.push(Finding::failed(WHAT, format!("pbx.trunk_contexts names {context}: {why}")));
            }
        }
    }
    let mut missing = Vec::new();
    for (context, without) in OWN_CONTEXTS {
        if context_of(handle, context).await.is_err() {
            missing.push(format!("no {context} ({without})"));
        }
    }
    let is_included = missing.is_empty();
    findings.push(if is_included {
        Finding::ok(WHAT, "toritsugi-dialplan.conf is included".into())
    } else {
        Finding::note(WHAT, format!("{}: include toritsugi-dialplan.conf", missing.join("; ")))
    });
    let mut dialplan = Dialplan::from_contexts(&first);
    while let Some((name, depth)) = dialplan.next_unread() {
        let context = context_of(handle, &name).await.ok();
        dialplan.add(name, depth, context);
    }
    findings.extend(lost_calls(&dialplan, &first));
    if is_included {
        findings.extend(first.iter().filter_map(|context| identity(&dialplan, context)));
        findings.extend(transfers(&dialplan, handle).await);
    }
    findings
}

/// The calls that go to a context that does not exist, which ends them.
fn lost_calls(dialplan: &Dialplan, first: &BTreeSet<String>) -> Vec<Finding> {
    let line = |lost: super::dialplan::LostCalls| {
        let advice = if lost.target.starts_with("toritsugi-") {
            "include toritsugi-dialplan.conf, or take the step out".to_owned()
        } else {
            format!("write a context of this PBX instead of {}", lost.target)
        };
        let route = format!("calls for {} in {} go to {}", lost.exten, lost.context, lost.target);
        if lost.is_certain {
            let detail = format!("{route}, which does not exist: each of them is lost; {advice}");
            Finding::failed("dialplan", detail)
        } else {
            let detail = format!("some {route}, which does not exist: these are lost; {advice}");
            Finding::note("dialplan", detail)
        }
    };
    dialplan.lost_calls(first).into_iter().take(NAMES_SHOWN_MAX).map(line).collect()
}

/// Whether calls that begin in this context hand over their identity; `None` where the text does not say.
fn identity(dialplan: &Dialplan, context: &str) -> Option<Finding> {
    let (with, without) = dialplan.identity_of(context);
    if with.is_empty() && without.is_empty() {
        return None;
    }
    if without.is_empty() {
        return Some(Finding::ok("identity", format!("calls in {context} pass toritsugi-identity")));
    }
    let detail = format!(
        "calls for {} in {context} do not pass toritsugi-identity, so their SIP headers are read from the channel, a moment later: begin these extensions with {IDENTITY_STEP}",
        shown(&without),
    );
    Some(Finding::note("identity", detail))
}

/// What transfers need besides the contexts.
async fn transfers(dialplan: &Dialplan, handle: &Handle) -> Vec<Finding> {
    const WHAT: &str = "transfers";
    let mut findings = Vec::new();
    // The dialplan's own default, where the variable is empty.
    let trunk = read(handle, PbxValue::OutsideTrunk).await.unwrap_or_else(|| "trunk".into());
    let context = read(handle, PbxValue::EndpointContext(&trunk)).await;
    let is_readable = has_module(handle, ENDPOINT_MODULE).await != Some(false);
    findings.extend(is_readable.then(|| match context {
        Some(_) => Finding::ok(WHAT, format!("outside numbers are dialled through {trunk}")),
        None => Finding::failed(
            WHAT,
            format!("TORITSUGI_TRUNK is {trunk}, which is no PJSIP endpoint of this PBX, so every transfer to an outside number fails: set it in [globals] of extensions.conf"),
        ),
    }));
    findings.push(match read(handle, PbxValue::AttendedTransferCode).await {
        Some(code) => Finding::ok(WHAT, format!("consultations: atxfer is mapped to {code}")),
        None => Finding::failed(
            WHAT,
            "consultations fail: map atxfer in [featuremap] of features.conf, for instance atxfer = *2"
                .into(),
        ),
    });
    let mut unloaded = Vec::new();
    for module in TRANSFER_MODULES {
        if has_module(handle, module).await == Some(false) {
            unloaded.push(module.to_owned());
        }
    }
    if !unloaded.is_empty() {
        let modules = unloaded.join(", ");
        findings.push(Finding::failed(WHAT, format!("transfers fail without {modules}: load these modules")));
    }
    let lacking = dialplan.without_transfer_option();
    if !lacking.is_empty() {
        findings.push(Finding::note(
            WHAT,
            format!("no option t, so a consultation in such a call does not start: {}", shown(&lacking)),
        ));
    }
    findings
}

fn shown(names: &[String]) -> String {
    let mut text = names.iter().take(NAMES_SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_SHOWN_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMES_SHOWN_MAX));
    }
    text
}

/// Whether a module is loaded; `None` where the PBX cannot say.
pub(super) async fn has_module(handle: &Handle, module: &str) -> Option<bool> {
    let loaded = read(handle, PbxValue::HasModule(module)).await?;
    Some(loaded == "1")
}

/// A value of the PBX; `None` where it has none.
async fn read(handle: &Handle, what: PbxValue<'_>) -> Option<String> {
    match handle.send(Action::read_pbx(what).ok()?).await {
        ActionOutcome::Response(frame) if frame.get("Response") == Some(b"Success") => {
            frame.text("Value").map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        }
        _ => None,
    }
}

pub(super) async fn context_of(handle: &Handle, context: &str) -> Result<Context, String> {
    let action = Action::show_dialplan(context).map_err(|e| e.to_string())?;
    let frames = match handle.list_frames(action).await {
        Ok(frames) => frames,
        Err(ListError::Refused(words)) => return Err(format!("the PBX answered: {words}")),
        Err(other) => return Err(other.to_string()),
    };
    let text = |frame: &Frame, key: &str| frame.text(key).map(|value| value.into_owned()).unwrap_or_default();
    let mut found = Context::default();
    for frame in &frames {
        if frame.get("IncludeContext").is_some() {
            found.includes.push(text(frame, "IncludeContext"));
        } else if frame.get("Application").is_some() {
            let (exten, application, data) =
                (text(frame, "Extension"), text(frame, "Application"), text(frame, "AppData"));
            found.priorities.push(Priority { exten, application, data });
        }
    }
    Ok(found)
}
