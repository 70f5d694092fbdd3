-- Takes ARGV[1] ids: the millisecond since ARGV[2] of the first one, and its number of ARGV[3] in it. KEYS[1] is a hash: ms, the
-- millisecond of the last id, and next, the next number in it. The clock is this server's; while it is behind ms, the
-- ids go on from there. Before ARGV[2] there are none.
local count, epoch, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) - epoch
if now < 0 then
    return { now, 0 }
end
local ms = tonumber(redis.call('HGET', KEYS[1], 'ms') or -1)
if now > ms then
    ms = now
    redis.call('HSET', KEYS[1], 'ms', ms, 'next', 0)
end
local next = redis.call('HINCRBY', KEYS[1], 'next', count)
local first = next - count
if next >= most then
    redis.call('HSET', KEYS[1], 'ms', ms + math.floor(next / most), 'next', next % most)
end
return { ms, first }
