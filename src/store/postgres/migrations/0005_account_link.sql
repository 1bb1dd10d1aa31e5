-- A link into another system, offered with the pop.
ALTER TABLE accounts ADD COLUMN link TEXT;
