//! A whole manager session of any bytes through the decoder and the call model: nothing panics, and with the
//! last frame and its waits over the model holds nothing but channels that never hung up.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use toritsugi::call::Plan;
use toritsugi::ids::PbxId;
use toritsugi::replay::replay;

fuzz_target!(|data: &[u8]| {
    let plan = Plan {
        pbx: PbxId::parse("fuzz").expect("a name"),
        trunks: vec!["trunk".into()],
        phones: vec!["1XXX".parse().expect("a pattern")],
        identity_wait: Duration::from_millis(3),
        ask_wait: Duration::from_millis(3),
        card_wait: Duration::from_millis(3),
    };
    if let Ok(replay) = replay(data, plan) {
        assert!(replay.left.calls <= replay.left.legs, "a call without a channel was left: {:?}", replay.left);
        assert_eq!(replay.left.timers, 0);
        for (_, draft) in &replay.told {
            assert!(draft.call.is_some());
        }
    }
});
