-- A search of the history by the number or the name of the other side: by a caller's number over all accounts, and by the
-- number that an operator called. The indexes are steps of the upgrade (store/upgrade).
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'calls_by_number' FROM upgrade_steps;
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'calls_by_called_number' FROM upgrade_steps;
