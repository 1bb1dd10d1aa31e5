//! Every command that the page offers, clicked on a real PBX, and the message of the page when a command fails. Another
//! operator's tab is frozen by the browser meanwhile.
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::chromium::Chromium;
use crate::person::{Person, SAVED};
use crate::support::pbx_lab::{CallSpec, Lab, RAW_PHONE, RAW_PHONE_DIALLED, RawPhone};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA, ms};

/// The on-call list of account 1.
const FIRST_ON_CALL: &str = "09055500011";
const SECOND_ON_CALL: &str = "09055500012";

/// How long a browser keeps a tab frozen.
const FROZEN: Duration = Duration::from_secs(60);

/// A short default wrap-up, and a pop link to another system.
const SETTINGS: &[(&str, &str)] = &[
    ("OPERATORS__WRAP_UP_SECONDS", "2"),
    ("POP__LINK", "https://crm.example.jp/s?tel={caller}&account={account}&call={call}"),
];

#[tokio::test]
async fn every_order_is_given_by_clicks() {
    let lab = Lab::start().await;
    lab.permit_notify(true).await;
    let mut service = Service::start_with(&lab, SETTINGS).await;
    let browser = Chromium::start().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    let sleeper = Person::signs_in(&browser, &service, "1003").await;
    let asleep = falls_asleep_while_it_rings(&lab, &sleeper).await;
    person.has_no_pop().await;
    at_another_phone_which_follows(&lab, &person, &service).await;
    lab.permit_notify(false).await;
    for phone in ["1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    a_caller_is_passed_on_at_once(&lab, &person).await;
    a_caller_is_taken_back_while_it_rings(&lab, &person).await;
    a_caller_goes_along_the_on_call_list(&lab, &service, &person).await;
    a_consultation_is_cancelled_and_completed(&lab, &person).await;
    an_account_links_to_a_system_of_its_own(&lab, &service, &person).await;
    sleep_until(asleep + FROZEN).await;
    wakes_and_is_right(&lab, &service, &sleeper).await;
    person.all_is_well().await;
    sleeper.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// The browser freezes the operator's tab; the call that it shows ends.
async fn falls_asleep_while_it_rings(lab: &Lab, person: &Person) -> Instant {
    let gone = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    person.tab.call("Page.setWebLifecycleState", json!({ "state": "frozen" })).await;
    gone.hang_up().await;
    Instant::now()
}

/// After a minute in the frozen state, the tab shows the current state.
async fn wakes_and_is_right(lab: &Lab, service: &Service, person: &Person) {
    let mut events = service.follow("1003", None).await;
    let call = lab.place_call(CallSpec::new("0312345678", SAKURA)).await;
    wait_for(&mut events, "call.presented").await;
    person.tab.call("Page.setWebLifecycleState", json!({ "state": "active" })).await;
    let present = "document.querySelector('.number bdi')?.innerText === '03-1234-5678'";
    person.tab.until("the present", present).await;
    person.is_connected().await;
    assert_eq!(person.tab.eval("document.querySelectorAll('.pop').length").await, json!(1));
    let others = person.tab.eval("document.querySelectorAll('.others li').length").await;
    assert_eq!(others, json!(0), "nothing is left ringing");
    call.hang_up().await;
    person.has_no_pop().await;
}

/// The call belongs to no known account: the operator asks whose it is, and takes a message for that account.
async fn a_message_for_the_account_that_the_caller_names(person: &Person, service: &Service) {
    person.tab.key("m").await;
    person.tab.until("the question", "document.activeElement?.matches('[data-whose]')").await;
    person.tab.types("minato").await;
    person.tab.until("what is found", "document.querySelector('#composer ul button')").await;
    person.looks("unknown-account-named").await;
    person.tab.eval("document.querySelector('[data-whose]').focus()").await;
    person.tab.key("Enter").await;
    person.tab.until("the text", "document.activeElement?.matches('form.message textarea')").await;
    person.tab.until("its contacts", "document.querySelector('#contacts li .who')").await;
    person.tab.types("至急折り返しを").await;
    person.saves_the_message().await;
    let (_, page) = service.ask("admin", Method::GET, "/v1/messages?limit=1", None).await;
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts", None).await;
    let minato =
        accounts["items"].as_array().unwrap().iter().find(|one| one["name"] == "みなと法律事務所").unwrap();
    assert_eq!(
        (&page["items"][0]["text"], &page["items"][0]["account"]),
        (&json!("至急折り返しを"), &minato["id"])
    );
}

/// The operator is seated at a desk phone that carries out requests; the call is for a number without an account.
async fn at_another_phone_which_follows(lab: &Lab, person: &Person, service: &Service) {
    let mut phone = RawPhone::plug_in(lab).await;
    person.sits_at(RAW_PHONE).await;
    person.shows_state("ready").await;
    assert!(person.reads(".own .about").await.contains(&format!("内線 {RAW_PHONE}")));
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, RAW_PHONE_DIALLED)).await;
    phone.rings().await;
    person.pop_is("ringing").await;
    assert_eq!(person.reads(".company h1").await, "契約先が見つかりません");
    assert!(person.reads(".company").await.contains("03-5550-2204"), "{}", person.reads(".company").await);
    person.looks("unknown-account").await;

    let picked_up = async {
        let event = phone.is_asked("200 OK").await;
        phone.picks_up().await;
        event
    };
    let ((), event) = tokio::join!(person.presses("[data-order=answer]"), picked_up);
    assert_eq!(event, "talk");
    person.pop_is("talking").await;
    let held = async {
        let event = phone.is_asked("200 OK").await;
        phone.holds().await;
        event
    };
    let ((), event) = tokio::join!(person.presses("[data-order=hold]"), held);
    assert_eq!(event, "hold");
    person.pop_is("held").await;
    let resumed = async {
        let event = phone.is_asked("200 OK").await;
        phone.resumes().await;
        event
    };
    let ((), event) = tokio::join!(person.tab.key("F4"), resumed);
    assert_eq!(event, "talk");
    person.pop_is("talking").await;
    a_message_for_the_account_that_the_caller_names(person, service).await;
    person.presses("[data-order=hangup]").await;
    person.has_no_pop().await;
    call.ended().await;

    // The wrap-up expires before the operator sets the disposition, which is still possible.
    person.presses(".missed button").await;
    person.presses("#wrap-up input[value=silent]").await;
    person.presses("#wrap-up .main").await;
    person
        .tab
        .until(
            "that it is recorded",
            "document.querySelector('.idle') && !document.querySelector('.missed button')",
        )
        .await;
    // The operator returns to the own phone.
    person.chooses("ログオフ").await;
    person
        .tab
        .until(
            "that the operator is logged out",
            "document.querySelector('#own-state').innerText.includes('ログオフ')",
        )
        .await;
    person.is_ready().await;
    assert!(person.reads(".own .about").await.contains("内線 1001"));
}

