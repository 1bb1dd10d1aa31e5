-- What an account's templates of mails were before (src/store/mail_templates). Without a body: the built-in one was used again.
CREATE TABLE mail_template_versions (
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    body       TEXT,
    by_name    TEXT NOT NULL,
    at_ms      BIGINT NOT NULL,
    PRIMARY KEY (account_id, name, version)
);
INSERT INTO mail_template_versions (account_id, name, version, body, by_name, at_ms)
    SELECT account_id, name, 1, body, by_name, changed_ms FROM mail_templates;

-- Messages by how far their delivery is.
CREATE INDEX messages_by_delivery ON messages (delivery_state, created_ms, id);
