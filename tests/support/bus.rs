//! Settings of an event bus under test.
use std::time::Duration;

use toritsugi::bus::BusSettings;
use toritsugi::contract::event_id::StreamToken;
use toritsugi::ids::PbxId;

/// Settings that limit nothing which a test reaches by accident; a test changes single fields.
pub(crate) fn settings(pbx: PbxId, stream: &str) -> BusSettings {
    BusSettings {
        pbx,
        stream: StreamToken::parse(stream).unwrap(),
        replay_events_max: 1_000,
        replay_age_max: Duration::from_secs(3_600),
        subscriber_events_max: 1_024,
        subscribers_max: 500,
    }
}