/// A blind transfer to one contact; then the wrap-up is extended, with a reason, and finished with a disposition.
async fn a_caller_is_passed_on_at_once(lab: &Lab, person: &Person) {
    let call = talks(lab, person).await;
    let link = person.tab.eval("document.querySelector('.origin a')?.href ?? ''").await;
    let link = link.as_str().unwrap();
    assert!(link.starts_with("https://crm.example.jp/s?tel=09012345678&account=A001&call="), "{link}");
    lab.phone(FIRST_ON_CALL).presses_after(ms(200), "1").await;
    // To the first person, and on at once.
    person.tab.key("t").await;
    person.tab.until("the focus", "document.activeElement?.matches('#contacts [data-way=consult]')").await;
    person.tab.chord("shift", "Enter").await;
    person.has_no_pop().await;
    lab.phone(FIRST_ON_CALL).talks().await;

    let work = "document.querySelector('#wrap-up')";
    person.tab.until("the after-call work", work).await;
    assert!(person.reads("#wrap-up").await.contains("佐々木健へ転送"), "{}", person.reads("#wrap-up").await);
    person
        .tab
        .until("the proposal", "document.querySelector('#wrap-up input[value=transferred]').checked")
        .await;
    let until = person.tab.eval("document.querySelector('#wrap-up progress').dataset.until").await;
    person.presses("#wrap-up .extend").await;
    person.looks("wrap-up-extended").await;
    person.tab.eval("document.querySelector('#wrap-up .reason').focus()").await;
    person.tab.types("議事録を書いています").await;
    person.presses("#wrap-up .add").await;
    let longer = format!("document.querySelector('#wrap-up progress')?.dataset.until > {until}");
    person.tab.until("more time", &longer).await;
    finishes(person, "transferred").await;
    call.hang_up().await;
}

