-- Scopes at one moment: what is spent in them, and every dispatch that may still be settled, whatever its scopes.
-- KEYS: state, spent, held, amounts, scopes, ... ARGV: epoch, the most dispatches that are told, then the scopes.
-- Answers nothing when the counters are of another epoch or not ready, or the dispatches are too many; else a list each
-- of what is spent (by scope; empty: unknown), of ids and amounts (of live holds), of ids and scopes (of tombstones too).
local known = redis.call('HMGET', KEYS[1], 'epoch', 'phase')
if known[1] ~= ARGV[1] or known[2] ~= 'ready' or redis.call('HLEN', KEYS[5]) > tonumber(ARGV[2]) then
    return { }
end
local spent = { }
for at = 3, #ARGV do
    spent[at - 2] = redis.call('HGET', KEYS[2], ARGV[at]) or ''
end
return { spent, redis.call('HGETALL', KEYS[4]), redis.call('HGETALL', KEYS[5]) }
