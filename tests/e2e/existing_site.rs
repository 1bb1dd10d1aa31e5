//! Beside a PBX that was there before: its own dialplan with the one line of docs/install.md in front behaves as it did, hands
//! over the identity, and loses no caller. The calls of these tests come in without a daemon, except where one is started.
use crate::KNOWN_CALLER;
use crate::support::pbx_lab::{AsteriskVersion, CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;

/// The number of a company that forwards to the service.
pub(crate) const FORWARDING: &str = "0335550101";
/// Numbers of the site, in forms of its own; each is an extension of the context `site`.
const RINGS: &str = "5501";
const WAITS: &str = "+81355509901";
const BUSY: &str = "0355509902";
const NO_SUCH: &str = "5599";

/// The step that docs/install.md puts in front of a number's own steps.
fn documented_step() -> &'static str {
    let page = include_str!("../../docs/install.md");
    let line = page.lines().find(|line| line.starts_with("exten => ") && line.contains("toritsugi-identity"));
    line.and_then(|line| line.split_once(",1,")).expect("the step is in the page").1
}

/// Adds the site's dialplan to the PBX, with `first` in front of the steps of each number.
async fn site(lab: &Lab, first: Option<&str>) {
    let own =
        [(RINGS, "Dial(PJSIP/1001&PJSIP/1002,30,t)"), (WAITS, "Queue(operators,t)"), (BUSY, "Hangup(17)")];
    for (number, step) in own {
        let steps = first.into_iter().chain([step]);
        for (priority, step) in (1..).zip(steps) {
            add(lab, "site", number, priority, step).await;
        }
    }
    for number in [RINGS, WAITS, BUSY, NO_SUCH] {
        add(lab, "from-trunk", number, 1, &format!("Goto(site,{number},1)")).await;
    }
}

pub(crate) async fn add(lab: &Lab, context: &str, extension: &str, priority: u32, step: &str) {
    console(lab, &format!("dialplan add extension {extension},{priority},{step} into {context} replace"))
        .await;
}

/// Takes away what [`add`] added, and puts back what was removed.
pub(crate) async fn restore(lab: &Lab) {
    console(lab, "dialplan reload").await;
}

async fn console(lab: &Lab, command: &str) {
    lab.pbx.must(&[("Action", "Command"), ("Command", command)]).await;
}

fn identities(lab: &Lab) -> usize {
    lab.pbx.events.all(|event| event.has("UserEvent", "ToritsugiIdentity")).len()
}

/// A call to a number that rings at two phones, until its end. Fails when the caller does not get through.
pub(crate) async fn gets_through(lab: &Lab, number: &str) {
    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, number).diverted_by(FORWARDING)).await;
    lab.phone("1002").rings().await;
    lab.phone("1001").answers().await;
    call.answered().await;
    lab.phone("1001").hangs_up().await;
    assert_eq!(call.ended().await, 16, "{number}");
}

#[tokio::test]
async fn an_existing_dialplan_with_one_line_in_front_behaves_as_before() {
    let lab = Lab::start().await;
    let mut seen = Vec::new();
    for first in [None, Some(documented_step())] {
        site(&lab, first).await;
        for number in [RINGS, WAITS] {
            gets_through(&lab, number).await;
            seen.push((number, 16));
            lab.phone("1002").goes_idle().await;
        }
        for number in [BUSY, NO_SUCH] {
            let call = lab.place_call(CallSpec::new(KNOWN_CALLER, number)).await;
            seen.push((number, call.ended().await));
        }
        let expected = if first.is_some() { 3 } else { 0 };
        assert_eq!(identities(&lab), expected, "one for each number that the site has");
        lab.reset().await;
    }
    restore(&lab).await;
    let (before, after) = seen.split_at(seen.len() / 2);
    assert_eq!(before, after);
    assert!(before.contains(&(BUSY, 17)), "{before:?}");
}

#[tokio::test]
async fn the_company_that_forwarded_the_call_pops_with_the_line_and_without() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let mut events = service.follow("1001", None).await;
    for first in [None, Some(documented_step())] {
        site(&lab, first).await;
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, RINGS).diverted_by(FORWARDING)).await;
        let pop = wait_for(&mut events, "call.presented").await;
        assert_eq!(pop["data"]["account"]["name"], "株式会社さくら商事", "{pop}");
        assert_eq!(pop["data"]["account"]["matched_by"], "diversion", "{pop}");
        assert_eq!(identities(&lab), usize::from(first.is_some()));
        call.hang_up().await;
        wait_for(&mut events, "call.rescinded").await;
    }
    restore(&lab).await;
    service.stop().await;
}

/// The file with the subroutine is missing, or a module that it needs.
#[tokio::test]
async fn no_caller_is_lost_where_what_the_line_calls_is_missing() {
    let lab = Lab::start_own(AsteriskVersion::Current).await;
    site(&lab, Some(documented_step())).await;
    // The first before any call: a session uses it for half a minute after its end.
    for module in [
        "res_pjsip_header_funcs",
        "app_userevent",
        "func_dialplan",
        "func_uri",
        "func_strings",
        "func_channel",
    ] {
        change_module(&lab, "unload", module).await;
        gets_through(&lab, RINGS).await;
        change_module(&lab, "load", module).await;
        lab.reset().await;
    }
    gets_through(&lab, RINGS).await;
    assert_eq!(identities(&lab), 1, "everything is there again");
    lab.reset().await;
    console(&lab, "dialplan remove context toritsugi-identity").await;
    gets_through(&lab, RINGS).await;
    assert_eq!(identities(&lab), 0, "the context is gone");
}

pub(crate) async fn change_module(lab: &Lab, change: &str, module: &str) {
    let module = format!("{module}.so");
    // Refused while a call that has just ended still uses the module.
    eventually("the module changes", async || {
        let action = [("Action", "ModuleLoad"), ("LoadType", change), ("Module", &module)];
        let reply = lab.pbx.action(&action).await;
        if reply.is_success() { Ok(()) } else { Err(format!("{change} {module}")) }
    })
    .await;
}

#[tokio::test]
async fn freepbx_s_calls_pass_through_the_snippet_whatever_their_number_looks_like() {
    let lab = Lab::start().await;
    let numbers = ["5501", "0355509901", "+81355509901", "81355509901", "s"];
    for number in numbers {
        add(&lab, "from-pstn", number, 1, "Dial(PJSIP/1001&PJSIP/1002,30,t)").await;
        add(&lab, "from-trunk", RINGS, 1, &format!("Goto(from-pstn-toritsugi,{number},1)")).await;
        gets_through(&lab, RINGS).await;
        assert_eq!(identities(&lab), usize::from(number != "s"), "{number}");
        lab.reset().await;
    }
    restore(&lab).await;
}