/// The caller was passed on to the wrong person: one key brings the caller back, as long as nobody has taken the call.
async fn a_caller_is_taken_back_while_it_rings(lab: &Lab, person: &Person) {
    let call = talks(lab, person).await;
    lab.phone(FIRST_ON_CALL).rings_for_ever().await;
    person.tab.key("t").await;
    person.tab.until("the focus", "document.activeElement?.matches('#contacts [data-way=consult]')").await;
    person.tab.chord("shift", "Enter").await;
    person.has_no_pop().await;
    let rings = "document.querySelector('[data-passed]')?.innerText.includes('呼出中')";
    person.tab.until("that it rings there", rings).await;
    assert!(person.reads("[data-passed]").await.contains("佐々木健へ転送"));
    person.is_pictured("passed-on").await;
    person.is_accessible("passed-on").await;
    person.tab.key("z").await;
    let back = "document.querySelector('.pop[data-phase=ringing]')?.innerText.includes('転送不成立・戻り')";
    person.tab.until("that the caller is back", back).await;
    person.tab.until("that nothing is to be taken back", "!document.querySelector('[data-passed]')").await;
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    call.hang_up().await;
    finishes(person, "silent").await;
}

/// Both contacts on call are busy, and the caller comes back; the next time the second contact takes the caller.
async fn a_caller_goes_along_the_on_call_list(lab: &Lab, service: &Service, person: &Person) {
    let call = talks(lab, person).await;
    lab.phone(FIRST_ON_CALL).is_busy().await;
    lab.phone(SECOND_ON_CALL).is_busy().await;
    person.presses("#contacts .all").await;
    let back = "document.querySelector('.pop[data-phase=ringing]')?.innerText.includes('転送不成立・戻り')";
    person.tab.until("that the caller is back", back).await;
    assert!(person.reads(".pop .line").await.contains("話中"), "{}", person.reads(".pop .line").await);
    person.looks("returned").await;
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    person.may(&["hold", "transfer", "help", "hangup"]).await;
    // Two keys make a message of the transfer that failed; three are allowed.
    person.tab.key("m").await;
    let instead = "document.activeElement?.matches('form.message textarea') && \
                   document.activeElement.value.includes('つながりませんでした（話中）')";
    person.tab.until("the message in place of the transfer", instead).await;
    let to = "document.querySelector('form.message [role=combobox]').value";
    assert_eq!(person.tab.eval(to).await, "佐々木健");
    person.tab.chord("ctrl", "Enter").await;
    person.tab.until("that it is saved", SAVED).await;
    is_instead_of_the_transfer(service).await;
    lab.phone(SECOND_ON_CALL).presses_after(ms(200), "1").await;
    person.presses("#contacts .all").await;
    person.has_no_pop().await;
    lab.phone(SECOND_ON_CALL).talks().await;
    let shown = "document.querySelector('#wrap-up')?.innerText.includes('井上美咲へ転送')";
    person.tab.until("who has the caller", shown).await;
    finishes(person, "transferred").await;
    call.hang_up().await;
}

/// The newest message says that the first contact calls back, and which transfer failed.
async fn is_instead_of_the_transfer(service: &Service) {
    let (_, page) = service.ask("admin", Method::GET, "/v1/messages?limit=1", None).await;
    let message = &page["items"][0];
    assert_eq!((&message["action"], &message["transfer"]["outcome"]), (&json!("call_back"), &json!("busy")));
    let path = format!("/v1/contacts/{}", message["contact"].as_str().unwrap());
    let (_, contact) = service.ask("admin", Method::GET, &path, None).await;
    assert_eq!(contact["name"], "佐々木健");
}

