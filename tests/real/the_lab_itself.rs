//! The lab is what other tests believe in, so it is tested first: calls ring where they
//! should, sound goes where it should, and nothing stays behind.
use std::time::Duration;

use crate::lab::{CallSpec, Lab, Tone};

const KNOWN_CALLER: &str = "09012345678";
const SAKURA: &str = "0355501001";
const MINATO: &str = "0355501002";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn caller_and_operator_hear_each_other_and_nobody_else() {
    let lab = Lab::start().await;
    lab.phone("1002").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.answered().await;
    lab.phone("1002").talks().await;
    tokio::time::sleep(ms(3_200)).await;
    call.hang_up().await;

    let caller = call.heard().await;
    let operator = lab.phone("1002").heard().await;
    assert!(caller.hears_throughout(Tone::OPERATOR, 1..3), "{:?}", caller.per_second());
    assert!(operator.hears_throughout(Tone::CALLER, 1..3), "{:?}", operator.per_second());
    for other in [Tone::SUPERVISOR, Tone::CONTACT, Tone::MUSIC] {
        assert!(!caller.ever_hears(other) && !operator.ever_hears(other), "{other:?}");
    }
}
