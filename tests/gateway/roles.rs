//! Who may do what: every operation of the OpenAPI document with every kind of credential, against [`TABLE`].
//!
//! Each cell is a request of its own with a valid body, about a record that was made for it; what is allowed is done. The
//! subject is the call of operator 1001 of team A. [`Core`] stands for the core: it answers with the core's own rules
//! ([`Actor::may_act_for`], [`may_supervise`], [`operators::Command::is_allowed`]), in the core's order. That the core keeps
//! these rules is shown by its own tests and by `tests/e2e`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use toritsugi::command::{Answer, Command, CommandRequest};
use toritsugi::contract::call::{CallState, Outcome};
use toritsugi::contract::event::{Audience, EventKind, NewEvent, StateDelta};
use toritsugi::contract::guidance_draft::RecordedGuidance;
use toritsugi::contract::history::FinishedCall;
use toritsugi::contract::operator::StateView;
use toritsugi::contract::refusal::Refusal;
use toritsugi::contract::supervision::{Mode, State, SupervisionId, SupervisionView, Target};
use toritsugi::contract::transfer::{self as contract_transfer, TransferId, TransferView};
use toritsugi::gateway::{ReceiverSetup, Setup};
use toritsugi::ids::RecordId;
use toritsugi::numbers::NumberPlan;
use toritsugi::operators;
use toritsugi::people::actor::Actor;
use toritsugi::people::role::Role;
use toritsugi::people::token::Token;
use toritsugi::store::deliveries::DeliveryFilter;
use toritsugi::store::mail_servers::MAIL_SERVER;
use toritsugi::store::tasks::TaskFilter;
use toritsugi::store::webhooks::NewDelivery;
use toritsugi::supervision::{SupervisionRequest, may_supervise};
use toritsugi::transfer;
use uuid::Uuid;

use crate::faxes::new_fax;
use crate::support::api_contract::operations;
use crate::support::gateway_rig::{Options, PASSWORD, Rig, answer, ringing};
use crate::support::ids::{call, extension, pbx};
use crate::support::people::add_token;
use crate::support::wait::eventually;

/// The credentials of the columns of [`TABLE`]: operators of team A and B, supervisors of team A and B, another program, an
/// administrator.
const COLUMNS: [&str; 6] = ["1001", "1002", "2001", "2002", "crm", "admin"];

