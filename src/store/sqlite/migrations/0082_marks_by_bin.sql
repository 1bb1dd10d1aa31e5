-- A mark is one row in one tree: a finished call that marks its bin writes one page for it. The table, its index and the
-- sequence of AUTOINCREMENT were three. position is random, so that no later mark has that of a deleted one.
CREATE TABLE kept_marks AS SELECT bin_ms, pbx, position, is_wide, call_id FROM stat_marks;
DROP TABLE stat_marks;
CREATE TABLE stat_marks (
    bin_ms   INTEGER NOT NULL,
    pbx      TEXT NOT NULL,
    position INTEGER NOT NULL DEFAULT (random()),
    is_wide  INTEGER NOT NULL,
    call_id  BLOB,
    PRIMARY KEY (bin_ms, pbx, position)
) STRICT, WITHOUT ROWID;
INSERT INTO stat_marks (bin_ms, pbx, position, is_wide, call_id)
SELECT bin_ms, pbx, position, is_wide, call_id FROM kept_marks;
DROP TABLE kept_marks;
