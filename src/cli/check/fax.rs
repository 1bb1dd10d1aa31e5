//! Whether faxes can be received: the directory, and what the PBX needs for `toritsugi-fax` of its dialplan.
//!
//! Invariant: the tests only read.

use toritsugi::ami::client::Handle;
use toritsugi::config::Config;
use toritsugi::fax::FaxFileName;
use toritsugi::spool::Spool;

use super::Finding;
use super::installation::{context_of, has_module};

const WHAT: &str = "fax";
/// The context that receives a fax.
const CONTEXT: &str = "toritsugi-fax";
/// Modules without which no fax is received.
const MODULES: [&str; 6] = [
    "res_fax.so",
    "res_fax_spandsp.so",
    "func_module.so",
    "func_strings.so",
    "func_timeout.so",
    "app_userevent.so",
];
/// Modules without which a caller who sends no fax is not released early.
const WATCH_MODULES: [&str; 3] = ["func_env.so", "app_softhangup.so", "app_originate.so"];
/// Without it faxes come as sound.
const T38_MODULE: &str = "res_pjsip_t38.so";

/// The directory; `None` if no faxes are received.
pub(super) fn directory(config: &Config) -> Option<Finding> {
    let directory = config.fax.directory.as_ref()?;
    let shown = directory.display();
    Some(match Spool::<FaxFileName>::new(directory.clone()).check() {
        Ok(()) => Finding::ok(WHAT, format!("files are taken from {shown}")),
        Err(error) => Finding::failed(
            WHAT,
            format!(
                "{shown}: {error}: fax.directory must be the directory into which the PBX writes faxes, and this user must be able to write there (docs/fax.md)"
            ),
        ),
    })
}

/// What the PBX needs; nothing if no faxes are received.
pub(super) async fn pbx(config: &Config, handle: &Handle) -> Vec<Finding> {
    if config.fax.directory.is_none() {
        return Vec::new();
    }
    if context_of(handle, CONTEXT).await.is_err() {
        return vec![Finding::failed(
            WHAT,
            format!("the PBX has no {CONTEXT}: include the toritsugi-dialplan.conf of this version"),
        )];
    }
    let missing = unloaded(handle, &MODULES).await;
    if !missing.is_empty() {
        return vec![Finding::failed(
            WHAT,
            format!(
                "no fax is received without {}: load these modules (Debian: package asterisk)",
                missing.join(", ")
            ),
        )];
    }
    let mut findings = vec![Finding::ok(WHAT, format!("the PBX has {CONTEXT} and its modules"))];
    let missing = unloaded(handle, &WATCH_MODULES).await;
    if !missing.is_empty() {
        findings.push(Finding::note(
            WHAT,
            format!(
                "without {} a person who calls a fax number stays connected for up to half an hour: load these modules",
                missing.join(", ")
            ),
        ));
    }
    if has_module(handle, T38_MODULE).await == Some(false) {
        findings.push(Finding::note(WHAT, format!("faxes come as sound only, without {T38_MODULE}")));
    }
    findings
}

async fn unloaded(handle: &Handle, modules: &[&'static str]) -> Vec<&'static str> {
    let mut unloaded = Vec::new();
    for module in modules {
        if has_module(handle, module).await == Some(false) {
            unloaded.push(*module);
        }
    }
    unloaded
}
