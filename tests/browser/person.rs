//! One person in front of one desktop: what the person sees, types and clicks.
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use crate::chromium::{Chromium, Tab};
use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall};
use crate::support::service::Service;
use crate::{KNOWN_CALLER, SAKURA};

/// The password of every user in these tests.
pub(crate) const PASSWORD: &str = "取次電話の合言葉です";
/// The form of the call's message is empty, and the caret has left it.
pub(crate) const SAVED: &str = "!document.querySelector('form.message')?.contains(document.activeElement) && \
    [...document.querySelectorAll('form.message textarea')].every((one) => !one.value)";
/// The caret has left the form of the call's message.
pub(crate) const LEFT: &str = "!document.querySelector('form.message')?.contains(document.activeElement)";
/// The smallest screen that the page supports.
pub(crate) const DESK: (u32, u32) = (1280, 800);
pub(crate) const WIDE: (u32, u32) = (1920, 1080);

/// Records the notifications that the page shows and counts the tones that it plays.
const LISTEN: &str = "{
    globalThis.notified = [];
    globalThis.buttons = [];
    const shows = ServiceWorkerRegistration.prototype.showNotification;
    ServiceWorkerRegistration.prototype.showNotification = function (title, options) {
        notified.push(`${title} ${options.body}`);
        buttons.push(...options.actions.map((one) => `${one.action} ${options.tag}`));
        return shows.call(this, title, options);
    };
    const { start } = OscillatorNode.prototype;
    globalThis.tones = 0;
    OscillatorNode.prototype.start = function (...when) { tones += 1; return start.apply(this, when); };
    0
}";

/// A person at a desktop.
pub(crate) struct Person {
    pub(crate) tab: Tab,
    pub(crate) origin: String,
}

impl Person {
    /// Opens the page and signs in, as a person does.
    pub(crate) async fn signs_in(browser: &Chromium, service: &Service, who: &str) -> Self {
        give_password(service, who).await;
        Self::signs_in_too(browser, service, who).await
    }

    /// Signs in at a further desktop as a user who has [`PASSWORD`] already.
    pub(crate) async fn signs_in_too(browser: &Chromium, service: &Service, who: &str) -> Self {
        let person = Self::comes(browser, &format!("http://{}", service.address)).await;
        person.enters(who, PASSWORD).await;
        person.is_connected().await;
        person
    }

    /// Opens the page; nobody is signed in.
    pub(crate) async fn comes(browser: &Chromium, origin: &str) -> Self {
        let tab = browser.tab(DESK.0, DESK.1).await;
        let person = Self { tab, origin: origin.to_owned() };
        person.loads().await;
        person
    }

    pub(crate) async fn loads(&self) {
        self.tab.call("Page.navigate", json!({ "url": self.origin })).await;
        self.tab.until("the page", "document.querySelector('form, .frame')").await;
    }

    /// Fills in the sign-in by keyboard.
    pub(crate) async fn enters(&self, login: &str, password: &str) {
        self.tab.until("the sign-in", "document.activeElement?.name === 'login'").await;
        self.tab.types(login).await;
        self.tab.key("Tab").await;
        self.tab.types(password).await;
        self.tab.key("Enter").await;
    }

    pub(crate) async fn is_connected(&self) {
        self.tab.until("the connection", "document.querySelector('[data-phase=live]')").await;
    }

    /// Becomes ready for calls.
    pub(crate) async fn is_ready(&self) {
        self.tab.until("the own state", "document.querySelector('#own-state')").await;
        self.chooses_state(0).await;
        self.shows_state("ready").await;
    }

    /// Chooses the `n`th entry of the state menu, by keyboard.
    pub(crate) async fn chooses_state(&self, n: usize) {
        self.tab.key("r").await;
        self.tab.until("the menu", "document.querySelector('.menu button')").await;
        self.tab.key(&(n + 1).to_string()).await;
    }

    /// Chooses the entry of the state menu with this text.
    pub(crate) async fn chooses(&self, words: &str) {
        self.presses("#own-state").await;
        self.chooses_from_menu(words).await;
    }

    /// Chooses the entry of the open menu with this text.
    pub(crate) async fn chooses_from_menu(&self, words: &str) {
        let entry = format!(
            "[...document.querySelectorAll('.menu button')].find((one) => one.innerText.includes({words:?}))"
        );
        self.tab.until(&format!("{words} in the menu"), &entry).await;
        self.tab.eval(&format!("{entry}.click()")).await;
    }

