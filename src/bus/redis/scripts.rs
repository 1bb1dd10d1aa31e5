//! The names of the keys in Redis, and the Lua scripts that read or write several of them atomically.
//!
//! Contents and TTL of each key are in the table of [`super`]. The braces around the prefix keep all keys in one slot of
//! a cluster, so that a script may touch them together.
//!
//! Key names, field names and values in Redis must not change, and a script must accept what older daemons wrote: the
//! daemons of a group are upgraded one at a time. Therefore some names are older than the words of this code:
//! `lives` holds checkpoints, `desktops` presence reports, `teams` claims, and `anew` is a stream reset.

use std::sync::LazyLock;

use redis::Script;

use crate::ids::PbxId;

/// The names of the keys. They must not change; see the module header.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{{{prefix}}}") }
    }

    pub(super) fn events(&self) -> String {
        format!("{}:events", self.prefix)
    }

    pub(super) fn heads(&self) -> String {
        format!("{}:heads", self.prefix)
    }

    pub(super) fn links(&self) -> String {
        format!("{}:links", self.prefix)
    }

    pub(super) fn operators(&self) -> String {
        format!("{}:operators", self.prefix)
    }

    pub(super) fn desktops(&self) -> String {
        format!("{}:desktops", self.prefix)
    }

    pub(super) fn teams(&self) -> String {
        format!("{}:teams", self.prefix)
    }

    pub(super) fn calls(&self, pbx: &PbxId) -> String {
        format!("{}:calls:{pbx}", self.prefix)
    }

    /// Checkpoints of calls; the key keeps its first name.
    pub(super) fn checkpoints(&self, pbx: &PbxId) -> String {
        format!("{}:lives:{pbx}", self.prefix)
    }

    pub(super) fn lease(&self, pbx: &PbxId) -> String {
        format!("{}:lease:{pbx}", self.prefix)
    }

    pub(super) fn fence(&self, pbx: &PbxId) -> String {
        format!("{}:fence:{pbx}", self.prefix)
    }

    pub(super) fn requests(&self, pbx: &PbxId) -> String {
        format!("{}:requests:{pbx}", self.prefix)
    }

    pub(super) fn inbox(&self, daemon: &str) -> String {
        format!("{}:inbox:{daemon}", self.prefix)
    }

    pub(super) fn claim(&self, request: &str) -> String {
        format!("{}:claim:{request}", self.prefix)
    }

    /// Prefix of [`Self::calls`], for a script that finds the PBXes itself.
    pub(super) fn calls_prefix(&self) -> String {
        format!("{}:calls:", self.prefix)
    }
}

/// Acquires or renews the lease. KEYS lease, fence, heads, events; ARGV daemon, TTL in ms, pbx, whether a free lease may
/// be acquired (0 or 1). Returns the fencing token (0: this daemon does not hold the lease), the PBX's head or false, the
/// last id of the stream, and Redis' time in ms.
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local held = redis.call('GET', KEYS[1])
        local fence = 0
        if held then
            local token, daemon = string.match(held, '^(%d+) (.+)$')
            if daemon == ARGV[1] then
                fence = tonumber(token)
                redis.call('PEXPIRE', KEYS[1], ARGV[2])
            end
        elseif ARGV[4] == '1' then
            fence = redis.call('INCR', KEYS[2])
            redis.call('SET', KEYS[1], fence .. ' ' .. ARGV[1], 'PX', ARGV[2])
        end
        local last = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)
        local time = redis.call('TIME')
        local ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
        return { fence, redis.call('HGET', KEYS[3], ARGV[3]), last[1] and last[1][1] or '0-0', ms }
        ",
    )
});

/// Releases the lease, if this daemon holds it. KEYS lease; ARGV fence, daemon.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) == ARGV[1] .. ' ' .. ARGV[2] then redis.call('DEL', KEYS[1]) end
        ",
    )
});

/// Replaces the stored state of one PBX: head, link, calls and checkpoints; of operators, only those given. KEYS lease,
/// heads, calls, links, operators, events, checkpoints; ARGV fence, daemon, pbx, head, link (empty: unchanged), whether to
/// append a stream reset (0 or 1), number of calls, number of checkpoints, then pairs of call and view, pairs of call and
/// checkpoint, pairs of operator and view. Returns 0 when this daemon does not hold the lease, else 1.
pub(super) static REPLACE_STATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
        redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
        if ARGV[5] ~= '' then redis.call('HSET', KEYS[4], ARGV[3], ARGV[5]) end
        redis.call('DEL', KEYS[3], KEYS[7])
        if ARGV[6] == '1' then redis.call('XADD', KEYS[6], '*', 'p', ARGV[3], 'k', 'anew') end
        local calls = 8 + 2 * tonumber(ARGV[7])
        local checkpoints = calls + 2 * tonumber(ARGV[8])
        for i = 9, calls, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
        for i = calls + 1, checkpoints, 2 do redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1]) end
        for i = checkpoints + 1, #ARGV, 2 do redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1]) end
        return 1
        ",
    )
});

