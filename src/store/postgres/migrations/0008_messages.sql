-- version counts a message's changes; the events of all up to told were told, by the daemon of pbx.
ALTER TABLE messages ADD COLUMN taken_by_name TEXT;
ALTER TABLE messages ADD COLUMN acknowledged_by UUID;
ALTER TABLE messages ADD COLUMN changed_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN pbx TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
CREATE INDEX messages_by_time ON messages (created_ms, id);
CREATE INDEX messages_by_account ON messages (account_id, created_ms, id);
CREATE INDEX messages_by_call ON messages (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX messages_untold ON messages (pbx, changed_ms) WHERE told < version;
