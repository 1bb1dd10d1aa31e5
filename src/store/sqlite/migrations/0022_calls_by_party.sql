-- A search of the history by the number or the name of the other side: by a caller's number over all accounts, and by the
-- number that an operator called. The indexes are steps of the upgrade (store/upgrade).
INSERT INTO upgrade_steps (name) VALUES ('calls_by_number'), ('calls_by_called_number');
