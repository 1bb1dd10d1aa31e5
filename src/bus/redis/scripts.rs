//! What is done inside Redis in one step, and the names of the keys.
//!
//! | key | holds |
//! |---|---|
//! | `{P}:events` | the stream: every daemon's events in their common order |
//! | `{P}:heads` | by PBX: generation and position of its last event in the stream |
//! | `{P}:links` | by PBX: the state of its link |
//! | `{P}:operators` | by person: the operator's state |
//! | `{P}:calls:PBX` | by call: how it looks after the PBX's last event |
//! | `{P}:lives:PBX` | by call: what the next daemon remembers of it, and its story; see `lives.rs` |
//! | `{P}:lease:PBX` | who leads for the PBX, with the fencing token; it expires |
//! | `{P}:fence:PBX` | the last fencing token given out |
//! | `{P}:desktops` | by daemon: whose desktops follow the events at its gateway, and until when that holds |
//! | `{P}:teams` | by team (empty: everybody else): the PBX whose daemon keeps its people, and until when |
//! | `{P}:requests:PBX`, `{P}:inbox:DAEMON`, `{P}:claim:REQUEST` | requests to other daemons; see `requests.rs` |
//!
//! The braces keep all of them in one slot of a cluster, so that a script may touch them together.

use std::sync::LazyLock;

use redis::Script;

use crate::ids::PbxId;

/// The names of the keys.
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

    pub(super) fn lives(&self, pbx: &PbxId) -> String {
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

    /// Before the name of a PBX, for scripts that find the PBXes themselves.
    pub(super) fn calls_prefix(&self) -> String {
        format!("{}:calls:", self.prefix)
    }
}

/// Takes or renews the lease. KEYS lease, fence, heads, events; ARGV daemon, milliseconds, pbx, may take (0 or 1).
/// Gives the fencing token (0: another has it), the PBX's head or false, the last id of the stream, and the time in
/// milliseconds.
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

/// Gives the lease back. KEYS lease; ARGV fence, daemon.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) == ARGV[1] .. ' ' .. ARGV[2] then redis.call('DEL', KEYS[1]) end
        ",
    )
});

/// Says how it stands with a PBX. KEYS lease, heads, calls, links, operators, events, lives; ARGV fence, daemon, pbx, head,
/// link, whether everybody begins anew (0 or 1), how many calls, how many entries of lives, then call and view in turn,
/// then call and entry in turn, then operator and view in turn. Gives 0 when another leads.
pub(super) static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
        redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
        if ARGV[5] ~= '' then redis.call('HSET', KEYS[4], ARGV[3], ARGV[5]) end
        redis.call('DEL', KEYS[3], KEYS[7])
        if ARGV[6] == '1' then redis.call('XADD', KEYS[6], '*', 'p', ARGV[3], 'k', 'anew') end
        local calls = 8 + 2 * tonumber(ARGV[7])
        local lives = calls + 2 * tonumber(ARGV[8])
        for i = 9, calls, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
        for i = calls + 1, lives, 2 do redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1]) end
        for i = lives + 1, #ARGV, 2 do redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1]) end
        return 1
        ",
    )
});

/// Appends events that are not there yet. KEYS lease, heads, calls, events, links, operators, lives; ARGV fence, daemon,
/// pbx, generation, longest stream, how many events, then for each event: position, id, after, audience, body, what it changes (`c`: the
/// call of the field is now like the value, `g`: it is gone, `l`: the link is, `o`: the operator is,
/// `x`: the operator is gone, unless another PBX's daemon keeps her, `n`: nothing), field, value; then call and entry of
/// lives in turn (empty: it goes). Gives 0 when another leads, else 1.
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

/// The present state of everything, with the events that led to it. KEYS heads, links, events, operators; ARGV how many events,
/// prefix of the keys of calls. Gives the last id, heads, links, all calls' views, operators, and the events, newest first.
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

/// Says whose desktops follow the events here, and hears what the other daemons say. KEYS desktops; ARGV daemon,
/// milliseconds that it holds for, what there is (empty: this daemon goes). Gives what each other daemon said; whoever
/// has not said anything for so long is forgotten.
pub(super) static DESKTOPS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1])
        else redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + ARGV[2]) .. ARGV[3]) end
        local others = {}
        local all = redis.call('HGETALL', KEYS[1])
        for i = 1, #all, 2 do
            local till, there = string.match(all[i + 1], '^(%d+) (.*)$')
            if not till or tonumber(till) < now then redis.call('HDEL', KEYS[1], all[i])
            elseif all[i] ~= ARGV[1] then others[#others + 1] = there end
        end
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return others
        ",
    )
});

/// Takes or renews the claim on the people of teams, for a PBX. KEYS teams; ARGV pbx, milliseconds that it holds for,
/// whether claims that have run out may be taken (0 or 1), then the teams (empty: everybody whose team nobody names).
/// What the PBX held before and no longer wants is given back. Gives team and PBX in turn of what another keeps.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local all = redis.call('HGETALL', KEYS[1])
        local mine, others, wanted, elsewhere = {}, {}, {}, {}
        for i = 4, #ARGV do wanted[ARGV[i]] = true end
        for i = 1, #all, 2 do
            local till, pbx = string.match(all[i + 1], '^(%d+) (.+)$')
            if pbx == ARGV[1] and wanted[all[i]] then mine[all[i]] = true
            elseif not till or pbx == ARGV[1] or (ARGV[3] == '1' and tonumber(till) < now) then
                redis.call('HDEL', KEYS[1], all[i])
            else others[all[i]] = pbx end
        end
        for i = 4, #ARGV do
            local team = ARGV[i]
            local other = others[team]
            if not other and not mine[team] then other = others[''] end
            if other then elsewhere[#elsewhere + 1] = team; elsewhere[#elsewhere + 1] = other
            else redis.call('HSET', KEYS[1], team, string.format('%.0f ', now + ARGV[2]) .. ARGV[1]) end
        end
        if wanted[''] then
            for team, pbx in pairs(others) do
                if team ~= '' then elsewhere[#elsewhere + 1] = team; elsewhere[#elsewhere + 1] = pbx end
            end
        end
        return elsewhere
        ",
    )
});