    /// Takes a seat at this phone.
    pub(crate) async fn sits_at(&self, extension: &str) {
        self.presses("#own-state").await;
        let seat = format!("document.querySelector('.menu option[value=\"{extension}\"]')");
        self.tab.until("the phone in the menu", &seat).await;
        let choose = "{ const one = document.querySelector('.menu select'); one.value = EXTENSION; \
                      one.dispatchEvent(new Event('change', { bubbles: true })); 0 }";
        self.tab.eval(&choose.replace("EXTENSION", &format!("{extension:?}"))).await;
        self.chooses_from_menu("業務を始める").await;
    }

    pub(crate) async fn shows_state(&self, state: &str) {
        let tones = json!({ "ready": "good", "reserved": "ring", "talking": "accent" });
        let tone = tones[state].as_str().unwrap_or("hold");
        let is = format!("document.querySelector('#own-state')?.dataset.tone === '{tone}'");
        self.tab.until(&format!("the state {state}"), &is).await;
    }

    /// Waits until the pop is in this phase: `ringing`, `talking` or `held`.
    pub(crate) async fn pop_is(&self, phase: &str) {
        let shown = format!("document.querySelector('.pop[data-phase={phase}]')");
        self.tab.until(&format!("the pop, {phase}"), &shown).await;
    }

