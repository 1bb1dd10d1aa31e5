-- Guidance that was recorded by telephone and that callers do not hear yet: src/contract/guidance_draft.rs.
CREATE TABLE guidance_drafts (
    account_id  UUID PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    sound_id    UUID NOT NULL REFERENCES sounds (id) ON DELETE CASCADE,
    used_from   TEXT NOT NULL CHECK (used_from IN ('next_closing', 'confirmed')),
    recorded_ms BIGINT NOT NULL
);
CREATE INDEX guidance_drafts_by_sound ON guidance_drafts (sound_id);
