-- The calls of a customer in the order of a page, so that they can be read side by side with those of an operator: the index
-- without the call's id could not say which of two calls of one millisecond comes first. And the messages of a caller that are
-- open, which a pop counts: it looked at all that were ever taken. The indexes are steps of the upgrade (store/upgrade).
INSERT INTO upgrade_steps (name) VALUES ('calls_of_customer'), ('messages_open_of_caller');
