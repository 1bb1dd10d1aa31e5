//! The ordered, resumable stream of events.

pub mod event;