/// `operation | column by column | body`. Several lines may be about one operation, with other bodies.
///
/// | word | answer |
/// |---|---|
/// | `yes` | success |
/// | `none` | success, with an empty list |
/// | `no` | 403 `not-permitted` |
/// | `-` | 404: what this person may not see does not exist |
/// | `open` | success, with any credential and without one |
///
/// Without a valid token the answer is 401, except where `open` stands.
const TABLE: &str = r#"
GET    /healthz                                  | open open open open open open |
GET    /readyz                                   | open open open open open open |
GET    /metrics                                  | open open open open open open |
POST   /v1/session                               | open open open open open open | {"login":"1001","password":"{password}"}
GET    /v1/session                               | yes  yes  yes  yes  yes  yes  |
PUT    /v1/session/password                      | yes  yes  yes  yes  yes  yes  | {"current":"{password}","password":"{password}"}
POST   /v1/session/password-link                 | open open open open open open | {"token":"{link}","password":"{password}"}
GET    /v1/numbers                               | no   no   no   no   no   yes  |
GET    /v1/numbers/unknown                       | no   no   no   no   no   yes  |
GET    /v1/health                                | no   no   no   no   no   yes  |
POST   /v1/users/{user}/password-link            | no   no   no   no   no   yes  |
DELETE /v1/session                               | yes  yes  yes  yes  yes  yes  |
GET    /v1/events                                | yes  yes  yes  yes  yes  yes  |
GET    /v1/events/ws                             | yes  yes  yes  yes  yes  yes  |
GET    /v1/calls                                 | yes  none yes  none yes  yes  |
GET    /v1/calls/{call}                          | yes  -    yes  -    yes  yes  |
POST   /v1/calls/{call}/ack                      | yes  -    yes  -    yes  yes  | {}
POST   /v1/calls/{call}/help                     | yes  -    yes  -    no   yes  |
DELETE /v1/calls/{call}/help                     | yes  -    yes  -    no   yes  |
POST   /v1/calls/{call}/{verb}                   | yes  -    yes  -    no   yes  |
GET    /v1/calls/{call}/transfers                | yes  none yes  none yes  yes  |
POST   /v1/calls/{call}/transfers                | yes  -    yes  -    no   yes  | {"to":"0312345678"}
POST   /v1/calls/{call}/transfers                | no   -    yes  -    no   yes  | {"to":"0312345678","override_rules":true}
GET    /v1/transfers/{transfer}                  | yes  -    yes  -    yes  yes  |
POST   /v1/transfers/{transfer}/complete         | yes  -    yes  -    no   yes  |
POST   /v1/transfers/{transfer}/cancel           | yes  -    yes  -    no   yes  |
GET    /v1/supervisions                          | none none yes  none none yes  |
POST   /v1/supervisions                          | no   no   yes  no   no   yes  | {"operator":"1001","mode":"listen","extension":"2001"}
PATCH  /v1/supervisions/{supervision}            | -    -    yes  -    -    yes  | {"mode":"whisper"}
DELETE /v1/supervisions/{supervision}            | -    -    yes  -    -    yes  |
GET    /v1/operators                             | yes  yes  yes  yes  yes  yes  |
GET    /v1/operators/options                     | yes  yes  yes  yes  yes  yes  |
GET    /v1/operators/{operator}/history          | yes  -    yes  -    no   yes  |
PUT    /v1/operators/{operator}/state            | yes  -    yes  -    no   yes  | {"state":"ready","version":1}
POST   /v1/operators/{operator}/wrap-up/extend   | yes  -    yes  -    no   yes  | {"call":"{call}","seconds":60,"reason":"x"}
POST   /v1/operators/{operator}/wrap-up/finish   | yes  -    yes  -    no   yes  | {"call":"{call}","disposition":"x"}
POST   /v1/operators/{operator}/wrap-up/notes    | yes  -    yes  -    no   yes  | {"call":"{call}","notes":"x"}
GET    /v1/history                               | yes  none yes  none yes  yes  |
GET    /v1/history.csv                           | yes  yes  yes  yes  yes  yes  |
GET    /v1/history/{call}                        | yes  -    yes  -    yes  yes  |
GET    /v1/stats?by=day&from=2026-04-01T00:00:00Z&to=2026-04-02T00:00:00Z | yes yes yes yes yes yes |
GET    /v1/stats.csv?by=day&from=2026-04-01T00:00:00Z&to=2026-04-02T00:00:00Z | yes yes yes yes yes yes |
GET    /v1/stats/live | yes yes yes yes yes yes |
GET    /v1/stats/calls?counter=offered&from=2026-04-01T00:00:00Z&to=2026-04-02T00:00:00Z | none none none none none none |
GET    /v1/pbx/gaps                              | yes  yes  yes  yes  yes  yes  |
GET    /v1/explain?dialled=0312345678            | yes  yes  yes  yes  yes  yes  |
GET    /v1/search?q=x                            | yes  yes  yes  yes  yes  yes  |
GET    /v1/accounts                              | yes  yes  yes  yes  yes  yes  |
POST   /v1/accounts                              | no   no   no   no   no   yes  | {"code":"{n}","name":"x"}
GET    /v1/accounts/{account}                    | yes  yes  yes  yes  yes  yes  |
PATCH  /v1/accounts/{account}                    | no   no   no   no   no   yes  | {"kana":"x"}
DELETE /v1/accounts/{account}                    | no   no   no   no   no   yes  |
GET    /v1/accounts/{account}/scripts            | yes  yes  yes  yes  yes  yes  |
PUT    /v1/accounts/{account}/scripts/{script}   | no   no   no   no   no   yes  | {"body":{script_body},"version":1}
GET    /v1/accounts/{account}/scripts/{script}   | yes  yes  yes  yes  yes  yes  |
DELETE /v1/accounts/{account}/scripts/{script}   | no   no   no   no   no   yes  |
GET    /v1/accounts/{account}/scripts/{script}/versions | yes yes yes yes yes yes |
POST   /v1/accounts/{account}/scripts/{script}/publish  | no no no no no yes | {"version":1,"newest":1}
POST   /v1/scripts/check                         | no   no   no   no   no   yes  | {"account":"{account}","body":""}
GET    /v1/scripts/offers                        | no   no   none none no   none |
POST   /v1/scripts/evaluate                      | yes  yes  yes  yes  yes  yes  | {"account":"{account}"}
POST   /v1/scripts/evaluate                      | no   no   no   no   no   yes  | {"account":"{account}","body":""}
GET    /v1/accounts/{account}/mail-templates     | no   no   no   no   no   yes  |
PUT    /v1/accounts/{account}/mail-templates/{template} | no no no no no   yes  | {"body":"{{ opening }}"}
DELETE /v1/accounts/{account}/mail-templates/{template} | no no no no no   yes  |
GET    /v1/accounts/{account}/mail-templates/{template}/versions | no no no no no yes |
GET    /v1/accounts/{account}/billing-plan       | no   no   no   no   yes  yes  |
PUT    /v1/accounts/{account}/billing-plan       | no   no   no   no   no   yes  | {"name":"x"}
DELETE /v1/accounts/{account}/billing-plan       | no   no   no   no   no   yes  |
GET    /v1/accounts/{account}/bills/{month}      | no   no   no   no   yes  yes  |
POST   /v1/accounts/{account}/bills/{month}/close | no  no   no   no   no   yes  |
GET    /v1/accounts/{account}/contract           | no   no   yes  yes  yes  yes  |
PUT    /v1/accounts/{account}/contract           | no   no   no   no   no   yes  | {"formula":"AR-open","goal":0.9}
DELETE /v1/accounts/{account}/contract           | no   no   no   no   no   yes  |
GET    /v1/stats/waits?from=2026-04-01&to=2026-04-02 | no no yes  yes  yes  yes  |
GET    /v1/alarm-rules                           | no   no   yes  yes  yes  yes  |
POST   /v1/alarm-rules                           | no   no   no   no   no   yes  | {"name":"x","metric":"waiting","above":3}
PUT    /v1/alarm-rules/{rule}                    | no   no   no   no   no   yes  | {"name":"x","metric":"waiting","above":3}
DELETE /v1/alarm-rules/{rule}                    | no   no   no   no   no   yes  |
GET    /v1/alarms                                | no   no   yes  yes  yes  yes  |
GET    /v1/accounts/{account}/report-plan        | no   no   yes  yes  yes  yes  |
PUT    /v1/accounts/{account}/report-plan        | no   no   no   no   no   yes  | {"mail_day":5,"to":["x@example.jp"]}
DELETE /v1/accounts/{account}/report-plan        | no   no   no   no   no   yes  |
GET    /v1/accounts/{account}/reports/{month}    | no   no   yes  yes  yes  yes  |
GET    /v1/accounts/{account}/reports/{month}/pdf | no  no   yes  yes  yes  yes  |
GET    /v1/accounts/{account}/reports/{month}/csv | no  no   yes  yes  yes  yes  |
POST   /v1/accounts/{account}/reports/{month}/close | no no  no   no   no   yes  |
GET    /v1/contracts?month=2025-01               | no   no   yes  yes  yes  yes  |
GET    /v1/callflow                              | yes  yes  yes  yes  yes  yes  |
GET    /v1/callflow/readiness                    | yes  yes  yes  yes  yes  yes  |
GET    /v1/accounts/{account}/callflow           | yes  yes  yes  yes  yes  yes  |
PUT    /v1/accounts/{account}/callflow           | no   no   no   no   no   yes  | {"wait_s":30}
DELETE /v1/accounts/{account}/callflow           | no   no   no   no   no   yes  |
GET    /v1/accounts/{account}/callflow/preview   | yes  yes  yes  yes  yes  yes  |
GET    /v1/callflow-templates                    | yes  yes  yes  yes  yes  yes  |
PUT    /v1/callflow-templates/{code}             | no   no   no   no   no   yes  | {"name":"x","fields":{}}
DELETE /v1/callflow-templates/{code}             | no   no   no   no   no   yes  |
GET    /v1/caller-rules                          | no   no   yes  yes  no   yes  |
POST   /v1/caller-rules                          | no   no   yes  yes  no   yes  | {"account":"{account}","number":"0312345678","rule":"prefer"}
DELETE /v1/caller-rules/{caller_rule}            | no   no   yes  yes  no   yes  |
GET    /v1/sounds                                | yes  yes  yes  yes  yes  yes  |
POST   /v1/sounds?title=x                        | no   no   no   no   no   yes  | no sound
GET    /v1/sounds/{sound}/audio                  | yes  yes  yes  yes  yes  yes  |
DELETE /v1/sounds/{sound}                        | no   no   no   no   no   yes  |
PUT    /v1/accounts/{account}/guidance-pin       | no   no   no   no   no   yes  | {"pin":"481516","entry":"9999999"}
GET    /v1/accounts/{account}/guidance-pin       | yes  yes  yes  yes  yes  yes  |
DELETE /v1/accounts/{account}/guidance-pin       | no   no   no   no   no   yes  |
GET    /v1/guidance-drafts                       | yes  yes  yes  yes  yes  yes  |
POST   /v1/accounts/{account}/guidance-draft/confirm | no no no   no   no   yes  | {"sound":"{draft_sound}"}
DELETE /v1/accounts/{account}/guidance-draft?sound={draft_sound} | no no no no no yes |
GET    /v1/overrides                             | yes  yes  yes  yes  yes  yes  |
POST   /v1/overrides                             | no   no   no   no   no   yes  | {"treatment":"closed"}
DELETE /v1/overrides/{override}                  | no   no   no   no   no   yes  |
GET    /v1/bills/{month}                         | no   no   no   no   yes  yes  |
GET    /v1/bills/{month}/lines.csv               | no   no   no   no   yes  yes  |
GET    /v1/holidays                              | yes  yes  yes  yes  yes  yes  |
POST   /v1/holidays/table?dry_run=true          | no   no   no   no   no   yes  | no table
PUT    /v1/holidays/{day}                        | no   no   no   no   no   yes  | {"name":"社休日"}
DELETE /v1/holidays/{day}                        | no   no   no   no   no   yes  |
GET    /v1/customers                             | yes  yes  yes  yes  yes  yes  |
POST   /v1/customers                             | yes  yes  yes  yes  yes  yes  | {"account":"{account}","name":"x"}
GET    /v1/customers/{customer}                  | yes  yes  yes  yes  yes  yes  |
PATCH  /v1/customers/{customer}                  | yes  yes  yes  yes  yes  yes  | {"kana":"x"}
PATCH  /v1/customers/{customer}                  | no   no   no   no   no   yes  | {"account":"{account}"}
DELETE /v1/customers/{customer}                  | no   no   no   no   no   yes  |
GET    /v1/contacts                              | yes  yes  yes  yes  yes  yes  |
POST   /v1/contacts                              | no   no   no   no   no   yes  | {"account":"{account}","name":"x"}
GET    /v1/contacts/{contact}                    | yes  yes  yes  yes  yes  yes  |
PATCH  /v1/contacts/{contact}                    | no   no   no   no   no   yes  | {"kana":"x"}
DELETE /v1/contacts/{contact}                    | no   no   no   no   no   yes  |
PUT    /v1/contacts/{contact}/presence           | yes  yes  yes  yes  yes  yes  | {"state":"out"}
GET    /v1/accounts/{account}/pronunciation      | yes  yes  yes  yes  yes  yes  |
PUT    /v1/accounts/{account}/pronunciation      | no   no   no   no   no   yes  | {"content":"T2dnUw=="}
DELETE /v1/accounts/{account}/pronunciation      | no   no   no   no   no   yes  |
GET    /v1/callbacks                             | none none none none none none |
PUT    /v1/callbacks/{call}                      | yes  -    yes  -    no   yes  | {"state":"done"}
GET    /v1/queue                                 | yes  yes  yes  yes  yes  yes  |
GET    /v1/notices                               | yes  yes  yes  yes  yes  yes  |
POST   /v1/notices                               | yes  yes  yes  yes  yes  yes  | {"account":"{account}","text":"x"}
GET    /v1/notices/{notice}                      | yes  yes  yes  yes  yes  yes  |
PATCH  /v1/notices/{notice}                      | yes  yes  yes  yes  yes  yes  | {"text":"y"}
DELETE /v1/notices/{notice}                      | yes  yes  yes  yes  yes  yes  |
GET    /v1/endpoints                             | yes  yes  yes  yes  yes  yes  |
POST   /v1/endpoints                             | no   no   no   no   no   yes  | {"account":"{account}","address":"x@example.jp"}
GET    /v1/endpoints/{endpoint}                  | yes  yes  yes  yes  yes  yes  |
PATCH  /v1/endpoints/{endpoint}                  | no   no   no   no   no   yes  | {"label":"x"}
DELETE /v1/endpoints/{endpoint}                  | no   no   no   no   no   yes  |
POST   /v1/endpoints/{endpoint}/test             | no   no   no   no   no   yes  |
GET    /v1/messages                              | yes  yes  yes  yes  yes  yes  |
POST   /v1/messages                              | yes  yes  yes  yes  yes  yes  | {"account":"{account}","text":"x"}
GET    /v1/messages/{message}                    | yes  yes  yes  yes  yes  yes  |
PATCH  /v1/messages/{message}                    | yes  yes  yes  yes  yes  yes  | {"state":"acknowledged"}
PATCH  /v1/messages/{message}                    | yes  no   yes  no   no   yes  | {"text":"y"}
DELETE /v1/messages/{message}                    | no   no   no   no   no   yes  |
POST   /v1/files?name=a.txt                      | yes  yes  yes  yes  yes  yes  | {"x":"y"}
DELETE /v1/files/{file}                          | -    -    -    -    -    -    |
GET    /v1/messages/attention                    | yes  yes  yes  yes  yes  yes  |
GET    /v1/messages/options                      | yes  yes  yes  yes  yes  yes  |
POST   /v1/messages/{message}/corrections        | yes  no   yes  no   no   yes  | {"text":"y","why":"x","version":1}
POST   /v1/messages/{message}/reveal             | yes  yes  yes  yes  no   yes  |
POST   /v1/messages/{message}/undo               | yes  no   yes  no   no   yes  |
GET    /v1/messages/{message}/revisions          | yes  yes  yes  yes  yes  yes  |
GET    /v1/messages/{message}/files/{position}   | -    -    -    -    -    -    |
GET    /v1/messages/{message}/timeline           | yes  yes  yes  yes  yes  yes  |
POST   /v1/messages/{message}/hold               | yes  no   yes  no   no   yes  | {"until":"{soon}"}
POST   /v1/messages/{message}/release            | yes  no   yes  no   no   yes  |
POST   /v1/messages/{message}/answers            | yes  yes  yes  yes  yes  yes  | {"kind":"seen","by_name":"x"}
GET    /v1/messages/{message}/answers            | none none none none none none |
GET    /v1/drafts                                | none none none none none none |
GET    /v1/drafts?user={operator}                | none no   none no   no   none |
PUT    /v1/drafts/{call}                         | yes  yes  yes  yes  yes  yes  | {"body":{}}
GET    /v1/drafts/{call}                         | yes  yes  yes  yes  yes  yes  |
DELETE /v1/drafts/{call}                         | yes  yes  yes  yes  yes  yes  |
GET    /v1/export/messages.csv                   | no   no   no   no   no   yes  |
GET    /v1/faxes                                 | no   no   yes  yes  yes  yes  |
GET    /v1/faxes/{fax}                           | no   no   yes  yes  yes  yes  |
GET    /v1/faxes/{fax}/document                  | no   no   yes  yes  yes  yes  |
DELETE /v1/faxes/{fax}                           | no   no   no   no   no   yes  |
GET    /v1/deliveries                            | no   no   yes  yes  no   yes  |
POST   /v1/deliveries/{delivery}/retry           | no   no   yes  yes  no   yes  |
POST   /v1/deliveries/{delivery}/cancel          | no   no   yes  yes  no   yes  |
POST   /v1/messages/{message}/resend             | no   no   yes  yes  no   yes  | {"address":"x@example.jp"}
GET    /v1/routes/{account}                      | no   no   yes  yes  no   yes  |
PUT    /v1/routes/{account}                      | no   no   no   no   no   yes  | {"body":"format = 1"}
GET    /v1/accounts/{account}/digests            | no   no   yes  yes  no   yes  |
POST   /v1/accounts/{account}/digests/{digest}/run | no   no   no   no   no   yes  |
POST   /v1/routes/explain                        | yes  yes  yes  yes  yes  yes  | {"account":"{account}"}
GET    /v1/routes/week?account={account}         | no   no   yes  yes  no   yes  |
GET    /v1/routes/check?account={account}        | no   no   yes  yes  no   yes  |
GET    /v1/tasks                                 | none none none none no   none |
POST   /v1/tasks                                 | yes  yes  yes  yes  yes  yes  | {"message":"{message}","number":"0311112222"}
POST   /v1/tasks/{task}/claim                    | yes  yes  yes  yes  no   yes  |
POST   /v1/tasks/{task}/release                  | yes  yes  yes  yes  no   yes  |
POST   /v1/tasks/{task}/result                   | yes  yes  yes  yes  no   yes  | {"result":"told"}
GET    /v1/mail/bounces                          | no   no   yes  yes  no   yes  |
POST   /v1/mail/bounces                          | no   no   no   no   yes  yes  | {"kind":"delayed","message_id":"<d.0@x>"}
GET    /v1/mail/servers                          | no   no   yes  yes  no   yes  |
POST   /v1/mail/servers/{server}/resume          | no   no   yes  yes  no   yes  |
GET    /v1/mail/suspended                        | no   no   yes  yes  no   yes  |
POST   /v1/mail/suspended/resume                 | no   no   yes  yes  no   yes  | {"address":"x@example.jp"}
GET    /v1/audit                                 | no   no   yes  yes  no   yes  |
GET    /v1/users                                 | no   no   no   no   no   yes  |
POST   /v1/users                                 | no   no   no   no   no   yes  | {"name":"{n}","role":"operator"}
GET    /v1/users/{user}                          | no   no   no   no   no   yes  |
PATCH  /v1/users/{user}                          | no   no   no   no   no   yes  | {"kana":"x"}
DELETE /v1/users/{user}                          | no   no   no   no   no   yes  |
GET    /v1/users/{user}/tokens                   | no   no   no   no   no   yes  |
POST   /v1/users/{user}/tokens                   | no   no   no   no   no   yes  | {"label":"x"}
DELETE /v1/users/{user}/tokens/{token}           | no   no   no   no   no   yes  |
GET    /v1/webhooks                              | no   no   no   no   no   yes  |
POST   /v1/webhooks/{receiver}/test              | no   no   no   no   no   yes  |
GET    /v1/settings                              | no   no   no   no   no   yes  |
GET    /v1/retention                             | no   no   no   no   no   yes  |
GET    /v1/queues                                | no   no   no   no   no   yes  |
GET    /v1/words                                 | yes  yes  yes  yes  yes  yes  |
PUT    /v1/words/{words}                         | no   no   no   no   no   yes  | {"version":0,"words":[]}
GET    /v1/teams                                 | no   no   no   no   no   yes  |
PATCH  /v1/teams/{team}                          | no   no   no   no   no   yes  | {"name":"{n}"}
GET    /v1/imports                               | no   no   no   no   no   yes  |
POST   /v1/imports?kind=customers&dry_run=true   | no   no   no   no   no   yes  | account,code,name
GET    /v1/imports/{import}                      | no   no   no   no   no   yes  |
GET    /v1/deletions                             | no   no   no   no   no   yes  |
POST   /v1/deletions/{record}/undo               | no   no   no   no   no   yes  |
GET    /v1/export/{file}                         | no   no   no   no   no   yes  |
GET    /v1/customers/{customer}/changes          | yes  yes  yes  yes  yes  yes  |
GET    /v1/customers/{customer}/sent             | no   no   no   no   no   yes  |
POST   /v1/customers/{customer}/merge            | no   no   no   no   no   yes  | {"other":"{other_customer}"}
GET    /v1/webhooks/deliveries                   | no   no   no   no   no   yes  |
POST   /v1/webhooks/deliveries/{delivery}/retry  | no   no   no   no   no   yes  |
"#;

