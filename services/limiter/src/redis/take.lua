-- Takes permits, all or none. KEYS: the log, a list with the time of each permit. ARGV: permits, limit, period.
-- Times are microseconds of this server's clock. Returns go (1 or 0), the permits left, and the time to wait if not go.
local log = KEYS[1]
local permits, limit, period = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function at(index)
    return tonumber(redis.call('LINDEX', log, index))
end

local function push(count)
    local stamp = string.format('%.0f', now)
    for first = 1, count, 1000 do
        local stamps = {}
        for index = 1, math.min(1000, count - first + 1) do stamps[index] = stamp end
        redis.call('RPUSH', log, unpack(stamps))
    end
    redis.call('PEXPIRE', log, math.ceil(period / 1000) + 1)
end

local used = redis.call('LLEN', log)
if used > 0 and at(-1) > now then
    -- The clock was set back. The age of these permits is unknown, so they begin to age now.
    redis.call('DEL', log)
    push(used)
end
-- One that is exactly a period old still counts: a window has both its ends.
local counts_since = now - period
while (at(99) or now) < counts_since do redis.call('LPOP', log, 100) end
while (at(0) or now) < counts_since do redis.call('LPOP', log) end
used = redis.call('LLEN', log)

if used + permits <= limit then
    push(permits)
    return { 1, limit - used - permits, 0 }
end
return { 0, math.max(limit - used, 0), at(used + permits - limit - 1) - counts_since + 1 }
