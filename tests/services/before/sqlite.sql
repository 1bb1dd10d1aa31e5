-- A database as the version before migration 11 left it (schema 10), with rows in every table: its own daemon created it,
-- "sqlite3 FILE .dump" wrote this text. src/store/upgrade_tests.rs opens it with this version.
PRAGMA application_id=1414681671;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'first','2026-11-29 06:13:00',1,X'a1c30e1f71e6a020063203213398e2a43fdfcf9671bfa5c042ce1e1b18917e93aae3b934439d89f25094b5abf118b663',2868849);
INSERT INTO _sqlx_migrations VALUES(2,'transfer','2026-11-29 06:13:00',1,X'c6234c40865febc96f93900c276ced89529677441f9f58fd26590e8fd461f4c935f1f71fbc58477e502ec0461e021829',2341016);
INSERT INTO _sqlx_migrations VALUES(3,'supervision notify','2026-11-29 06:13:00',1,X'0f23f5e584ebe47bb6c388f0615989bcfb6ec98e9272f16de69555c42e46b76447592c392afe1926a78edf372f9a0da4',719057);
INSERT INTO _sqlx_migrations VALUES(4,'operator states','2026-11-29 06:13:00',1,X'832d60729cd3e7384ca8ba09799cb3599a1617242685d313b467f25dd73f76a8430ac2d097a529c5e663c3017e92c1be',605119);
INSERT INTO _sqlx_migrations VALUES(5,'account link','2026-11-29 06:13:00',1,X'c7b51be36581c8da8e60a22558c10d08ab4bd93ce50b4ab6a596437bb607e17dd3552d5eac362b44c49261d2d8427bc2',702122);
INSERT INTO _sqlx_migrations VALUES(6,'event log','2026-11-29 06:13:00',1,X'c13eea0a13286126d4f00da445d81c4d03d8e4b33904f8743d4491b06b5abc03f7b6a9808c455bb6ed986081151d2782',759838);
INSERT INTO _sqlx_migrations VALUES(7,'webhooks','2026-11-29 06:13:00',1,X'fc0ba95e74b3ac2f5fde3499ee55ad41c8c6c6e018321aba45f41cc1cd634f1cf4bdc25d0c0bb7e5c4df296e99e9dc7e',420585);
INSERT INTO _sqlx_migrations VALUES(8,'messages','2026-11-29 06:13:00',1,X'323f4798868e714d1488493ec1d75d5ec3e20e8d397aa7bfa0c04037b319c2a6225da805d9113487fc83d82acbcb430d',3969814);
INSERT INTO _sqlx_migrations VALUES(9,'webhook places','2026-11-29 06:13:00',1,X'c4af9b00afca818507b5131561cf3298702235d7dd8d947cf5743fa55d6c5a6bba7357cc92f91deb2573cd0231c24b4b',332854);
INSERT INTO _sqlx_migrations VALUES(10,'hearings','2026-11-29 06:13:00',1,X'4ec553a22b77d1d8742005d39762192eec64e029dafc99efabee3d174bb30e1f3f44bd2df467d13aac01920b07fe20ec',491039);
CREATE TABLE teams (
    id   BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO teams VALUES(X'00000000000070008000000000000010','A班');
CREATE TABLE users (
    id            BLOB PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    kana          TEXT NOT NULL DEFAULT '',
    role          TEXT NOT NULL CHECK (role IN ('operator', 'supervisor', 'admin', 'system')),
    extension     TEXT,
    team_id       BLOB REFERENCES teams (id) ON DELETE SET NULL,
    password_hash TEXT,
    created_ms    INTEGER NOT NULL,
    changed_ms    INTEGER NOT NULL,
    revoked_ms    INTEGER
) STRICT;
INSERT INTO users VALUES(X'00000000000070008000000000000011','佐藤','さとう','operator','1001',X'00000000000070008000000000000010','$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$7RcKJxZkkhgVZ1zlxGkGVSSYxMBfdHCzVXAnSxa8VKo',1000,2000,NULL);
INSERT INTO users VALUES(X'00000000000070008000000000000012','伊藤','いとう','supervisor','2001',X'00000000000070008000000000000010',NULL,1001,1001,NULL);
INSERT INTO users VALUES(X'00000000000070008000000000000013','田村','たむら','operator','1001',NULL,NULL,500,500,900);
CREATE TABLE tokens (
    sha256       BLOB PRIMARY KEY NOT NULL,
    id           BLOB NOT NULL UNIQUE,
    user_id      BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label        TEXT NOT NULL DEFAULT '',
    kind         TEXT NOT NULL CHECK (kind IN ('token', 'session')),
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    last_used_ms INTEGER,
    revoked_ms   INTEGER
) STRICT;
INSERT INTO tokens VALUES(X'0707070707070707070707070707070707070707070707070707070707070707',X'00000000000070008000000000000014',X'00000000000070008000000000000011','desk','session',3000,9000000000000,4000,NULL);
CREATE TABLE accounts (
    id               BLOB PRIMARY KEY NOT NULL,
    code             TEXT NOT NULL UNIQUE,
    name             TEXT NOT NULL,
    kana             TEXT NOT NULL DEFAULT '',
    answer_phrase    TEXT NOT NULL DEFAULT '',
    notes            TEXT NOT NULL DEFAULT '',
    caller_id_policy TEXT NOT NULL DEFAULT 'caller' CHECK (caller_id_policy IN ('caller', 'account', 'service')),
    never_monitor    INTEGER NOT NULL DEFAULT 0,
    wrap_up_s        INTEGER,
    hours_json       TEXT,
    created_ms       INTEGER NOT NULL,
    changed_ms       INTEGER NOT NULL
, accept_by_key INTEGER NOT NULL DEFAULT 1, accept_sound TEXT, extra_numbers_json TEXT NOT NULL DEFAULT '[]', supervision_notify TEXT
    CHECK (supervision_notify IN ('tone', 'desktop', 'silent')), link TEXT) STRICT;
INSERT INTO accounts VALUES(X'000000000000700080000000000000a1','A-1','株式会社さくら商事','さくらしょうじ','さくら商事でございます','営業部は外出中','account',0,30,'{"weekly":[{"days":["mon","fri"],"from":"09:00","to":"18:00"}],"closed_on":["2026-01-01"]}',1000,1500,0,'press1','["0120999999"]','desktop','https://crm.example.jp/{call}');
CREATE TABLE account_numbers (
    kind       TEXT NOT NULL CHECK (kind IN ('dialled', 'forwarding')),
    key        TEXT NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    original   TEXT NOT NULL,
    position   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
INSERT INTO account_numbers VALUES('dialled','0355501001',X'000000000000700080000000000000a1','03-5550-1001',0);
INSERT INTO account_numbers VALUES('forwarding','+81335550101',X'000000000000700080000000000000a1','03-3555-0101',0);
CREATE TABLE customers (
    id         BLOB PRIMARY KEY NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code       TEXT,
    name       TEXT NOT NULL,
    kana       TEXT NOT NULL DEFAULT '',
    company    TEXT,
    department TEXT,
    notes      TEXT,
    flags_json TEXT NOT NULL DEFAULT '[]',
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;
INSERT INTO customers VALUES(X'000000000000700080000000000000b1',X'000000000000700080000000000000a1','C-1','田中太郎','たなかたろう','田中工業','購買','午後に電話','["vip"]',1100,1100);
CREATE TABLE customer_numbers (
    account_id  BLOB NOT NULL,
    key         TEXT NOT NULL,
    customer_id BLOB NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    original    TEXT NOT NULL,
    position    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, key, customer_id)
) STRICT, WITHOUT ROWID;
INSERT INTO customer_numbers VALUES(X'000000000000700080000000000000a1','+819012345678',X'000000000000700080000000000000b1','090-1234-5678',0);
CREATE TABLE contacts (
    id            BLOB PRIMARY KEY NOT NULL,
    account_id    BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code          TEXT,
    name          TEXT NOT NULL,
    kana          TEXT NOT NULL DEFAULT '',
    role          TEXT NOT NULL DEFAULT '',
    number_key    TEXT,
    number        TEXT,
    email         TEXT,
    on_call_order INTEGER,
    accept_by_key INTEGER NOT NULL DEFAULT 1,
    created_ms    INTEGER NOT NULL,
    changed_ms    INTEGER NOT NULL
, ring_s INTEGER) STRICT;
INSERT INTO contacts VALUES(X'000000000000700080000000000000c1',X'000000000000700080000000000000a1','K-1','鈴木','すずき','営業','+819087654321','090-8765-4321','suzuki@example.jp',1,1,1200,1200,25);
CREATE TABLE calls (
    id             BLOB PRIMARY KEY NOT NULL,
    pbx            TEXT NOT NULL,
    direction      TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    account_id     BLOB,
    customer_id    BLOB,
    matched_by     TEXT NOT NULL DEFAULT 'none',
    caller_key     TEXT,
    presentation   TEXT NOT NULL CHECK (presentation IN ('allowed', 'withheld', 'payphone', 'unavailable')),
    dialled        TEXT,
    diverted_by    TEXT,
    offered_ms     INTEGER NOT NULL,
    answered_ms    INTEGER,
    ended_ms       INTEGER NOT NULL,
    outcome        TEXT NOT NULL,
    operators_json TEXT NOT NULL DEFAULT '[]',
    channels_json  TEXT NOT NULL DEFAULT '[]',
    inferred       INTEGER NOT NULL DEFAULT 0,
    CHECK (presentation = 'allowed' OR caller_key IS NULL)
) STRICT;
INSERT INTO calls VALUES(X'000000000000700080000000000000d1','osaka','inbound',X'000000000000700080000000000000a1',X'000000000000700080000000000000b1','diversion','+819012345678','allowed','0355501001','0335550101',100000,105000,190000,'answered','["1001"]','["17.1","17.2"]',0);
CREATE TABLE call_segments (
    call_id  BLOB NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    ordinal  INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    operator TEXT,
    target   TEXT,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER,
    result   TEXT,
    PRIMARY KEY (call_id, ordinal)
) STRICT, WITHOUT ROWID;
INSERT INTO call_segments VALUES(X'000000000000700080000000000000d1',0,'presented','1001',NULL,101000,105000,'answered');
INSERT INTO call_segments VALUES(X'000000000000700080000000000000d1',1,'transfer','1001','鈴木',150000,190000,'completed');
CREATE TABLE messages (
    id              BLOB PRIMARY KEY NOT NULL,
    account_id      BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    call_id         BLOB,
    customer_id     BLOB,
    contact_id      BLOB,
    taken_by        BLOB,
    caller_key      TEXT,
    text            TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'sent', 'failed', 'acknowledged')),
    created_ms      INTEGER NOT NULL,
    sent_ms         INTEGER,
    acknowledged_ms INTEGER
, taken_by_name TEXT, acknowledged_by BLOB, changed_ms INTEGER NOT NULL DEFAULT 0, pbx TEXT NOT NULL DEFAULT '', version INTEGER NOT NULL DEFAULT 1, told INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO messages VALUES(X'000000000000700080000000000000e1',X'000000000000700080000000000000a1',X'000000000000700080000000000000d1',X'000000000000700080000000000000b1',X'000000000000700080000000000000c1',X'00000000000070008000000000000011','+819012345678','折り返しお電話ください','open',180000,NULL,NULL,'佐藤',NULL,185000,'osaka',2,1);
INSERT INTO messages VALUES(X'000000000000700080000000000000e2',X'000000000000700080000000000000a1',NULL,NULL,NULL,X'00000000000070008000000000000011',NULL,'済','acknowledged',170000,NULL,175000,'佐藤',X'00000000000070008000000000000012',175000,'osaka',2,2);
CREATE TABLE audit (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms        INTEGER NOT NULL,
    actor_id     BLOB,
    actor        TEXT NOT NULL,
    action       TEXT NOT NULL,
    subject      TEXT NOT NULL DEFAULT '',
    call_id      BLOB,
    details_json TEXT NOT NULL DEFAULT '{}'
) STRICT;
INSERT INTO audit VALUES(1,110000,X'00000000000070008000000000000012','伊藤','supervision.started','1001',X'000000000000700080000000000000d1','{"id":"00000000-0000-7000-8000-0000000000f1","mode":"listen"}');
CREATE TABLE directory_version (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO directory_version VALUES(1,4);
CREATE TABLE operator_states (
    user_id    BLOB PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    changed_ms INTEGER NOT NULL,
    saved_json TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO operator_states VALUES(X'00000000000070008000000000000011',210000,'{"user":"00000000-0000-7000-8000-000000000011","seat":"1001","last_seat":"1001","rest":{"not_ready":"break"},"pending":"ready","activity":{"has":"00000000-0000-7000-8000-0000000000d2"},"work":[{"call":"00000000-0000-7000-8000-0000000000d1","account":"00000000-0000-7000-8000-0000000000a1","account_name":"株式会社さくら商事","since":"1970-01-01T00:03:10Z","until":"1970-01-01T00:03:40Z","planned_s":30,"extensions":[]}],"lapsed":{"call":"00000000-0000-7000-8000-0000000000d3","account":"00000000-0000-7000-8000-0000000000a1","account_name":"株式会社さくら商事","since":"1970-01-01T00:01:30Z","until":"1970-01-01T00:02:00Z","planned_s":30,"extensions":[]},"awaits":"00000000-0000-7000-8000-0000000000d4","version":3,"since":"1970-01-01T00:03:30Z","by":{"actor":"person","user":"00000000-0000-7000-8000-000000000011","name":"佐藤"}}');
CREATE TABLE operator_history (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    BLOB NOT NULL,
    version    INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    name       TEXT NOT NULL,
    extension  TEXT,
    state      TEXT NOT NULL,
    reason     TEXT,
    pending    TEXT,
    call_id    BLOB,
    actor      TEXT NOT NULL CHECK (actor IN ('person', 'call', 'clock', 'daemon')),
    actor_id   BLOB,
    actor_name TEXT,
    session_id BLOB,
    desktop    TEXT,
    UNIQUE (user_id, version, at_ms)
) STRICT;
INSERT INTO operator_history VALUES(1,X'00000000000070008000000000000011',3,210000,'佐藤','1001','not_ready','break','ready',NULL,'person',X'00000000000070008000000000000011','佐藤',NULL,NULL);
CREATE TABLE wrap_ups (
    call_id         BLOB NOT NULL,
    user_id         BLOB NOT NULL,
    since_ms        INTEGER NOT NULL,
    ended_ms        INTEGER NOT NULL,
    account_id      BLOB,
    account         TEXT NOT NULL DEFAULT '',
    planned_s       INTEGER NOT NULL,
    extensions_json TEXT NOT NULL DEFAULT '[]',
    disposition     TEXT,
    notes           TEXT,
    PRIMARY KEY (call_id, user_id, since_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO wrap_ups VALUES(X'000000000000700080000000000000d1',X'00000000000070008000000000000011',190000,205000,X'000000000000700080000000000000a1','株式会社さくら商事',30,'[{"at":"1970-01-01T00:03:15Z","seconds":60,"reason":"order"}]','message','折り返し');
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
INSERT INTO events VALUES('osaka',47,'a1',7,200000,'call.offered',X'000000000000700080000000000000d2','"supervisors"',NULL,'{"id":"a1-7","type":"call.offered","at":200000,"call":"00000000-0000-7000-8000-0000000000d2","data":{"state":"offered"}}');
INSERT INTO events VALUES('osaka',48,'a1',8,201000,'call.presented',X'000000000000700080000000000000d2','{"operators":["1001"]}','{"before":["1001","1002"],"now":["1001"]}','{"id":"a1-8","type":"call.presented","at":201000,"call":"00000000-0000-7000-8000-0000000000d2","data":{"state":"presented"}}');
CREATE TABLE event_logs (
    pbx            TEXT PRIMARY KEY NOT NULL,
    stream         TEXT NOT NULL,
    sight          TEXT,
    sight_position INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO event_logs VALUES('osaka','a1','5eed',46);
CREATE TABLE live_calls (
    id        BLOB PRIMARY KEY NOT NULL,
    pbx       TEXT NOT NULL,
    call_json TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO live_calls VALUES(X'000000000000700080000000000000d2','osaka','{"memory":{"id":"00000000-0000-7000-8000-0000000000d2","legs":[{"id":"18.1","endpoint":"trunk","state":"up","bridge":null,"dialled_by":null,"dial_ended":null,"peer":null,"holding":false,"hangup_requested":null,"progress":false},{"id":"18.2","endpoint":{"phone":"1001"},"state":"ringing","bridge":null,"dialled_by":"18.1","dial_ended":null,"peer":null,"holding":false,"hangup_requested":null,"progress":false}],"linked":["18.1"],"caller":"18.1","channels":["18.1","18.2"],"card":null,"offered_at":"1970-01-01T00:03:20Z","answered_at":null,"presented":[["1001","18.2"]],"operator":null,"operators":[],"operators_legs":[],"held":false,"queued":true,"abandoned":false,"overflowed":false,"told":null,"state":"presented","inferred":false},"story":[{"kind":"presented","operator":"1001","target":null,"from":"1970-01-01T00:03:21Z","until":null,"result":null}]}');
CREATE TABLE pbx_links (
    pbx      TEXT PRIMARY KEY NOT NULL,
    up       INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    alive_ms INTEGER NOT NULL,
    cause    TEXT,
    started  TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO pbx_links VALUES('osaka',1,90000,202000,NULL,'2026-01-05 08:00:00');
CREATE TABLE pbx_gaps (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    pbx       TEXT NOT NULL,
    from_ms   INTEGER NOT NULL,
    to_ms     INTEGER NOT NULL,
    cause     TEXT NOT NULL,
    restarted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (pbx, from_ms)
) STRICT;
INSERT INTO pbx_gaps VALUES(1,'osaka',50000,90000,'the daemon was stopped',1);
CREATE TABLE webhook_outbox (
    id         BLOB PRIMARY KEY NOT NULL,
    receiver   TEXT NOT NULL,
    event      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    body_json  TEXT NOT NULL,
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'failed')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    error      TEXT,
    created_ms INTEGER NOT NULL,
    next_ms    INTEGER NOT NULL,
    UNIQUE (receiver, event)
) STRICT;
INSERT INTO webhook_outbox VALUES(X'00000000000070008000000000000021','crm','a1-7','call.offered','{}','waiting',2,'the receiver answered 500',200500,260000);
INSERT INTO webhook_outbox VALUES(X'00000000000070008000000000000022','crm','a1-1','call.ended','{}','failed',9,'no answer',100500,160000);
CREATE TABLE webhook_places (
    pbx   TEXT PRIMARY KEY NOT NULL,
    event TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO webhook_places VALUES('','90-3');
INSERT INTO webhook_places VALUES('osaka','a1-7');
CREATE TABLE hearings (
    supervision_id  BLOB NOT NULL,
    from_ms         INTEGER NOT NULL,
    until_ms        INTEGER,
    pbx             TEXT NOT NULL,
    call_id         BLOB NOT NULL,
    operator        TEXT NOT NULL,
    supervisor_id   BLOB NOT NULL,
    supervisor_name TEXT NOT NULL,
    extension       TEXT NOT NULL,
    mode            TEXT NOT NULL,
    reason          TEXT,
    ending          TEXT,
    audience_json   TEXT NOT NULL,
    PRIMARY KEY (supervision_id, from_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO hearings VALUES(X'000000000000700080000000000000f1',110000,120000,'osaka',X'000000000000700080000000000000d1','1001',X'00000000000070008000000000000012','伊藤','2001','listen','新人',NULL,'{"supervisors_of":["1001"]}');
INSERT INTO hearings VALUES(X'000000000000700080000000000000f1',120000,NULL,'osaka',X'000000000000700080000000000000d1','1001',X'00000000000070008000000000000012','伊藤','2001','whisper','新人',NULL,'{"operators":["1001"]}');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('pbx_gaps',1);
INSERT INTO sqlite_sequence VALUES('operator_history',1);
INSERT INTO sqlite_sequence VALUES('audit',1);
CREATE INDEX users_by_team ON users (team_id);
CREATE UNIQUE INDEX users_by_name ON users (name) WHERE revoked_ms IS NULL;
CREATE UNIQUE INDEX users_by_extension ON users (extension) WHERE revoked_ms IS NULL AND extension IS NOT NULL;
CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE INDEX account_numbers_by_account ON account_numbers (account_id);
CREATE UNIQUE INDEX customers_by_code ON customers (account_id, code) WHERE code IS NOT NULL;
CREATE INDEX customers_by_account ON customers (account_id, id);
CREATE INDEX customer_numbers_by_customer ON customer_numbers (customer_id);
CREATE UNIQUE INDEX contacts_by_code ON contacts (account_id, code) WHERE code IS NOT NULL;
CREATE INDEX contacts_by_account ON contacts (account_id, on_call_order);
CREATE INDEX calls_by_caller ON calls (account_id, caller_key, offered_ms) WHERE caller_key IS NOT NULL;
CREATE INDEX calls_by_customer ON calls (customer_id, offered_ms) WHERE customer_id IS NOT NULL;
CREATE INDEX calls_by_account ON calls (account_id, offered_ms);
CREATE INDEX calls_by_time ON calls (offered_ms);
CREATE INDEX messages_by_caller ON messages (account_id, caller_key, created_ms) WHERE caller_key IS NOT NULL;
CREATE INDEX messages_by_state ON messages (state, created_ms);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not changed'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not removed'); END;
CREATE TRIGGER accounts_inserted AFTER INSERT ON accounts BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER accounts_updated AFTER UPDATE ON accounts BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER accounts_deleted AFTER DELETE ON accounts BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER numbers_inserted AFTER INSERT ON account_numbers BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER numbers_updated AFTER UPDATE ON account_numbers BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER numbers_deleted AFTER DELETE ON account_numbers BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE INDEX operator_history_by_time ON operator_history (user_id, at_ms);
CREATE INDEX wrap_ups_by_time ON wrap_ups (ended_ms);
CREATE INDEX pbx_gaps_by_time ON pbx_gaps (to_ms);
CREATE INDEX webhook_outbox_due ON webhook_outbox (receiver, state, next_ms);
CREATE INDEX messages_by_time ON messages (created_ms, id);
CREATE INDEX messages_by_account ON messages (account_id, created_ms, id);
CREATE INDEX messages_by_call ON messages (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX messages_untold ON messages (pbx, changed_ms) WHERE told < version;
CREATE INDEX hearings_by_call ON hearings (call_id, from_ms);
CREATE INDEX hearings_by_time ON hearings (from_ms);
CREATE INDEX hearings_open ON hearings (pbx) WHERE until_ms IS NULL;
CREATE INDEX operator_history_by_age ON operator_history (at_ms);
COMMIT;
