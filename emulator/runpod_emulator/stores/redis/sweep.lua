-- Deletes records of jobs that were forgotten by a clear, some at a time; not those whose id has come again since.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: the key with their ids, and how many to delete.
-- Returns how many there were.
local base = KEYS[1]
local found = redis.call('ZPOPMIN', ARGV[1], ARGV[2])
for n = 1, #found, 2 do
  local job = base .. ':job:' .. found[n]
  if not redis.call('ZSCORE', base .. ':all', found[n]) then
    redis.call('UNLINK', job, job .. ':i', job .. ':o', job .. ':s', job .. ':chunks')
  end
end
return #found / 2
