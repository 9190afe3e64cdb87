-- Takes or keeps the lease of the one who compares. KEYS: the lease. ARGV: who, for how long in ms. Answers 1 if it is his.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