/// The role of the credential of a column.
pub(crate) fn role_of(column: usize) -> Role {
    match COLUMNS[column] {
        "1001" | "1002" => Role::Operator,
        "2001" | "2002" => Role::Supervisor,
        "crm" => Role::System,
        _ => Role::Admin,
    }
}

/// A script that can be saved.
const SCRIPT: &str = "format = 1\nname = \"x\"\nopening = { open = \"x\" }\n";

/// A line of [`TABLE`].
pub(crate) struct Row {
    method: Method,
    path: &'static str,
    pub(crate) words: Vec<&'static str>,
    body: &'static str,
}

impl Row {
    pub(crate) fn all() -> Vec<Self> {
        TABLE.trim().lines().map(Self::read).collect()
    }

    fn read(line: &'static str) -> Self {
        let [operation, words, body] = line.splitn(3, '|').collect::<Vec<_>>()[..] else {
            panic!("{line}: three parts")
        };
        let (method, path) = operation.trim().split_once(' ').unwrap();
        let words: Vec<&str> = words.split_whitespace().collect();
        assert_eq!(words.len(), COLUMNS.len(), "{line}: one word a column");
        Self { method: method.parse().unwrap(), path: path.trim(), words, body: body.trim() }
    }

    /// The operation in the document.
    pub(crate) fn operation(&self) -> (Method, &'static str) {
        (self.method.clone(), self.path.split('?').next().unwrap())
    }
}

