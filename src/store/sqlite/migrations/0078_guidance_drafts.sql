-- Guidance that was recorded by telephone and that callers do not hear yet: src/contract/guidance_draft.rs.
CREATE TABLE guidance_drafts (
    account_id  BLOB PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    sound_id    BLOB NOT NULL REFERENCES sounds (id) ON DELETE CASCADE,
    used_from   TEXT NOT NULL CHECK (used_from IN ('next_closing', 'confirmed')),
    recorded_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX guidance_drafts_by_sound ON guidance_drafts (sound_id);
