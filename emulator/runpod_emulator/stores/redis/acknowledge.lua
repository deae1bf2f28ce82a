-- Takes the chunks that a reader was shown, unless another one was faster or the run is over.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: the job, its run, how many chunks of it had been taken
-- before, how many to take, and a token of this call. Returns 1 if they were taken, else 0.
local base, id = KEYS[1], ARGV[1]
local job = base .. ':job:' .. id
if not redis.call('ZSCORE', base .. ':all', id) then return 0 end
local fields = redis.call('HMGET', job, 'k', 't', 'a')
if fields[3] == ARGV[5] then return 1 end
if fields[1] ~= ARGV[2] or (fields[2] or '0') ~= ARGV[3] then return 0 end
redis.call('LTRIM', job .. ':chunks', ARGV[4], -1)
redis.call('HINCRBY', job, 't', ARGV[4])
redis.call('HSET', job, 'a', ARGV[5])
return 1
