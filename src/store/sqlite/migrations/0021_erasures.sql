-- Deleted customers whose traces are still being removed: how far that has come, and when the next step is due.
CREATE TABLE erasures (
    customer_id BLOB PRIMARY KEY NOT NULL,
    account_id  BLOB NOT NULL,
    asked_ms    INTEGER NOT NULL,
    due_ms      INTEGER NOT NULL,
    stage       TEXT NOT NULL,
    reached     TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX erasures_due ON erasures (due_ms, customer_id);

-- Their numbers, until the erasure is finished.
CREATE TABLE erasure_numbers (
    account_id  BLOB NOT NULL,
    key         TEXT NOT NULL,
    customer_id BLOB NOT NULL REFERENCES erasures (customer_id) ON DELETE CASCADE,
    asked_ms    INTEGER NOT NULL,
    PRIMARY KEY (account_id, key, customer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasure_numbers_by_customer ON erasure_numbers (customer_id);

-- The forms in which such a number is dialled, and stored in calls to it and in segments.
CREATE TABLE erasure_writings (
    writing     TEXT NOT NULL,
    customer_id BLOB NOT NULL REFERENCES erasures (customer_id) ON DELETE CASCADE,
    account_id  BLOB NOT NULL,
    asked_ms    INTEGER NOT NULL,
    PRIMARY KEY (writing, customer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasure_writings_by_customer ON erasure_writings (customer_id);

-- Calls whose caller was erased. A row stays as long as the call: nothing about the caller is written to it again.
CREATE TABLE erased_calls (
    call_id     BLOB PRIMARY KEY NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    customer_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_calls_by_customer ON erased_calls (customer_id, call_id);

-- Deleted accounts whose customers, contacts and messages are still being removed. No reader shows them, and nothing is added.
CREATE TABLE account_removals (
    account_id BLOB PRIMARY KEY NOT NULL,
    asked_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER customers_of_removed_account_added BEFORE INSERT ON customers
WHEN EXISTS (SELECT 1 FROM account_removals WHERE account_id = NEW.account_id)
BEGIN SELECT RAISE(ABORT, 'the account is being removed'); END;
CREATE TRIGGER customers_of_removed_account_moved BEFORE UPDATE OF account_id ON customers
WHEN EXISTS (SELECT 1 FROM account_removals WHERE account_id = NEW.account_id)
BEGIN SELECT RAISE(ABORT, 'the account is being removed'); END;
CREATE TRIGGER contacts_of_removed_account_added BEFORE INSERT ON contacts
WHEN EXISTS (SELECT 1 FROM account_removals WHERE account_id = NEW.account_id)
BEGIN SELECT RAISE(ABORT, 'the account is being removed'); END;
CREATE TRIGGER contacts_of_removed_account_moved BEFORE UPDATE OF account_id ON contacts
WHEN EXISTS (SELECT 1 FROM account_removals WHERE account_id = NEW.account_id)
BEGIN SELECT RAISE(ABORT, 'the account is being removed'); END;
CREATE TRIGGER messages_of_removed_account_added BEFORE INSERT ON messages
WHEN EXISTS (SELECT 1 FROM account_removals WHERE account_id = NEW.account_id)
BEGIN SELECT RAISE(ABORT, 'the account is being removed'); END;
CREATE TRIGGER messages_of_removed_account_moved BEFORE UPDATE OF account_id ON messages
WHEN EXISTS (SELECT 1 FROM account_removals WHERE account_id = NEW.account_id)
BEGIN SELECT RAISE(ABORT, 'the account is being removed'); END;

-- Calls to a number are found by the index `calls_by_called_number` of migration 22.
INSERT INTO upgrade_steps (name) VALUES ('segments_by_target'), ('messages_by_customer');
