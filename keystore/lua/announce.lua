-- Raises the version of the keys; commits may be announced out of their order.
-- KEYS: state, ... ARGV: version.
local known = redis.call('HGET', KEYS[1], 'version')
if tonumber(ARGV[1]) > tonumber(known or 0) then
    redis.call('HSET', KEYS[1], 'version', ARGV[1])
end
return { }
