//! A working day on a real PBX: sign-in, a call, a consultation, wrap-up, the next call. The test checks every view
//! on the way.
use serde_json::json;

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::Service;
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

/// First of the on-call list of account 1.
const FIRST_ON_CALL: &str = "09055500011";
/// Rings at 1001 and at a mobile (tests/pbx_lab/instance.sh).
const WITH_A_MOBILE: &str = "0355501017";
const MOBILE: &str = "09011112222";

async fn everybody_rings(lab: &Lab) {
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).rings_for_ever().await;
    }
}

/// The pictures of the documents are of open hours, whenever they are taken.
async fn is_open_all_day(service: &Service) {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let weekly = [json!({ "days": days, "from": "00:00", "to": "23:30" })];
    service.change_account("A001", json!({ "hours": { "weekly": weekly } })).await;
}

#[tokio::test]
async fn a_day_at_the_desk() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    everybody_rings(&lab).await;
    let stranger = Person::comes(&browser, &format!("http://{}", service.address)).await;
    stranger.tab.until("the sign-in", "document.querySelector('form')").await;
    stranger.looks("sign-in").await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.looks("logged-out").await;
    person.is_ready().await;
    person.tab.until("the records", "document.querySelector('.idle')").await;
    person.looks("waiting").await;
    the_state_menu_opens_and_closes(&person).await;

    is_open_all_day(&service).await;

    // The pop is on the screen before the answer.
    let spec = CallSpec::new(KNOWN_CALLER, "0355501000").diverted_by("0335550101").display_name("Tanaka");
    let call = lab.place_call(spec).await;
    person.pop_is("ringing").await;
    assert!(!call.is_answered());
    assert_eq!(person.company().await, "株式会社さくら商事");
    assert_eq!(person.reads(".company .kana").await, "さくらしょうじ");
    assert_eq!(person.reads(".say").await, "お電話ありがとうございます。さくら商事でございます。");
    assert!(person.reads(".handling .notes").await.contains("社長が終日外出"));
    assert_eq!(person.reads(".number bdi").await, "090-1234-5678");
    assert!(person.reads(".customer").await.contains("たなかたろう"));
    person.may(&["answer"]).await;
    person.shows_state("reserved").await;
    // The picture of the README is the first of these.
    person.looks("ringing").await;

    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    person.may(&["hold", "transfer", "help", "hangup"]).await;
    person.tab.until("the contacts", "document.querySelectorAll('#contacts li .who').length === 3").await;
    let order = "[...document.querySelectorAll('#contacts .order')].map((one) => one.textContent.trim())";
    assert_eq!(person.tab.eval(order).await, json!(["1", "2", "–"]));
    person.looks("talking").await;
    a_message_is_taken(&person, "来週の納期を確認してほしい", "message").await;
    assert!(person.reads(".earlier").await.contains("来週の納期を確認してほしい"));

    lab.phone("1001").holds().await;
    person.pop_is("held").await;
    person.may(&["resume", "transfer", "help", "hangup"]).await;
    person.looks("held").await;
    lab.phone("1001").resumes().await;
    person.pop_is("talking").await;

    // By keyboard: go to the contacts and start a consultation.
    lab.phone(FIRST_ON_CALL).presses_after(ms(200), "1").await;
    person.tab.key("t").await;
    // The first person, and not the button that passes the caller on to all of them.
    person.tab.until("the focus", "document.activeElement?.matches('#contacts li:first-child button')").await;
    for (key, person_at) in [("3", 3), ("2", 2), ("1", 1)] {
        person.tab.key(key).await;
        let focused = format!(
            "document.activeElement?.matches('#contacts li:nth-child({person_at}) [data-way=consult]')"
        );
        person.tab.until("the person with this digit", &focused).await;
    }
    person.tab.key("Enter").await;
    person.may(&["complete", "cancel", "help"]).await;
    person.looks("consulting").await;
    person.tab.key("c").await;
    person.has_no_pop().await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    person.closes_notices().await;
    person.looks("wrap-up").await;
    assert!(person.company().await.contains("さくら商事"));
    a_message_is_taken(&person, "折り返しは不要とのこと", "wrap-up-message").await;
    the_work_is_finished_by_keyboard(&person).await;
    call.hang_up().await;

    a_stranger_is_recorded(&lab, &person).await;
    the_other_views(&person).await;
    what_was_recorded_is_in_the_next_pop(&lab, &person).await;
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

