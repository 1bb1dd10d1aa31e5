//! The page writes telephone numbers in the format of the installation's country.
use serde_json::{Value, json};
use toritsugi::numbers::NumberPlan;

use crate::chromium::Chromium;
use crate::person::Person;
use crate::support::gateway_rig::{Options, PASSWORD, Rig};

#[tokio::test]
async fn numbers_are_written_as_the_daemon_s_country_does() {
    // Dialled, diverting and calling number: as lookup keys, and as the daemon formats callers.
    let american = [
        ("+12125550100", "(212) 555-0100"),
        ("+442079460123", "+44 20 7946 0123"),
        ("(212) 555-0123", "(212) 555-0123"),
    ];
    let japanese = [
        ("+81663450103", "06-6345-0103"),
        ("+442079460123", "+44 20 7946 0123"),
        ("090-1234-5678", "090-1234-5678"),
    ];
    let browser = Chromium::start().await;
    for (country, numbers) in [("US", american), ("JP", japanese)] {
        let plan = NumberPlan::of_country(country).unwrap();
        let rig = Rig::with(Options { plan, ..Options::default() }).await;
        let person = Person::comes(&browser, &format!("http://{}", rig.address)).await;
        person.enters("1001", PASSWORD).await;
        person.is_connected().await;
        let [(dialled, _), (diverted_by, _), (caller, _)] = numbers;
        let mut data: Value = crate::hostile::pop("Example");
        data["dialled"] = json!(dialled);
        data["diverted_by"] = json!(diverted_by);
        data["caller"]["number"] = json!(caller);
        rig.publish(crate::support::gateway_rig::ringing(1, &["1001"], data, rig.app.clock.now()));
        person.pop_is("ringing").await;
        let written = numbers.map(|(_, written)| written).concat();
        let shown = format!(
            "[...document.querySelectorAll('.origin dd bdi'), document.querySelector('.number bdi')]\
             .map((one) => one.innerText).join('') === {written:?}"
        );
        person.tab.until(country, &shown).await;
        person.all_is_well().await;
    }
    browser.close().await;
}
