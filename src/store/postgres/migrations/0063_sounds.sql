-- Guidance and announcements that people uploaded, as the PBX plays them: src/contract/sound.rs. name is made of the content.
CREATE TABLE sounds (
    id         UUID PRIMARY KEY NOT NULL,
    account_id UUID REFERENCES accounts (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('guidance', 'announcement')),
    title      TEXT NOT NULL,
    words      TEXT NOT NULL,
    name       TEXT NOT NULL,
    ms         BIGINT NOT NULL,
    by_name    TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX sounds_by_name ON sounds (name);
CREATE INDEX sounds_of_account ON sounds (account_id);
CREATE TRIGGER sounds_changed AFTER INSERT OR UPDATE OR DELETE ON sounds EXECUTE FUNCTION directory_changed();

-- The files, apart so that a list does not read them.
CREATE TABLE sound_files (
    sound_id UUID PRIMARY KEY NOT NULL REFERENCES sounds (id) ON DELETE CASCADE,
    content  BYTEA NOT NULL
);
