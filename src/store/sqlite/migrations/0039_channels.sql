-- Endpoints that are no mail: src/contract/records/channel.rs. secret: the URL of a webhook, of which address shows a part.
ALTER TABLE message_endpoints ADD COLUMN secret TEXT;
ALTER TABLE message_endpoints ADD COLUMN profile TEXT;
ALTER TABLE message_endpoints ADD COLUMN mention TEXT;

-- A delivery goes over any of their channels, no longer by mail alone: a column takes its condition along when it is dropped.
DROP INDEX deliveries_once;
ALTER TABLE deliveries ADD COLUMN way TEXT NOT NULL DEFAULT 'mail';
UPDATE deliveries SET way = channel WHERE way <> channel;
ALTER TABLE deliveries DROP COLUMN channel;
ALTER TABLE deliveries RENAME COLUMN way TO channel;
CREATE UNIQUE INDEX deliveries_once ON deliveries (message_id, channel, address, revision, again)
    WHERE address <> '';
