-- Who had the caller: user ids (text, hyphenated) as a JSON list, in order. An extension is another person's later, so it
-- does not say whose call it was. NULL: the record is of a version that did not keep it; then the extensions count.
ALTER TABLE calls ADD COLUMN handled_by_json TEXT;

-- The record that an action was done to, as hyphenated text; NULL in older entries, and where it is none.
ALTER TABLE audit ADD COLUMN subject_id TEXT;
