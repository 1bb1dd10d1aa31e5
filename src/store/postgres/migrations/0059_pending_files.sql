-- Files that people uploaded for messages that are not saved yet (src/store/message_files).
CREATE TABLE pending_files (
    id        UUID PRIMARY KEY NOT NULL,
    user_id   UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    file_json TEXT NOT NULL,
    content   BYTEA NOT NULL,
    at_ms     BIGINT NOT NULL
);
CREATE INDEX pending_files_of_user ON pending_files (user_id);
CREATE INDEX pending_files_by_time ON pending_files (at_ms);
