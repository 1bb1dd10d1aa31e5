-- Messages of customers who were deleted: what was sent of them to whom is said as long as the message is there, so that recipients
-- can be asked to delete it, too.
CREATE TABLE erased_messages (
    message_id  BLOB PRIMARY KEY NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    customer_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_messages_by_customer ON erased_messages (customer_id, message_id);
