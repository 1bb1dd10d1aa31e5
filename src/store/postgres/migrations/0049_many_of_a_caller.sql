-- The calls of a customer in the order of a page, so that they can be read side by side with those of an operator: the index
-- without the call's id could not say which of two calls of one millisecond comes first. And the messages of a caller that are
-- open, which a pop counts: it looked at all that were ever taken. The indexes are steps of the upgrade (store/upgrade).
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'calls_of_customer' FROM upgrade_steps;
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'messages_open_of_caller' FROM upgrade_steps;
-- What the words of a text cost, so that a search for a text that few customers have goes by the index of words, and not by the
-- ids of all customers in the hope of finding a page soon.
ALTER FUNCTION search_words(text) COST 1000;