/// Answers commands about the call of 1001, the transfer of it and the supervision by 2001, by the core's rules.
struct Core {
    operator: RecordId,
    supervisor: RecordId,
    at: Timestamp,
}

impl Core {
    async fn run(self, mut commands: mpsc::Receiver<CommandRequest>) {
        while let Some(CommandRequest { actor, command, reply }) = commands.recv().await {
            // Nobody waits for an acknowledgement.
            let _ = reply.send(self.decide(&actor, command));
        }
    }

    fn decide(&self, actor: &Actor, command: Command) -> Result<Answer, Refusal> {
        use transfer::Command::{Begin, Cancel, Complete, List, Show};
        let its = extension("1001");
        match command {
            Command::Control { .. } | Command::AskHelp { .. } | Command::WithdrawHelp { .. } => {
                self.acts(actor, Refusal::UnknownCall).map(|()| Answer::Accepted)
            }
            Command::Acknowledge { .. } => Ok(Answer::Accepted),
            Command::Transfer(Begin { .. }) => {
                self.acts(actor, Refusal::UnknownCall)?;
                Ok(Answer::Transfers(vec![self.transfer()]))
            }
            Command::Transfer(Complete(_) | Cancel(_)) => {
                self.acts(actor, Refusal::UnknownTransfer)?;
                Ok(Answer::Transfers(vec![self.transfer()]))
            }
            Command::Transfer(Show(_)) if !actor.viewer.sees_operator(&its) => Err(Refusal::UnknownTransfer),
            Command::Transfer(List(_)) if !actor.viewer.sees_operator(&its) => {
                Ok(Answer::Transfers(Vec::new()))
            }
            Command::Transfer(Show(_) | List(_)) => Ok(Answer::Transfers(vec![self.transfer()])),
            Command::Supervise(SupervisionRequest {
                target: Target::Operator { operator, .. },
                mode,
                ..
            }) => {
                if may_supervise(&actor.viewer, &operator, mode, None) {
                    Ok(Answer::Supervision(Box::new(self.supervision())))
                } else {
                    Err(Refusal::NotPermitted("not of the team"))
                }
            }
            Command::Supervise(_) => panic!("no line of the table supervises a call"),
            Command::SwitchSupervision { .. } | Command::StopSupervision { .. } => {
                if !self.sees_supervision(actor) {
                    Err(Refusal::UnknownSupervision)
                } else if self.is_own_or_admin(actor) {
                    Ok(Answer::Supervision(Box::new(self.supervision())))
                } else {
                    Err(Refusal::NotPermitted("not the own supervision"))
                }
            }
            Command::ListSupervisions => {
                let seen = self.sees_supervision(actor).then(|| self.supervision());
                Ok(Answer::Supervisions(seen.into_iter().collect()))
            }
            Command::ListQueues => Ok(Answer::Queues(None)),
            Command::Operator(command) => self.decide_operator(actor, command),
        }
    }

