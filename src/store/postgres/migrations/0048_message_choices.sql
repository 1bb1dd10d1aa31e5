-- What an account chooses for its messages: src/contract/records/account.rs. The language of an endpoint: absent, its account's.
ALTER TABLE accounts ADD COLUMN report_calls TEXT NOT NULL DEFAULT 'off';
ALTER TABLE accounts ADD COLUMN language TEXT NOT NULL DEFAULT 'ja';
ALTER TABLE accounts ADD COLUMN privacy TEXT NOT NULL DEFAULT 'full';
ALTER TABLE accounts ADD COLUMN open_on_answer BOOLEAN NOT NULL DEFAULT false;
CREATE INDEX accounts_reporting ON accounts (id) WHERE report_calls <> 'off';
ALTER TABLE message_endpoints ADD COLUMN language TEXT;

-- Messages that nobody confirmed until their route was over: the metric counts them.
CREATE INDEX messages_unanswered ON messages (urgency)
    WHERE route_state = 'unanswered' AND state = 'sent' AND deleted_ms IS NULL;
