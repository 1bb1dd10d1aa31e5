//! The tasks that keep what happens to calls before an operator: the plans and sounds at the PBX, the heartbeat and what the PBX
//! wrote down, and what callers spoke.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::callflow::PlanWriter;
use super::offline::OfflineLog;
use super::sounds::SoundFiles;
use crate::ami::client::Handle;
use crate::bus::Bus;
use crate::callflow::{SharedPlanStatus, SoundProbe};
use crate::config::Config;
use crate::directory::Directory;
use crate::gateway::Metrics;
use crate::messages::MessageRelay;
use crate::pbx_link::Following;
use crate::store::Store;
use crate::voice::{VoiceDoor, VoiceHouse, VoiceReceiver, VoiceStats};

/// What the tasks work with.
pub(super) struct BeforeOperator<'a> {
    pub(super) config: &'a Config,
    pub(super) bus: &'a Bus,
    pub(super) store: &'a Store,
    pub(super) directory: &'a Directory,
    pub(super) relay: &'a MessageRelay,
    pub(super) following: &'a Following,
    pub(super) pbx: &'a Handle,
    pub(super) status: &'a SharedPlanStatus,
    pub(super) sounds: &'a SoundProbe,
}

/// The receiver of voice messages, and where what the PBX reports of them is handed over.
pub(super) fn voice_receiver(config: &Config, metrics: &Metrics) -> (VoiceDoor, Option<VoiceReceiver>) {
    let stats = VoiceStats::default();
    stats.register(metrics);
    VoiceReceiver::new(config.voice_settings(), stats)
}

impl BeforeOperator<'_> {
    /// Starts them. `stopping`: the daemon is asked to stop, and still follows the PBX; `shutdown`: it no longer does.
    pub(super) fn start(
        self,
        (voices, receiver): (VoiceDoor, Option<VoiceReceiver>),
        tasks: &TaskTracker,
        (stopping, shutdown): (&CancellationToken, &CancellationToken),
    ) {
        let Self { config, bus, store, directory, relay, following, pbx, status, sounds } = self;
        if let Some(receiver) = receiver {
            let house = VoiceHouse {
                bus: bus.clone(),
                store: store.clone(),
                directory: directory.clone(),
                relay: relay.clone(),
            };
            tasks.spawn(receiver.run(house, shutdown.clone()));
        }
        let plans = PlanWriter {
            voice_directory: config.voice.directory.clone(),
            directory: directory.clone(),
            bus: bus.clone(),
            following: following.clone(),
            pbx: pbx.clone(),
            status: status.clone(),
            sounds: sounds.clone(),
        };
        tasks.spawn(plans.run(shutdown.clone()));
        if let Some(directory) = config.callflow.sounds_directory.clone() {
            let files = SoundFiles { store: store.clone(), directory };
            tasks.spawn(files.run(shutdown.clone()));
        }
        let offline = OfflineLog {
            bus: bus.clone(),
            following: following.clone(),
            pbx: pbx.clone(),
            store: store.clone(),
            directory: directory.clone(),
            rules: config.endpoint_rules(),
            voices,
            relay: relay.clone(),
        };
        tasks.spawn(offline.run(stopping.clone()));
    }
}
