-- Counters are stored without their names, and a month of an account or of a person is read from an index alone.
ALTER TABLE stats RENAME COLUMN counters_json TO counters;
ALTER TABLE queue_stats RENAME COLUMN counters_json TO counters;
ALTER TABLE operator_stats RENAME COLUMN counters_json TO counters;
ALTER TABLE stat_bins RENAME COLUMN counters_json TO counters;
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'stats_of_account' FROM upgrade_steps;
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'operator_stats_of_user' FROM upgrade_steps;
