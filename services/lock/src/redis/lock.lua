-- One step of a lock. KEYS: the lock, its queue. Set before: SESSION_TTL, MAX_WAITING.
--
--   lock      TOKEN HOLDS BEFORE TTL OWNER, which expires with the lease: it was last set to TTL, when the owner had had the
--             lock for BEFORE
--   queue     sorted set of the places SESSION:NUMBER:OWNER, by ticket
--
-- Of all locks together:
local sessions = 'everywire:sessions' -- sorted set of the servers that somebody waits at, by the time they are alive until
local last_token = 'everywire:token'  -- the last fencing token, which never expires
local last_ticket = 'everywire:ticket'

-- Redis runs all of this for each step, so the steps that are called most stand before what they don't need.
local lock, queue = KEYS[1], KEYS[2]
local verb, owner, ttl = ARGV[1], ARGV[2], ARGV[3]

local function grant()
    local token = redis.call('INCR', last_token)
    if token == 1 then
        -- The engine has lost what it knew, or knew nothing: microseconds are ahead of every token before.
        local time = redis.call('TIME')
        token = time[1] * 1000000 + time[2]
        redis.call('SET', last_token, string.format('%.0f', token))
    end
    redis.call('SET', lock, table.concat({ string.format('%.0f', token), 1, 0, ttl, owner }, ' '), 'PX', ttl)
    return { 1, token, 1, ttl }
end

if verb == 'take' and redis.call('EXISTS', lock, queue) == 0 then return grant() end

local holder, token, holds, before, last_ttl
local value = redis.call('GET', lock)
if value then
    token, holds, before, last_ttl, holder = value:match('^(%d+) (%d+) (%d+) (%d+) (.*)$')
end

if verb == 'unlock' and holder ~= owner then return { 0 } end
if verb == 'unlock' and holds == '1' and redis.call('EXISTS', queue) == 0 then return { redis.call('DEL', lock) } end

local rest = math.max(redis.call('PTTL', lock), 0)

-- How long the holder has had the lock.
local function had() return math.max(before + last_ttl - rest, 0) end

-- Keeps the lock for its holder, for so long from now on.
local function keep(holds, ttl)
    redis.call('SET', lock, table.concat({ token, holds, had(), ttl, holder }, ' '), 'PX', ttl)
end

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

-- Keeps a server alive. One that was not heard of in time may have lost its places, so who waits at it takes them again. One
-- that is not there any more has been told by whoever took it out.
local function alive(session)
    local time, last = now(), redis.call('ZSCORE', sessions, session)
    if last and (tonumber(last) <= time or tonumber(last) > time + SESSION_TTL) then
        redis.call('PUBLISH', 'everywire:wake:' .. session, 'all')
    end
    redis.call('ZADD', sessions, time + SESSION_TTL, session)
end

local function owner_of(place) return place and place:match(':%d+:(.*)') end

local step = {}

-- owner, ttl; who may wait: place, ticket or 0: 1, token, holds, rest; or 0, rest, is first, ticket; or 2: the queue is full
function step.take()
    local place, ticket = ARGV[4], ARGV[5]
    if holder == owner then
        local longer = math.max(rest, tonumber(ttl))
        keep(holds + 1, longer)
        if place then redis.call('ZREM', queue, place) end
        return { 1, token, holds + 1, longer }
    end
    local next = first()
    if not holder and (not next or next == place or owner_of(next) == owner) then
        local granted = grant()
        if next then
            if place then redis.call('ZREM', queue, place) end
            for _, other in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
                if owner_of(other) == owner then wake(other) end
            end
            -- The first waiter now learns when this lease ends, to look again then.
            wake_first()
        end
        return granted
    end
    if place then
        if not redis.call('ZSCORE', queue, place) then
            if redis.call('ZCARD', queue) >= MAX_WAITING then return { 2 } end
            if ticket == '0' then ticket = redis.call('INCR', last_ticket) end
            redis.call('ZADD', queue, ticket, place)
            redis.call('PEXPIRE', queue, 7200000)
            alive(place:sub(1, 16))
        end
        next = next or place
    end
    -- It is the turn of the first, who may not know, or be nobody.
    if not holder and next then wake(next) end
    return { 0, rest, place and next == place and 1 or 0, ticket or 0 }
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
function step.unlock()
    if holds == '1' then
        redis.call('DEL', lock)
        wake_first()
    else
        redis.call('SET', lock, table.concat({ token, holds - 1, before, last_ttl, holder }, ' '), 'KEEPTTL')
    end
    return { 1 }
end

-- owner, ttl: 1, token, holds, rest; or 0, rest
function step.renew()
    if holder ~= owner then return { 0, rest } end
    keep(holds, ttl)
    -- The first waiter looks again when the lease ends, which is sooner now.
    if tonumber(ttl) < rest then wake_first() end
    return { 1, token, holds, ttl }
end

-- owner, token, held for, rest, waiting
function step.state()
    first()
    local waiting = redis.call('ZCARD', queue)
    if not holder then return { false, 0, 0, 0, waiting } end
    return { holder, token, had(), rest, waiting }
end

-- session
function step.beat(session)
    -- Whoever takes a session out tells it. If nobody did, the engine has lost what it knew, and the places with it.
    if not redis.call('ZSCORE', sessions, session) then redis.call('PUBLISH', 'everywire:wake:' .. session, 'all') end
    alive(session)
    local time = now()
    -- Nobody is alive for longer, unless the clock was set back.
    local ended = redis.call('ZREMRANGEBYSCORE', sessions, 0, time)
        + redis.call('ZREMRANGEBYSCORE', sessions, '(' .. time + SESSION_TTL, '+inf')
    if ended > 0 then
        redis.call('PUBLISH', 'everywire:wake:all', 'all')
    end
    return {}
end

return step[verb](unpack(ARGV, 2))
