-- The recent part of the event stream, with all that a resume needs. The table of 0001 was never written.
DROP TABLE events;

-- position goes on over runs of the daemon; stream and number are the two parts of an event's id.
CREATE TABLE events (
    pbx            TEXT NOT NULL,
    position       INTEGER NOT NULL,
    stream         TEXT NOT NULL,
    number         INTEGER NOT NULL,
    at_ms          INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    call_id        BLOB,
    audience_json  TEXT NOT NULL,
    departure_json TEXT,
    body_json      TEXT NOT NULL,
    PRIMARY KEY (pbx, position)
) STRICT, WITHOUT ROWID;

-- Whose log it is: the stream of the daemon that started last. sight is a fingerprint of who may see what, true
-- for the events after sight_position.
CREATE TABLE event_logs (
    pbx            TEXT PRIMARY KEY NOT NULL,
    stream         TEXT NOT NULL,
    sight          TEXT,
    sight_position INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Calls that have not ended, as the last logged event left them. A row goes with the record of the call.
CREATE TABLE live_calls (
    id        BLOB PRIMARY KEY NOT NULL,
    pbx       TEXT NOT NULL,
    call_json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What is known of the link to each PBX, for the daemon that starts next: alive_ms is the last instant at which
-- somebody followed its events.
CREATE TABLE pbx_links (
    pbx      TEXT PRIMARY KEY NOT NULL,
    up       INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    alive_ms INTEGER NOT NULL,
    cause    TEXT,
    started  TEXT
) STRICT, WITHOUT ROWID;

-- When nobody followed the events of a PBX, and why.
CREATE TABLE pbx_gaps (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    pbx       TEXT NOT NULL,
    from_ms   INTEGER NOT NULL,
    to_ms     INTEGER NOT NULL,
    cause     TEXT NOT NULL,
    restarted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (pbx, from_ms)
) STRICT;
CREATE INDEX pbx_gaps_by_time ON pbx_gaps (to_ms);
