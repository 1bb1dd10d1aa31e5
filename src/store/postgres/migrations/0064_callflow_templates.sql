-- Settings that callflows of accounts share: src/contract/callflow.rs. A callflow with a template has its own settings alone in
-- fields_json.
CREATE TABLE callflow_templates (
    id          UUID PRIMARY KEY NOT NULL,
    code        TEXT NOT NULL,
    name        TEXT NOT NULL,
    fields_json TEXT NOT NULL,
    by_name     TEXT NOT NULL,
    changed_ms  BIGINT NOT NULL
);
CREATE UNIQUE INDEX callflow_templates_by_code ON callflow_templates (code);
CREATE TRIGGER callflow_templates_changed AFTER UPDATE ON callflow_templates EXECUTE FUNCTION directory_changed();
ALTER TABLE callflows ADD COLUMN template_id UUID REFERENCES callflow_templates (id);
CREATE INDEX callflows_of_template ON callflows (template_id);
