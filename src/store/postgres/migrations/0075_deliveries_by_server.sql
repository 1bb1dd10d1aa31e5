-- Deliveries are listed by the server that they go over, and those that wait for one are counted.
CREATE INDEX deliveries_by_server ON deliveries (server, created_ms, id);
CREATE INDEX deliveries_waiting ON deliveries (server, urgency) WHERE state IN ('held', 'queued', 'sending');
