-- A mark has one index, by which its bin is found.
ALTER TABLE stat_marks DROP CONSTRAINT stat_marks_pkey;
ALTER TABLE stat_marks ADD PRIMARY KEY (bin_ms, pbx, position);
DROP INDEX stat_marks_by_bin;
