//! Ids that tests without a PBX use.
use toritsugi::ids::{CallId, ChannelId, Extension, PbxId};

/// The PBX of such a test.
pub(crate) fn pbx() -> PbxId {
    PbxId::parse("osaka-1").unwrap()
}

/// The `n`th call of that PBX.
pub(crate) fn call(n: u32) -> CallId {
    CallId::derive(&pbx(), &ChannelId::parse(&format!("1700000000.{n}")).unwrap())
}

/// An extension by its digits.
pub(crate) fn extension(digits: &str) -> Extension {
    Extension::parse(digits).unwrap()
}
