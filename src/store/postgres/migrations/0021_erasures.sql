-- Deleted customers whose traces are still being removed: how far that has come, and when the next step is due.
CREATE TABLE erasures (
    customer_id uuid PRIMARY KEY,
    account_id  uuid NOT NULL,
    asked_ms    bigint NOT NULL,
    due_ms      bigint NOT NULL,
    stage       text NOT NULL,
    reached     text
);
CREATE INDEX erasures_due ON erasures (due_ms, customer_id);

-- Their numbers, until the erasure is finished. The columns with texts have the collation of those that they are compared
-- with: with another one the indexes over the calls could not be used.
CREATE TABLE erasure_numbers (
    account_id  uuid NOT NULL,
    key         text NOT NULL,
    customer_id uuid NOT NULL REFERENCES erasures (customer_id) ON DELETE CASCADE,
    asked_ms    bigint NOT NULL,
    PRIMARY KEY (account_id, key, customer_id)
);
CREATE INDEX erasure_numbers_by_customer ON erasure_numbers (customer_id);

-- The forms in which such a number is dialled, and stored in calls to it and in segments.
CREATE TABLE erasure_writings (
    writing     text NOT NULL,
    customer_id uuid NOT NULL REFERENCES erasures (customer_id) ON DELETE CASCADE,
    account_id  uuid NOT NULL,
    asked_ms    bigint NOT NULL,
    PRIMARY KEY (writing, customer_id)
);
CREATE INDEX erasure_writings_by_customer ON erasure_writings (customer_id);

-- Calls whose caller was erased. A row stays as long as the call: nothing about the caller is written to it again.
CREATE TABLE erased_calls (
    call_id     uuid PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
    customer_id uuid NOT NULL
);
CREATE INDEX erased_calls_by_customer ON erased_calls (customer_id, call_id);

-- Deleted accounts whose customers, contacts and messages are still being removed. No reader shows them, and nothing is added.
CREATE TABLE account_removals (
    account_id uuid PRIMARY KEY,
    asked_ms   bigint NOT NULL
);
CREATE FUNCTION refuse_removed_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM account_removals WHERE account_id = NEW.account_id) THEN
        RAISE EXCEPTION 'the account is being removed' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER customers_of_removed_account BEFORE INSERT OR UPDATE OF account_id ON customers
    FOR EACH ROW EXECUTE FUNCTION refuse_removed_account();
CREATE TRIGGER contacts_of_removed_account BEFORE INSERT OR UPDATE OF account_id ON contacts
    FOR EACH ROW EXECUTE FUNCTION refuse_removed_account();
CREATE TRIGGER messages_of_removed_account BEFORE INSERT OR UPDATE OF account_id ON messages
    FOR EACH ROW EXECUTE FUNCTION refuse_removed_account();

-- Calls to a number are found by the index `calls_by_called_number` of migration 22.
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'segments_by_target' FROM upgrade_steps;
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'messages_by_customer' FROM upgrade_steps;
