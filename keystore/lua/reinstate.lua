-- Puts holds back that a router has open, while the epoch is being rebuilt. What they hold in each scope is added up by
-- whoever finishes the epoch.
-- KEYS: state, spent, held, amounts, scopes, leases, tombs, reported, requests, tokens, slots, limited. ARGV: epoch, lease
-- in ms, the router that has told everything with this (empty: not yet), then id, amount, scopes and scopes of limits (one
-- a line) of each hold.
local known = redis.call('HMGET', KEYS[1], 'epoch', 'phase')
if known[1] ~= ARGV[1] or known[2] ~= 'rebuilding' then
    return 0
end
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[2])
for at = 4, #ARGV, 4 do
    redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
    local limits = ARGV[at + 3]
    redis.call('HSET', KEYS[5], ARGV[at], (limits ~= '' and '\n' or '') .. ARGV[at + 2])
    redis.call('ZADD', KEYS[6], ends, ARGV[at])
    -- It goes on, but of its minute nothing is known: all its tokens count when it ends. It may be told of twice.
    if limits ~= '' and redis.call('HSET', KEYS[12], ARGV[at], '0\n0\n' .. limits) == 1 then
        for scope in string.gmatch(limits, '[^\n]+') do
            redis.call('HINCRBY', KEYS[11], scope, 1)
        end
    end
end
if ARGV[3] ~= '' then
    redis.call('SADD', KEYS[8], ARGV[3])
end
return 1
