-- Guidance and announcements that people uploaded, as the PBX plays them: src/contract/sound.rs. name is made of the content.
CREATE TABLE sounds (
    id         BLOB PRIMARY KEY NOT NULL,
    account_id BLOB REFERENCES accounts (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('guidance', 'announcement')),
    title      TEXT NOT NULL,
    words      TEXT NOT NULL,
    name       TEXT NOT NULL,
    ms         INTEGER NOT NULL,
    by_name    TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sounds_by_name ON sounds (name);
CREATE INDEX sounds_of_account ON sounds (account_id);
CREATE TRIGGER sounds_inserted AFTER INSERT ON sounds BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER sounds_deleted AFTER DELETE ON sounds BEGIN UPDATE directory_version SET version = version + 1; END;

-- The files, apart so that a list does not read them.
CREATE TABLE sound_files (
    sound_id BLOB PRIMARY KEY NOT NULL REFERENCES sounds (id) ON DELETE CASCADE,
    content  BLOB NOT NULL
) STRICT;