    /// Allows what the operator, the operator's supervisor and administrators may do; to others who do not see the call it
    /// is unknown.
    fn acts(&self, actor: &Actor, unknown: Refusal) -> Result<(), Refusal> {
        let its = extension("1001");
        if !actor.viewer.sees_operator(&its) {
            Err(unknown)
        } else if actor.may_act_for(&its) {
            Ok(())
        } else {
            Err(Refusal::NotPermitted("not the own call"))
        }
    }

    fn decide_operator(&self, actor: &Actor, command: operators::Command) -> Result<Answer, Refusal> {
        if matches!(command.request, operators::Request::Options) {
            return Ok(Answer::OperatorOptions(Box::new(operators::Options {
                not_ready_reasons: Vec::new(),
                dispositions: Vec::new(),
                wrap_up_s: 30,
                wrap_up_extend_s_max: 300,
                disposition_required: false,
                seats: Vec::new(),
            })));
        }
        let view = StateView::unknown(command.user, "1001".into(), Some(extension("1001")));
        if actor.user != command.user && !actor.viewer.sees_state(&view) {
            Err(Refusal::UnknownOperator)
        } else if command.is_allowed(actor, &view) {
            Ok(Answer::Operator(Box::new(view)))
        } else {
            Err(Refusal::NotPermitted("not the own state"))
        }
    }

    fn sees_supervision(&self, actor: &Actor) -> bool {
        self.is_own_or_admin(actor)
            || actor.viewer.role() == Role::Supervisor && actor.viewer.sees_person(self.operator)
    }

    fn is_own_or_admin(&self, actor: &Actor) -> bool {
        actor.user == self.supervisor || actor.viewer.role() == Role::Admin
    }

    fn transfer(&self) -> TransferView {
        TransferView {
            id: TransferId::derive(call(1), self.at),
            call: call(1),
            mode: contract_transfer::Mode::Blind,
            state: contract_transfer::State::Trying,
            operator: extension("1001"),
            targets: vec![contract_transfer::TargetView::Number { number: "03-1234-5678".into() }],
            attempts: Vec::new(),
            requested_at: self.at,
            completed_at: None,
            ended_at: Some(self.at),
            outcome: None,
            talked_s: None,
            returned_to: None,
            inferred: false,
        }
    }

    fn supervision(&self) -> SupervisionView {
        SupervisionView {
            id: SupervisionId(Uuid::from_u128(7)),
            mode: Mode::Listen,
            state: State::Live,
            operator: Some(extension("1001")),
            call: Some(call(1)),
            follow: false,
            supervisor: self.supervisor,
            supervisor_name: "2001".into(),
            extension: extension("2001"),
            reason: None,
            account: None,
            caller: None,
            started_at: self.at,
            heard_at: None,
        }
    }
}

/// The rig with a live call of 1001, an earlier one, and a supervision, and what makes the records of the requests.
struct Scene {
    rig: Rig,
    /// A call of 1001 that nobody answered; in the store only where a request is about it.
    abandoned: FinishedCall,
    made: u32,
}

