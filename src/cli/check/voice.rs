//! Whether callers can leave voice messages: the directory, and what the PBX needs for the step `voice` of its dialplan.
//!
//! Invariant: the tests only read.

use toritsugi::ami::client::Handle;
use toritsugi::config::Config;
use toritsugi::spool::Spool;
use toritsugi::voice::VoiceFileName;

use super::Finding;
use super::installation::{context_of, has_module};

const WHAT: &str = "voice";
/// The context that reports a recording.
const CONTEXT: &str = "toritsugi-voice";
/// Modules without which nothing is recorded, or nobody learns of it.
const MODULES: [&str; 4] = ["app_record.so", "app_playback.so", "app_userevent.so", "format_wav.so"];

/// The directory; `None` if callers leave no messages.
pub(super) fn directory(config: &Config) -> Option<Finding> {
    let directory = config.voice.directory.as_ref()?;
    let shown = directory.display();
    Some(match Spool::<VoiceFileName>::new(directory.clone()).check() {
        Ok(()) => Finding::ok(WHAT, format!("files are taken from {shown}")),
        Err(error) => Finding::failed(
            WHAT,
            format!(
                "{shown}: {error}: voice.directory must be the directory into which the PBX writes voice messages, and this user must be able to write there (docs/callflow.md)"
            ),
        ),
    })
}

/// The directory of uploaded sounds; `None` if none can be uploaded.
pub(super) fn sounds(config: &Config) -> Option<Finding> {
    const WHAT: &str = "sounds";
    let directory = config.callflow.sounds_directory.as_ref()?;
    let shown = directory.display();
    let probe = directory.join(".toritsugi-check");
    let tried = std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe));
    Some(match tried {
        Ok(()) => Finding::ok(WHAT, format!("uploaded sounds are written to {shown}")),
        Err(error) => Finding::failed(
            WHAT,
            format!(
                "{shown}: {error}: callflow.sounds_directory must be a directory in which this user can write, and which the PBX has as toritsugi-own among its sounds (docs/callflow.md)"
            ),
        ),
    })
}

/// What the PBX needs; nothing if callers leave no messages.
pub(super) async fn pbx(config: &Config, handle: &Handle) -> Vec<Finding> {
    if config.voice.directory.is_none() {
        return Vec::new();
    }
    if context_of(handle, CONTEXT).await.is_err() {
        return vec![Finding::failed(
            WHAT,
            format!("the PBX has no {CONTEXT}: include the toritsugi-dialplan.conf of this version"),
        )];
    }
    let mut missing = Vec::new();
    for module in MODULES {
        if has_module(handle, module).await == Some(false) {
            missing.push(module);
        }
    }
    if missing.is_empty() {
        return vec![Finding::ok(WHAT, format!("the PBX has {CONTEXT} and its modules"))];
    }
    let missing = missing.join(", ");
    vec![Finding::failed(WHAT, format!("no voice message is recorded without {missing}: load these modules"))]
}
