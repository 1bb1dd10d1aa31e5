-- What operators choose from (src/contract/words.rs): one list of each kind.
CREATE TABLE word_lists (
    kind       TEXT PRIMARY KEY NOT NULL,
    version    BIGINT NOT NULL,
    words_json TEXT NOT NULL,
    changed_ms BIGINT NOT NULL
);