/// Appends the events behind the head, skips those that Redis has, applies them to the stored state, and writes
/// checkpoints. KEYS lease, heads, calls, events, links, operators, checkpoints; ARGV fence, daemon, pbx, generation,
/// maximal length of the stream, number of events, for each event its position and the fields `i a w b k f v` of
/// `wire.rs`, then pairs of call and checkpoint (empty: deleted). An operator is removed only if the stored state is one
/// that this PBX published. Returns 0 when this daemon does not hold the lease, or when the head is of another
/// generation; else 1.
pub(super) static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
        local head = redis.call('HGET', KEYS[2], ARGV[3])
        local generation, position = string.match(head or '', '^(%d+)-(%d+)$')
        if generation ~= ARGV[4] then return 0 end
        position = tonumber(position)
        local events = 6 + 8 * tonumber(ARGV[6])
        for i = 7, events, 8 do
            if tonumber(ARGV[i]) > position then
                position = tonumber(ARGV[i])
                redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[5], '*', 'p', ARGV[3], 'i', ARGV[i + 1],
                    'a', ARGV[i + 2], 'w', ARGV[i + 3], 'b', ARGV[i + 4], 'k', ARGV[i + 5], 'f', ARGV[i + 6],
                    'v', ARGV[i + 7])
                if ARGV[i + 5] == 'c' then redis.call('HSET', KEYS[3], ARGV[i + 6], ARGV[i + 7])
                elseif ARGV[i + 5] == 'g' then redis.call('HDEL', KEYS[3], ARGV[i + 6])
                elseif ARGV[i + 5] == 'l' then redis.call('HSET', KEYS[5], ARGV[3], ARGV[i + 7])
                elseif ARGV[i + 5] == 'o' then redis.call('HSET', KEYS[6], ARGV[i + 6], ARGV[i + 7])
                elseif ARGV[i + 5] == 'x' then
                    local view = redis.call('HGET', KEYS[6], ARGV[i + 6])
                    if view and string.find(view, '"pbx":"' .. ARGV[3] .. '"', 1, true) then
                        redis.call('HDEL', KEYS[6], ARGV[i + 6])
                    end
                end
            end
        end
        for i = events + 1, #ARGV, 2 do
            if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[7], ARGV[i])
            else redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1]) end
        end
        redis.call('HSET', KEYS[2], ARGV[3], ARGV[4] .. '-' .. string.format('%.0f', position))
        return 1
        "#,
    )
});

/// Reads the whole state and the events that led to it. KEYS heads, links, events, operators; ARGV number of events,
/// prefix of the calls' keys. Returns the last id of the stream, heads, links, calls, operators, and the events, newest
/// first.
pub(super) static LOAD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local heads = redis.call('HGETALL', KEYS[1])
        local calls = {}
        for i = 1, #heads, 2 do
            for _, view in ipairs(redis.call('HVALS', ARGV[2] .. heads[i])) do calls[#calls + 1] = view end
        end
        local recent = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', ARGV[1])
        return { recent[1] and recent[1][1] or '0-0', heads, redis.call('HVALS', KEYS[2]), calls,
            redis.call('HVALS', KEYS[4]), recent }
        ",
    )
});

/// Stores this daemon's presence report and returns those of the other daemons. KEYS desktops; ARGV daemon, TTL in ms,
/// report (empty: deletes it). Deletes expired reports.
pub(super) static EXCHANGE_PRESENCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1])
        else redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + ARGV[2]) .. ARGV[3]) end
        local others = {}
        local all = redis.call('HGETALL', KEYS[1])
        for i = 1, #all, 2 do
            local expires, report = string.match(all[i + 1], '^(%d+) (.*)$')
            if not expires or tonumber(expires) < now then redis.call('HDEL', KEYS[1], all[i])
            elseif all[i] ~= ARGV[1] then others[#others + 1] = report end
        end
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return others
        ",
    )
});

/// Claims teams for a PBX, or renews its claims; releases claims of teams that it no longer requests. KEYS teams; ARGV
/// pbx, TTL in ms, whether expired claims of other PBXes may be taken (0 or 1), then the teams (empty: all teams that no
/// PBX has claimed by name). Returns pairs of team and PBX of those that another PBX owns.
pub(super) static CLAIM_TEAMS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local all = redis.call('HGETALL', KEYS[1])
        local mine, others, wanted, foreign = {}, {}, {}, {}
        for i = 4, #ARGV do wanted[ARGV[i]] = true end
        for i = 1, #all, 2 do
            local expires, pbx = string.match(all[i + 1], '^(%d+) (.+)$')
            if pbx == ARGV[1] and wanted[all[i]] then mine[all[i]] = true
            elseif not expires or pbx == ARGV[1] or (ARGV[3] == '1' and tonumber(expires) < now) then
                redis.call('HDEL', KEYS[1], all[i])
            else others[all[i]] = pbx end
        end
        for i = 4, #ARGV do
            local team = ARGV[i]
            local other = others[team]
            if not other and not mine[team] then other = others[''] end
            if other then foreign[#foreign + 1] = team; foreign[#foreign + 1] = other
            else redis.call('HSET', KEYS[1], team, string.format('%.0f ', now + ARGV[2]) .. ARGV[1]) end
        end
        if wanted[''] then
            for team, pbx in pairs(others) do
                if team ~= '' then foreign[#foreign + 1] = team; foreign[#foreign + 1] = pbx end
            end
        end
        return foreign
        ",
    )
});
