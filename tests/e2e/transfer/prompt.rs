//! The sound that a contact hears before pressing 1.
use std::path::{Path, PathBuf};

use super::{FIRST_ON_CALL, Scene, talk};
use crate::ms;
use crate::support::pbx_lab::{Lab, Spoken, Tone};

#[tokio::test]
async fn the_sound_that_ships_asks_for_the_key() {
    let lab = Lab::start().await;
    // The installation names a sound that is missing, and the account none.
    lab.set_global("SOUND_ACCEPT", "none").await;
    let mut scene = Scene::with_keys(&lab).await;
    let contact = lab.phone(FIRST_ON_CALL);
    contact.answers_after(ms(200)).await;
    scene.transfer("blind", FIRST_ON_CALL).await;
    contact.talks().await;
    // Seven seconds of speech; the contact presses 1 when it is over.
    tokio::time::sleep(ms(7_500)).await;
    contact.presses("1").await;
    scene.wait_event("call.transfer.completed").await;
    talk().await;
    scene.call.hang_up().await;
    let heard = contact.heard().await;
    let shipped = Spoken::from_ulaw("asterisk-conf/sounds/toritsugi/accept.ulaw");
    assert!(heard.likeness(&shipped) > 0.9, "{}", heard.likeness(&shipped));
    assert!(heard.ever_hears(Tone::CALLER), "{:?}", heard.per_second());
}

#[tokio::test]
async fn an_account_has_a_sound_of_its_own_and_a_missing_one_keeps_nobody_from_the_caller() {
    let lab = Lab::start().await;
    // Without the shipped sound, which the PBX would play instead of a missing one.
    let shipped = Path::new(&lab.fact("LAB_INSTANCE")).join("pbx/sounds/toritsugi/accept.ulaw");
    let _aside = Aside::move_away(shipped);
    let own = format!("{}/pbx/sounds/accept", lab.fact("LAB_INSIDE"));
    for (account, service, heard_prompt) in
        [(own.as_str(), "toritsugi-none", true), ("none/such", "none", false)]
    {
        lab.set_global("SOUND_ACCEPT", service).await;
        let mut scene = Scene::with_keys(&lab).await;
        scene.service.change_account("A001", serde_json::json!({ "accept_sound": account })).await;
        let contact = lab.phone(FIRST_ON_CALL);
        contact.presses_after(ms(200), "1").await;
        scene.transfer("blind", FIRST_ON_CALL).await;
        scene.wait_event("call.transfer.completed").await;
        talk().await;
        scene.call.hang_up().await;
        let heard = contact.heard().await;
        assert_eq!(heard.ever_hears(Tone::PROMPT), heard_prompt, "{account}: {:?}", heard.per_second());
        assert!(heard.ever_hears(Tone::CALLER), "{account}: {:?}", heard.per_second());
        scene.service.stop().await;
        lab.reset().await;
    }
}

/// A file that is elsewhere until the end of the test.
struct Aside(PathBuf);

impl Aside {
    fn move_away(file: PathBuf) -> Self {
        std::fs::rename(&file, file.with_extension("aside")).unwrap();
        Self(file)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // A panic here would hide the one of the test.
        let _ = std::fs::rename(self.0.with_extension("aside"), &self.0);
    }
}
