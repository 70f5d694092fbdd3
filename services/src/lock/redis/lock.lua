-- One step of a lock. KEYS: the lock, its queue, the sessions, the last token, the last ticket.
--
--   lock      hash owner, token, holds, since; it expires with the lease
--   queue     sorted set of the places SESSION:NUMBER:OWNER, by ticket
--   sessions  sorted set of the servers that somebody waits at, by the time they are alive until
--   token     the last fencing token of all locks, which never expires
local lock, queue, sessions = KEYS[1], KEYS[2], KEYS[3]

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Tells a place's server its number, and the lock's name.
local function wake(place)
    redis.call('PUBLISH', 'everywire:wake:' .. place:sub(1, 16), place:match(':(%d+):') .. ' ' .. lock:sub(16))
end

-- The first place whose server is alive.
local function first()
    while true do
        local place = redis.call('ZRANGE', queue, 0, 0)[1]
        if not place then return nil end
        local alive = redis.call('ZSCORE', sessions, place:sub(1, 16))
        if alive and tonumber(alive) > now() then return place end
        redis.call('ZREM', queue, place)
    end
end

local function wake_first()
    local place = first()
    if place then wake(place) end
end

local function owner_of(place) return place and place:match(':%d+:(.*)') end

local step = {}

-- owner, ttl, place or '', ticket or 0, session ttl, most waiting: 1, token, holds, rest; or 0, rest, is first, ticket
function step.take(owner, ttl, place, ticket, session_ttl, most)
    ttl = tonumber(ttl)
    local held = redis.call('HMGET', lock, 'owner', 'token')
    if held[1] == owner then
        local rest = math.max(redis.call('PTTL', lock), ttl)
        redis.call('PEXPIRE', lock, rest)
        if place ~= '' then redis.call('ZREM', queue, place) end
        return { 1, held[2], redis.call('HINCRBY', lock, 'holds', 1), rest }
    end
    local next = first()
    if not held[1] and (not next or next == place or owner_of(next) == owner) then
        local time = redis.call('TIME')
        local token = redis.call('INCR', KEYS[4])
        if token == 1 then
            -- The engine has lost what it knew, or knew nothing: microseconds are ahead of every token before.
            token = string.format('%.0f', time[1] * 1000000 + time[2])
            redis.call('SET', KEYS[4], token)
        end
        local since = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
        redis.call('HSET', lock, 'owner', owner, 'token', token, 'holds', 1, 'since', since)
        redis.call('PEXPIRE', lock, ttl)
        if next then
            redis.call('ZREM', queue, place)
            for _, other in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
                if owner_of(other) == owner then wake(other) end
            end
        end
        return { 1, token, 1, ttl }
    end
    if place ~= '' then
        if not redis.call('ZSCORE', queue, place) then
            if redis.call('ZCARD', queue) >= tonumber(most) then return { 2 } end
            if ticket == '0' then ticket = redis.call('INCR', KEYS[5]) end
            redis.call('ZADD', queue, ticket, place)
            redis.call('PEXPIRE', queue, 7200000)
            redis.call('ZADD', sessions, now() + session_ttl, place:sub(1, 16))
        end
        next = next or place
    end
    -- It is the turn of the first, who may not know, or be nobody.
    if not held[1] and next then wake(next) end
    return { 0, math.max(redis.call('PTTL', lock), 0), next == place and 1 or 0, ticket }
end

-- place
function step.leave(place)
    local was_first = redis.call('ZRANGE', queue, 0, 0)[1] == place
    redis.call('ZREM', queue, place)
    if was_first then wake_first() end
    return {}
end

-- SESSION:NUMBER: of a place that is nobody's
function step.forget(start)
    local place = redis.call('ZRANGE', queue, 0, 0)[1]
    if place and place:sub(1, #start) == start then
        redis.call('ZREM', queue, place)
        wake_first()
    end
    return {}
end

-- owner: 1 or 0
function step.unlock(owner)
    if redis.call('HGET', lock, 'owner') ~= owner then return { 0 } end
    if redis.call('HINCRBY', lock, 'holds', -1) < 1 then
        redis.call('DEL', lock)
        wake_first()
    end
    return { 1 }
end

-- owner, ttl: 1, token, holds, rest; or 0, rest
function step.renew(owner, ttl)
    local held = redis.call('HMGET', lock, 'owner', 'token', 'holds')
    local rest = redis.call('PTTL', lock)
    if held[1] ~= owner then return { 0, math.max(rest, 0) } end
    redis.call('PEXPIRE', lock, ttl)
    -- The first waiter looks again when the lease ends, which is sooner now.
    if tonumber(ttl) < rest then wake_first() end
    return { 1, held[2], held[3], ttl }
end

-- owner, token, held for, rest, waiting
function step.state()
    local held = redis.call('HMGET', lock, 'owner', 'token', 'since')
    first()
    local waiting = redis.call('ZCARD', queue)
    if not held[1] then return { false, 0, 0, 0, waiting } end
    return { held[1], held[2], math.max(now() - held[3], 0), redis.call('PTTL', lock), waiting }
end

-- session, session ttl
function step.beat(session, session_ttl)
    local time = now()
    redis.call('ZADD', sessions, time + session_ttl, session)
    if redis.call('ZREMRANGEBYSCORE', sessions, 0, time) > 0 then
        redis.call('PUBLISH', 'everywire:wake:all', 'all')
    end
    return {}
end

return step[ARGV[1]](unpack(ARGV, 2))
