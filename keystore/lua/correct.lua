-- Adds to what is spent in a scope, once. KEYS: state, spent, the lease of the one who compares.
-- ARGV: epoch, who, the name of this correction (it may be asked twice), scope, amount. Answers 1 when it is done.
local known = redis.call('HMGET', KEYS[1], 'epoch', 'phase', 'corrected')
if known[1] ~= ARGV[1] or known[2] ~= 'ready' or redis.call('GET', KEYS[3]) ~= ARGV[2] then
    return 0
elseif known[3] == ARGV[3] then
    return 1
elseif redis.call('HEXISTS', KEYS[2], ARGV[4]) == 0 then
    return 0
end
redis.call('HINCRBY', KEYS[2], ARGV[4], ARGV[5])
redis.call('HSET', KEYS[1], 'corrected', ARGV[3])
return 1