impl Scene {
    async fn start() -> Self {
        let crm = ReceiverSetup { name: "crm".into(), host: "crm.example.jp".into(), kinds: Vec::new() };
        let setup = Arc::new(Setup { receivers: vec![crm], ..Setup::default() });
        let mut rig = Rig::with(Options { setup, ..Options::default() }).await;
        let (operator, supervisor, at) = (rig.user("1001"), rig.user("2001"), rig.app.clock.now());
        tokio::spawn(Core { operator, supervisor, at }.run(rig.commands.take().unwrap()));
        let mut event = ringing(1, &["1001"], json!({}), at);
        let StateDelta::Call(view) = &mut event.change else { panic!("a call rings") };
        let view = Arc::make_mut(view);
        (view.state, view.operator, view.answered_at) =
            (CallState::Answered, Some(extension("1001")), Some(at));
        view.presented_to.clear();
        view.handled_by = vec![operator];
        let mut earlier = view.clone();
        rig.publish(event);
        (earlier.id, earlier.ended_at, earlier.outcome) = (call(2), Some(at), Some(Outcome::Answered));
        rig.link(true);
        let finished = FinishedCall::of(&earlier, &NumberPlan::default());
        rig.app.store.record_call(&finished).await.unwrap();
        let abandoned = FinishedCall { id: call(3), outcome: Outcome::Abandoned, ..finished };
        rig.publish(NewEvent {
            kind: EventKind::OperatorState,
            at,
            call: None,
            audience: Audience::Person(operator),
            data: json!({}),
            change: StateDelta::Operator(Arc::new(StateView::unknown(
                operator,
                "1001".into(),
                Some(extension("1001")),
            ))),
        });
        Self { rig, abandoned, made: 0 }
    }

    /// Makes a record as `who`, and returns its id.
    async fn make(&self, who: &str, path: &str, fields: Value) -> String {
        let (status, made) = self.rig.send(who, Method::POST, path, &fields).await;
        assert_eq!(status, StatusCode::CREATED, "{path} {made}");
        made["id"].as_str().unwrap().to_owned()
    }

    /// The request of a row, about records that no other request has touched.
    async fn request_of(&mut self, row: &Row) -> (String, String) {
        self.made += 1;
        let n = self.made;
        let live = match row.path {
            path if path.starts_with("/v1/history") => call(2),
            path if path.starts_with("/v1/callbacks/") => {
                self.rig.app.store.record_call(&self.abandoned).await.unwrap();
                call(3)
            }
            _ => call(1),
        };
        let mut text = format!("{}\n{}", row.path, row.body)
            .replace("{password}", PASSWORD)
            .replace("{call}", &live.to_string())
            .replace("{verb}", "hangup")
            .replace("{month}", "2025-01")
            .replace("{script_body}", &json!(SCRIPT).to_string())
            .replace("{operator}", &self.rig.user("1001").to_string())
            .replace("{transfer}", &TransferId::derive(call(1), self.rig.app.clock.now()).to_string())
            .replace("{supervision}", &Uuid::from_u128(7).to_string())
            .replace(
                "{soon}",
                &self.rig.app.clock.now().saturating_add(Duration::from_secs(3_600)).unwrap().to_string(),
            )
            .replace("{n}", &format!("new {n}"));
        let subjects = [
            "account",
            "rule",
            "customer",
            "contact",
            "endpoint",
            "template",
            "message",
            "fax",
            "user",
            "token",
            "delivery",
            "task",
            "day",
            "digest",
            "server",
            "override",
            "link",
            "notice",
            "caller_rule",
            "sound",
            "code",
            "receiver",
            "team",
            "import",
            "file",
            "other_customer",
            "words",
            "record",
            "draft_sound",
        ];
        for subject in subjects.iter().filter(|subject| row_names(row, subject)) {
            let id = self.subject(subject, n, &text).await;
            text = text.replace(&format!("{{{subject}}}"), &id);
            if *subject == "account" && row_names(row, "script") {
                let path = format!("/v1/accounts/{id}/scripts/usual");
                let (status, made) =
                    self.rig.send("admin", Method::PUT, &path, &json!({"body": SCRIPT})).await;
                assert_eq!(status, StatusCode::OK, "{made}");
                text = text.replace("{script}", "usual");
            }
        }
        let (path, body) = text.split_once('\n').unwrap();
        (path.to_owned(), body.to_owned())
    }

    /// An account, with what the request `text` changes in it.
    async fn account_for(&self, n: u32, text: &str) -> String {
        const DIGEST: &str = "format = 1\n[[digest]]\nname = \"a\"\nat = [\"18:00\"]\nto = [\"account\"]";
        let fields = json!({"code": format!("A{n}-{}", Uuid::now_v7()), "name": "x"});
        let id = self.make("admin", "/v1/accounts", fields).await;
        let written = [
            ("/v1/routes/{account}", format!("/v1/routes/{id}"), json!({"body": "format = 1"})),
            ("/digests/", format!("/v1/routes/{id}"), json!({"body": DIGEST})),
            ("/billing-plan", format!("/v1/accounts/{id}/billing-plan"), json!({"name": "x"})),
            ("/bills/", format!("/v1/accounts/{id}/billing-plan"), json!({"name": "x"})),
            (
                "/report-plan",
                format!("/v1/accounts/{id}/report-plan"),
                json!({"mail_day": 5, "to": ["x@example.jp"]}),
            ),
            ("/contract", format!("/v1/accounts/{id}/contract"), json!({"formula": "AR-open", "goal": 0.9})),
            ("/callflow", format!("/v1/accounts/{id}/callflow"), json!({})),
            ("/guidance-draft", format!("/v1/accounts/{id}/callflow"), json!({})),
            (
                "/guidance-pin",
                format!("/v1/accounts/{id}/guidance-pin"),
                json!({"pin": "481516", "entry": n.to_string()}),
            ),
            ("/pronunciation", format!("/v1/accounts/{id}/pronunciation"), json!({"content": "T2dnUw=="})),
        ];
        if let Some((_, path, fields)) = written.iter().find(|(part, ..)| text.contains(part)) {
            let (status, written) = self.rig.send("admin", Method::PUT, path, fields).await;
            assert_eq!(status, StatusCode::OK, "{written}");
        }
        id
    }

    /// A link that sets a password, of a user of its own.
    async fn password_link(&self, n: u32) -> String {
        let fields = json!({"name": format!("linked {n}"), "role": "operator"});
        let user = self.make("admin", "/v1/users", fields).await;
        let path = format!("/v1/users/{user}/password-link");
        let (status, made) = self.rig.send("admin", Method::POST, &path, &Value::Null).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["token"].as_str().unwrap().to_owned()
    }