async fn the_state_menu_opens_and_closes(person: &Person) {
    person.tab.key("r").await;
    person.tab.until("the menu", "document.querySelector('.menu button')").await;
    person.looks("state-menu").await;
    person.presses("#own-state").await;
    person.tab.until("the end of the menu", "!document.querySelector('.menu')").await;
}

/// By keyboard: a digit chooses the result.
async fn the_work_is_finished_by_keyboard(person: &Person) {
    person.tab.key("w").await;
    person.tab.until("the results", "document.activeElement?.matches('#wrap-up input[type=radio]')").await;
    person.tab.key("2").await;
    person
        .tab
        .until("the second result", "document.querySelector('#wrap-up input[value=transferred]').checked")
        .await;
    person.tab.eval("document.querySelector('#wrap-up textarea').focus()").await;
    person.tab.types("担当の井上様へ").await;
    person.presses("#wrap-up .main").await;
    person.tab.until("the end of it", "!document.querySelector('#wrap-up')").await;
    person.shows_state("ready").await;
}

/// By keyboard: saves a message of the call for the second contact.
async fn a_message_is_taken(person: &Person, text: &str, name: &str) {
    person.tab.key("m").await;
    person.tab.until("the form", "document.activeElement?.closest('form.message')").await;
    person.tab.chord("alt", "a").await;
    person.tab.until("the field", "document.activeElement?.matches('[role=combobox]')").await;
    person.tab.types("いのうえ").await;
    person.tab.until("the contact", "document.querySelector('form.message [role=option]')").await;
    person.tab.key("Enter").await;
    person.tab.until("the text", "document.activeElement?.matches('form.message textarea')").await;
    person.looks(name).await;
    // The settings took the focus while the view was checked.
    person.tab.eval("document.querySelector('form.message textarea').focus()").await;
    person.tab.types(text).await;
    person.saves_the_message().await;
    assert!(person.reads(".notices").await.contains("伝言を保存しました"));
}

/// The next call is from an unknown caller: the operator adds a customer with the number filled in.
async fn a_stranger_is_recorded(lab: &Lab, person: &Person) {
    let call = lab.place_call(CallSpec::new("0312345678", MINATO)).await;
    person.pop_is("ringing").await;
    assert_eq!(person.company().await, "みなと法律事務所");
    assert_eq!(person.reads(".number bdi").await, "03-1234-5678");
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    person.tab.key("n").await;
    person.tab.until("the form", "document.querySelector('.customer form')").await;
    assert_eq!(
        person.tab.eval("document.querySelector('.customer form input').value").await,
        json!("03-1234-5678")
    );
    person.looks("new-customer").await;
    // The settings took the focus while the view was checked.
    person.tab.eval("document.querySelectorAll('.customer form input')[1].focus()").await;
    person.tab.types("新規　花子").await;
    person.tab.key("Enter").await;
    person
        .tab
        .until("the record", "document.querySelector('.customer .name')?.innerText.includes('新規')")
        .await;
    call.hang_up().await;
    person.has_no_pop().await;
}

