-- What a bus holds: cheap whatever the sizes, so it can be asked every second.
--
-- A document that has lived through half of its time gets all of it again, so
-- that nothing expires while whoever published it is there.
--
-- KEYS  meta keys, then document keys
-- ARGV  how many of them are meta keys, then the lifetime of each document (0
--       for ever)
-- Returns for each meta key "version|paired|lineage|content" (empty if there is
-- none), for each document its length ("-1" if there is none).

local metas, out = tonumber(ARGV[1]), {}
for i, key in ipairs(KEYS) do
  local held = redis.call('TYPE', key)['ok']
  if i <= metas then
    out[i] = ''
    if held == 'hash' then
      local f = redis.call('HMGET', key, 'version', 'paired', 'lineage', 'content')
      out[i] = table.concat({ f[1] or '', f[2] or '', f[3] or '', f[4] or '' }, '|')
    end
  elseif held == 'string' then
    out[i] = tostring(redis.call('STRLEN', key))
    local ttl = tonumber(ARGV[1 + i - metas])
    if ttl > 0 and redis.call('TTL', key) * 2 < ttl then
      redis.call('EXPIRE', key, ttl)
    end
  else
    out[i] = '-1'
  end
end
return out
