-- What became of a voice message or of a request to be called back is a figure of its call: what changes the message marks the
-- call's bin in the same transaction. A message of another kind marks nothing here.
CREATE TRIGGER messages_left_behind_changed AFTER UPDATE OF state, deleted_ms ON messages
    WHEN new.kind IN ('voice', 'callback') AND new.call_id IS NOT NULL
        AND (new.state <> old.state OR (new.deleted_ms IS NULL) <> (old.deleted_ms IS NULL))
    BEGIN INSERT INTO stat_marks (bin_ms, pbx, is_wide)
        SELECT offered_ms - offered_ms % 900000, pbx, FALSE FROM calls WHERE id = new.call_id AND direction = 'inbound'; END;
CREATE TRIGGER messages_left_behind_deleted AFTER DELETE ON messages
    WHEN old.kind IN ('voice', 'callback') AND old.call_id IS NOT NULL
    BEGIN INSERT INTO stat_marks (bin_ms, pbx, is_wide)
        SELECT offered_ms - offered_ms % 900000, pbx, FALSE FROM calls WHERE id = old.call_id AND direction = 'inbound'; END;

-- Version 2 of the rules counts what callers leave behind: the bins of the history that is there are counted again.
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'stat_marks' FROM upgrade_steps WHERE TRUE ON CONFLICT (name) DO NOTHING;
