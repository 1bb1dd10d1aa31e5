-- Who recorded a call: a daemon that followed it (seen), or the PBX while no daemon ran (offline); and what the caller left
-- without an operator (voice_message, callback).
ALTER TABLE calls ADD COLUMN source TEXT NOT NULL DEFAULT 'seen';
ALTER TABLE calls ADD COLUMN left_behind TEXT;
