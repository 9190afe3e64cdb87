-- Every decision about money: holds, settlements, renewals, many in one call, each whole or not at all.
--
-- KEYS: state, spent, held, amounts, scopes, leases, tombs, reported, requests, tokens, slots, limited (counters.py says
-- what is in them).
-- ARGV: the epoch that the caller knows, the lease in ms, the number of operations, then the operations one after the
-- other, each a word and its arguments. Answers {epoch, phase, version, results...}; without results, and having done
-- nothing, when the counters are of another epoch or not ready.
--
-- Numbers here are doubles: they are added and compared below 2^53 only (no cap is above it), and are never made into
-- text here. As arguments of redis.call they are exact. HINCRBY adds 64-bit integers in the server.
-- policy/oracle.py says the same in Python; a property test holds the two to each other.
local state, spent, held, amounts, scopes, leases, tombs =
    KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local requests, tokens, slots, limited = KEYS[9], KEYS[10], KEYS[11], KEYS[12]

-- Ended leases and tombstones are removed so many a call: as many as can begin in one (counters.py: MAX_OPERATIONS), and
-- few enough that no call takes long.
local SWEEP = 128
-- How long a settlement may come after its hold has expired: as long as an outbox may wait to be adopted.
local TOMBSTONE_MS = 7 * 24 * 3600 * 1000
local MINUTE_MS = 60 * 1000
-- Of what is held in a shadow, which nothing bounds. Calls beyond it do not count there: a sum beyond 2^63 would end the
-- script in the middle.
local MOST_HELD = 2 ^ 62

local known = redis.call('HMGET', state, 'epoch', 'phase', 'version', 'seen', 'paused', 'minute')
local answer = { known[1] or '', known[2] or '', known[3] or '0' }
if known[1] ~= ARGV[1] or known[2] ~= 'ready' then
    return answer
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lease = tonumber(ARGV[2])

-- The scopes of a dispatch that counts under limits begin with an empty line: all others need not be looked up there.
local LIMITED = '\n'

local function each_scope(names)
    return string.gmatch(names, '[^\n]+')
end

-- All limits have the same window, a minute of the server's clock: what was counted in another one is dropped whole.
local function open_window()
    local minute = math.floor(now / MINUTE_MS)
    if tonumber(known[6] or -1) ~= minute then
        redis.call('UNLINK', requests, tokens)
        redis.call('HSET', state, 'minute', minute)
        known[6] = redis.call('HGET', state, 'minute')
    end
end

-- End a dispatch with these scopes under its limits, if it has any. used: the tokens it came to; nil when nobody knows,
-- and the estimate stays.
local function release(id, names, used)
    local record = string.sub(names, 1, 1) == LIMITED and redis.call('HGET', limited, id)
    if not record then
        return
    end
    redis.call('HDEL', limited, id)
    local lines = string.gmatch(record, '[^\n]+')
    local minute, estimate, more = lines(), lines(), 0
    if used then
        open_window()
        more = used - estimate
        if minute ~= known[6] then
            more = math.max(0, more)
        end
    end
    for scope in lines do
        if redis.call('HINCRBY', slots, scope, -1) == 0 then
            redis.call('HDEL', slots, scope)
        end
        if more ~= 0 then
            redis.call('HINCRBY', tokens, scope, more)
        end
    end
end

