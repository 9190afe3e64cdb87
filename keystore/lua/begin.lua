-- Begins an epoch with empty counters, unless there is one.
-- KEYS: state, spent, held, amounts, scopes, leases, tombs, reported, requests, tokens, slots, limited. ARGV: epoch, version of the keys.
-- Answers {epoch, phase, version}, as they are then.
local state = KEYS[1]
if redis.call('HEXISTS', state, 'epoch') == 0 then
    local clock = redis.call('TIME')
    -- A change of keys may have been announced since they were lost.
    local version = redis.call('HGET', state, 'version')
    if not version or tonumber(ARGV[2]) > tonumber(version) then
        version = ARGV[2]
    end
    redis.call('DEL', unpack(KEYS))
    redis.call('HSET', state, 'epoch', ARGV[1], 'phase', 'rebuilding', 'version', version,
        'begun', clock[1] * 1000 + math.floor(clock[2] / 1000))
end
return redis.call('HMGET', state, 'epoch', 'phase', 'version')
