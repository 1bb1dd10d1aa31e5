-- Settings that callflows of accounts share: src/contract/callflow.rs. A callflow with a template has its own settings alone in
-- fields_json.
CREATE TABLE callflow_templates (
    id          BLOB PRIMARY KEY NOT NULL,
    code        TEXT NOT NULL,
    name        TEXT NOT NULL,
    fields_json TEXT NOT NULL,
    by_name     TEXT NOT NULL,
    changed_ms  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX callflow_templates_by_code ON callflow_templates (code);
CREATE TRIGGER callflow_templates_updated AFTER UPDATE ON callflow_templates BEGIN UPDATE directory_version SET version = version + 1; END;
ALTER TABLE callflows ADD COLUMN template_id BLOB REFERENCES callflow_templates (id);
CREATE INDEX callflows_of_template ON callflows (template_id);
