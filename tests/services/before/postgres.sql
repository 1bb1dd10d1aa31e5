-- A database as the version before migration 11 left it (schema 10), with rows in every table: its own daemon created it,
-- "pg_dump --column-inserts" wrote this text. src/store/upgrade_tests.rs opens it with this version.
SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION public.audit_is_kept() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'audit rows are not changed or removed'; END $$;
CREATE FUNCTION public.directory_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN UPDATE directory_version SET version = version + 1; RETURN NULL; END $$;
CREATE FUNCTION public.instr(haystack text, needle text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN strpos(haystack, needle);
CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
CREATE TABLE public.account_numbers (
    kind text NOT NULL,
    key text NOT NULL,
    account_id uuid NOT NULL,
    original text NOT NULL,
    "position" bigint DEFAULT 0 NOT NULL,
    CONSTRAINT account_numbers_kind_check CHECK ((kind = ANY (ARRAY['dialled'::text, 'forwarding'::text])))
);
CREATE TABLE public.accounts (
    id uuid NOT NULL,
    code text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    kana text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    answer_phrase text DEFAULT ''::text NOT NULL,
    notes text DEFAULT ''::text NOT NULL,
    caller_id_policy text DEFAULT 'caller'::text NOT NULL,
    never_monitor boolean DEFAULT false NOT NULL,
    wrap_up_s bigint,
    hours_json text,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL,
    accept_by_key boolean DEFAULT true NOT NULL,
    accept_sound text,
    extra_numbers_json text DEFAULT '[]'::text NOT NULL,
    supervision_notify text,
    link text,
    CONSTRAINT accounts_caller_id_policy_check CHECK ((caller_id_policy = ANY (ARRAY['caller'::text, 'account'::text, 'service'::text]))),
    CONSTRAINT accounts_supervision_notify_check CHECK ((supervision_notify = ANY (ARRAY['tone'::text, 'desktop'::text, 'silent'::text])))
);
CREATE TABLE public.audit (
    "position" bigint NOT NULL,
    at_ms bigint NOT NULL,
    actor_id uuid,
    actor text NOT NULL,
    action text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    call_id uuid,
    details_json text DEFAULT '{}'::text NOT NULL
);
ALTER TABLE public.audit ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.call_segments (
    call_id uuid NOT NULL,
    ordinal bigint NOT NULL,
    kind text NOT NULL,
    operator text,
    target text,
    from_ms bigint NOT NULL,
    until_ms bigint,
    result text
);
CREATE TABLE public.calls (
    id uuid NOT NULL,
    pbx text NOT NULL,
    direction text NOT NULL,
    account_id uuid,
    customer_id uuid,
    matched_by text DEFAULT 'none'::text NOT NULL,
    caller_key text,
    presentation text NOT NULL,
    dialled text,
    diverted_by text,
    offered_ms bigint NOT NULL,
    answered_ms bigint,
    ended_ms bigint NOT NULL,
    outcome text NOT NULL,
    operators_json text DEFAULT '[]'::text NOT NULL,
    channels_json text DEFAULT '[]'::text NOT NULL,
    inferred boolean DEFAULT false NOT NULL,
    CONSTRAINT calls_check CHECK (((presentation = 'allowed'::text) OR (caller_key IS NULL))),
    CONSTRAINT calls_direction_check CHECK ((direction = ANY (ARRAY['inbound'::text, 'outbound'::text, 'internal'::text]))),
    CONSTRAINT calls_presentation_check CHECK ((presentation = ANY (ARRAY['allowed'::text, 'withheld'::text, 'payphone'::text, 'unavailable'::text])))
);
CREATE TABLE public.contacts (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    code text,
    name text NOT NULL COLLATE pg_catalog."C",
    kana text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    role text DEFAULT ''::text NOT NULL,
    number_key text,
    number text,
    email text,
    on_call_order bigint,
    accept_by_key boolean DEFAULT true NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL,
    ring_s bigint
);
CREATE TABLE public.customer_numbers (
    account_id uuid NOT NULL,
    key text NOT NULL,
    customer_id uuid NOT NULL,
    original text NOT NULL,
    "position" bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.customers (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    code text,
    name text NOT NULL COLLATE pg_catalog."C",
    kana text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    company text,
    department text,
    notes text,
    flags_json text DEFAULT '[]'::text NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL
);
CREATE TABLE public.directory_version (
    one bigint NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT directory_version_one_check CHECK ((one = 1))
);
CREATE TABLE public.event_logs (
    pbx text NOT NULL,
    stream text NOT NULL,
    sight text,
    sight_position bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.events (
    pbx text NOT NULL,
    "position" bigint NOT NULL,
    stream text NOT NULL,
    number bigint NOT NULL,
    at_ms bigint NOT NULL,
    kind text NOT NULL,
    call_id uuid,
    audience_json text NOT NULL,
    departure_json text,
    body_json text NOT NULL
);
CREATE TABLE public.hearings (
    supervision_id uuid NOT NULL,
    from_ms bigint NOT NULL,
    until_ms bigint,
    pbx text NOT NULL,
    call_id uuid NOT NULL,
    operator text NOT NULL,
    supervisor_id uuid NOT NULL,
    supervisor_name text NOT NULL,
    extension text NOT NULL,
    mode text NOT NULL,
    reason text,
    ending text,
    audience_json text NOT NULL
);
CREATE TABLE public.live_calls (
    id uuid NOT NULL,
    pbx text NOT NULL,
    call_json text NOT NULL
);
CREATE TABLE public.messages (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    call_id uuid,
    customer_id uuid,
    contact_id uuid,
    taken_by uuid,
    caller_key text,
    text text NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    created_ms bigint NOT NULL,
    sent_ms bigint,
    acknowledged_ms bigint,
    taken_by_name text,
    acknowledged_by uuid,
    changed_ms bigint DEFAULT 0 NOT NULL,
    pbx text DEFAULT ''::text NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    told bigint DEFAULT 0 NOT NULL,
    CONSTRAINT messages_state_check CHECK ((state = ANY (ARRAY['open'::text, 'sent'::text, 'failed'::text, 'acknowledged'::text])))
);
CREATE TABLE public.operator_history (
    "position" bigint NOT NULL,
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    at_ms bigint NOT NULL,
    name text NOT NULL,
    extension text,
    state text NOT NULL,
    reason text,
    pending text,
    call_id uuid,
    actor text NOT NULL,
    actor_id uuid,
    actor_name text,
    session_id uuid,
    desktop text,
    CONSTRAINT operator_history_actor_check CHECK ((actor = ANY (ARRAY['person'::text, 'call'::text, 'clock'::text, 'daemon'::text])))
);
ALTER TABLE public.operator_history ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.operator_history_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.operator_states (
    user_id uuid NOT NULL,
    changed_ms bigint NOT NULL,
    saved_json text NOT NULL
);
CREATE TABLE public.pbx_gaps (
    "position" bigint NOT NULL,
    pbx text NOT NULL,
    from_ms bigint NOT NULL,
    to_ms bigint NOT NULL,
    cause text NOT NULL,
    restarted boolean DEFAULT false NOT NULL
);
ALTER TABLE public.pbx_gaps ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.pbx_gaps_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.pbx_links (
    pbx text NOT NULL,
    up boolean NOT NULL,
    since_ms bigint NOT NULL,
    alive_ms bigint NOT NULL,
    cause text,
    started text
);
CREATE TABLE public.teams (
    id uuid NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.tokens (
    sha256 bytea NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    label text DEFAULT ''::text NOT NULL,
    kind text NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    last_used_ms bigint,
    revoked_ms bigint,
    CONSTRAINT tokens_kind_check CHECK ((kind = ANY (ARRAY['token'::text, 'session'::text])))
);
CREATE TABLE public.users (
    id uuid NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    kana text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL,
    extension text,
    team_id uuid,
    password_hash text,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL,
    revoked_ms bigint,
    CONSTRAINT users_role_check CHECK ((role = ANY (ARRAY['operator'::text, 'supervisor'::text, 'admin'::text, 'system'::text])))
);
CREATE TABLE public.webhook_outbox (
    id uuid NOT NULL,
    receiver text NOT NULL,
    event text NOT NULL,
    kind text NOT NULL,
    body_json text NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL,
    error text,
    created_ms bigint NOT NULL,
    next_ms bigint NOT NULL,
    CONSTRAINT webhook_outbox_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'failed'::text])))
);
CREATE TABLE public.webhook_places (
    pbx text NOT NULL,
    event text NOT NULL
);
CREATE TABLE public.wrap_ups (
    call_id uuid NOT NULL,
    user_id uuid NOT NULL,
    since_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    account_id uuid,
    account text DEFAULT ''::text NOT NULL,
    planned_s bigint NOT NULL,
    extensions_json text DEFAULT '[]'::text NOT NULL,
    disposition text,
    notes text
);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (1, 'first', '2026-11-29 06:13:00.835468+00', true, '\xf99e469047537edd1113be93407f005668f8cae9016b0f3528ee95dcc14565da2524b63f9199e25ebaca06764362c043', 17659849);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (2, 'transfer', '2026-11-29 06:13:00.853669+00', true, '\xab2b57feeb43d61c1c5dd70c1c5339401a20d718f0cd0d0a8b25127397815a0fb358166617cd2993f255e5057a212208', 863132);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (3, 'supervision notify', '2026-11-29 06:13:00.854713+00', true, '\x0f23f5e584ebe47bb6c388f0615989bcfb6ec98e9272f16de69555c42e46b76447592c392afe1926a78edf372f9a0da4', 607542);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (4, 'operator states', '2026-11-29 06:13:00.855502+00', true, '\x486972f42b4e5f440ccff7f6a914dfd50b9e071ba5866a56282940f1bc9daa75448c82cffa0acb30b5d82b615348303d', 3263185);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (5, 'account link', '2026-11-29 06:13:00.858994+00', true, '\xc7b51be36581c8da8e60a22558c10d08ab4bd93ce50b4ab6a596437bb607e17dd3552d5eac362b44c49261d2d8427bc2', 539491);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (6, 'event log', '2026-11-29 06:13:00.859708+00', true, '\xec7ebd1602ba3471b2020f2b70b4b17304950b25ac8491337a6661a9beff5c4c69bd1119f3e36e2cbb86fdd026886ae2', 4779176);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (7, 'webhooks', '2026-11-29 06:13:00.86475+00', true, '\x71b756c8b84e9ff027527f21e40adcafa391b1d7517a7b278e84d213e7edd93b2c6393394b53a53e0f6a30b8ed14dbaf', 2280436);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (8, 'messages', '2026-11-29 06:13:00.867185+00', true, '\xcf57f4fd18343c62dda1e1d7e5c3d92048eb44c4eb00998d641da16fe368de9bc1b68a989f82960b5437639f25398552', 1848244);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (9, 'webhook places', '2026-11-29 06:13:00.869198+00', true, '\x6b9ed403a9be57f3c6ff2238fc158e542e376d0fba01e59e69e3490a9d1f1811431c59213f4350d72865102c39aaf3d3', 1676549);
INSERT INTO public._sqlx_migrations (version, description, installed_on, success, checksum, execution_time) VALUES (10, 'hearings', '2026-11-29 06:13:00.871065+00', true, '\xe3a32a1ea4472c7148ed75ca3582c0524b16608a1bb0b3b8e5c74c4e52c32c086423e5960515ff2c9c7129e4ec8996a4', 1755186);
INSERT INTO public.account_numbers (kind, key, account_id, original, "position") VALUES ('dialled', '0355501001', '00000000-0000-7000-8000-0000000000a1', '03-5550-1001', 0);
INSERT INTO public.account_numbers (kind, key, account_id, original, "position") VALUES ('forwarding', '+81335550101', '00000000-0000-7000-8000-0000000000a1', '03-3555-0101', 0);
INSERT INTO public.accounts (id, code, name, kana, answer_phrase, notes, caller_id_policy, never_monitor, wrap_up_s, hours_json, created_ms, changed_ms, accept_by_key, accept_sound, extra_numbers_json, supervision_notify, link) VALUES ('00000000-0000-7000-8000-0000000000a1', 'A-1', '株式会社さくら商事', 'さくらしょうじ', 'さくら商事でございます', '営業部は外出中', 'account', false, 30, '{"weekly":[{"days":["mon","fri"],"from":"09:00","to":"18:00"}],"closed_on":["2026-01-01"]}', 1000, 1500, false, 'press1', '["0120999999"]', 'desktop', 'https://crm.example.jp/{call}');
INSERT INTO public.audit ("position", at_ms, actor_id, actor, action, subject, call_id, details_json) OVERRIDING SYSTEM VALUE VALUES (1, 110000, '00000000-0000-7000-8000-000000000012', '伊藤', 'supervision.started', '1001', '00000000-0000-7000-8000-0000000000d1', '{"id":"00000000-0000-7000-8000-0000000000f1","mode":"listen"}');
INSERT INTO public.call_segments (call_id, ordinal, kind, operator, target, from_ms, until_ms, result) VALUES ('00000000-0000-7000-8000-0000000000d1', 0, 'presented', '1001', NULL, 101000, 105000, 'answered');
INSERT INTO public.call_segments (call_id, ordinal, kind, operator, target, from_ms, until_ms, result) VALUES ('00000000-0000-7000-8000-0000000000d1', 1, 'transfer', '1001', '鈴木', 150000, 190000, 'completed');
INSERT INTO public.calls (id, pbx, direction, account_id, customer_id, matched_by, caller_key, presentation, dialled, diverted_by, offered_ms, answered_ms, ended_ms, outcome, operators_json, channels_json, inferred) VALUES ('00000000-0000-7000-8000-0000000000d1', 'osaka', 'inbound', '00000000-0000-7000-8000-0000000000a1', '00000000-0000-7000-8000-0000000000b1', 'diversion', '+819012345678', 'allowed', '0355501001', '0335550101', 100000, 105000, 190000, 'answered', '["1001"]', '["17.1","17.2"]', false);
INSERT INTO public.contacts (id, account_id, code, name, kana, role, number_key, number, email, on_call_order, accept_by_key, created_ms, changed_ms, ring_s) VALUES ('00000000-0000-7000-8000-0000000000c1', '00000000-0000-7000-8000-0000000000a1', 'K-1', '鈴木', 'すずき', '営業', '+819087654321', '090-8765-4321', 'suzuki@example.jp', 1, true, 1200, 1200, 25);
INSERT INTO public.customer_numbers (account_id, key, customer_id, original, "position") VALUES ('00000000-0000-7000-8000-0000000000a1', '+819012345678', '00000000-0000-7000-8000-0000000000b1', '090-1234-5678', 0);
INSERT INTO public.customers (id, account_id, code, name, kana, company, department, notes, flags_json, created_ms, changed_ms) VALUES ('00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-0000000000a1', 'C-1', '田中太郎', 'たなかたろう', '田中工業', '購買', '午後に電話', '["vip"]', 1100, 1100);
INSERT INTO public.directory_version (one, version) VALUES (1, 4);
INSERT INTO public.event_logs (pbx, stream, sight, sight_position) VALUES ('osaka', 'a1', '5eed', 46);
INSERT INTO public.events (pbx, "position", stream, number, at_ms, kind, call_id, audience_json, departure_json, body_json) VALUES ('osaka', 47, 'a1', 7, 200000, 'call.offered', '00000000-0000-7000-8000-0000000000d2', '"supervisors"', NULL, '{"id":"a1-7","type":"call.offered","at":200000,"call":"00000000-0000-7000-8000-0000000000d2","data":{"state":"offered"}}');
INSERT INTO public.events (pbx, "position", stream, number, at_ms, kind, call_id, audience_json, departure_json, body_json) VALUES ('osaka', 48, 'a1', 8, 201000, 'call.presented', '00000000-0000-7000-8000-0000000000d2', '{"operators":["1001"]}', '{"before":["1001","1002"],"now":["1001"]}', '{"id":"a1-8","type":"call.presented","at":201000,"call":"00000000-0000-7000-8000-0000000000d2","data":{"state":"presented"}}');
INSERT INTO public.hearings (supervision_id, from_ms, until_ms, pbx, call_id, operator, supervisor_id, supervisor_name, extension, mode, reason, ending, audience_json) VALUES ('00000000-0000-7000-8000-0000000000f1', 110000, 120000, 'osaka', '00000000-0000-7000-8000-0000000000d1', '1001', '00000000-0000-7000-8000-000000000012', '伊藤', '2001', 'listen', '新人', NULL, '{"supervisors_of":["1001"]}');
INSERT INTO public.hearings (supervision_id, from_ms, until_ms, pbx, call_id, operator, supervisor_id, supervisor_name, extension, mode, reason, ending, audience_json) VALUES ('00000000-0000-7000-8000-0000000000f1', 120000, NULL, 'osaka', '00000000-0000-7000-8000-0000000000d1', '1001', '00000000-0000-7000-8000-000000000012', '伊藤', '2001', 'whisper', '新人', NULL, '{"operators":["1001"]}');
INSERT INTO public.live_calls (id, pbx, call_json) VALUES ('00000000-0000-7000-8000-0000000000d2', 'osaka', '{"memory":{"id":"00000000-0000-7000-8000-0000000000d2","legs":[{"id":"18.1","endpoint":"trunk","state":"up","bridge":null,"dialled_by":null,"dial_ended":null,"peer":null,"holding":false,"hangup_requested":null,"progress":false},{"id":"18.2","endpoint":{"phone":"1001"},"state":"ringing","bridge":null,"dialled_by":"18.1","dial_ended":null,"peer":null,"holding":false,"hangup_requested":null,"progress":false}],"linked":["18.1"],"caller":"18.1","channels":["18.1","18.2"],"card":null,"offered_at":"1970-01-01T00:03:20Z","answered_at":null,"presented":[["1001","18.2"]],"operator":null,"operators":[],"operators_legs":[],"held":false,"queued":true,"abandoned":false,"overflowed":false,"told":null,"state":"presented","inferred":false},"story":[{"kind":"presented","operator":"1001","target":null,"from":"1970-01-01T00:03:21Z","until":null,"result":null}]}');
INSERT INTO public.messages (id, account_id, call_id, customer_id, contact_id, taken_by, caller_key, text, state, created_ms, sent_ms, acknowledged_ms, taken_by_name, acknowledged_by, changed_ms, pbx, version, told) VALUES ('00000000-0000-7000-8000-0000000000e1', '00000000-0000-7000-8000-0000000000a1', '00000000-0000-7000-8000-0000000000d1', '00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-0000000000c1', '00000000-0000-7000-8000-000000000011', '+819012345678', '折り返しお電話ください', 'open', 180000, NULL, NULL, '佐藤', NULL, 185000, 'osaka', 2, 1);
INSERT INTO public.messages (id, account_id, call_id, customer_id, contact_id, taken_by, caller_key, text, state, created_ms, sent_ms, acknowledged_ms, taken_by_name, acknowledged_by, changed_ms, pbx, version, told) VALUES ('00000000-0000-7000-8000-0000000000e2', '00000000-0000-7000-8000-0000000000a1', NULL, NULL, NULL, '00000000-0000-7000-8000-000000000011', NULL, '済', 'acknowledged', 170000, NULL, 175000, '佐藤', '00000000-0000-7000-8000-000000000012', 175000, 'osaka', 2, 2);
INSERT INTO public.operator_history ("position", user_id, version, at_ms, name, extension, state, reason, pending, call_id, actor, actor_id, actor_name, session_id, desktop) OVERRIDING SYSTEM VALUE VALUES (1, '00000000-0000-7000-8000-000000000011', 3, 210000, '佐藤', '1001', 'not_ready', 'break', 'ready', NULL, 'person', '00000000-0000-7000-8000-000000000011', '佐藤', NULL, NULL);
INSERT INTO public.operator_states (user_id, changed_ms, saved_json) VALUES ('00000000-0000-7000-8000-000000000011', 210000, '{"user":"00000000-0000-7000-8000-000000000011","seat":"1001","last_seat":"1001","rest":{"not_ready":"break"},"pending":"ready","activity":{"has":"00000000-0000-7000-8000-0000000000d2"},"work":[{"call":"00000000-0000-7000-8000-0000000000d1","account":"00000000-0000-7000-8000-0000000000a1","account_name":"株式会社さくら商事","since":"1970-01-01T00:03:10Z","until":"1970-01-01T00:03:40Z","planned_s":30,"extensions":[]}],"lapsed":{"call":"00000000-0000-7000-8000-0000000000d3","account":"00000000-0000-7000-8000-0000000000a1","account_name":"株式会社さくら商事","since":"1970-01-01T00:01:30Z","until":"1970-01-01T00:02:00Z","planned_s":30,"extensions":[]},"awaits":"00000000-0000-7000-8000-0000000000d4","version":3,"since":"1970-01-01T00:03:30Z","by":{"actor":"person","user":"00000000-0000-7000-8000-000000000011","name":"佐藤"}}');
INSERT INTO public.pbx_gaps ("position", pbx, from_ms, to_ms, cause, restarted) OVERRIDING SYSTEM VALUE VALUES (1, 'osaka', 50000, 90000, 'the daemon was stopped', true);
INSERT INTO public.pbx_links (pbx, up, since_ms, alive_ms, cause, started) VALUES ('osaka', true, 90000, 202000, NULL, '2026-01-05 08:00:00');
INSERT INTO public.teams (id, name) VALUES ('00000000-0000-7000-8000-000000000010', 'A班');
INSERT INTO public.tokens (sha256, id, user_id, label, kind, created_ms, expires_ms, last_used_ms, revoked_ms) VALUES ('\x0707070707070707070707070707070707070707070707070707070707070707', '00000000-0000-7000-8000-000000000014', '00000000-0000-7000-8000-000000000011', 'desk', 'session', 3000, 9000000000000, 4000, NULL);
INSERT INTO public.users (id, name, kana, role, extension, team_id, password_hash, created_ms, changed_ms, revoked_ms) VALUES ('00000000-0000-7000-8000-000000000011', '佐藤', 'さとう', 'operator', '1001', '00000000-0000-7000-8000-000000000010', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$7RcKJxZkkhgVZ1zlxGkGVSSYxMBfdHCzVXAnSxa8VKo', 1000, 2000, NULL);
INSERT INTO public.users (id, name, kana, role, extension, team_id, password_hash, created_ms, changed_ms, revoked_ms) VALUES ('00000000-0000-7000-8000-000000000012', '伊藤', 'いとう', 'supervisor', '2001', '00000000-0000-7000-8000-000000000010', NULL, 1001, 1001, NULL);
INSERT INTO public.users (id, name, kana, role, extension, team_id, password_hash, created_ms, changed_ms, revoked_ms) VALUES ('00000000-0000-7000-8000-000000000013', '田村', 'たむら', 'operator', '1001', NULL, NULL, 500, 500, 900);
INSERT INTO public.webhook_outbox (id, receiver, event, kind, body_json, state, attempts, error, created_ms, next_ms) VALUES ('00000000-0000-7000-8000-000000000021', 'crm', 'a1-7', 'call.offered', '{}', 'waiting', 2, 'the receiver answered 500', 200500, 260000);
INSERT INTO public.webhook_outbox (id, receiver, event, kind, body_json, state, attempts, error, created_ms, next_ms) VALUES ('00000000-0000-7000-8000-000000000022', 'crm', 'a1-1', 'call.ended', '{}', 'failed', 9, 'no answer', 100500, 160000);
INSERT INTO public.webhook_places (pbx, event) VALUES ('', '90-3');
INSERT INTO public.webhook_places (pbx, event) VALUES ('osaka', 'a1-7');
INSERT INTO public.wrap_ups (call_id, user_id, since_ms, ended_ms, account_id, account, planned_s, extensions_json, disposition, notes) VALUES ('00000000-0000-7000-8000-0000000000d1', '00000000-0000-7000-8000-000000000011', 190000, 205000, '00000000-0000-7000-8000-0000000000a1', '株式会社さくら商事', 30, '[{"at":"1970-01-01T00:03:15Z","seconds":60,"reason":"order"}]', 'message', '折り返し');
SELECT pg_catalog.setval('public.audit_position_seq', 1, true);
SELECT pg_catalog.setval('public.operator_history_position_seq', 1, true);
SELECT pg_catalog.setval('public.pbx_gaps_position_seq', 1, true);
ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.account_numbers
    ADD CONSTRAINT account_numbers_pkey PRIMARY KEY (kind, key);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_code_key UNIQUE (code);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.call_segments
    ADD CONSTRAINT call_segments_pkey PRIMARY KEY (call_id, ordinal);
ALTER TABLE ONLY public.calls
    ADD CONSTRAINT calls_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.customer_numbers
    ADD CONSTRAINT customer_numbers_pkey PRIMARY KEY (account_id, key, customer_id);
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.directory_version
    ADD CONSTRAINT directory_version_pkey PRIMARY KEY (one);
ALTER TABLE ONLY public.event_logs
    ADD CONSTRAINT event_logs_pkey PRIMARY KEY (pbx);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (pbx, "position");
ALTER TABLE ONLY public.hearings
    ADD CONSTRAINT hearings_pkey PRIMARY KEY (supervision_id, from_ms);
ALTER TABLE ONLY public.live_calls
    ADD CONSTRAINT live_calls_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.operator_history
    ADD CONSTRAINT operator_history_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.operator_history
    ADD CONSTRAINT operator_history_user_id_version_at_ms_key UNIQUE (user_id, version, at_ms);
ALTER TABLE ONLY public.operator_states
    ADD CONSTRAINT operator_states_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.pbx_gaps
    ADD CONSTRAINT pbx_gaps_pbx_from_ms_key UNIQUE (pbx, from_ms);
ALTER TABLE ONLY public.pbx_gaps
    ADD CONSTRAINT pbx_gaps_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.pbx_links
    ADD CONSTRAINT pbx_links_pkey PRIMARY KEY (pbx);
ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_name_key UNIQUE (name);
ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_id_key UNIQUE (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (sha256);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_outbox
    ADD CONSTRAINT webhook_outbox_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_outbox
    ADD CONSTRAINT webhook_outbox_receiver_event_key UNIQUE (receiver, event);
ALTER TABLE ONLY public.webhook_places
    ADD CONSTRAINT webhook_places_pkey PRIMARY KEY (pbx);
ALTER TABLE ONLY public.wrap_ups
    ADD CONSTRAINT wrap_ups_pkey PRIMARY KEY (call_id, user_id, since_ms);
CREATE INDEX account_numbers_by_account ON public.account_numbers USING btree (account_id);
CREATE INDEX audit_by_time ON public.audit USING btree (at_ms);
CREATE INDEX calls_by_account ON public.calls USING btree (account_id, offered_ms);
CREATE INDEX calls_by_caller ON public.calls USING btree (account_id, caller_key, offered_ms) WHERE (caller_key IS NOT NULL);
CREATE INDEX calls_by_customer ON public.calls USING btree (customer_id, offered_ms) WHERE (customer_id IS NOT NULL);
CREATE INDEX calls_by_time ON public.calls USING btree (offered_ms);
CREATE INDEX contacts_by_account ON public.contacts USING btree (account_id, on_call_order);
CREATE UNIQUE INDEX contacts_by_code ON public.contacts USING btree (account_id, code) WHERE (code IS NOT NULL);
CREATE INDEX customer_numbers_by_customer ON public.customer_numbers USING btree (customer_id);
CREATE INDEX customers_by_account ON public.customers USING btree (account_id, id);
CREATE UNIQUE INDEX customers_by_code ON public.customers USING btree (account_id, code) WHERE (code IS NOT NULL);
CREATE INDEX hearings_by_call ON public.hearings USING btree (call_id, from_ms);
CREATE INDEX hearings_by_time ON public.hearings USING btree (from_ms);
CREATE INDEX hearings_open ON public.hearings USING btree (pbx) WHERE (until_ms IS NULL);
CREATE INDEX messages_by_account ON public.messages USING btree (account_id, created_ms, id);
CREATE INDEX messages_by_call ON public.messages USING btree (call_id) WHERE (call_id IS NOT NULL);
CREATE INDEX messages_by_caller ON public.messages USING btree (account_id, caller_key, created_ms) WHERE (caller_key IS NOT NULL);
CREATE INDEX messages_by_state ON public.messages USING btree (state, created_ms);
CREATE INDEX messages_by_time ON public.messages USING btree (created_ms, id);
CREATE INDEX messages_untold ON public.messages USING btree (pbx, changed_ms) WHERE (told < version);
CREATE INDEX operator_history_by_age ON public.operator_history USING btree (at_ms);
CREATE INDEX operator_history_by_time ON public.operator_history USING btree (user_id, at_ms);
CREATE INDEX pbx_gaps_by_time ON public.pbx_gaps USING btree (to_ms);
CREATE INDEX tokens_by_user ON public.tokens USING btree (user_id);
CREATE UNIQUE INDEX users_by_extension ON public.users USING btree (extension) WHERE ((revoked_ms IS NULL) AND (extension IS NOT NULL));
CREATE UNIQUE INDEX users_by_name ON public.users USING btree (name) WHERE (revoked_ms IS NULL);
CREATE INDEX users_by_team ON public.users USING btree (team_id);
CREATE INDEX webhook_outbox_due ON public.webhook_outbox USING btree (receiver, state, next_ms);
CREATE INDEX wrap_ups_by_time ON public.wrap_ups USING btree (ended_ms);
CREATE TRIGGER accounts_changed AFTER INSERT OR DELETE OR UPDATE ON public.accounts FOR EACH STATEMENT EXECUTE FUNCTION public.directory_changed();
CREATE TRIGGER audit_is_kept BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_kept();
CREATE TRIGGER numbers_changed AFTER INSERT OR DELETE OR UPDATE ON public.account_numbers FOR EACH STATEMENT EXECUTE FUNCTION public.directory_changed();
ALTER TABLE ONLY public.account_numbers
    ADD CONSTRAINT account_numbers_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.call_segments
    ADD CONSTRAINT call_segments_call_id_fkey FOREIGN KEY (call_id) REFERENCES public.calls(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.customer_numbers
    ADD CONSTRAINT customer_numbers_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.operator_states
    ADD CONSTRAINT operator_states_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id) ON DELETE SET NULL;
