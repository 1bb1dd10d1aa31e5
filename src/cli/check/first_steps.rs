//! What a new installation still lacks, beyond what fails: the page, accounts, somebody who can sign in, the daemon.
//!
//! Invariant: the store is only read, and the daemon is asked for `/readyz` alone.

use std::time::Duration;

use serde::Deserialize;
use toritsugi::config::Config;
use toritsugi::gateway::page_is_built;
use toritsugi::people::role::Role;
use toritsugi::store::{PAGE_RECORDS_MAX, SchemaStatus, Store, StoreError};

use super::super::{Global, client};
use super::Finding;

/// How long the daemon may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// What the store has of what a service needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Records {
    accounts: usize,
    /// Accounts without a number: no call is theirs.
    without_number: usize,
    can_sign_in: usize,
    administrators: usize,
}

/// All findings.
pub(super) async fn check(config: &Config, global: &Global) -> Vec<Finding> {
    let mut findings = vec![page()];
    if let Ok(location) = config.store.location()
        && let Ok(SchemaStatus::Current { .. }) = Store::inspect_at(&location).await
        && let Ok(store) = Store::open_at(&location).await
    {
        match count(&store).await {
            Ok(records) => findings.extend(records.findings()),
            Err(error) => {
                findings.push(Finding::failed("records", format!("the accounts cannot be read: {error}")));
            }
        }
        store.close().await;
    }
    findings.push(daemon(global).await);
    findings
}

fn page() -> Finding {
    if page_is_built() {
        Finding::ok("page", "the operators' page is built in".into())
    } else {
        Finding::note(
            "page",
            "this program was built without the operators' page: run `make page`, then build it again".into(),
        )
    }
}

async fn count(store: &Store) -> Result<Records, StoreError> {
    let mut found = Records::default();
    let mut after = None;
    loop {
        let page = store.accounts(after, PAGE_RECORDS_MAX).await?;
        found.accounts += page.items.len();
        let has_none = page
            .items
            .iter()
            .filter(|account| account.fields.dialled.is_empty() && account.fields.forwarding.is_empty());
        found.without_number += has_none.count();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let page = store.users(after, PAGE_RECORDS_MAX).await?;
        let active = page.items.iter().filter(|user| user.revoked_at.is_none());
        for user in active {
            found.can_sign_in += usize::from(user.has_password);
            found.administrators += usize::from(user.person.role == Role::Admin);
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

impl Records {
    fn findings(&self) -> Vec<Finding> {
        let accounts = match (self.accounts, self.without_number) {
            (0, _) => Finding::note(
                "accounts",
                "there are no accounts, so every call pops without a company: `toritsugi import accounts FILE`".into(),
            ),
            (accounts, 0) => Finding::ok("accounts", format!("{accounts} accounts, each with a number")),
            (accounts, without) => Finding::note(
                "accounts",
                format!("{without} of {accounts} accounts have no number, so no call is theirs: `toritsugi accounts set CODE dialled=…`"),
            ),
        };
        let users = match (self.administrators, self.can_sign_in) {
            (0, _) => Finding::note(
                "users",
                "there is no administrator: `toritsugi user add NAME --role admin --password`".into(),
            ),
            (_, 0) => Finding::note(
                "users",
                "no user has a password, so nobody can sign in at the page: `toritsugi user password NAME`"
                    .into(),
            ),
            (_, users) => Finding::ok("users", format!("{users} users can sign in at the page")),
        };
        vec![accounts, users]
    }
}

/// The printed fields of `/readyz`.
#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    #[serde(default)]
    version: String,
}

async fn daemon(global: &Global) -> Finding {
    const WHAT: &str = "daemon";
    const OWN: &str = env!("CARGO_PKG_VERSION");
    let Ok(address) = global.daemon_address() else {
        return Finding::note(WHAT, "gateway.listen is no address to ask at".into());
    };
    let asked = async {
        let http = client::builder(&[])?.timeout(ANSWER_TIMEOUT).build()?;
        anyhow::Ok(http.get(format!("http://{address}/readyz")).send().await?.json::<Ready>().await?)
    };
    match asked.await {
        Ok(Ready { version, .. }) if version != OWN => Finding::note(
            WHAT,
            format!("version {version} runs at {address}, and this program is {OWN}: restart the daemon"),
        ),
        Ok(Ready { ready: true, .. }) => Finding::ok(WHAT, format!("version {OWN} runs at {address}")),
        Ok(Ready { ready: false, .. }) => {
            Finding::note(WHAT, format!("it runs at {address} and is not ready: see /readyz"))
        }
        Err(_) => Finding::note(
            WHAT,
            format!("no daemon answers at {address}: `systemctl start toritsugi`, or `toritsugi serve`"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn what_is_missing_says_the_command_that_adds_it() {
        let records = |accounts, without_number, can_sign_in, administrators| {
            Records { accounts, without_number, can_sign_in, administrators }.findings()
        };
        let notes = |findings: &[Finding]| {
            let noted = findings.iter().filter(|finding| finding.outcome == Outcome::Note);
            noted.map(|finding| finding.detail.clone()).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(notes(&records(3, 0, 2, 1)), "");
        for (findings, says) in [
            (records(0, 0, 1, 1), "toritsugi import accounts"),
            (records(3, 1, 1, 1), "1 of 3 accounts have no number"),
            (records(3, 0, 0, 0), "toritsugi user add NAME --role admin"),
            (records(3, 0, 0, 1), "toritsugi user password"),
        ] {
            assert!(notes(&findings).contains(says), "{:?} lacks {says}", notes(&findings));
        }
    }
}
