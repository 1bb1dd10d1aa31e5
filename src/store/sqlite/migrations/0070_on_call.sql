-- Plans of callflows name who is on call: a contact of an account with a callflow counts as a change of the directory.
CREATE TRIGGER contacts_inserted AFTER INSERT ON contacts
    WHEN EXISTS (SELECT 1 FROM callflows WHERE account_id = NEW.account_id)
    BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER contacts_updated
    AFTER UPDATE OF name, number, on_call_order, accept_by_key, ring_s, on_call_shifts_json, no_transfer ON contacts
    WHEN EXISTS (SELECT 1 FROM callflows WHERE account_id = NEW.account_id)
    BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER contacts_deleted AFTER DELETE ON contacts
    WHEN EXISTS (SELECT 1 FROM callflows WHERE account_id = OLD.account_id)
    BEGIN UPDATE directory_version SET version = version + 1; END;
