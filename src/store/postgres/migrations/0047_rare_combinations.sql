-- Combinations of conditions of which a table has few rows or none: without an index for each, all calls that no operator had were
-- looked at for those that were answered all the same, and all messages for those that are urgent, held, or failed.
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'call_operators_unowned_answered' FROM upgrade_steps;
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'messages_of_account_by_state' FROM upgrade_steps;
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'messages_of_rare_kinds' FROM upgrade_steps;
