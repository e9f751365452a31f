-- Stores versions that are newer than what is held, then announces them.
--
-- One call is one step for every other client: all writes of all families come
-- first, all announcements last, so an event can never be seen before what it
-- announces. If a write is refused (out of memory, read-only), the script ends
-- there and nothing is announced.
--
-- KEYS  every key that is touched
-- ARGV  lineage, takeover (1|0), seconds that retired keys live, number of
--       families, then for each:
--         index of the meta key, version, paired version, content hash,
--         force (1|0), count of meta fields, (name, value)..., ttl of the meta key,
--         count of writes, (kind, index of key, value, ttl, a, b)...,
--         count of announcements, (channel, payload)...
-- Returns for each family 0 same, 1 stored, 2 repaired, 3 a newer one is held,
-- 4 another lineage is held, 5 the same version with other content is held.

local cursor = 0
local function take()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function take_number()
  return tonumber(take())
end

-- A key that somebody edited into another type is taken away first.
local function clear_unless(key, kind)
  local held = redis.call('TYPE', key)['ok']
  if held ~= kind and held ~= 'none' then
    redis.call('DEL', key)
  end
end

local lineage, takeover, retired = take(), take(), take_number()

-- What is over lives on for a while, and no longer than it would have.
local function retire(key)
  local left = redis.call('TTL', key)
  if left == -1 or left > retired then
    redis.call('EXPIRE', key, retired)
  end
end

local function judge(family)
  clear_unless(family.meta, 'hash')
  local held = redis.call('HMGET', family.meta, 'version', 'paired', 'lineage', 'content')
  local version, paired = tonumber(held[1] or ''), tonumber(held[2] or '')
  if not version or not paired then
    return 1
  end
  if held[3] ~= lineage then
    return takeover == '1' and 1 or 4
  end
  if version > family.version or (version == family.version and paired > family.paired) then
    return 3
  end
  if version < family.version or paired < family.paired then
    return 1
  end
  if held[4] ~= family.content then
    return takeover == '1' and 1 or 5
  end
  if family.force then
    return 2
  end
  for _, write in ipairs(family.writes) do
    if write.kind == 'string' and redis.call('TYPE', write.key)['ok'] ~= 'string' then
      return 2
    end
    if write.kind == 'string' and redis.call('STRLEN', write.key) ~= #write.value then
      return 2
    end
  end
  return 0
end

local function store(write, verdict)
  if write.kind == 'string' then
    if write.ttl > 0 then
      redis.call('SET', write.key, write.value, 'EX', write.ttl)
    else
      redis.call('SET', write.key, write.value)
    end
    return
  end
  clear_unless(write.key, write.kind)
  if write.kind == 'zset' then
    redis.call('ZADD', write.key, write.a, write.value)
    redis.call('ZREMRANGEBYSCORE', write.key, '-inf', '(' .. write.b)
  elseif write.kind == 'stream' and verdict == 1 then
    redis.call('XADD', write.key, 'MAXLEN', '~', write.a, '*', 'payload', write.value)
  elseif write.kind == 'list' and redis.call('LINDEX', write.key, 0) ~= write.value then
    redis.call('LPUSH', write.key, write.value)
    redis.call('LTRIM', write.key, 0, write.a - 1)
  elseif write.kind == 'hash' and write.a == '' then
    for field, text in pairs(cjson.decode(write.value)) do
      redis.call('HSET', write.key, field, text)
    end
  elseif write.kind == 'hash' then
    local before = redis.call('HGET', write.key, write.a)
    if before and before ~= write.value then
      retire(write.b .. before)
    end
    redis.call('HSET', write.key, write.a, write.value)
  end
  if write.ttl > 0 then
    redis.call('EXPIRE', write.key, write.ttl)
  end
end

local verdicts, announcements = {}, {}
for _ = 1, take_number() do
  local family = { meta = KEYS[take_number()], version = take_number(), paired = take_number() }
  family.content, family.force = take(), take() == '1'
  local fields = { 'paired', string.format('%.0f', family.paired), 'lineage', lineage, 'content', family.content }
  for _ = 1, take_number() do
    fields[#fields + 1] = take()
    fields[#fields + 1] = take()
  end
  family.ttl = take_number()
  family.writes = {}
  for i = 1, take_number() do
    family.writes[i] = { kind = take(), key = KEYS[take_number()], value = take() }
    local write = family.writes[i]
    write.ttl, write.a, write.b = take_number(), take(), take()
  end
  local announced = {}
  for i = 1, take_number() do
    announced[i] = { take(), take() }
  end
  local verdict = judge(family)
  verdicts[#verdicts + 1] = verdict
  if verdict == 1 or verdict == 2 then
    for _, write in ipairs(family.writes) do
      store(write, verdict)
    end
    -- The version stands only after all that it promises.
    redis.call('HSET', family.meta, 'version', string.format('%.0f', family.version), unpack(fields))
    if family.ttl > 0 then
      redis.call('EXPIRE', family.meta, family.ttl)
    else
      redis.call('PERSIST', family.meta)
    end
    for _, announcement in ipairs(announced) do
      announcements[#announcements + 1] = announcement
    end
  end
end
for _, announcement in ipairs(announcements) do
  redis.call('PUBLISH', announcement[1], announcement[2])
end
return verdicts
