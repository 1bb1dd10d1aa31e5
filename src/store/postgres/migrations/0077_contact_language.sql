-- A contact's language, and in which order the contact's addresses are used.
ALTER TABLE contacts ADD COLUMN language text;
ALTER TABLE contacts ADD COLUMN endpoint_order_json text NOT NULL DEFAULT '[]';
