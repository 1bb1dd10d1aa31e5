-- A year of calls: each question of the API is answered by an index. What takes long on a large database is not done here
-- but in the steps below, one after the other and with their progress in the log (store/upgrade); a start that was
-- interrupted goes on with the step that it had reached.

-- Whose call it was, as rows. `who` is one of
--   e1001    the call was at this extension
--   n1001    the same, in a record of a version that did not keep the people
--   p<uuid>  this person had the call
--   -        no operator had it
-- The columns after it are those of the call, so that a page of one person's calls is one stretch of this table.
-- Invariant: the triggers keep it; no statement of the daemon writes it.
CREATE TABLE call_operators (
    who        TEXT NOT NULL,
    direction  TEXT NOT NULL,
    offered_ms INTEGER NOT NULL,
    call_id    BLOB NOT NULL,
    outcome    TEXT NOT NULL,
    account_id BLOB,
    PRIMARY KEY (who, direction, offered_ms, call_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER calls_inserted AFTER INSERT ON calls BEGIN
    INSERT OR IGNORE INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
    SELECT who, NEW.direction, NEW.offered_ms, NEW.id, NEW.outcome, NEW.account_id FROM (
        SELECT 'e' || value AS who FROM json_each(NEW.operators_json)
        UNION ALL SELECT 'n' || value FROM json_each(NEW.operators_json) WHERE NEW.handled_by_json IS NULL
        UNION ALL SELECT 'p' || value FROM json_each(NEW.handled_by_json)
        UNION ALL SELECT '-' WHERE NEW.operators_json = '[]');
END;
CREATE TRIGGER calls_deleted AFTER DELETE ON calls BEGIN
    DELETE FROM call_operators WHERE direction = OLD.direction AND offered_ms = OLD.offered_ms AND call_id = OLD.id
        AND who IN (SELECT 'e' || value FROM json_each(OLD.operators_json)
            UNION ALL SELECT 'n' || value FROM json_each(OLD.operators_json)
            UNION ALL SELECT 'p' || value FROM json_each(OLD.handled_by_json)
            UNION ALL SELECT '-');
END;
CREATE TRIGGER calls_replaced
AFTER UPDATE OF operators_json, handled_by_json, direction, offered_ms, outcome, account_id ON calls BEGIN
    DELETE FROM call_operators WHERE direction = OLD.direction AND offered_ms = OLD.offered_ms AND call_id = OLD.id
        AND who IN (SELECT 'e' || value FROM json_each(OLD.operators_json)
            UNION ALL SELECT 'n' || value FROM json_each(OLD.operators_json)
            UNION ALL SELECT 'p' || value FROM json_each(OLD.handled_by_json)
            UNION ALL SELECT '-');
    INSERT OR IGNORE INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
    SELECT who, NEW.direction, NEW.offered_ms, NEW.id, NEW.outcome, NEW.account_id FROM (
        SELECT 'e' || value AS who FROM json_each(NEW.operators_json)
        UNION ALL SELECT 'n' || value FROM json_each(NEW.operators_json) WHERE NEW.handled_by_json IS NULL
        UNION ALL SELECT 'p' || value FROM json_each(NEW.handled_by_json)
        UNION ALL SELECT '-' WHERE NEW.operators_json = '[]');
END;

-- Gives each customer a number that grows in the order of creation and that a VACUUM does not change: the text index
-- answers in its order.
CREATE TABLE customer_rows (
    number      INTEGER PRIMARY KEY,
    customer_id BLOB NOT NULL UNIQUE
) STRICT;

-- The text index: of each position of `customers.search` the three characters from there, or what is left of its line; and
-- the account, as a word that no text contains. A text of one or two characters is the beginning of such a word. The built
-- -in trigram tokenizer cannot find those, and most Japanese family names have two characters.
CREATE VIRTUAL TABLE customer_texts USING fts5 (
    words, content = '', detail = none, prefix = '1 2',
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'"
);
-- What is removed is overwritten at once: a deleted customer leaves nothing behind.
INSERT INTO customer_texts (customer_texts, rank) VALUES ('secure-delete', 1);

CREATE VIEW customer_words AS
SELECT r.number, c.id AS customer_id, char(1) || hex(c.account_id) || ' ' || (
    WITH RECURSIVE place (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < length(c.search))
    SELECT group_concat(substr(replace(c.search, char(10), ' '), i, 3), ' ') FROM place) AS words
FROM customers AS c CROSS JOIN customer_rows AS r ON r.customer_id = c.id
WHERE c.search IS NOT NULL;

CREATE TRIGGER customers_inserted AFTER INSERT ON customers BEGIN
    INSERT INTO customer_rows (customer_id) VALUES (NEW.id);
    INSERT INTO customer_texts (rowid, words) SELECT number, words FROM customer_words WHERE customer_id = NEW.id;
END;
CREATE TRIGGER customers_unindexed BEFORE UPDATE OF search, account_id ON customers
WHEN OLD.search IS NOT NEW.search OR OLD.account_id <> NEW.account_id BEGIN
    INSERT INTO customer_texts (customer_texts, rowid, words)
    SELECT 'delete', number, words FROM customer_words WHERE customer_id = OLD.id;
END;
CREATE TRIGGER customers_indexed AFTER UPDATE OF search, account_id ON customers
WHEN OLD.search IS NOT NEW.search OR OLD.account_id <> NEW.account_id BEGIN
    INSERT INTO customer_texts (rowid, words) SELECT number, words FROM customer_words WHERE customer_id = NEW.id;
END;
CREATE TRIGGER customers_removed BEFORE DELETE ON customers BEGIN
    INSERT INTO customer_texts (customer_texts, rowid, words)
    SELECT 'delete', number, words FROM customer_words WHERE customer_id = OLD.id;
    DELETE FROM customer_rows WHERE customer_id = OLD.id;
END;

-- The steps of this upgrade that are still to be done, and how far the present one has come.
CREATE TABLE upgrade_steps (
    position INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    reached  TEXT
) STRICT;
INSERT INTO upgrade_steps (name) VALUES
    ('calls_by_direction'), ('calls_by_outcome'), ('calls_of_account'), ('calls_identified'), ('wrap_ups_noted'),
    ('customer_numbers_by_key'), ('contacts_by_id'), ('call_operators'), ('customer_texts');