/// The operator asks for help, consults the first contact on call and cancels; then completes with the second.
async fn a_consultation_is_cancelled_and_completed(lab: &Lab, person: &Person) {
    let call = talks(lab, person).await;
    person.presses("[data-order=help]").await;
    person
        .tab
        .until(
            "that the transfer was reported",
            "document.querySelector('.notices')?.innerText.includes('スーパーバイザーに知らせました')",
        )
        .await;
    // It is taken back, and asked for again.
    let asks = |is: &str| format!("document.querySelector('[data-order=help]')?.innerText.includes('{is}')");
    for is in ["取り消す", "SVを呼ぶ", "取り消す"] {
        person.tab.until(is, &asks(is)).await;
        if is == "SVを呼ぶ" {
            assert_eq!(person.tab.eval("Boolean(document.querySelector('[data-help]'))").await, json!(false));
        }
        person.presses("[data-order=help]").await;
    }
    person.tab.until("that help is not asked for", &asks("SVを呼ぶ")).await;
    lab.phone(FIRST_ON_CALL).presses_after(ms(200), "1").await;
    person.presses("#contacts li .ways button").await;
    person.may(&["complete", "cancel", "help"]).await;
    person.presses("[data-order=cancel]").await;
    person.may(&["hold", "transfer", "help", "hangup"]).await;
    lab.phone(SECOND_ON_CALL).presses_after(ms(200), "1").await;
    person.presses("#contacts li:nth-child(2) .ways button").await;
    person.may(&["complete", "cancel", "help"]).await;
    person.presses("[data-order=complete]").await;
    person.has_no_pop().await;
    finishes(person, "transferred").await;
    call.hang_up().await;
}

/// The account's own link replaces the installation's link.
async fn an_account_links_to_a_system_of_its_own(lab: &Lab, service: &Service, person: &Person) {
    let link = json!({ "link": "https://kintone.example.jp/k/7/?q={caller}" });
    service.change_account("A001", link).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    let href = person.tab.eval("document.querySelector('.origin a')?.href ?? ''").await;
    assert_eq!(href, json!("https://kintone.example.jp/k/7/?q=09012345678"));
    call.hang_up().await;
    person.has_no_pop().await;
}

/// The operator takes a call, and the contacts can be reached.
async fn talks<'a>(lab: &'a Lab, person: &Person) -> crate::support::pbx_lab::PlacedCall<'a> {
    let call = person.takes_call(lab).await;
    person.tab.until("the contacts", "document.querySelectorAll('#contacts li .ways').length === 3").await;
    call
}

async fn finishes(person: &Person, disposition: &str) {
    gives_disposition(person, disposition).await;
    person.shows_state("ready").await;
}

async fn gives_disposition(person: &Person, disposition: &str) {
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    person.presses(&format!("#wrap-up input[value={disposition}]")).await;
    person.presses("#wrap-up .main").await;
    person.tab.until("the end of it", "!document.querySelector('#wrap-up')").await;
}

#[tokio::test]
async fn of_two_desktops_one_acts_and_the_other_says_so() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
    let here = Person::signs_in(&browser, &service, "1001").await;
    let there = Person::signs_in_too(&browser, &service, "1001").await;
    let boss = Person::signs_in(&browser, &service, "2001").await;
    for person in [&here, &there] {
        person.tab.until("that there are two", &says("画面 2つ")).await;
    }
    here.is_ready().await;
    there.shows_state("ready").await;
    there.tab.until("where it was done", &says("別の画面")).await;
    assert!(!here.reads(".own .about").await.contains("別の画面"));

    // The supervisor's change arrives while the operator's request is under way: the operator's is refused, with the reason.
    here.tab.holds_requests("*/state", "Request").await;
    here.chooses("休憩").await;
    let paused = here.tab.wait_event("Fetch.requestPaused").await;
    boss.presses("[data-operator=\"1001\"] .set button").await;
    boss.chooses_from_menu("会議").await;
    for person in [&here, &there] {
        person.tab.until("by whom", &says("伊藤さんが変更しました")).await;
    }
    here.tab.call("Fetch.continueRequest", json!({ "requestId": paused["requestId"] })).await;
    here.tab
        .until(
            "the refusal",
            "document.querySelector('.notice.error')?.innerText.includes('先に状態を変えました')",
        )
        .await;
    assert!(here.reads("#own-state").await.contains("会議"));
    here.tab.call("Fetch.disable", json!({})).await;
    here.chooses("受付可").await;
    there.shows_state("ready").await;

    both_show_a_call_and_one_acts(&lab, &here, &there, &boss).await;
    a_call_rings_behind_another_tab(&lab, &there).await;
    a_caller_without_a_number_is_named_in_words(&lab, &here).await;
    for person in [&here, &there, &boss] {
        person.all_is_well().await;
    }
    browser.close().await;
    service.stop().await;
}

/// An expression for the text of the own-state line.
fn says(text: &str) -> String {
    format!("document.querySelector('.own .about')?.innerText.includes({text:?})")
}

