-- Calls to the outside are read on their own, and may be few among many: they have an index of their own.
CREATE INDEX calls_outbound ON calls (offered_ms, id) WHERE direction = 'outbound';
