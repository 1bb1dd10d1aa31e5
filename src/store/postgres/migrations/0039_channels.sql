-- Endpoints that are no mail: src/contract/records/channel.rs. secret: the URL of a webhook, of which address shows a part.
ALTER TABLE message_endpoints ADD COLUMN secret TEXT;
ALTER TABLE message_endpoints ADD COLUMN profile TEXT;
ALTER TABLE message_endpoints ADD COLUMN mention TEXT;

-- A delivery goes over any of their channels, no longer by mail alone.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_channel_check;
