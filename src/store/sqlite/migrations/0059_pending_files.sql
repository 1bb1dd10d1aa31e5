-- Files that people uploaded for messages that are not saved yet (src/store/message_files).
CREATE TABLE pending_files (
    id        BLOB PRIMARY KEY NOT NULL,
    user_id   BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    file_json TEXT NOT NULL,
    content   BLOB NOT NULL,
    at_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX pending_files_of_user ON pending_files (user_id);
CREATE INDEX pending_files_by_time ON pending_files (at_ms);
