-- Names only; no row changes. SQLite cannot rename an index: those whose names would mislead are built again.

-- The supervision log: a row is the time in which one supervision session monitors one operator's part of one call in
-- one mode. An open row has no until_ms. It has no reference to calls, because it exists before the record of its call.
DROP INDEX hearings_by_call;
DROP INDEX hearings_by_time;
DROP INDEX hearings_open;
ALTER TABLE hearings RENAME TO supervision_log;
CREATE INDEX supervision_log_by_call ON supervision_log (call_id, from_ms);
CREATE INDEX supervision_log_by_time ON supervision_log (from_ms);
CREATE INDEX supervision_log_open ON supervision_log (pbx) WHERE until_ms IS NULL;

-- The last event of each PBX that was written to the webhook outbox. The row with an empty pbx is the cursor of every
-- PBX that has none of its own.
ALTER TABLE webhook_places RENAME TO webhook_cursors;

-- Which viewers an event takes a call away from.
ALTER TABLE events RENAME COLUMN departure_json TO visibility_loss_json;

-- A fingerprint of the visibility rules under which the events after visibility_position were published.
ALTER TABLE event_logs RENAME COLUMN sight TO visibility_fingerprint;
ALTER TABLE event_logs RENAME COLUMN sight_position TO visibility_position;

-- Unfinished calls, in the state after the last logged event. A row is deleted with the record of its call.
ALTER TABLE live_calls RENAME TO call_checkpoints;
ALTER TABLE call_checkpoints RENAME COLUMN call_json TO checkpoint_json;

-- version counts a message's changes; the events of all versions up to published_version were published.
DROP INDEX messages_untold;
ALTER TABLE messages RENAME COLUMN told TO published_version;
CREATE INDEX messages_unpublished ON messages (pbx, changed_ms) WHERE published_version < version;

-- Each operator's last state, for the next start.
ALTER TABLE operator_states RENAME COLUMN saved_json TO snapshot_json;
