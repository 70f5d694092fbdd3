-- One step of a lock. KEYS: the lock, its queue, its watch. Set before: SESSION_TTL, MAX_WAITING, WATCH_TTL.
--
--   lock      TOKEN HOLDS BEFORE TTL OWNER; expires with the lease. It was last set to TTL, when the owner had held the lock
--             for BEFORE
--   queue     sorted set of the waiters SESSION:NUMBER:OWNER, by ticket
--   watch     exists while servers watch the lock, and for a while after
--
-- Shared by all locks:
local sessions = 'everywire:sessions' -- sorted set of the servers with waiters, by the time until which they count as alive
local last_token = 'everywire:token'  -- the last fencing token, which never expires
local last_ticket = 'everywire:ticket'

-- Redis runs the whole script for each step, so the most frequent steps return before the code that they don't need.
local lock, queue, watch = KEYS[1], KEYS[2], KEYS[3]
local verb, owner, ttl = ARGV[1], ARGV[2], ARGV[3]

local function grant()
    local token = redis.call('INCR', last_token)
    if token == 1 then
        -- The counter is new, or Redis has lost its data: microseconds are greater than every earlier token.
        local time = redis.call('TIME')
        token = time[1] * 1000000 + time[2]
        redis.call('SET', last_token, string.format('%.0f', token))
    end
    redis.call('SET', lock, table.concat({ string.format('%.0f', token), 1, 0, ttl, owner }, ' '), 'PX', ttl)
    return { 1, token, 1, ttl }
end

if verb == 'take' and redis.call('EXISTS', lock, queue, watch) == 0 then return grant() end

local holder, token, holds, before, last_ttl
local value = redis.call('GET', lock)
if value then
    token, holds, before, last_ttl, holder = value:match('^(%d+) (%d+) (%d+) (%d+) (.*)$')
end

if verb == 'unlock' and holder ~= owner then return { 0 } end
if verb == 'unlock' and holds == '1' and redis.call('EXISTS', queue, watch) == 0 then return { redis.call('DEL', lock) } end

local rest = math.max(redis.call('PTTL', lock), 0)

-- How long the holder has had the lock, in milliseconds.
local function had() return math.max(before + last_ttl - rest, 0) end

-- Sets the holder's lease to `ttl` from now.
local function keep(holds, ttl)
    redis.call('SET', lock, table.concat({ token, holds, had(), ttl, holder }, ' '), 'PX', ttl)
end

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Sends a waiter's number and the lock's name to its server.
local function wake(waiter)
    redis.call('PUBLISH', 'everywire:wake:' .. waiter:sub(1, 16), waiter:match(':(%d+):') .. ' ' .. lock:sub(16))
end

-- Tells the servers that watch the lock to look at it.
local function changed()
    if redis.call('EXISTS', watch) == 1 then redis.call('PUBLISH', 'everywire:changes', lock:sub(16)) end
end

-- The first waiter whose server is alive.
local function first()
    while true do
        local waiter = redis.call('ZRANGE', queue, 0, 0)[1]
        if not waiter then return nil end
        local alive = redis.call('ZSCORE', sessions, waiter:sub(1, 16))
        if alive and tonumber(alive) > now() then return waiter end
        redis.call('ZREM', queue, waiter)
    end
end

local function wake_first()
    local waiter = first()
    if waiter then wake(waiter) end
end

-- Keeps a server alive. If its time was over, its waiters may have been removed, so they are told to queue again. A server
-- that was removed from `sessions` has been told by the step that removed it.
local function alive(session)
    local time, last = now(), redis.call('ZSCORE', sessions, session)
    if last and (tonumber(last) <= time or tonumber(last) > time + SESSION_TTL) then
        redis.call('PUBLISH', 'everywire:wake:' .. session, 'all')
    end
    redis.call('ZADD', sessions, time + SESSION_TTL, session)
end

local function owner_of(waiter) return waiter and waiter:match(':%d+:(.*)') end

