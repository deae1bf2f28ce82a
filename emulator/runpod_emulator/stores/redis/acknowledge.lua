-- Takes the chunks that a reader was shown, unless another one was faster or the run is over.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: the job, its run, how many chunks of it had been taken
-- before, and how many to take. Returns 1 if they were taken, else 0.
local base, id = KEYS[1], ARGV[1]
local job = base .. ':job:' .. id
if not redis.call('ZSCORE', base .. ':all', id) then return 0 end
local fields = redis.call('HMGET', job, 'k', 't')
if fields[1] ~= ARGV[2] or (fields[2] or '0') ~= ARGV[3] then return 0 end
redis.call('LTRIM', job .. ':chunks', ARGV[4], -1)
redis.call('HINCRBY', job, 't', ARGV[4])
return 1