/// One desktop acts, the other shows it.
async fn both_show_a_call_and_one_acts(lab: &Lab, here: &Person, there: &Person, boss: &Person) {
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    for person in [here, there] {
        person.pop_is("ringing").await;
    }
    lab.phone("1001").answers().await;
    for person in [here, there] {
        person.pop_is("talking").await;
    }
    // The state after this wrap-up is shown beforehand, on both desktops and on the board.
    here.chooses("休憩").await;
    let next = |element: &str| format!("document.querySelector({element:?})?.innerText === '次：受付不可'");
    for person in [here, there] {
        person.tab.until("what comes next", &next("#own-state .next")).await;
    }
    boss.tab.until("what comes next", &next("[data-operator=\"1001\"] .next")).await;
    boss.looks("board-pending").await;
    here.looks("pending").await;
    here.presses("[data-order=hangup]").await;
    for person in [here, there] {
        person.has_no_pop().await;
        person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    }
    gives_disposition(there, "informed").await;
    here.tab.until("that it is over", "!document.querySelector('#wrap-up')").await;
    let pauses = "document.querySelector('#own-state').innerText.includes('休憩')";
    for person in [here, there] {
        person.tab.until("that the operator is on a break", pauses).await;
    }
    there.looks("not-ready").await;
    there.chooses("受付可").await;
    here.shows_state("ready").await;
    here.tab.until("where it was done", &says("別の画面")).await;
    call.hang_up().await;
}

/// Another tab is in front: a notification and a sound announce the caller, and the pop is not acknowledged.
async fn a_call_rings_behind_another_tab(lab: &Lab, person: &Person) {
    person.wants_notifications().await;
    person.tab.is_covered().await;
    let seen = "performance.getEntriesByName('pop-painted').length";
    let before = person.tab.eval(seen).await;
    let requests = person.tab.events("Network.requestWillBeSent");
    let is_answer = |one: &&Value| one["request"]["url"].as_str().is_some_and(|url| url.ends_with("/answer"));
    let earlier = requests.iter().filter(is_answer).count();
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.tab.until("the notification", "notified[0] === '株式会社さくら商事 090-1234-5678'").await;
    person.tab.until("the sound", "tones > 0").await;
    assert_eq!(person.tab.eval("document.title").await, json!("☎ 株式会社さくら商事"));
    assert_eq!(person.tab.eval(seen).await, before);
    person.tab.is_uncovered().await;
    person.tab.until("that the pop is acknowledged", &format!("{seen} > {before}")).await;
    // The notification's button answers this call, and no other.
    let button = person.tab.eval("buttons[0]").await;
    let id = button.as_str().and_then(|text| text.strip_prefix("answer ")).expect("a button that answers");
    for (call, answers) in [("00000000-0000-7000-8000-000000000000", 0), (id, 1)] {
        let pressed =
            "navigator.serviceWorker.dispatchEvent(new MessageEvent('message', { data: { answer: CALL } }))";
        person.tab.eval(&pressed.replace("CALL", &format!("{call:?}"))).await;
        eventually("the answers", async || {
            let requests = person.tab.events("Network.requestWillBeSent");
            let sent = requests.iter().filter_map(|one| one["request"]["url"].as_str());
            let sent: Vec<_> = sent.filter(|url| url.ends_with("/answer")).collect();
            if sent.len() == answers + earlier && (answers == 0 || sent.last().unwrap().contains(id)) {
                Ok(())
            } else {
                Err(format!("{sent:?}"))
            }
        })
        .await;
    }
    call.hang_up().await;
    person.has_no_pop().await;
    assert_eq!(person.tab.eval("notified.length").await, json!(1));
}

async fn a_caller_without_a_number_is_named_in_words(lab: &Lab, person: &Person) {
    for (reason, words) in
        [("Anonymous", "非通知"), ("Coin line/payphone", "公衆電話"), ("Unavailable", "表示圏外")]
    {
        let asserted = format!("\"{reason}\" <sip:0312345678@carrier.example>");
        let spec = CallSpec::new("0312345678", SAKURA).withheld().header("P-Asserted-Identity", &asserted);
        let call = lab.place_call(spec).await;
        person.pop_is("ringing").await;
        assert_eq!(person.reads(".number bdi").await, words);
        assert!(person.reads(".customer").await.contains("特定できません"));
        assert!(!person.reads("body").await.contains("1234"), "{}", person.reads("body").await);
        if words == "公衆電話" {
            person.looks("payphone").await;
        }
        call.hang_up().await;
        person.has_no_pop().await;
    }
}
