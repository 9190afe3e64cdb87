-- Makes an epoch ready, unless more holds were put back than its balances were reckoned from.
-- KEYS: state, spent, held, amounts, scopes, leases, tombs, reported. ARGV: epoch, number of holds, lease in ms, then
-- scope, spent and held of each balance. Answers 1 when the epoch is ready.
local state = KEYS[1]
local known = redis.call('HMGET', state, 'epoch', 'phase')
if known[1] ~= ARGV[1] then
    return 0
elseif known[2] == 'ready' then
    return 1
elseif redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[2]) then
    return 0
end
for at = 4, #ARGV, 3 do
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 2])
end
redis.call('DEL', KEYS[8])
-- The holds were put back up to a lease ago: they have one more in which to be renewed.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', state, 'phase', 'ready', 'seen', now, 'paused', now + tonumber(ARGV[3]))
return 1
