-- Each PBX's events have a place of their own, whichever daemon fills the outbox. The one of before is everybody's
-- beginning.
CREATE TABLE webhook_places (
    pbx   TEXT PRIMARY KEY NOT NULL,
    event TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO webhook_places (pbx, event) SELECT '', event FROM webhook_place;
DROP TABLE webhook_place;
