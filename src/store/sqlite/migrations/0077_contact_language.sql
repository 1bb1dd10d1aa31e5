-- A contact's language, and in which order the contact's addresses are used.
ALTER TABLE contacts ADD COLUMN language TEXT;
ALTER TABLE contacts ADD COLUMN endpoint_order_json TEXT NOT NULL DEFAULT '[]';
