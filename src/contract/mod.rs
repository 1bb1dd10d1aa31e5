//! The public types: what events, answers and records consist of.
//!
//! Invariant: data and the rules of its form, nothing else. No type here knows a channel, a socket, a database or a clock,
//! and none imports a room above this one, so every room may use them all. The JSON names of these types are the public
//! contract: they change only by addition.
//!
//! | module | holds |
//! |---|---|
//! | [`event`], [`event_id`] | an event before and after it has an id, its audience, what it changes in the state |
//! | [`call`], [`transfer`], [`supervision`], [`operator`], [`card`], [`pbx`] | the views that events and answers carry |
//! | [`records`], [`hours`], [`message`], [`delivery`], [`fax`], [`voice`], [`task`], [`answer`], [`history`], [`script`], [`audit`] | what the store keeps |
//! | [`callback`] | callers who hung up, and who calls them back |
//! | [`notice`] | what holds for an account until a given time |
//! | [`holidays`] | national holidays and days off |
//! | [`callflow`] | what happens to calls before an operator; overrides |
//! | [`refusal`] | why a command is refused |
//! | [`choice`], [`endpoint`], [`extension_pattern`], [`url_template`], [`import_batch`] | words of the configuration and of imports, parsed |
//! | [`setting`] | a setting, as administrators read it |
//! | [`words`] | what operators choose from, as administrators decide |
//! | [`time`] | how times are written |

pub mod answer;
pub mod audit;
pub mod bounce;
pub mod call;
pub mod callback;
pub mod caller_rule;
pub mod callflow;
pub mod card;
pub mod choice;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod event_id;
pub mod extension_pattern;
pub mod fax;
pub mod guidance_draft;
pub mod guidance_pin;
pub mod history;
pub mod holidays;
pub mod hours;
pub mod import_batch;
pub mod message;
pub mod notice;
pub mod operator;
pub mod pbx;
pub mod records;
pub mod refusal;
pub mod script;
pub mod setting;
pub mod sound;
pub mod supervision;
pub mod task;
pub mod time;
pub mod timeline;
pub mod transfer;
pub mod url_template;
pub mod voice;
pub mod words;
