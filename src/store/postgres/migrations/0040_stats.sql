-- Figures: counters of each bin of 15 minutes (from bin_ms on) of each PBX, built from the history (src/stats), and kept when
-- the calls are deleted. counters_json has the counters that are not zero. An account or a user that is not known is the nil
-- UUID.
CREATE TABLE stats (
    bin_ms        BIGINT NOT NULL,
    pbx           TEXT NOT NULL,
    account_id    UUID NOT NULL,
    counters_json TEXT NOT NULL,
    PRIMARY KEY (bin_ms, pbx, account_id)
);
CREATE INDEX stats_by_account ON stats (account_id, bin_ms);

-- By the first queue of a call.
CREATE TABLE queue_stats (
    bin_ms        BIGINT NOT NULL,
    pbx           TEXT NOT NULL,
    queue         TEXT NOT NULL,
    counters_json TEXT NOT NULL,
    PRIMARY KEY (bin_ms, pbx, queue)
);

-- Each person's work.
CREATE TABLE operator_stats (
    bin_ms        BIGINT NOT NULL,
    pbx           TEXT NOT NULL,
    user_id       UUID NOT NULL,
    account_id    UUID NOT NULL,
    counters_json TEXT NOT NULL,
    PRIMARY KEY (bin_ms, pbx, user_id, account_id)
);
CREATE INDEX operator_stats_by_user ON operator_stats (user_id, bin_ms);

-- The bins that were built: the sum of all accounts, the time in which nothing was seen, and how many calls, and calls of
-- known callers, the history had. rules is the version of the counting.
CREATE TABLE stat_bins (
    bin_ms        BIGINT NOT NULL,
    pbx           TEXT NOT NULL,
    counters_json TEXT NOT NULL,
    gap_ms        BIGINT NOT NULL,
    calls         BIGINT NOT NULL,
    callers       BIGINT NOT NULL,
    rules         BIGINT NOT NULL,
    PRIMARY KEY (bin_ms, pbx)
);

-- Dirty bins: what writes into the history adds a mark in the same transaction, and the worker that has built the bin
-- deletes the marks that it saw. is_wide: callers may have given calls of the neighbouring bins another mark. A mark is a
-- row of its own, so that no transaction waits for another one here.
CREATE TABLE stat_marks (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bin_ms   BIGINT NOT NULL,
    pbx      TEXT NOT NULL,
    is_wide  BOOLEAN NOT NULL
);
CREATE INDEX stat_marks_by_bin ON stat_marks (bin_ms, pbx);

-- The bins of the history that is there.
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'stat_marks' FROM upgrade_steps;
