-- Names only; no row changes.

-- The supervision log: a row is the time in which one supervision session monitors one operator's part of one call in
-- one mode. An open row has no until_ms. It has no reference to calls, because it exists before the record of its call.
ALTER TABLE hearings RENAME TO supervision_log;
ALTER INDEX hearings_pkey RENAME TO supervision_log_pkey;
ALTER INDEX hearings_by_call RENAME TO supervision_log_by_call;
ALTER INDEX hearings_by_time RENAME TO supervision_log_by_time;
ALTER INDEX hearings_open RENAME TO supervision_log_open;

-- The last event of each PBX that was written to the webhook outbox. The row with an empty pbx is the cursor of every
-- PBX that has none of its own.
ALTER TABLE webhook_places RENAME TO webhook_cursors;
ALTER INDEX webhook_places_pkey RENAME TO webhook_cursors_pkey;

-- Which viewers an event takes a call away from.
ALTER TABLE events RENAME COLUMN departure_json TO visibility_loss_json;

-- A fingerprint of the visibility rules under which the events after visibility_position were published.
ALTER TABLE event_logs RENAME COLUMN sight TO visibility_fingerprint;
ALTER TABLE event_logs RENAME COLUMN sight_position TO visibility_position;

-- Unfinished calls, in the state after the last logged event. A row is deleted with the record of its call.
ALTER TABLE live_calls RENAME TO call_checkpoints;
ALTER INDEX live_calls_pkey RENAME TO call_checkpoints_pkey;
ALTER TABLE call_checkpoints RENAME COLUMN call_json TO checkpoint_json;

-- version counts a message's changes; the events of all versions up to published_version were published.
ALTER TABLE messages RENAME COLUMN told TO published_version;
ALTER INDEX messages_untold RENAME TO messages_unpublished;

-- Each operator's last state, for the next start.
ALTER TABLE operator_states RENAME COLUMN saved_json TO snapshot_json;
