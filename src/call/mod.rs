//! The call model.

pub mod view;