async fn the_other_views(person: &Person) {
    // A remaining wrap-up is shown in the main view only. Its results have the focus; Esc gives the digits back to the views.
    person.tab.key("Escape").await;
    let views = [("2", "accounts", ".accounts"), ("3", "past", "table"), ("4", "messages", "[data-message]")];
    for (key, name, there) in views {
        person.tab.key(key).await;
        person.tab.until(name, &format!("document.querySelector({there:?})")).await;
        if name == "accounts" {
            person.tab.until("the accounts", "document.querySelectorAll('.list li').length === 3").await;
            // Enter opens the first that is found; the arrow goes into the list.
            person.tab.key("/").await;
            person.tab.until("the search", "document.activeElement?.matches('[data-find]')").await;
            person.tab.types("ﾐﾅﾄ").await;
            person.tab.until("what is found", "document.querySelectorAll('.list li').length === 1").await;
            person.tab.key("Enter").await;
            person
                .tab
                .until("it", "document.querySelector('.one h2')?.innerText === 'みなと法律事務所'")
                .await;
            person.tab.key("ArrowDown").await;
            person.tab.until("the list", "document.activeElement?.matches('.list button')").await;
            person.tab.until("the account", "document.querySelectorAll('.one ol li').length").await;
        }
        if name == "past" {
            assert!(!person.reads("table").await.contains("ほかの人"), "{}", person.reads("table").await);
            let companies = "[...document.querySelectorAll('tr[data-call] td:nth-child(2)')]\
                .map((one) => one.innerText)";
            let newest_first = json!(["みなと法律事務所", "株式会社さくら商事"]);
            assert_eq!(person.tab.eval(companies).await, newest_first);
        }
        person.looks(name).await;
        if name == "past" {
            // A picture of the documents: a call with its course, its message and what was recorded.
            person.presses("tr[data-call]:nth-of-type(2) button").await;
            person.tab.until("the course", "document.querySelectorAll('tr.detail li').length > 1").await;
            person.closes_notices().await;
            person.is_pictured("past-story-ja-light-1280").await;
        }
    }
    // One message was acknowledged to the account; the other is still open.
    assert!(person.reads("[data-message]").await.contains("井上美咲様宛"), "{}", person.reads("main").await);
    person.tab.until("both", "document.querySelectorAll('[data-message]').length === 2").await;
    person.presses("[data-message] .do button").await;
    person.tab.until("one", "document.querySelectorAll('[data-message]').length === 1").await;
    person.presses("[data-tab=all]").await;
    person.tab.until("all", "document.querySelectorAll('[data-state=acknowledged]').length === 1").await;
    person.tab.key("?").await;
    person.tab.until("the keys", "document.querySelector('dialog[open]')").await;
    person.looks("keys").await;
    person.tab.key("Escape").await;
    person.tab.until("the end of the keys", "!document.querySelector('dialog')").await;
}

/// The first caller calls again: result and notes of the earlier call are in the pop, with who recorded them.
async fn what_was_recorded_is_in_the_next_pop(lab: &Lab, person: &Person) {
    person.tab.key("1").await;
    person.presses("#wrap-up input[value=message]").await;
    person.presses("#wrap-up .main").await;
    person.tab.until("the end of it", "!document.querySelector('#wrap-up')").await;
    lab.phone("1001").rings_for_ever().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    person.tab.until("what was recorded", "document.querySelector('.earlier .recorded')").await;
    let recorded = person.reads(".earlier .recorded").await;
    for part in ["転送", "担当の井上様へ", "佐藤"] {
        assert!(recorded.contains(part), "{part}: {recorded}");
    }
    person.looks("pop-earlier-result").await;
    call.hang_up().await;
    person.has_no_pop().await;
}

