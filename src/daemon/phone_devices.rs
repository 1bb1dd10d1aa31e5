//! The devices of each extension: one person may have a desk phone, a browser phone and a mobile.
//!
//! Invariant: an extension can be reached if one of its devices can; at most [`DEVICES_PER_EXTENSION_MAX`] are kept.

use std::collections::{BTreeMap, HashMap};

use smol_str::SmolStr;

use crate::ami::member::DeviceReachability;
use crate::ids::Extension;

/// Most devices of one extension; further ones are ignored.
pub(super) const DEVICES_PER_EXTENSION_MAX: usize = 16;

/// The devices that the PBX has reported.
#[derive(Debug, Default)]
pub(super) struct PhoneDevices(HashMap<Extension, BTreeMap<SmolStr, DeviceReachability>>);

impl PhoneDevices {
    /// The state of a device has changed; returns that of the extension.
    pub(super) fn update(
        &mut self,
        extension: &Extension,
        device: SmolStr,
        reachability: DeviceReachability,
    ) -> DeviceReachability {
        let devices = self.0.entry(extension.clone()).or_default();
        if devices.len() < DEVICES_PER_EXTENSION_MAX || devices.contains_key(&device) {
            devices.insert(device, reachability);
        }
        devices.values().copied().max_by_key(rank).unwrap_or(reachability)
    }

    /// The device to call at this extension: one that can be reached, if there is one, and rather the one with the
    /// extension's own name.
    pub(super) fn device_of(&self, extension: &Extension) -> Option<SmolStr> {
        let is_own = |device: &str| device.rsplit('/').next() == Some(extension.as_str());
        let order =
            |(device, reachability): &(&SmolStr, &DeviceReachability)| (rank(reachability), is_own(device));
        // Of equal ones the first, so that the answer does not change without a reason.
        self.0.get(extension)?.iter().rev().max_by_key(order).map(|(device, _)| device.clone())
    }
}

fn rank(reachability: &DeviceReachability) -> u8 {
    match reachability {
        DeviceReachability::Reachable => 2,
        DeviceReachability::Unreachable => 1,
        DeviceReachability::Unknown => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_with_several_devices_is_there_while_one_is() {
        use DeviceReachability::{Reachable, Unknown, Unreachable};
        let (mut devices, sato) = (PhoneDevices::default(), Extension::parse("1001").unwrap());
        let mut after = |device: &str, reachability| {
            let best = devices.update(&sato, device.into(), reachability);
            (best, devices.device_of(&sato).unwrap().to_string())
        };
        assert_eq!(after("PJSIP/1001", Unreachable), (Unreachable, "PJSIP/1001".into()));
        assert_eq!(after("PJSIP/1001-web", Reachable), (Reachable, "PJSIP/1001-web".into()));
        assert_eq!(after("PJSIP/1001", Reachable), (Reachable, "PJSIP/1001".into()));
        assert_eq!(after("PJSIP/1001-app", Unknown), (Reachable, "PJSIP/1001".into()));
        assert_eq!(after("PJSIP/1001", Unknown), (Reachable, "PJSIP/1001-web".into()));
        assert_eq!(after("PJSIP/1001-web", Unreachable), (Unreachable, "PJSIP/1001-web".into()));
    }
}
