//! Positions: of an entry in the shared stream ([`Cursor`]), and of a PBX's last event in it ([`Head`]).

use std::fmt;

/// Id of an entry of the shared stream, as Redis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Cursor {
    ms: u64,
    sequence: u64,
}

impl Cursor {
    /// Reads `ms-sequence`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, sequence) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

/// Generation and position of the last event of one PBX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    pub(super) generation: u64,
    pub(super) position: u64,
}

impl Head {
    /// Reads `generation-position`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (generation, position) = text.split_once('-')?;
        Some(Self { generation: generation.parse().ok()?, position: position.parse().ok()? })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.position)
    }
}
