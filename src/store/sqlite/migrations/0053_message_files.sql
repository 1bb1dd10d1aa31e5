-- Files of messages (src/store/message_files): what the message says of them, and their contents apart, so that a list does not read them.
ALTER TABLE messages ADD COLUMN files_json TEXT NOT NULL DEFAULT '[]';
CREATE TABLE message_files (
    message_id BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    file_json  TEXT NOT NULL,
    content    BLOB NOT NULL,
    PRIMARY KEY (message_id, position)
) STRICT;

-- Events about the house that wait for the message relay (src/store/house_notices).
CREATE TABLE house_notices (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL,
    data_json TEXT NOT NULL,
    at_ms     INTEGER NOT NULL
) STRICT;