    /// Makes what a request is about. `text` is the request so far: the token belongs to the user in its path.
    #[expect(clippy::too_many_lines, reason = "a table")]
    async fn subject(&self, subject: &str, n: u32, text: &str) -> String {
        let account = async || self.account_for(n, "").await;
        match subject {
            "notice" => {
                let fields = json!({ "account": account().await, "text": "x" });
                self.make("admin", "/v1/notices", fields).await
            }
            "account" => self.account_for(n, text).await,
            "caller_rule" | "sound" | "code" => self.of_callflow(subject, n, account().await).await,
            "draft_sound" => {
                let account = RecordId(text.split('/').nth(3).unwrap().parse().unwrap());
                let name = format!("toritsugi-own/d{n:x}");
                let sound = crate::callflow::keep_sound(&self.rig, &name, 900).await;
                let of_account = (account, RecordId(sound.parse().unwrap()));
                let (store, now) = (&self.rig.app.store, self.rig.app.clock.now());
                store.set_guidance_draft(of_account, RecordedGuidance::Confirmed, now).await.unwrap();
                sound
            }
            "override" => self.make("admin", "/v1/overrides", json!({"treatment": "closed"})).await,
            "task" => self.task(account().await).await,
            "customer" | "contact" => {
                let fields = json!({"account": account().await, "name": "x"});
                self.make("admin", &format!("/v1/{subject}s"), fields).await
            }
            "record" => {
                let customer = json!({"account": account().await, "name": "x"});
                let id = self.make("admin", "/v1/customers", customer).await;
                let path = format!("/v1/customers/{id}");
                let (status, _) = self.rig.send("admin", Method::DELETE, &path, &Value::Null).await;
                assert_eq!(status, StatusCode::NO_CONTENT);
                id
            }
            "message" => {
                if text.contains("/resend") {
                    self.rig.app.store.set_mail_server(MAIL_SERVER, true).await.unwrap();
                }
                let fields = json!({"account": account().await, "text": "x"});
                self.make("1001", "/v1/messages", fields).await
            }
            "fax" => {
                let new = new_fax(n, None);
                assert!(self.rig.app.store.create_fax(&new, None, self.rig.app.clock.now()).await.unwrap());
                new.fax.id.to_string()
            }
            "rule" => {
                let rule = json!({"name": "x", "metric": "waiting", "above": 3});
                self.make("admin", "/v1/alarm-rules", rule).await
            }
            "template" => "text".to_owned(),
            "receiver" => "crm".to_owned(),
            "words" => "flag".to_owned(),
            "file" => "customers.csv".to_owned(),
            "team" => {
                let fields =
                    json!({"name": format!("of team {n}"), "role": "operator", "team": format!("team {n}")});
                self.make("admin", "/v1/users", fields).await;
                let (_, teams) = self.rig.get("admin", "/v1/teams").await;
                let mut teams = teams["items"].as_array().unwrap().iter();
                let made = teams.find(|team| team["name"] == format!("team {n}")).unwrap();
                made["id"].as_str().unwrap().to_owned()
            }
            "import" => self.import().await,
            "other_customer" => {
                let customer = text.split('/').nth(3).unwrap();
                let (_, customer) = self.rig.get("admin", &format!("/v1/customers/{customer}")).await;
                let fields = json!({"account": customer["account"], "name": "y"});
                self.make("admin", "/v1/customers", fields).await
            }
            "digest" => "a".to_owned(),
            "link" => self.password_link(n).await,
            "position" => "0".to_owned(),
            "server" => {
                self.rig.app.store.set_mail_server(MAIL_SERVER, true).await.unwrap();
                MAIL_SERVER.to_owned()
            }
            "endpoint" => {
                self.rig.app.store.set_mail_server(MAIL_SERVER, true).await.unwrap();
                let fields = json!({"account": account().await, "address": "y@example.jp"});
                self.make("admin", "/v1/endpoints", fields).await
            }
            "user" => {
                let fields = json!({"name": format!("subject {n}"), "role": "operator"});
                self.make("admin", "/v1/users", fields).await
            }
            "token" => {
                let (of_user, _) = text.rsplit_once('/').unwrap();
                self.make("admin", of_user, json!({"label": "x"})).await
            }
            "day" => {
                let day = format!("2031-{:02}-{:02}", 1 + n / 28 % 12, 1 + n % 28);
                let fields = json!({ "name": "x" });
                let (status, made) =
                    self.rig.send("admin", Method::PUT, &format!("/v1/holidays/{day}"), &fields).await;
                assert_eq!(status, StatusCode::OK, "{made}");
                day
            }
            _ if text.starts_with("/v1/deliveries") => self.message_delivery(account().await).await,
            _ => self.delivery(n).await,
        }
    }

    /// What callflows have besides.
    async fn of_callflow(&self, subject: &str, n: u32, account: String) -> String {
        match subject {
            "caller_rule" => {
                let rule = json!({"account": account, "number": "0312345678", "rule": "prefer"});
                self.make("admin", "/v1/caller-rules", rule).await
            }
            "sound" => crate::callflow::keep_sound(&self.rig, &format!("toritsugi-own/{n:x}"), 900).await,
            _ => {
                let path = format!("/v1/callflow-templates/t{n}");
                let fields = json!({"name": "x", "fields": {}});
                let (status, made) = self.rig.send("admin", Method::PUT, &path, &fields).await;
                assert_eq!(status, StatusCode::OK, "{made}");
                format!("t{n}")
            }
        }
    }

    /// An import; another one may not be over yet.
    async fn import(&self) -> String {
        let path = "/v1/imports?kind=customers&dry_run=true";
        eventually("no import runs", async || {
            let request = self.rig.request("admin", Method::POST, path).body("account,code,name");
            let (status, job) = answer(request.send().await.unwrap()).await;
            let id = || job["id"].as_str().unwrap().to_owned();
            if status == StatusCode::ACCEPTED { Ok(id()) } else { Err(job.to_string()) }
        })
        .await
    }

    /// A call that an operator is to make.
    async fn task(&self, account: String) -> String {
        let contact = json!({"account": account, "name": "x", "number": "0311112222", "on_call_order": 1});
        self.make("admin", "/v1/contacts", contact).await;
        let body =
            "format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"on-call\"]\nvia = [\"phone\"]";
        let path = format!("/v1/routes/{account}");
        let (status, saved) = self.rig.send("admin", Method::PUT, &path, &json!({"body": body})).await;
        assert_eq!(status, StatusCode::OK, "{saved}");
        let message = self.make("1001", "/v1/messages", json!({"account": account, "text": "x"})).await;
        let filter =
            TaskFilter { message: Some(RecordId(message.parse().unwrap())), ..TaskFilter::default() };
        self.rig.app.store.tasks(filter).await.unwrap()[0].id.to_string()
    }

    /// A mail that waits for the mail server.
    async fn message_delivery(&self, account: String) -> String {
        let store = &self.rig.app.store;
        store.set_mail_server(MAIL_SERVER, true).await.unwrap();
        let contact = json!({"account": account, "name": "x", "email": "x@example.jp"});
        let contact = self.make("admin", "/v1/contacts", contact).await;
        let message = json!({"account": account, "contact": contact, "text": "x"});
        let message = RecordId(self.make("1001", "/v1/messages", message).await.parse().unwrap());
        let filter = DeliveryFilter { message: Some(message), ..DeliveryFilter::default() };
        store.message_deliveries(filter).await.unwrap()[0].id.to_string()
    }

