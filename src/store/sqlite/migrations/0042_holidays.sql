-- The Cabinet Office's table of national holidays, and the installation's own days off. A year without a table is computed
-- by the law (src/contract/holidays.rs), so that computed days are not stored.
CREATE TABLE holidays (
    source TEXT NOT NULL CHECK (source IN ('cabinet', 'site')),
    day    TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (source, day)
);
CREATE TRIGGER holidays_inserted AFTER INSERT ON holidays BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER holidays_updated AFTER UPDATE ON holidays BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER holidays_deleted AFTER DELETE ON holidays BEGIN UPDATE directory_version SET version = version + 1; END;
