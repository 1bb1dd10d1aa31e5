-- How callers are passed on to an account's people: what stood in the configuration of the daemon before.
ALTER TABLE accounts ADD COLUMN accept_by_key INTEGER NOT NULL DEFAULT 1;
ALTER TABLE accounts ADD COLUMN accept_sound TEXT;
ALTER TABLE accounts ADD COLUMN extra_numbers_json TEXT NOT NULL DEFAULT '[]';
ALTER TABLE contacts ADD COLUMN ring_s INTEGER;
