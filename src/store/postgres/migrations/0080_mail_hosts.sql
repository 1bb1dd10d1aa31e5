-- The mail server that an account has of its own (src/store/mail_servers), and the server that each of the service's own mails goes over.
ALTER TABLE accounts ADD COLUMN mail_host text;
ALTER TABLE service_mails ADD COLUMN server text NOT NULL DEFAULT 'main';
DROP INDEX service_mails_due;
CREATE INDEX service_mails_due ON service_mails (server, next_ms) WHERE state IN ('queued', 'sending');
