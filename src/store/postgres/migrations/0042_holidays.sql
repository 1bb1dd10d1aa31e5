-- The Cabinet Office's table of national holidays, and the installation's own days off. A year without a table is computed
-- by the law (src/contract/holidays.rs), so that computed days are not stored.
CREATE TABLE holidays (
    source TEXT NOT NULL CHECK (source IN ('cabinet', 'site')),
    day    TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (source, day)
);
CREATE TRIGGER holidays_changed AFTER INSERT OR UPDATE OR DELETE ON holidays EXECUTE FUNCTION directory_changed();
