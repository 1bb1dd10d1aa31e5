-- What a search by text compares of accounts and contacts, folded (contract/records/search.rs), as that of customers (0015, 0020).
-- NULL: a version before this one, or an import without all columns, wrote the row; the daemon folds such rows in small steps,
-- and until then a search compares their name and reading as they are written.
ALTER TABLE accounts ADD COLUMN search TEXT;
CREATE INDEX accounts_unfolded ON accounts (id) WHERE search IS NULL;
ALTER TABLE contacts ADD COLUMN search TEXT;
CREATE INDEX contacts_unfolded ON contacts (id) WHERE search IS NULL;

-- The text index of each, in the order of creation, as in 0020.
CREATE TABLE account_rows (
    number INTEGER PRIMARY KEY,
    account_id BLOB NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE account_texts USING fts5 (
    words, content = '', detail = none, prefix = '1 2',
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'"
);
-- What is removed is overwritten at once.
INSERT INTO account_texts (account_texts, rank) VALUES ('secure-delete', 1);
CREATE VIEW account_words AS
SELECT r.number, w.id AS account_id, (
    WITH RECURSIVE place (rest) AS (SELECT replace(w.search, char(10), ' ')
        UNION ALL SELECT substr(rest, 2) FROM place WHERE rest <> '')
    SELECT group_concat(substr(rest, 1, 3), ' ') FROM place) AS words
FROM accounts AS w CROSS JOIN account_rows AS r ON r.account_id = w.id
WHERE w.search <> '';
CREATE TRIGGER account_words_inserted AFTER INSERT ON accounts BEGIN
    INSERT INTO account_rows (account_id) VALUES (NEW.id);
    INSERT INTO account_texts (rowid, words) SELECT number, words FROM account_words WHERE account_id = NEW.id;
END;
CREATE TRIGGER account_words_unindexed BEFORE UPDATE OF search ON accounts WHEN OLD.search IS NOT NEW.search BEGIN
    INSERT INTO account_texts (account_texts, rowid, words)
    SELECT 'delete', number, words FROM account_words WHERE account_id = OLD.id;
END;
CREATE TRIGGER account_words_indexed AFTER UPDATE OF search ON accounts WHEN OLD.search IS NOT NEW.search BEGIN
    INSERT INTO account_texts (rowid, words) SELECT number, words FROM account_words WHERE account_id = NEW.id;
END;
CREATE TRIGGER account_words_removed BEFORE DELETE ON accounts BEGIN
    INSERT INTO account_texts (account_texts, rowid, words)
    SELECT 'delete', number, words FROM account_words WHERE account_id = OLD.id;
    DELETE FROM account_rows WHERE account_id = OLD.id;
END;
INSERT INTO account_rows (account_id) SELECT id FROM accounts ORDER BY id;

CREATE TABLE contact_rows (
    number INTEGER PRIMARY KEY,
    contact_id BLOB NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE contact_texts USING fts5 (
    words, content = '', detail = none, prefix = '1 2',
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'"
);
-- What is removed is overwritten at once.
INSERT INTO contact_texts (contact_texts, rank) VALUES ('secure-delete', 1);
CREATE VIEW contact_words AS
SELECT r.number, w.id AS contact_id, (
    WITH RECURSIVE place (rest) AS (SELECT replace(w.search, char(10), ' ')
        UNION ALL SELECT substr(rest, 2) FROM place WHERE rest <> '')
    SELECT group_concat(substr(rest, 1, 3), ' ') FROM place) AS words
FROM contacts AS w CROSS JOIN contact_rows AS r ON r.contact_id = w.id
WHERE w.search <> '';
CREATE TRIGGER contact_words_inserted AFTER INSERT ON contacts BEGIN
    INSERT INTO contact_rows (contact_id) VALUES (NEW.id);
    INSERT INTO contact_texts (rowid, words) SELECT number, words FROM contact_words WHERE contact_id = NEW.id;
END;
CREATE TRIGGER contact_words_unindexed BEFORE UPDATE OF search ON contacts WHEN OLD.search IS NOT NEW.search BEGIN
    INSERT INTO contact_texts (contact_texts, rowid, words)
    SELECT 'delete', number, words FROM contact_words WHERE contact_id = OLD.id;
END;
CREATE TRIGGER contact_words_indexed AFTER UPDATE OF search ON contacts WHEN OLD.search IS NOT NEW.search BEGIN
    INSERT INTO contact_texts (rowid, words) SELECT number, words FROM contact_words WHERE contact_id = NEW.id;
END;
CREATE TRIGGER contact_words_removed BEFORE DELETE ON contacts BEGIN
    INSERT INTO contact_texts (contact_texts, rowid, words)
    SELECT 'delete', number, words FROM contact_words WHERE contact_id = OLD.id;
    DELETE FROM contact_rows WHERE contact_id = OLD.id;
END;
INSERT INTO contact_rows (contact_id) SELECT id FROM contacts ORDER BY id;