    /// Places a call of a known caller to account 1, which the operator of phone 1001 answers.
    pub(crate) async fn takes_call<'a>(&self, lab: &'a Lab) -> PlacedCall<'a> {
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        self.pop_is("ringing").await;
        lab.phone("1001").answers().await;
        self.pop_is("talking").await;
        call
    }

    /// Opens the composer by its key, and types this text.
    pub(crate) async fn writes_a_message(&self, text: &str) {
        self.tab.key("m").await;
        self.tab.until("the text", "document.activeElement?.matches('form.message textarea')").await;
        self.tab.types(text).await;
    }

    /// Saves the message that is being written.
    pub(crate) async fn saves_the_message(&self) {
        self.presses("form.message .main").await;
        self.tab.until("that it is saved", SAVED).await;
    }

    pub(crate) async fn has_no_pop(&self) {
        self.tab.until("the pop to go", "!document.querySelector('.pop:not([data-phase=over])')").await;
    }

    /// The name of the company in front.
    pub(crate) async fn company(&self) -> String {
        let name = self.tab.eval("document.querySelector('.company h1')?.title ?? ''").await;
        name.as_str().unwrap().to_owned()
    }

    /// The text of the first element that matches.
    pub(crate) async fn reads(&self, selector: &str) -> String {
        let text = self.tab.eval(&format!("document.querySelector({selector:?})?.innerText ?? ''")).await;
        text.as_str().unwrap().to_owned()
    }

    /// The commands that the page offers now.
    pub(crate) async fn commands(&self) -> Vec<String> {
        let all = "[...document.querySelectorAll('[data-order]')].map((one) => one.dataset.order)";
        serde_json::from_value(self.tab.eval(all).await).unwrap()
    }

    /// Waits until exactly these commands are offered.
    pub(crate) async fn may(&self, commands: &[&str]) {
        let all = "[...document.querySelectorAll('[data-order]')].map((one) => one.dataset.order).join()";
        self.tab
            .until(&format!("the commands {commands:?}"), &format!("{all} === {:?}", commands.join(",")))
            .await;
    }

    pub(crate) async fn presses(&self, selector: &str) {
        // In one step: a list that is drawn again would take it away in between.
        let click = format!(
            "(() => {{ const one = document.querySelector({selector:?}); one?.click(); return Boolean(one); }})()"
        );
        self.tab.until(selector, &click).await;
    }

    /// Closes what the page says for some seconds, which covers a part of it.
    pub(crate) async fn closes_notices(&self) {
        self.tab.eval("document.querySelectorAll('.notices button').forEach((one) => one.click())").await;
        self.tab.until("no notice", "!document.querySelector('.notice')").await;
    }

    /// Allows and enables notifications; from now on notifications and tones are recorded.
    pub(crate) async fn wants_notifications(&self) {
        self.tab.eval(LISTEN).await;
        self.tab.permits(&self.origin, "notifications").await;
        self.presses("header .right kbd").await;
        self.presses("[data-notifications]").await;
        let kept = "JSON.parse(localStorage.getItem('toritsugi.prefs')).notifications";
        self.tab.until("that notifications are enabled", kept).await;
        self.presses("dialog .head button").await;
    }

    /// Checks that no script failed, that the content security policy refused nothing, and that every request went to the
    /// daemon.
    pub(crate) async fn all_is_well(&self) {
        assert_eq!(self.tab.events("Runtime.exceptionThrown"), Vec::<Value>::new());
        for entry in self.tab.events("Log.entryAdded") {
            let text = entry["entry"]["text"].as_str().unwrap_or_default();
            assert!(!text.contains("Content Security Policy") && !text.contains("Trusted"), "{entry:#}");
        }
        for request in self.tab.events("Network.requestWillBeSent") {
            let url = request["request"]["url"].as_str().unwrap();
            // A data URL leaves the browser for nobody: Chromium draws the icon of a date field from one.
            // So does a file that the page saves.
            let is_own = ["", "blob:"].iter().any(|kind| url.starts_with(&format!("{kind}{}", self.origin)))
                || url.starts_with("data:");
            assert!(is_own, "the page asked {url}");
        }
    }

    /// Checks the current view in both languages and both colour schemes: nothing overflows, axe finds nothing. Writes a
    /// picture of each.
    pub(crate) async fn looks(&self, name: &str) {
        for (language, dark, (width, height)) in
            [("ja", false, DESK), ("ja", true, WIDE), ("en", false, DESK), ("en", true, DESK)]
        {
            self.tab.size(width, height).await;
            self.tab.dark(dark).await;
            self.speaks(language).await;
            let scheme = if dark { "dark" } else { "light" };
            let name = format!("{name}-{language}-{scheme}-{width}");
            self.is_pictured(&name).await;
            self.fits(&name).await;
            self.is_accessible(&name).await;
        }
        self.tab.size(DESK.0, DESK.1).await;
        self.tab.dark(false).await;
        self.speaks("ja").await;
    }

    /// Writes a picture of the page as it is.
    pub(crate) async fn is_pictured(&self, name: &str) {
        let picture = self.tab.picture().await;
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../pictures");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }

    /// Changes the language as a person does: at the sign-in, or in the settings.
    pub(crate) async fn speaks(&self, language: &str) {
        let is = format!("document.documentElement.lang === {language:?}");
        if self.tab.eval(&is).await == json!(true) {
            return;
        }
        if self.tab.eval("Boolean(document.querySelector('.frame'))").await == json!(false) {
            self.presses("form .plain").await;
        } else {
            let open = self.tab.eval("Boolean(document.querySelector('dialog[open]'))").await == json!(true);
            if !open {
                self.presses("header .right kbd").await;
            }
            self.tab.until("the settings", "document.querySelector('dialog[open] select')").await;
            let choose = "const one = document.querySelector('dialog select'); one.value = LANGUAGE; \
                          one.dispatchEvent(new Event('change', { bubbles: true })); 0";
            self.tab.eval(&format!("{{ {} }}", choose.replace("LANGUAGE", &format!("{language:?}")))).await;
            if !open {
                self.presses("dialog .head button").await;
                self.tab.until("the settings to close", "!document.querySelector('dialog')").await;
            }
        }
        self.tab.until("the language", &is).await;
    }

    /// Checks that nothing is wider than its container and that the page does not scroll.
    pub(crate) async fn fits(&self, name: &str) {
        let wide = self.tab.eval(include_str!("fits.js")).await;
        assert_eq!(wide, json!([]), "{name}: cut or overflowing");
    }

    pub(crate) async fn is_accessible(&self, name: &str) {
        let axe = concat!(env!("CARGO_MANIFEST_DIR"), "/desktop/node_modules/axe-core/axe.min.js");
        if self.tab.eval("typeof axe").await != json!("object") {
            let source = std::fs::read_to_string(axe).expect("make page fetches axe-core");
            self.tab.eval(&format!("{source};0")).await;
        }
        let tags = r#"["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]"#;
        let found = self
            .tab
            .eval(&format!(
                "axe.run(document, {{ runOnly: {tags} }}).then((result) => result.violations.map((one) => \
                 ({{ id: one.id, where: one.nodes.slice(0, 4).map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary) }})))"
            ))
            .await;
        assert_eq!(found, json!([]), "{name}: axe");
    }
}

/// Sets [`PASSWORD`] for the user of this extension.
pub(crate) async fn give_password(service: &Service, who: &str) {
    let (_, users) = service.ask("admin", Method::GET, "/v1/users", None).await;
    let users = users["items"].as_array().unwrap();
    let user = users.iter().find(|user| user["extension"] == who).expect("somebody sits there");
    let path = format!("/v1/users/{}", user["id"].as_str().unwrap());
    let (status, answer) =
        service.ask("admin", Method::PATCH, &path, Some(json!({ "password": PASSWORD }))).await;
    assert_eq!(status, 200, "{answer}");
}
