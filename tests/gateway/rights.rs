//! Each operation and the right that it needs: no role is named here. Which roles have a right is [`Role::may`] alone, and what each
//! credential then gets is the table of `roles.rs`, which must agree.

use std::collections::{BTreeMap, BTreeSet};

use toritsugi::people::role::{Permission, Role};

use crate::roles::{Row, role_of};
use crate::support::api_contract::operations;

/// `right operation`; `-`: none, because it needs no token or is about the own session.
const RIGHTS: &str = "
-                 GET /healthz
-                 GET /metrics
-                 GET /readyz
-                 DELETE /v1/session
-                 GET /v1/session
-                 POST /v1/session
-                 PUT /v1/session/password
-                 POST /v1/session/password-link
AcknowledgePop    POST /v1/calls/{call}/ack
ControlCalls      POST /v1/messages/{message}/reveal
ControlCalls      PUT /v1/callbacks/{call}
ControlCalls      POST /v1/calls/{call}/help
ControlCalls      DELETE /v1/calls/{call}/help
ControlCalls      POST /v1/calls/{call}/transfers
ControlCalls      POST /v1/calls/{call}/{verb}
ControlCalls      PUT /v1/operators/{operator}/state
ControlCalls      POST /v1/operators/{operator}/wrap-up/extend
ControlCalls      POST /v1/operators/{operator}/wrap-up/finish
ControlCalls      POST /v1/operators/{operator}/wrap-up/notes
ControlCalls      GET /v1/tasks
ControlCalls      POST /v1/tasks/{task}/result
ControlCalls      POST /v1/transfers/{transfer}/cancel
ControlCalls      POST /v1/transfers/{transfer}/complete
CountOffers       GET /v1/scripts/offers
DeleteFaxes       DELETE /v1/faxes/{fax}
DeleteMessages    DELETE /v1/messages/{message}
EditCustomers     POST /v1/customers
EditCustomers     PATCH /v1/customers/{customer}
EditCustomers     GET /v1/customers/{customer}/changes
EditDirectory     GET /v1/accounts/{account}/mail-templates/{template}/versions
EditDirectory     POST /v1/accounts
EditDirectory     DELETE /v1/accounts/{account}
EditDirectory     PATCH /v1/accounts/{account}
EditDirectory     DELETE /v1/accounts/{account}/callflow
EditDirectory     PUT /v1/accounts/{account}/callflow
EditDirectory     DELETE /v1/accounts/{account}/contract
EditDirectory     PUT /v1/accounts/{account}/contract
EditDirectory     POST /v1/accounts/{account}/digests/{digest}/run
EditDirectory     GET /v1/accounts/{account}/mail-templates
EditDirectory     DELETE /v1/accounts/{account}/mail-templates/{template}
EditDirectory     PUT /v1/accounts/{account}/mail-templates/{template}
EditDirectory     DELETE /v1/accounts/{account}/pronunciation
EditDirectory     PUT /v1/accounts/{account}/pronunciation
EditDirectory     DELETE /v1/accounts/{account}/report-plan
EditDirectory     PUT /v1/accounts/{account}/report-plan
EditDirectory     POST /v1/accounts/{account}/reports/{month}/close
EditDirectory     POST /v1/alarm-rules
EditDirectory     DELETE /v1/alarm-rules/{rule}
EditDirectory     PUT /v1/alarm-rules/{rule}
EditDirectory     POST /v1/contacts
EditDirectory     DELETE /v1/contacts/{contact}
EditDirectory     PATCH /v1/contacts/{contact}
EditDirectory     DELETE /v1/customers/{customer}
EditDirectory     POST /v1/customers/{customer}/merge
EditDirectory     GET /v1/customers/{customer}/sent
EditDirectory     POST /v1/endpoints
EditDirectory     DELETE /v1/endpoints/{endpoint}
EditDirectory     PATCH /v1/endpoints/{endpoint}
EditDirectory     POST /v1/endpoints/{endpoint}/test
EditDirectory     GET /v1/deletions
EditDirectory     POST /v1/deletions/{record}/undo
EditDirectory     GET /v1/export/{file}
EditDirectory     DELETE /v1/holidays/{day}
EditDirectory     PUT /v1/holidays/{day}
EditDirectory     POST /v1/holidays/table
EditDirectory     GET /v1/imports
EditDirectory     POST /v1/imports
EditDirectory     GET /v1/imports/{import}
EditDirectory     GET /v1/numbers
EditDirectory     GET /v1/numbers/unknown
EditDirectory     PUT /v1/callflow-templates/{code}
EditDirectory     DELETE /v1/callflow-templates/{code}
EditDirectory     POST /v1/sounds
EditDirectory     DELETE /v1/sounds/{sound}
EditDirectory     PUT /v1/accounts/{account}/guidance-pin
EditDirectory     DELETE /v1/accounts/{account}/guidance-pin
ReadDirectory     GET /v1/accounts/{account}/guidance-pin
ReadDirectory     GET /v1/guidance-drafts
EditDirectory     POST /v1/accounts/{account}/guidance-draft/confirm
EditDirectory     DELETE /v1/accounts/{account}/guidance-draft
LeadTeam          GET /v1/caller-rules
LeadTeam          POST /v1/caller-rules
LeadTeam          DELETE /v1/caller-rules/{caller_rule}
ReadDirectory     GET /v1/callflow-templates
ReadDirectory     GET /v1/search
ReadDirectory     GET /v1/sounds
ReadDirectory     GET /v1/sounds/{sound}/audio
EditDirectory     POST /v1/overrides
EditDirectory     DELETE /v1/overrides/{override}
EditDirectory     PUT /v1/routes/{account}
EditScripts       DELETE /v1/accounts/{account}/scripts/{script}
EditScripts       PUT /v1/accounts/{account}/scripts/{script}
EditScripts       POST /v1/accounts/{account}/scripts/{script}/publish
EditScripts       POST /v1/scripts/check
ExportMessages    GET /v1/export/messages.csv
FollowCalls       GET /v1/callbacks
FollowCalls       GET /v1/calls
FollowCalls       GET /v1/calls/{call}
FollowCalls       GET /v1/calls/{call}/transfers
FollowCalls       GET /v1/events
FollowCalls       GET /v1/events/ws
FollowCalls       GET /v1/history
FollowCalls       GET /v1/history.csv
FollowCalls       GET /v1/history/{call}
FollowCalls       GET /v1/pbx/gaps
FollowCalls       GET /v1/queue
FollowCalls       GET /v1/stats
FollowCalls       GET /v1/stats.csv
FollowCalls       GET /v1/stats/calls
FollowCalls       GET /v1/stats/live
FollowCalls       GET /v1/supervisions
LeadTeam          POST /v1/supervisions
FollowCalls       DELETE /v1/supervisions/{supervision}
FollowCalls       PATCH /v1/supervisions/{supervision}
FollowCalls       GET /v1/transfers/{transfer}
ManageBilling     DELETE /v1/accounts/{account}/billing-plan
ManageBilling     PUT /v1/accounts/{account}/billing-plan
ManageBilling     POST /v1/accounts/{account}/bills/{month}/close
ManagePeople      GET /v1/teams
ManagePeople      PATCH /v1/teams/{team}
ManagePeople      GET /v1/users
ManagePeople      POST /v1/users
ManagePeople      DELETE /v1/users/{user}
ManagePeople      GET /v1/users/{user}
ManagePeople      PATCH /v1/users/{user}
ManagePeople      POST /v1/users/{user}/password-link
ManagePeople      GET /v1/users/{user}/tokens
ManagePeople      POST /v1/users/{user}/tokens
ManagePeople      DELETE /v1/users/{user}/tokens/{token}
ManageSettings    GET /v1/health
ManageSettings    GET /v1/queues
ManageSettings    GET /v1/retention
ManageSettings    GET /v1/settings
ManageSettings    PUT /v1/words/{words}
ManageWebhooks    GET /v1/webhooks
ManageWebhooks    GET /v1/webhooks/deliveries
ManageWebhooks    POST /v1/webhooks/deliveries/{delivery}/retry
ManageWebhooks    POST /v1/webhooks/{receiver}/test
ReadAudit         GET /v1/audit
ReadBills         GET /v1/accounts/{account}/billing-plan
ReadBills         GET /v1/accounts/{account}/bills/{month}
ReadBills         GET /v1/bills/{month}
ReadBills         GET /v1/bills/{month}/lines.csv
ReadContracts     GET /v1/accounts/{account}/contract
ReadContracts     GET /v1/accounts/{account}/report-plan
ReadContracts     GET /v1/accounts/{account}/reports/{month}
ReadContracts     GET /v1/accounts/{account}/reports/{month}/csv
ReadContracts     GET /v1/accounts/{account}/reports/{month}/pdf
ReadContracts     GET /v1/alarm-rules
ReadContracts     GET /v1/alarms
ReadContracts     GET /v1/contracts
ReadContracts     GET /v1/stats/waits
ReadDirectory     GET /v1/accounts
ReadDirectory     GET /v1/accounts/{account}
ReadDirectory     GET /v1/accounts/{account}/callflow
ReadDirectory     GET /v1/accounts/{account}/callflow/preview
ReadDirectory     GET /v1/accounts/{account}/pronunciation
ReadDirectory     GET /v1/accounts/{account}/scripts
ReadDirectory     GET /v1/accounts/{account}/scripts/{script}
ReadDirectory     GET /v1/accounts/{account}/scripts/{script}/versions
ReadDirectory     GET /v1/callflow
ReadDirectory     GET /v1/callflow/readiness
ReadDirectory     GET /v1/contacts
ReadDirectory     GET /v1/contacts/{contact}
ReadDirectory     GET /v1/customers
ReadDirectory     GET /v1/customers/{customer}
ReadDirectory     GET /v1/endpoints
ReadDirectory     GET /v1/endpoints/{endpoint}
ReadDirectory     GET /v1/explain
ReadDirectory     GET /v1/holidays
ReadDirectory     GET /v1/notices
ReadDirectory     GET /v1/notices/{notice}
ReadDirectory     GET /v1/overrides
ReadDirectory     GET /v1/words
ReadFaxes         GET /v1/faxes
ReadFaxes         GET /v1/faxes/{fax}
ReadFaxes         GET /v1/faxes/{fax}/document
ReadPeople        GET /v1/operators
ReadPeople        GET /v1/operators/options
ReadStateHistory  GET /v1/operators/{operator}/history
ReportBounces     POST /v1/mail/bounces
ResendMessages    GET /v1/accounts/{account}/digests
ResendMessages    GET /v1/deliveries
ResendMessages    POST /v1/deliveries/{delivery}/cancel
ResendMessages    POST /v1/deliveries/{delivery}/retry
ResendMessages    GET /v1/mail/bounces
ResendMessages    GET /v1/mail/servers
ResendMessages    POST /v1/mail/servers/{server}/resume
ResendMessages    GET /v1/mail/suspended
ResendMessages    POST /v1/mail/suspended/resume
ResendMessages    POST /v1/messages/{message}/resend
ResendMessages    GET /v1/routes/check
ResendMessages    GET /v1/routes/week
ResendMessages    GET /v1/routes/{account}
TakeMessages      GET /v1/messages/attention
TakeMessages      DELETE /v1/files/{file}
TakeMessages      POST /v1/files
TakeMessages      GET /v1/drafts
TakeMessages      DELETE /v1/drafts/{call}
TakeMessages      GET /v1/drafts/{call}
TakeMessages      PUT /v1/drafts/{call}
TakeMessages      GET /v1/messages
TakeMessages      POST /v1/messages
TakeMessages      GET /v1/messages/options
TakeMessages      GET /v1/messages/{message}
TakeMessages      PATCH /v1/messages/{message}
TakeMessages      GET /v1/messages/{message}/answers
TakeMessages      POST /v1/messages/{message}/answers
TakeMessages      POST /v1/messages/{message}/corrections
TakeMessages      GET /v1/messages/{message}/files/{position}
TakeMessages      POST /v1/messages/{message}/hold
TakeMessages      POST /v1/messages/{message}/release
TakeMessages      GET /v1/messages/{message}/revisions
TakeMessages      GET /v1/messages/{message}/timeline
TakeMessages      POST /v1/messages/{message}/undo
TakeMessages      POST /v1/routes/explain
TakeMessages      POST /v1/scripts/evaluate
TakeMessages      POST /v1/tasks
TakeMessages      POST /v1/tasks/{task}/claim
TakeMessages      POST /v1/tasks/{task}/release
WriteNotices      PUT /v1/contacts/{contact}/presence
WriteNotices      POST /v1/notices
WriteNotices      DELETE /v1/notices/{notice}
WriteNotices      PATCH /v1/notices/{notice}
";