-- Bookkeeping is for the first call after a tenth of a second; as a part of every call it would cost a third of it.
local seen = tonumber(known[4])
local interval = math.min(100, lease / 16)
if not seen or now < seen or now - seen >= interval then
    -- Somebody calls at least every eighth of a lease. If nobody did for half of one, renewals were lost with an
    -- outage: leases then pause for one lease.
    local paused = tonumber(known[5] or 0)
    if seen and now - seen > lease / 2 then
        paused = now + lease
        redis.call('HSET', state, 'paused', paused)
    end
    local left = false
    if now >= paused then
        local ended = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, SWEEP)
        for _, id in ipairs(ended) do
            local amount, names = redis.call('HGET', amounts, id), redis.call('HGET', scopes, id)
            -- Of nothing held there may be no counter any more (forget.lua).
            if amount ~= '0' then
                for scope in each_scope(names) do
                    redis.call('HINCRBY', held, scope, 0 - amount)
                end
            end
            release(id, names, nil)
            redis.call('HDEL', amounts, id)
            redis.call('ZREM', leases, id)
            if names == '' or names == LIMITED then
                redis.call('HDEL', scopes, id)
            else
                redis.call('ZADD', tombs, now + TOMBSTONE_MS, id)
            end
        end
        left = #ended == SWEEP
    end
    local gone = redis.call('ZRANGEBYSCORE', tombs, '-inf', now, 'LIMIT', 0, SWEEP)
    for _, id in ipairs(gone) do
        redis.call('HDEL', scopes, id)
        redis.call('ZREM', tombs, id)
    end
    -- When there may be more to remove, the next call goes on.
    redis.call('HSET', state, 'seen', (left or #gone == SWEEP) and now - interval or now)
end

local at = 3
local function take()
    at = at + 1
    return ARGV[at]
end

local operations = {}

-- What goes on under a limit.
local function use_of(limit)
    local use = {}
    for rate, counted in ipairs({ requests, tokens, slots }) do
        use[rate] = tonumber(redis.call('HGET', counted, limit.scope) or 0)
    end
    return use
end

-- The rest of an answer: for how long the minute lasts, and what goes on under a limit.
local function told(words, use)
    words[#words + 1] = MINUTE_MS - now % MINUTE_MS
    for rate = 1, 3 do
        words[#words + 1] = use[rate]
    end
    return words
end

-- The answer to a dispatch that one of the limits refuses; else what goes on under the first.
local function check(limits, estimate)
    local first
    for row, limit in ipairs(limits) do
        local use, wanted = use_of(limit), { 1, tonumber(estimate), 1 }
        first = first or use
        for rate = 1, 3 do
            local most = limit[rate]
            if most >= 0 and use[rate] + math.max(1, math.min(wanted[rate], most)) > most then
                return told({ 'limited', row, rate }, use)
            end
        end
    end
    return nil, first
end

local function enter(limits, estimate, id)
    local names = {}
    for row, limit in ipairs(limits) do
        names[row] = limit.scope
        redis.call('HINCRBY', requests, limit.scope, 1)
        redis.call('HINCRBY', tokens, limit.scope, estimate)
        redis.call('HINCRBY', slots, limit.scope, 1)
    end
    redis.call('HSET', limited, id, known[6] .. '\n' .. estimate .. '\n' .. table.concat(names, '\n'))
end

-- A shadow budget, which counts and refuses nothing, has for its cap -1 less the cap.
local function is_shadow(cap)
    return cap < 0
end

-- The arguments of `admit`, under these limits if there are any. estimate: of tokens, as it came, for it becomes text.
-- A hold is told with what is spent on the first budget, false if there is none, and with the first shadow budget that
-- would have refused it, 0 if there is none.
local function admit(limits, estimate)
    local id, granted, smallest, budgets = take(), tonumber(take()), tonumber(take()), tonumber(take())
    local placed = redis.call('HGET', amounts, id)
    local names, caps = {}, {}
    for row = 1, budgets do
        names[row], caps[row] = take(), tonumber(take())
    end
    if placed then
        local words = { 'held', placed, budgets > 0 and redis.call('HGET', spent, names[1]), 0 }
        return limits and told(words, use_of(limits[1])) or words
    end
    local gone, kept = {}, {}
    if budgets > 0 then
        gone, kept = redis.call('HMGET', spent, unpack(names)), redis.call('HMGET', held, unpack(names))
    end
    local would_refuse, counted = 0, {}
    for row = 1, budgets do
        if not gone[row] then
            return { 'unknown', row }
        end
        local cap = caps[row]
        local left = math.max(0, (is_shadow(cap) and -1 - cap or cap) - gone[row] - kept[row])
        if not is_shadow(cap) then
            if left < smallest then
                return { 'exceeded', row, gone[row], kept[row] }
            end
            granted = math.min(granted, left)
        elseif left < smallest and would_refuse == 0 then
            would_refuse = row
        end
        if not is_shadow(cap) or tonumber(kept[row]) <= MOST_HELD then
            counted[#counted + 1] = names[row]
        end
    end
    local refused, use
    if limits then
        refused, use = check(limits, estimate)
        if refused then
            return refused
        end
        enter(limits, estimate, id)
    end
    redis.call('HSET', amounts, id, granted)
    if redis.call('HSET', scopes, id, (limits and LIMITED or '') .. table.concat(counted, '\n')) == 0 then
        redis.call('ZREM', tombs, id)
    end
    redis.call('ZADD', leases, now + lease, id)
    for _, scope in ipairs(counted) do
        redis.call('HINCRBY', held, scope, granted)
    end
    local words = { 'held', granted, gone[1] or false, would_refuse }
    return limits and told(words, { use[1] + 1, use[2] + estimate, use[3] + 1 }) or words
end

-- id, full, smallest, number of budgets, then scope and cap of each.
function operations.admit()
    return admit()
end

-- Estimate of tokens, number of limits (at least 1), scope and the three limits of each (-1: none), then as `admit`.
function operations.limited()
    local estimate, limits = take(), {}
    for row = 1, tonumber(take()) do
        limits[row] = { scope = take(), tonumber(take()), tonumber(take()), tonumber(take()) }
    end
    open_window()
    return admit(limits, estimate)
end

-- id, wanted, smallest, number of budgets, then scope and cap of each.
function operations.extend()
    local id, wanted, smallest, count = take(), tonumber(take()), tonumber(take()), tonumber(take())
    local caps, rows = {}, {}
    for row = 1, count do
        local scope = take()
        caps[scope], rows[scope] = tonumber(take()), row
    end
    local amount = tonumber(redis.call('HGET', amounts, id) or nil)
    if not amount then
        return { 'gone' }
    elseif amount >= wanted then
        return { 'held', amount }
    end
    local names, more = redis.call('HGET', scopes, id), wanted - amount
    for scope in each_scope(names) do
        local gone, kept = redis.call('HGET', spent, scope), redis.call('HGET', held, scope)
        if not caps[scope] or not gone then
            return { 'gone' }
        end
        if not is_shadow(caps[scope]) then
            local left = caps[scope] - gone - kept
            if left < math.max(1, smallest - amount) then
                return { 'exceeded', rows[scope], gone, kept }
            end
            more = math.min(more, left)
        end
    end
    redis.call('HSET', amounts, id, amount + more)
    for scope in each_scope(names) do
        redis.call('HINCRBY', held, scope, more)
    end
    return { 'held', amount + more }
end

-- id, cost, tokens.
function operations.settle()
    local id, cost, used = take(), take(), take()
    local names, amount = redis.call('HGET', scopes, id), redis.call('HGET', amounts, id)
    if not names then
        return { 'duplicate' }
    end
    -- Where money is held there are counters. Others may have been dropped with their period (forget.lua): of such a
    -- scope nothing is known any more, and one cost is not what was spent in it.
    local holds = amount and amount ~= '0'
    for scope in each_scope(names) do
        if holds or redis.call('HEXISTS', spent, scope) == 1 then
            redis.call('HINCRBY', spent, scope, cost)
        end
        if holds then
            redis.call('HINCRBY', held, scope, 0 - amount)
        end
    end
    release(id, names, tonumber(used))
    redis.call('HDEL', scopes, id)
    if not amount then
        redis.call('ZREM', tombs, id)
        return { 'expired' }
    end
    redis.call('HDEL', amounts, id)
    redis.call('ZREM', leases, id)
    return { 'held' }
end

-- id.
function operations.renew()
    local id = take()
    if redis.call('HEXISTS', amounts, id) == 0 then
        return { 'unchanged' }
    end
    redis.call('ZADD', leases, now + lease, id)
    return { 'changed' }
end

-- scope, spent.
function operations.seed()
    local scope, amount = take(), take()
    if redis.call('HSETNX', spent, scope, amount) == 0 then
        return { 'unchanged' }
    end
    redis.call('HSET', held, scope, 0)
    return { 'changed' }
end

-- scope, the least that was spent.
operations['raise'] = function()
    local scope, amount = take(), take()
    local gone = redis.call('HGET', spent, scope)
    if not gone or tonumber(gone) >= tonumber(amount) then
        return { 'unchanged' }
    end
    redis.call('HSET', spent, scope, amount)
    return { 'changed' }
end

-- scope.
function operations.read()
    local scope = take()
    local gone = redis.call('HGET', spent, scope)
    if not gone then
        return { 'unknown' }
    end
    return { 'balance', gone, redis.call('HGET', held, scope) }
end

for _ = 1, tonumber(ARGV[3]) do
    answer[#answer + 1] = operations[take()]()
end
return answer
