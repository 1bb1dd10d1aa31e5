//! Faxes: hands what the PBX reports about them to the fax receiver ([`crate::fax`]), with what the call model knows of
//! the call.

use super::core::Core;
use crate::ami::event::{Channel, Event, user_field};
use crate::fax::{FaxCall, FaxReport};

/// The event of `toritsugi-fax` in the dialplan.
const EVENT: &str = "ToritsugiFax";

impl Core {
    /// The report of a fax, if `event` is one; the model has it already.
    pub(super) fn on_fax_event(&self, event: &Event) {
        let Event::User { name, channel, fields } = event else { return };
        if name != EVENT {
            return;
        }
        let field = |name: &str| user_field(fields, name);
        match field("Step") {
            Some(b"received") if self.deps.faxes.is_open() => {
                match FaxReport::read(field, self.fax_call(channel)) {
                    Ok(report) => self.deps.faxes.report(report),
                    Err(error) => {
                        tracing::warn!(%error, "the PBX reported a fax under a name that its dialplan does not make")
                    }
                }
            }
            Some(b"received") => tracing::warn!(
                "the PBX received a fax, and fax.directory is not set: set it to the directory into which the PBX writes faxes"
            ),
            Some(b"unable") => tracing::error!(
                "a fax could not be received: load res_fax and res_fax_spandsp on the PBX (toritsugi check names what is missing)"
            ),
            _ => {}
        }
    }

    fn fax_call(&self, channel: &Channel) -> Option<FaxCall> {
        let view = self.model.call(self.model.leg_view(&channel.id)?.call)?;
        let Some(card) = &view.card else {
            // Without the card nobody knows whether the caller withholds the number.
            return Some(FaxCall {
                id: view.id,
                account: None,
                dialled: None,
                caller: None,
                is_withheld: true,
            });
        };
        Some(FaxCall {
            id: view.id,
            account: card.account.id,
            dialled: card.dialled.clone(),
            caller: card.caller.number.clone(),
            is_withheld: card.caller.presentation.hides_number(),
        })
    }
}