    /// A webhook delivery that has failed for good.
    async fn delivery(&self, n: u32) -> String {
        let (store, now) = (&self.rig.app.store, self.rig.app.clock.now());
        let event = NewDelivery {
            receiver: "crm".into(),
            event: format!("t1-{n}"),
            kind: "call.ended",
            body: "{}".into(),
        };
        let cursor = store.webhook_cursor(&pbx()).await.unwrap();
        let moves = (cursor.as_deref(), event.event.as_str());
        store.write_outbox(&pbx(), std::slice::from_ref(&event), moves, now, 10_000).await.unwrap();
        let due = store.due_deliveries("crm", now, 500).await.unwrap();
        let delivery = due.into_iter().find(|due| due.event == event.event).expect("it is due");
        store.fail_delivery(delivery.id, "503", None, 10_000).await.unwrap();
        delivery.id.to_string()
    }

    /// Sends the request of a row with this token.
    async fn ask(&mut self, row: &Row, token: Option<&str>) -> (StatusCode, Value, String) {
        let (path, body) = self.request_of(row).await;
        let case = format!("{} {path} {body}", row.method);
        let mut request = self.rig.bare(row.method.clone(), &path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        if response.status() == StatusCode::OK && row.path == "/v1/events" {
            return (StatusCode::OK, Value::Null, case);
        }
        let (status, answer) = answer(response).await;
        (status, answer, case)
    }
}

fn row_names(row: &Row, subject: &str) -> bool {
    let placeholder = format!("{{{subject}}}");
    row.path.contains(&placeholder) || row.body.contains(&placeholder)
}

#[test]
fn every_operation_has_a_line_in_the_table() {
    let documented: BTreeSet<String> =
        operations().keys().map(|(method, path)| format!("{method} {path}")).collect();
    let decided: BTreeSet<String> = Row::all()
        .iter()
        .map(|row| {
            let (method, path) = row.operation();
            format!("{method} {path}")
        })
        .collect();
    let missing: Vec<_> = documented.difference(&decided).collect();
    assert!(missing.is_empty(), "decide who may, in TABLE: {missing:?}");
    let gone: Vec<_> = decided.difference(&documented).collect();
    assert!(gone.is_empty(), "not in the OpenAPI document: {gone:?}");
    assert!(documented.len() > 60, "{}", documented.len());
    // The document and the table agree on what needs no token.
    for row in Row::all() {
        let is_open = operations()[&row.operation()].get("security").is_some();
        assert_eq!(row.words.contains(&"open"), is_open, "{} {}", row.method, row.path);
    }
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says() {
    let mut scene = Scene::start().await;
    let mut wrong = Vec::new();
    for row in Row::all() {
        for (who, word) in COLUMNS.into_iter().zip(&row.words) {
            let signs_out = row.operation() == (Method::DELETE, "/v1/session");
            let token = if signs_out {
                let (store, now) = (&scene.rig.app.store, scene.rig.app.clock.now());
                add_token(store, scene.rig.user(who), None, now).await
            } else {
                scene.rig.token(who).to_owned()
            };
            let (status, body, case) = scene.ask(&row, Some(&token)).await;
            if !is_as_decided(&row, word, status, &body) {
                wrong.push(format!("{who} {case}: {word} became {status} {body}"));
            }
            if row.path == "/v1/session" && row.method == Method::POST {
                // The next sign-in is not one of many at once.
                scene.rig.advance(Duration::from_secs(6));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether an answer is what the word of the table says.
fn is_as_decided(row: &Row, word: &str, status: StatusCode, body: &Value) -> bool {
    let kind = body["type"].as_str().unwrap_or_default();
    let items = body["items"].as_array().map(Vec::len);
    match word {
        // Without the headers of an upgrade it is no WebSocket; the permission comes before that.
        "yes" if row.path == "/v1/events/ws" => kind == "invalid-header",
        // Everybody may, and only one of them has a password.
        "yes" if row.path == "/v1/session/password" => status.is_success() || kind == "invalid-body",
        // Who may is answered that the text of the table is no sound, or no table of holidays.
        "yes" if row.path.starts_with("/v1/sounds?") => kind == "invalid-body",
        "yes" if row.path.starts_with("/v1/holidays/table") => kind == "invalid-body",
        "yes" if row.words.contains(&"none") => (status, items) == (StatusCode::OK, Some(1)),
        "yes" | "open" => status.is_success(),
        "none" => (status, items) == (StatusCode::OK, Some(0)),
        "no" => (status, kind) == (StatusCode::FORBIDDEN, "not-permitted"),
        "-" => status == StatusCode::NOT_FOUND && kind.starts_with("unknown-"),
        other => panic!("{other} is no word of the table"),
    }
}

/// Tokens that are not valid open what is open and nothing else, though the expired and the revoked one are administrators'.
#[tokio::test]
async fn without_a_valid_token_nothing_is_done() {
    let mut scene = Scene::start().await;
    let admin = scene.rig.user("admin");
    let fields = json!({"name": "another", "role": "admin"});
    let other = scene.make("admin", "/v1/users", fields).await;
    let other: RecordId = serde_json::from_value(json!(other)).unwrap();
    let tokens = format!("/v1/users/{admin}/tokens");
    let (_, made) = scene.rig.send("admin", Method::POST, &tokens, &json!({"label": "x"})).await;
    let revoked = made["token"].as_str().unwrap().to_owned();
    let path = format!("{tokens}/{}", made["id"].as_str().unwrap());
    let (status, _) = scene.rig.send("admin", Method::DELETE, &path, &Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (store, now) = (&scene.rig.app.store, scene.rig.app.clock.now());
    // Of another administrator: a person's dead tokens go when the person gets a new one.
    let expired = add_token(store, other, Some(now + Duration::from_secs(1)), now).await;
    scene.rig.advance(Duration::from_secs(2));
    let made_up = Token::from_random([7; 32]).expose();
    for row in Row::all() {
        for (token, kind) in [
            (None, "not-signed-in"),
            (Some(&made_up), "not-signed-in"),
            (Some(&expired), "token-expired"),
            (Some(&revoked), "token-revoked"),
        ] {
            let (status, body, case) = scene.ask(&row, token.map(String::as_str)).await;
            let case = format!("{token:?} {case}: {body}");
            if row.words.contains(&"open") {
                assert!(status.is_success(), "{status} {case}");
                scene.rig.advance(Duration::from_secs(6));
            } else {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{case}");
                assert_eq!(body["type"], kind, "{case}");
            }
        }
    }
}
