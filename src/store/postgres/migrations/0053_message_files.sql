-- Files of messages (src/store/message_files): what the message says of them, and their contents apart, so that a list does not read them.
ALTER TABLE messages ADD COLUMN files_json TEXT NOT NULL DEFAULT '[]';
CREATE TABLE message_files (
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    position   BIGINT NOT NULL,
    file_json  TEXT NOT NULL,
    content    BYTEA NOT NULL,
    PRIMARY KEY (message_id, position)
);
