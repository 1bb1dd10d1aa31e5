//! Fuzzes the decoder and the call model with a manager session of any bytes: nothing panics, and after the last frame
//! and the last timer the model holds only channels that never hung up.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use toritsugi::call::EndpointRules;
use toritsugi::ids::PbxId;
use toritsugi::replay::replay;

fuzz_target!(|data: &[u8]| {
    let plan = EndpointRules {
        pbx: PbxId::parse("fuzz").expect("a name"),
        trunks: vec!["trunk".into()],
        endpoints: toritsugi::contract::endpoint::EndpointNames::default(),
        phones: vec!["1XXX".parse().expect("a pattern")],
        identity_wait: Duration::from_millis(3),
        ask_wait: Duration::from_millis(3),
        card_wait: Duration::from_millis(3),
    };
    if let Ok(replay) = replay(data, plan) {
        assert!(
            replay.remaining.calls <= replay.remaining.legs,
            "a call without a channel remained: {:?}",
            replay.remaining
        );
        assert_eq!(replay.remaining.timers, 0);
        for (_, draft) in &replay.published {
            assert!(draft.call.is_some());
        }
    }
});
