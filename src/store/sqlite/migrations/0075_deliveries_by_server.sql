-- Deliveries are listed by the server that they go over.
CREATE INDEX deliveries_by_server ON deliveries (server, created_ms, id);