local step = {}

-- owner, ttl; of a call that may wait also: waiter, ticket or 0. Returns 1, token, holds, rest; or 0, rest, is first, ticket; or 2: the queue is full
function step.take()
    local waiter, ticket = ARGV[4], ARGV[5]
    if holder == owner then
        local longer = math.max(rest, tonumber(ttl))
        keep(holds + 1, longer)
        if waiter then redis.call('ZREM', queue, waiter) end
        return { 1, token, holds + 1, longer }
    end
    local next = first()
    if not holder and (not next or next == waiter or owner_of(next) == owner) then
        local granted = grant()
        changed()
        if next then
            if waiter then redis.call('ZREM', queue, waiter) end
            for _, other in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
                if owner_of(other) == owner then wake(other) end
            end
            -- The first waiter now learns when this lease ends, to look again then.
            wake_first()
        end
        return granted
    end
    if waiter then
        if not redis.call('ZSCORE', queue, waiter) then
            if redis.call('ZCARD', queue) >= MAX_WAITING then return { 2 } end
            if ticket == '0' then ticket = redis.call('INCR', last_ticket) end
            redis.call('ZADD', queue, ticket, waiter)
            redis.call('PEXPIRE', queue, 7200000)
            alive(waiter:sub(1, 16))
        end
        next = next or waiter
    end
    -- It is the turn of the first waiter, which may not know, or no longer exist.
    if not holder and next then wake(next) end
    return { 0, rest, waiter and next == waiter and 1 or 0, ticket or 0 }
end

-- waiter
function step.leave(waiter)
    local was_first = redis.call('ZRANGE', queue, 0, 0)[1] == waiter
    redis.call('ZREM', queue, waiter)
    if was_first then wake_first() end
    return {}
end

-- `SESSION:NUMBER:` of a waiter that no longer exists
function step.forget(start)
    local waiter = redis.call('ZRANGE', queue, 0, 0)[1]
    if waiter and waiter:sub(1, #start) == start then
        redis.call('ZREM', queue, waiter)
        wake_first()
    end
    return {}
end

-- owner. Returns 1 or 0
function step.unlock()
    if holds == '1' then
        redis.call('DEL', lock)
        changed()
        wake_first()
    else
        redis.call('SET', lock, table.concat({ token, holds - 1, before, last_ttl, holder }, ' '), 'KEEPTTL')
    end
    return { 1 }
end

-- owner, ttl. Returns 1, token, holds, rest; or 0, rest
function step.renew()
    if holder ~= owner then return { 0, rest } end
    keep(holds, ttl)
    -- The first waiter and the watchers look again when the lease ends, which is sooner now.
    if tonumber(ttl) < rest then
        changed()
        wake_first()
    end
    return { 1, token, holds, ttl }
end

-- Returns owner, token, held for, rest, waiting
function step.state()
    first()
    local waiting = redis.call('ZCARD', queue)
    if not holder then return { false, 0, 0, 0, waiting } end
    return { holder, token, had(), rest, waiting }
end

-- Marks the lock as watched. Returns its state
function step.watch()
    redis.call('SET', watch, '', 'PX', WATCH_TTL)
    return step.state()
end

-- session
function step.heartbeat(session)
    -- A step that removes a session tells its server. If the session is gone all the same, Redis has lost its data, and the
    -- queues with it.
    if not redis.call('ZSCORE', sessions, session) then redis.call('PUBLISH', 'everywire:wake:' .. session, 'all') end
    alive(session)
    local time = now()
    -- A later time than this means that the clock was set back.
    local ended = redis.call('ZREMRANGEBYSCORE', sessions, 0, time)
        + redis.call('ZREMRANGEBYSCORE', sessions, '(' .. time + SESSION_TTL, '+inf')
    if ended > 0 then
        redis.call('PUBLISH', 'everywire:wake:all', 'all')
    end
    return {}
end

return step[verb](unpack(ARGV, 2))
