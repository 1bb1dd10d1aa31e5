-- How many minutes messages of an account may stay unconfirmed, where a step of a route does not say so itself.
ALTER TABLE accounts ADD COLUMN unanswered_min INTEGER NOT NULL DEFAULT 120;
ALTER TABLE accounts ADD COLUMN unanswered_urgent_min INTEGER NOT NULL DEFAULT 10;

-- Old telephones and their providers refuse mails with links or files.
ALTER TABLE message_endpoints ADD COLUMN ack_link INTEGER NOT NULL DEFAULT 1;
ALTER TABLE message_endpoints ADD COLUMN attachments INTEGER NOT NULL DEFAULT 1;
-- When somebody confirmed a message that went there.
ALTER TABLE message_endpoints ADD COLUMN verified_ms INTEGER;

-- From where an answer on the confirmation page came, and how many seconds after the mail was handed on.
ALTER TABLE message_answers ADD COLUMN client_address TEXT;
ALTER TABLE message_answers ADD COLUMN agent_hash TEXT;
ALTER TABLE message_answers ADD COLUMN after_s INTEGER;
CREATE INDEX message_answers_with_address ON message_answers (at_ms) WHERE client_address IS NOT NULL;

-- When a link was opened first.
ALTER TABLE ack_links ADD COLUMN opened_ms INTEGER;
-- How often somebody wrote wrong digits under it, for a message whose content stays in the house.
ALTER TABLE ack_links ADD COLUMN wrong_digits INTEGER NOT NULL DEFAULT 0;

-- Messages whose files are kept for a time of their own.
CREATE INDEX messages_with_files ON messages (created_ms) WHERE files_json <> '[]';

-- What an operator wants to see to later (後日の対応): such a task is not over when the message is confirmed.
ALTER TABLE tasks ADD COLUMN text TEXT;
