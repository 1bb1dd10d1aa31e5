-- What a search by text compares: name, reading, company, department, code and numbers, folded (contract/records/search.rs).
-- NULL: a version before this one wrote the row; the daemon folds such rows in small steps, and until then a search
-- compares their name, reading and company as they are written.
ALTER TABLE customers ADD COLUMN search TEXT COLLATE "C";
CREATE INDEX customers_unfolded ON customers (id) WHERE search IS NULL;

-- One row that `/readyz` writes: it proves that the store can keep what the daemon must record.
CREATE TABLE write_probe (
    id    BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    at_ms BIGINT NOT NULL
);
INSERT INTO write_probe (id, at_ms) VALUES (1, 0);