/// What an eye or a hand has found stays where it is: whose call it is, what to say, who calls, the message and the contacts.
#[tokio::test]
async fn nothing_moves_from_the_ringing_to_the_end_of_the_after_call_work() {
    const PLACES: &str = "['.company h1', '.say', '.number', '.handling .notes', '.customer .one .name', '#composer h2', \
        '#contacts li:nth-child(1) .name', '#contacts li:nth-child(3) .name'].map((one) => { \
        const { left, top } = document.querySelector(one).getBoundingClientRect(); \
        return `${one} ${Math.round(left)} ${Math.round(top)}`; })";
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone("1001").rings_for_ever().await;
    let person = Person::signs_in(&browser, &service, "1001").await;
    person.is_ready().await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    person.pop_is("ringing").await;
    person.tab.until("the contacts", "document.querySelectorAll('#contacts li .who').length === 3").await;
    person.tab.until("what came before", "document.querySelector('.customer .history p')").await;
    let before = person.tab.eval(PLACES).await;
    lab.phone("1001").answers().await;
    person.pop_is("talking").await;
    person.tab.until("the message", "document.querySelector('#composer form')").await;
    assert_eq!(person.tab.eval(PLACES).await, before, "when the call is answered");
    let field = "document.querySelector('#composer textarea').getBoundingClientRect().top";
    let text = person.tab.eval(field).await;
    person.writes_a_message("来週の納期を確認してほしい").await;
    person.saves_the_message().await;
    person.tab.until("the saved one", "document.querySelector('#composer .taken')").await;
    assert_eq!(person.tab.eval(PLACES).await, before, "when a message is saved");
    person.tab.key("h").await;
    lab.phone("1001").holds().await;
    person.pop_is("held").await;
    assert_eq!(person.tab.eval(PLACES).await, before, "when the caller is held");
    call.hang_up().await;
    person.tab.until("the after-call work", "document.querySelector('#wrap-up')").await;
    assert_eq!(person.tab.eval(PLACES).await, before, "in the after-call work");
    assert_eq!(person.tab.eval(field).await, text, "the field of the message");
    person.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// The PBX refuses a queue: the person and the supervisor read which one, and under which key it is configured.
#[tokio::test]
async fn a_queue_that_the_pbx_refuses_is_named_on_the_page() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("OPERATORS__QUEUES", "operators,no-such-queue")]).await;
    let browser = Chromium::start().await;
    let operator = Person::signs_in(&browser, &service, "1001").await;
    let boss = Person::signs_in(&browser, &service, "2001").await;
    operator.is_ready().await;
    let named = "innerText.includes('no-such-queue（operators.queues）')";
    operator.tab.until("queue and key", &format!("document.querySelector('#queue-faults')?.{named}")).await;
    operator.looks("queue-fault").await;
    boss.tab.until("queue and key", &format!("document.querySelector('.faults')?.{named}")).await;
    assert!(boss.reads(".faults").await.contains("佐藤"), "{}", boss.reads(".faults").await);
    assert!(boss.reads("[data-operator=\"1001\"]").await.contains("キュー未反映"));
    boss.looks("board-queue-fault").await;
    for person in [&operator, &boss] {
        person.all_is_well().await;
    }
    browser.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_supervisor_sees_and_helps_the_team() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("POP__REPORT_SECONDS", "1")]).await;
    let browser = Chromium::start().await;
    everybody_rings(&lab).await;
    lab.phone("2001").answers_after(ms(100)).await;
    let operator = Person::signs_in(&browser, &service, "1001").await;
    let boss = Person::signs_in(&browser, &service, "2001").await;
    boss.tab.until("the board", "document.querySelector('[data-operator=\"1001\"]')").await;
    operator.is_ready().await;
    let row = "document.querySelector('[data-operator=\"1001\"]')";
    boss.tab.until("the operator's state", &format!("{row}.querySelector('.tag.good')")).await;

    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    boss.tab.until("the waiting call", "document.querySelectorAll('.waiting li .name').length === 1").await;
    // One of the operators at whom it rings has no desktop.
    let unseen =
        "document.querySelector('.unseen')?.innerText.includes('鈴木さんの画面に着信が出ていません')";
    boss.tab.until("who does not see it", unseen).await;
    boss.looks("board-waiting").await;
    lab.phone("1001").answers().await;
    operator.pop_is("talking").await;
    boss.tab.until("the call", &format!("{row}.innerText.includes('さくら商事')")).await;
    boss.tab.until("that nobody misses it", "!document.querySelector('.unseen')").await;
    // The supervisor has another view open when the request for help arrives.
    boss.wants_notifications().await;
    boss.tab.is_covered().await;
    operator.tab.key("s").await;
    boss.tab.until("the notification", "notified[0] === '佐藤さんの手上げ 株式会社さくら商事'").await;
    boss.tab.until("the sound", "tones > 0").await;
    boss.tab.is_uncovered().await;
    boss.tab.until("the help request", "document.querySelector('.help .one')").await;
    assert!(boss.reads(".help").await.contains("佐藤"));
    boss.looks("board-help").await;
    // The operator takes it back, and asks again.
    operator.presses("[data-order=help]").await;
    boss.tab.until("the end of the request", "!document.querySelector('.help .one')").await;
    operator.presses("[data-order=help]").await;
    boss.tab.until("the next request", "document.querySelector('.help .one')").await;
    boss.presses(".help button:nth-child(2)").await;
    boss.tab
        .until("the supervision", "document.querySelector('.own.own [aria-pressed=true], section.own')")
        .await;
    lab.phone("2001").talks().await;
    boss.tab
        .until("that it is live", "!document.querySelector('.help') && document.querySelector('section.own')")
        .await;
    boss.looks("board-whisper").await;
    boss.presses("section.own .danger").await;
    boss.tab.until("the end of it", "!document.querySelector('section.own')").await;

    from_the_board(&boss, &operator).await;
    call.ended().await;
    boss.tab.key("2").await;

    // The supervisor sets the operator's state, and the operator sees by whom.
    operator.tab.until("after-call work", "document.querySelector('#wrap-up')").await;
    boss.tab.eval("document.querySelector('[data-operator=\"1001\"] .set button').focus()").await;
    boss.tab.key("Enter").await;
    boss.tab.until("the menu", "document.activeElement === document.querySelector('.menu button')").await;
    boss.looks("board-state-menu").await;
    // The settings took the focus while the view was checked.
    boss.tab.eval("document.querySelector('.menu button').focus()").await;
    boss.tab.key("Tab").await;
    boss.tab
        .until("the next", "document.activeElement === document.querySelectorAll('.menu button')[1]")
        .await;
    boss.tab.key("Enter").await;
    operator.tab.until("by whom", "document.querySelector('.own .about').innerText.includes('伊藤')").await;
    operator.all_is_well().await;
    boss.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_caller_who_is_with_somebody_else_does_not_wait_on_the_board() {
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    let browser = Chromium::start().await;
    lab.phone(MOBILE).rings_for_ever().await;
    everybody_rings(&lab).await;
    let boss = Person::signs_in(&browser, &service, "2001").await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, WITH_A_MOBILE)).await;
    boss.tab.until("the waiting call", "document.querySelectorAll('.waiting li .name').length === 1").await;
    lab.phone(MOBILE).answers().await;
    let elsewhere = "!document.querySelector('.waiting li') && \
                     document.querySelector('.elsewhere')?.innerText.includes('ほかで対応中')";
    boss.tab.until("that the caller is with somebody else", elsewhere).await;
    boss.looks("board-elsewhere").await;
    call.hang_up().await;
    boss.tab.until("the end of the call", "!document.querySelector('.elsewhere')").await;
    boss.all_is_well().await;
    browser.close().await;
    service.stop().await;
}

/// The supervisor listens, whispers, barges in, and takes the call over.
async fn from_the_board(boss: &Person, operator: &Person) {
    for (n, mode) in ["モニター", "ささやき", "三者通話"].into_iter().enumerate() {
        boss.presses(&format!("[data-operator=\"1001\"] .modes button:nth-child({})", n + 1)).await;
        let live = format!(
            "document.querySelector('section.own [aria-pressed=true]')?.innerText === {mode:?} && \
             document.querySelector('section.own .tag').innerText === 'モニタリング中'"
        );
        boss.tab.until(mode, &live).await;
    }
    boss.presses("[data-operator=\"1001\"] .modes button:nth-child(4)").await;
    boss.pop_is("talking").await;
    operator.has_no_pop().await;
    boss.presses("[data-order=hangup]").await;
    boss.has_no_pop().await;
}
