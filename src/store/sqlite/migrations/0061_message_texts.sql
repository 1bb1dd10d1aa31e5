-- The text index of messages, as that of customers (0020): a word that few messages have, or none, is found without reading each
-- message of the time. A message of an earlier version, whose search is NULL, is found by its text as it is written.
CREATE TABLE message_rows (
    number     INTEGER PRIMARY KEY,
    message_id BLOB NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE message_texts USING fts5 (
    words, content = '', detail = none, prefix = '1 2',
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'"
);
-- What is removed is overwritten at once: an erased customer leaves nothing behind.
INSERT INTO message_texts (message_texts, rank) VALUES ('secure-delete', 1);

-- Each step passes on the rest of the text: to look for a position from the beginning costs the square of its length.
CREATE VIEW message_words AS
SELECT r.number, m.id AS message_id, char(1) || hex(m.account_id) || ' ' || (
    WITH RECURSIVE place (rest) AS (SELECT replace(coalesce(m.search, m.text), char(10), ' ')
        UNION ALL SELECT substr(rest, 2) FROM place WHERE rest <> '')
    SELECT group_concat(substr(rest, 1, 3), ' ') FROM place) AS words
FROM messages AS m CROSS JOIN message_rows AS r ON r.message_id = m.id
WHERE coalesce(m.search, m.text) <> '';

CREATE TRIGGER messages_inserted AFTER INSERT ON messages BEGIN
    INSERT INTO message_rows (message_id) VALUES (NEW.id);
    INSERT INTO message_texts (rowid, words) SELECT number, words FROM message_words WHERE message_id = NEW.id;
END;
CREATE TRIGGER messages_unindexed BEFORE UPDATE OF search, text ON messages
WHEN coalesce(OLD.search, OLD.text) <> coalesce(NEW.search, NEW.text) BEGIN
    INSERT INTO message_texts (message_texts, rowid, words)
    SELECT 'delete', number, words FROM message_words WHERE message_id = OLD.id;
END;
CREATE TRIGGER messages_indexed AFTER UPDATE OF search, text ON messages
WHEN coalesce(OLD.search, OLD.text) <> coalesce(NEW.search, NEW.text) BEGIN
    INSERT INTO message_texts (rowid, words) SELECT number, words FROM message_words WHERE message_id = NEW.id;
END;
CREATE TRIGGER messages_removed BEFORE DELETE ON messages BEGIN
    INSERT INTO message_texts (message_texts, rowid, words)
    SELECT 'delete', number, words FROM message_words WHERE message_id = OLD.id;
    DELETE FROM message_rows WHERE message_id = OLD.id;
END;

INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'message_texts' FROM upgrade_steps;
