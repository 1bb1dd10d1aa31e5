-- Counters are stored without their names, and a month of an account or of a person is read from an index alone.
ALTER TABLE stats RENAME COLUMN counters_json TO counters;
ALTER TABLE queue_stats RENAME COLUMN counters_json TO counters;
ALTER TABLE operator_stats RENAME COLUMN counters_json TO counters;
ALTER TABLE stat_bins RENAME COLUMN counters_json TO counters;
INSERT INTO upgrade_steps (name) VALUES ('stats_of_account'), ('operator_stats_of_user');
