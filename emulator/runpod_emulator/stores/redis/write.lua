-- Writes transitions of jobs of one endpoint, all or none: records, indexes, counts, deliveries and news, in one step.
-- Every check comes before the first write, for a script is not rolled back. It knows no rule: what becomes of a job
-- was decided by who calls, from the version of the record that is named here.
--
-- KEYS[1]: what the keys of the endpoint begin with.
-- ARGV: milliseconds that keys outlive the last write, a token of this call, how many jobs may wait and still let
-- another one in ("" for any number), how many transitions there are, and each of them.
-- Returns {1, number of the last write, counts}, {0, records that are not as expected}, or {2, counts} if it is full.
local base, keep, token, most = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local NEWS_KEPT, BESIDE, RENEWED_EACH = 10000, 65536, 60000
local REMEMBERED = 60000  -- milliseconds in which who has deleted a record may ask again whether it has

local at = 4
local function one()
  at = at + 1
  return ARGV[at]
end
local function many()
  local values = {}
  for n = 1, tonumber(one()) do values[n] = one() end
  return values
end

local steps = {}
for n = 1, tonumber(ARGV[4]) do
  steps[n] = {
    id = one(), expected = one(), record = one(), run = one(), input = one(), s3 = one(), output = many(),
    place = one(), held = one(), due = one(), running = one(), owner_was = one(), owner = one(), taken_at = one(),
    drops_chunks = one(), chunks = many(), delivery = many(), counts = many(), news = many(), lives = tonumber(one()),
  }
end

local function text(job, field)
  return redis.call('HGET', job, field) or redis.call('GET', job .. ':' .. field)
end

local conflicts = {0}
for _, step in ipairs(steps) do
  local job = base .. ':job:' .. step.id
  local version = redis.call('ZSCORE', base .. ':all', step.id) and redis.call('HGET', job, 'v')
  if (version or '') ~= step.expected then
    local fields = version and redis.call('HMGET', job, 'r', 'w') or {false, redis.call('GET', job .. ':w')}
    conflicts[#conflicts + 1] = {
      step.id, version or '', fields[2] or '', fields[1] or '', text(job, 'i') or '', text(job, 'o'), text(job, 's'),
    }
  end
end
if #conflicts > 1 then return conflicts end

local counts, news = base .. ':counts', base .. ':news'
if most ~= '' and tonumber(redis.call('HGET', counts, 'queued') or 0) > tonumber(most) then
  return {2, redis.call('HGETALL', counts)}
end

local writes = redis.call('HGET', counts, 'writes')
if not writes then
  local last = redis.call('XREVRANGE', news, '+', '-', 'COUNT', 1)[1]
  writes = last and string.match(last[1], '%d+') or '0'
end
writes = tonumber(writes)

local function put(job, field, value)
  if #value > BESIDE then
    redis.call('HDEL', job, field)
    redis.call('SET', job .. ':' .. field, value)
    redis.call('HSET', job, 'b', '1')
  else
    redis.call('HSET', job, field, value)
    if redis.call('HEXISTS', job, 'b') == 1 then redis.call('UNLINK', job .. ':' .. field) end
  end
end

local touched = {}  -- keys that may be new, and then live for ever if nobody says otherwise

local function index(name, score, id)
  if score ~= '' then
    redis.call('ZADD', base .. name, score, id)
    touched[name] = true
  else
    redis.call('ZREM', base .. name, id)
  end
end

local function owned(step)
  if step.owner_was == step.owner then return end
  if step.owner_was ~= '' then redis.call('SREM', base .. ':held:' .. step.owner_was, step.id) end
  if step.owner ~= '' then
    redis.call('SADD', base .. ':held:' .. step.owner, step.id)
    redis.call('PEXPIRE', base .. ':held:' .. step.owner, keep)
    index(':owners', step.taken_at, step.owner)
  end
end

local function keep_chunks(step, job)
  local chunks = job .. ':chunks'
  if step.drops_chunks ~= '' then
    redis.call('UNLINK', chunks)
    redis.call('HDEL', job, 't', 'a')
  end
  for n = 1, #step.chunks, 1000 do
    redis.call('RPUSH', chunks, unpack(step.chunks, n, math.min(n + 999, #step.chunks)))
  end
end

local function write(step, job)
  if step.record == '' or step.expected == '' then
    redis.call('UNLINK', job, job .. ':i', job .. ':o', job .. ':s', job .. ':chunks')
  end
  if step.record == '' then
    redis.call('ZREM', base .. ':all', step.id)
    redis.call('SET', job .. ':w', token, 'PX', REMEMBERED)
    return
  end
  redis.call('HSET', job, 'v', writes, 'r', step.record, 'w', token, 'k', step.run)
  if step.expected == '' then index(':all', writes, step.id) end
  if step.input ~= '' then put(job, 'i', step.input) end
  if step.s3 ~= '' then put(job, 's', step.s3) end
  if step.output[1] == 'set' then put(job, 'o', step.output[2]) end
  if step.output[1] == 'drop' then
    redis.call('HDEL', job, 'o')
    redis.call('UNLINK', job .. ':o')
  end
  keep_chunks(step, job)
  redis.call('PEXPIRE', job, step.lives)
  if redis.call('HEXISTS', job, 'b') == 1 then
    for _, field in ipairs({':i', ':o', ':s'}) do redis.call('PEXPIRE', job .. field, step.lives) end
  end
  if #step.chunks > 0 then redis.call('PEXPIRE', job .. ':chunks', step.lives) end
end

for n, step in ipairs(steps) do
  writes = writes + 1
  -- the first write of all: a server that is full refuses it, and then nothing was written
  redis.call('XADD', news, 'MAXLEN', '~', NEWS_KEPT, writes .. '-0', 'w', token .. ':' .. n, unpack(step.news))
  write(step, base .. ':job:' .. step.id)
  index(':queue', step.held == '' and step.place or '', step.id)
  index(':held', step.held ~= '' and step.place or '', step.id)
  index(':due', step.due, step.id)
  if step.running ~= '' then
    redis.call('SADD', base .. ':running', step.id)
    touched[':running'] = true
  else
    redis.call('SREM', base .. ':running', step.id)
  end
  owned(step)
  for n = 1, #step.counts, 2 do redis.call('HINCRBY', counts, step.counts[n], step.counts[n + 1]) end
  if #step.delivery > 0 then
    local name, due, record, body = unpack(step.delivery)
    redis.call('HSET', base .. ':owed', name, record)
    redis.call('HSET', base .. ':bodies', name, body)
    index(':owes', due, name)
    touched[':owed'], touched[':bodies'] = true, true
  end
end
redis.call('HSET', counts, 'writes', writes)

if redis.call('PTTL', counts) < keep - RENEWED_EACH then
  for _, name in ipairs({
    'all', 'queue', 'held', 'due', 'running', 'owners', 'counts', 'news', 'owes', 'owed', 'bodies', 'leases',
  }) do
    redis.call('PEXPIRE', base .. ':' .. name, keep)
  end
else
  for name in pairs(touched) do redis.call('PEXPIRE', base .. name, keep, 'NX') end
end
return {1, writes, redis.call('HGETALL', counts)}
