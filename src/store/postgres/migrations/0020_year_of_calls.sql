-- A year of calls: each question of the API is answered by an index. What takes long on a large database is not done here
-- but in the steps below, one after the other and with their progress in the log (store/upgrade); a start that was
-- interrupted goes on with the step that it had reached.

-- Whose call it was, as rows. `who` is one of
--   e1001    the call was at this extension
--   n1001    the same, in a record of a version that did not keep the people
--   p<uuid>  this person had the call
--   -        no operator had it
-- The columns after it are those of the call.
-- Invariant: the trigger keeps it; no statement of the daemon writes it.
CREATE TABLE call_operators (
    who        text COLLATE "C" NOT NULL,
    direction  text COLLATE "C" NOT NULL,
    offered_ms bigint NOT NULL,
    call_id    uuid NOT NULL,
    outcome    text NOT NULL,
    account_id uuid,
    PRIMARY KEY (who, direction, offered_ms, call_id)
);

CREATE FUNCTION whose_call(operators text, people text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'e' || value FROM jsonb_array_elements_text(operators::jsonb) AS list (value)
    UNION SELECT 'n' || value FROM jsonb_array_elements_text(operators::jsonb) AS list (value) WHERE people IS NULL
    UNION SELECT 'p' || value FROM jsonb_array_elements_text(people::jsonb) AS list (value)
    UNION SELECT '-' WHERE operators = '[]'
$$;

CREATE FUNCTION keep_call_operators() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM call_operators WHERE direction = OLD.direction AND offered_ms = OLD.offered_ms AND call_id = OLD.id
            AND who = ANY (ARRAY(SELECT whose_call(OLD.operators_json, OLD.handled_by_json)));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
        SELECT who, NEW.direction, NEW.offered_ms, NEW.id, NEW.outcome, NEW.account_id
        FROM whose_call(NEW.operators_json, NEW.handled_by_json) AS owners (who)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER calls_are_somebodys AFTER INSERT OR DELETE ON calls
    FOR EACH ROW EXECUTE FUNCTION keep_call_operators();
CREATE TRIGGER calls_become_somebodys
    AFTER UPDATE OF operators_json, handled_by_json, direction, offered_ms, outcome, account_id ON calls
    FOR EACH ROW EXECUTE FUNCTION keep_call_operators();

-- The words of the text index: of each position of each line of `customers.search` the two and the three characters from
-- there, and the character itself. pg_trgm finds no text of two characters, and most Japanese family names have two.
CREATE FUNCTION search_words(search text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT substr(line, i, n)), '{}')
    FROM regexp_split_to_table(search, E'\n') AS lines (line),
        generate_series(1, length(line)) AS places (i), generate_series(1, 3) AS sizes (n)
    WHERE i + n - 1 <= length(line)
$$;

-- The steps of this upgrade that are still to be done, and how far the present one has come.
CREATE TABLE upgrade_steps (
    position bigint PRIMARY KEY,
    name     text NOT NULL UNIQUE,
    reached  text
);
INSERT INTO upgrade_steps (position, name) VALUES
    (1, 'calls_by_direction'), (2, 'calls_by_outcome'), (3, 'calls_of_account'), (4, 'calls_identified'),
    (5, 'wrap_ups_noted'), (6, 'customer_numbers_by_key'), (7, 'contacts_by_id'), (8, 'call_operators'),
    (9, 'customer_texts');
