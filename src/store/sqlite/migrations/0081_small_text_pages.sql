-- The text indexes merge their pieces in the transaction of the writer, 64 pages of each level at a time: with pages of a
-- quarter of the size no write waits 100 ms for it.
INSERT INTO customer_texts (customer_texts, rank) VALUES ('pgsz', 1000);
INSERT INTO message_texts (message_texts, rank) VALUES ('pgsz', 1000);
INSERT INTO account_texts (account_texts, rank) VALUES ('pgsz', 1000);
INSERT INTO contact_texts (contact_texts, rank) VALUES ('pgsz', 1000);
