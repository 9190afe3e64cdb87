-- Drops scopes of periods that have ended, as far as nothing is held in them. KEYS: state, spent, held. ARGV: epoch, then
-- the scopes. A hold that expired, or holds nothing, and is settled after that does not count in them any more.
local known = redis.call('HMGET', KEYS[1], 'epoch', 'phase')
if known[1] ~= ARGV[1] or known[2] ~= 'ready' then
    return 0
end
local dropped = 0
for at = 2, #ARGV do
    if tonumber(redis.call('HGET', KEYS[3], ARGV[at]) or 0) == 0 then
        redis.call('HDEL', KEYS[3], ARGV[at])
        dropped = dropped + redis.call('HDEL', KEYS[2], ARGV[at])
    end
end
return dropped
