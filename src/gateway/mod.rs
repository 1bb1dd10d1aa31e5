//! The HTTP interface: what desktops, the command line and other systems see of the daemon.
//!
//! | file | holds |
//! |---|---|
//! | `routes.rs` | the table of routes and the order of the middleware: start here |
//! | `state.rs` | `AppState`, which every handler shares |
//! | `serve.rs`, `admission.rs`, `connection.rs` | accepting connections, their limits and time-outs, shutdown |
//! | `auth.rs`, `session.rs`, `tokens.rs` | authentication, sign-in with a password, tokens of users |
//! | `proxies.rs` | the client's address behind a reverse proxy |
//! | `active_tokens.rs`, `token_checks.rs`, `token_uses.rs`, `throttle.rs` | tables: tokens of open streams, checks and last uses of tokens, attempts to sign in |
//! | `extract.rs`, `query.rs`, `responses.rs`, `problem.rs` | reading requests, answers with `Location`, errors (RFC 9457) |
//! | `stream.rs`, `attention.rs`, `sse.rs`, `websocket.rs` | the event stream of one client, what its snapshots have of the store, over two transports |
//! | `forwarding.rs` | requests that the daemon of another PBX answers |
//! | `idempotency.rs`, `answer_cache.rs` | `Idempotency-Key`: a repeated request gets the first answer |
//! | `middleware.rs` | time-out, security headers, request metrics |
//! | `calls.rs`, `transfers.rs`, `supervisions.rs`, `operators.rs` | live calls, commands, operator states |
//! | `accounts.rs`, `customers.rs`, `contacts.rs`, `account_notices.rs`, `account_clips.rs`, `callbacks.rs`, `messages.rs`, `deliveries.rs`, `faxes.rs`, `history.rs`, `audit.rs`, `users.rs`, `webhooks.rs`, `explain.rs` | records |
//! | `history_file.rs`, `csv.rs` | finished calls as a CSV file |
//! | `stats.rs`, `stats_calls.rs`, `stats_file.rs`, `stats_live.rs`, `stats_waits.rs` | figures, the calls behind each, the same as a CSV file, the figures of now, percentiles of waits |
//! | `alarms.rs` | rules of alarms, and those that were raised |
//! | `reports.rs`, `report_files.rs` | monthly reports of accounts, as JSON, PDF and CSV |
//! | `page.rs` | the operators' and supervisors' page, built into the binary |
//! | `numbers.rs`, `passwords.rs`, `installation.rs` | every number and those that belong to nobody; the own password and links that set one; what works |
//! | `settings.rs`, `setup.rs`, `watched.rs`, `queues.rs`, `teams.rs`, `words.rs` | how the installation is set up, its disks and spools, the PBX's queues, teams, what operators choose from |
//! | `search.rs` | one search over records, messages and finished calls |
//! | `imports.rs`, `directory_export.rs`, `customer_changes.rs` | CSV files in and out; what was changed of customers |
//! | `metrics.rs`, `health.rs`, `openapi.rs` | for the administrators of the daemon |
//!
//! Imports run one way: `serve.rs` and `openapi.rs` → `routes.rs` → handlers and middleware → `state.rs` → tables.
//!
//! Invariants: every path under `/v1` but the sign-in requires a valid token before anything else happens.
//! [`crate::people`] and the core decide what a person may see and do; a handler only asks. Nothing that a
//! client does, or fails to do, slows the PBX or another client: connections, bodies, waiting and reading all
//! have limits. No token is in a URL, a log or a metric.
//!
//! The gateway holds no state of calls: it reads the [`Bus`](crate::bus::Bus) and the
//! [`Store`](crate::store::Store), and sends commands to the core.

mod account_clips;
mod account_notices;
mod accounts;
mod active_tokens;
mod admission;
mod alarms;
mod answer_cache;
mod attention;
mod audit;
mod audit_trail;
mod auth;
mod billing;
mod billing_file;
mod call_facts;
mod callbacks;
mod caller_rules;
mod callflow;
mod callflow_templates;
mod calls;
mod connection;
mod contacts;
mod contracts;
mod csv;
mod customer_changes;
mod customers;
mod deletions;
mod deliveries;
mod digests;
mod directory_export;
mod drafts;
mod endpoints;
mod explain;
mod export;
mod extract;
mod faxes;
mod forwarding;
mod guidance_drafts;
mod guidance_pins;
mod health;
mod history;
mod history_file;
mod holidays;
mod idempotency;
mod imports;
mod installation;
mod mail;
mod mail_templates;
mod message_actions;
mod message_answers;
mod message_files;
mod message_patch;
mod message_routes;
mod message_timeline;
mod messages;
mod metrics;
mod middleware;
mod numbers;
mod openapi;
mod operators;
mod page;
mod passwords;
mod problem;
mod proxies;
mod public;
mod query;
mod queues;
mod report_files;
mod reports;
mod responses;
mod routes;
mod script_forms;
mod scripts;
mod search;
mod serve;
mod session;
mod settings;
mod setup;
mod sounds;
mod sse;
mod state;
mod stats;
mod stats_calls;
mod stats_file;
mod stats_live;
mod stats_waits;
mod stream;
mod supervisions;
mod tasks;
mod teams;
mod throttle;
mod token_checks;
mod token_uses;
mod tokens;
mod transfers;
mod users;
mod watched;
mod webhooks;
mod websocket;
mod words;

pub use metrics::Metrics;
pub use openapi::document as openapi_document;
pub use page::page_is_built;
pub use proxies::{AddressRange, AddressRangeError};
pub use public::{Links, PublicApp, link_hash};
pub use serve::{listen, serve, serve_public};
pub use setup::{ReceiverSetup, Setup};
pub use state::{
    App, CONNECTIONS_BESIDE_STREAMS, Clock, HEARTBEAT_INTERVAL, HISTORY_FILE_CALLS_MAX, Settings,
};
pub use watched::Watched;