fn rights() -> BTreeMap<String, Option<Permission>> {
    let read = |line: &str| {
        let (right, operation) = line.split_once(' ').unwrap();
        let right = (right != "-").then(|| {
            let found = Permission::ALL.iter().copied().find(|one| format!("{one:?}") == right);
            found.unwrap_or_else(|| panic!("{right} is no right"))
        });
        (operation.trim().to_owned(), right)
    };
    RIGHTS.trim().lines().map(read).collect()
}

#[test]
fn every_operation_needs_a_right_and_every_right_is_needed() {
    let rights = rights();
    let documented: BTreeSet<String> =
        operations().keys().map(|(method, path)| format!("{method} {path}")).collect();
    let decided: BTreeSet<String> = rights.keys().cloned().collect();
    let missing: Vec<_> = documented.difference(&decided).collect();
    assert!(missing.is_empty(), "name the right that each needs, in RIGHTS: {missing:?}");
    let gone: Vec<_> = decided.difference(&documented).collect();
    assert!(gone.is_empty(), "not in the OpenAPI document: {gone:?}");
    // These two decide within operations: what a person may do there beyond the own work.
    let within = [Permission::LeadTeam, Permission::ServeEveryTeam];
    for permission in Permission::ALL.iter().filter(|permission| !within.contains(permission)) {
        assert!(rights.values().any(|right| *right == Some(*permission)), "{permission:?} opens nothing");
    }
}

#[test]
fn what_a_role_gets_is_what_its_rights_allow() {
    let rights = rights();
    // Roles that get something of an operation.
    let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in Row::all() {
        let (method, path) = row.operation();
        let operation = format!("{method} {path}");
        let Some(right) = rights[&operation] else { continue };
        for (at, word) in row.words.iter().enumerate() {
            let role = role_of(at);
            if *word == "no" {
                continue;
            }
            if matches!(*word, "yes" | "none") {
                assert!(role.may(right), "{operation}: {role} gets it without {right:?}");
            }
            served.entry(operation.clone()).or_default().insert(role.to_string());
        }
    }
    for (operation, right) in &rights {
        let Some(right) = right else { continue };
        // A program has no work of its own, which some operations are about.
        let people = Role::ALL.iter().filter(|role| **role != Role::System);
        for role in people.filter(|role| role.may(*right)) {
            let roles = served.get(operation).unwrap_or_else(|| panic!("{operation}: nobody gets it"));
            assert!(roles.contains(role.as_str()), "{operation}: {role} has {right:?} and gets nothing");
        }
    }
}
