-- How an operator learns that somebody hears her in this account's calls; NULL: as the installation says.
ALTER TABLE accounts ADD COLUMN supervision_notify TEXT
    CHECK (supervision_notify IN ('tone', 'desktop', 'silent'));
