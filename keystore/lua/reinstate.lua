-- Puts holds back that a router has open, while the epoch is being rebuilt. What they hold in each scope is added up by
-- whoever finishes the epoch.
-- KEYS: state, spent, held, amounts, scopes, leases, tombs, reported. ARGV: epoch, lease in ms, the router that has told
-- everything with this (empty: not yet), then id, amount and scopes (one a line) of each hold.
local known = redis.call('HMGET', KEYS[1], 'epoch', 'phase')
if known[1] ~= ARGV[1] or known[2] ~= 'rebuilding' then
    return 0
end
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[2])
for at = 4, #ARGV, 3 do
    redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
    redis.call('HSET', KEYS[5], ARGV[at], ARGV[at + 2])
    redis.call('ZADD', KEYS[6], ends, ARGV[at])
end
if ARGV[3] ~= '' then
    redis.call('SADD', KEYS[8], ARGV[3])
end
return 1
