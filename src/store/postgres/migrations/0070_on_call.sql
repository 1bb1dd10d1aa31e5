-- Plans of callflows name who is on call: a contact of an account with a callflow counts as a change of the directory.
CREATE FUNCTION contact_changed () RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM callflows WHERE account_id = coalesce(NEW.account_id, OLD.account_id)) THEN
        UPDATE directory_version SET version = version + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER contacts_listed AFTER INSERT OR DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION contact_changed();
CREATE TRIGGER contacts_updated
    AFTER UPDATE OF name, number, on_call_order, accept_by_key, ring_s, on_call_shifts_json, no_transfer ON contacts
    FOR EACH ROW EXECUTE FUNCTION contact_changed();
