-- The text index of messages, as that of customers (0020): a word that few messages have, or none, is found without reading each
-- message of the time. A message of an earlier version, whose search is NULL, is found by its text as it is written.
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'message_texts' FROM upgrade_steps;
