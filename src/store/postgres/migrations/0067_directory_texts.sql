-- What a search by text compares of accounts and contacts, folded (contract/records/search.rs), as that of customers (0015, 0020).
-- NULL: a version before this one, or an import without all columns, wrote the row; the daemon folds such rows in small steps,
-- and until then a search compares their name and reading as they are written.
ALTER TABLE accounts ADD COLUMN search TEXT COLLATE "C";
CREATE INDEX accounts_unfolded ON accounts (id) WHERE search IS NULL;
CREATE INDEX account_texts ON accounts USING gin (search_words(search)) WHERE search IS NOT NULL;
ALTER TABLE contacts ADD COLUMN search TEXT COLLATE "C";
CREATE INDEX contacts_unfolded ON contacts (id) WHERE search IS NULL;
CREATE INDEX contact_texts ON contacts USING gin (search_words(search)) WHERE search IS NOT NULL;
