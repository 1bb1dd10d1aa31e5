-- On which day of a month an account gets the report of the month before, and to which addresses. sent_month: the last month
-- whose mails were made.
CREATE TABLE report_plans (
    account_id BLOB PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    plan_json  TEXT NOT NULL,
    mail_day   INTEGER,
    sent_month TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX report_plans_by_month ON report_plans (sent_month, mail_day) WHERE mail_day IS NOT NULL;

-- Reports that were closed (src/report). A closed report never changes and has no text of a caller; it stays when its account
-- is deleted. sha256 is that of report_json.
CREATE TABLE closed_reports (
    account_id  BLOB NOT NULL,
    month       TEXT NOT NULL,
    report_json TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    closed_ms   INTEGER NOT NULL,
    by_name     TEXT NOT NULL,
    PRIMARY KEY (account_id, month)
) STRICT, WITHOUT ROWID;

-- Mails of the service itself, which carry no message: monthly reports (with account_id and month) and alarms. The columns of
-- their sending are those of deliveries.
CREATE TABLE service_mails (
    id         BLOB PRIMARY KEY NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('report', 'alarm')),
    account_id BLOB REFERENCES accounts (id) ON DELETE CASCADE,
    month      TEXT,
    address    TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       TEXT NOT NULL,
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    maybe_sent INTEGER NOT NULL DEFAULT 0,
    next_ms    INTEGER NOT NULL,
    give_up_ms INTEGER NOT NULL,
    error      TEXT,
    status     TEXT,
    leased_by  BLOB,
    lease_ms   INTEGER,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX service_mails_due ON service_mails (next_ms) WHERE state IN ('queued', 'sending');
CREATE INDEX service_mails_leased ON service_mails (lease_ms) WHERE state = 'sending';
CREATE INDEX service_mails_by_time ON service_mails (created_ms);
CREATE INDEX service_mails_by_report ON service_mails (account_id, month) WHERE account_id IS NOT NULL;

-- Thresholds at which somebody is called (src/stats/alarm.rs).
CREATE TABLE alarm_rules (
    id         BLOB PRIMARY KEY NOT NULL,
    account_id BLOB REFERENCES accounts (id) ON DELETE CASCADE,
    rule_json  TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX alarm_rules_by_account ON alarm_rules (account_id) WHERE account_id IS NOT NULL;

-- Alarms: raised once until they are cleared. published: 0 nothing yet, 1 that it was raised, 2 that it was cleared; by the leader
-- of pbx.
CREATE TABLE alarms (
    id         BLOB PRIMARY KEY NOT NULL,
    rule_id    BLOB NOT NULL REFERENCES alarm_rules (id) ON DELETE CASCADE,
    pbx        TEXT NOT NULL,
    value      REAL NOT NULL,
    raised_ms  INTEGER NOT NULL,
    cleared_ms INTEGER,
    published  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX alarms_by_rule ON alarms (rule_id) WHERE cleared_ms IS NULL;
CREATE INDEX alarms_unpublished ON alarms (pbx, raised_ms) WHERE published < 2;
CREATE INDEX alarms_by_time ON alarms (raised_ms, id);
