#!lua name=chronicle_archive_@VERSION@

--[[ What writes to a log besides appends: restoring into an empty log, recording sealed segments, and trimming.

The rules of chronicle.lua hold: everything that can be refused is checked before the first write, and all keys of a
call carry one hash tag. A log that is being restored has `restoring` in its meta and no head, so nobody appends. ]]

local VALUE_LENGTH_MIN = 54
local VERSION_OFFSET = 43

local function whole(number)
  return string.format('%.0f', number)
end

local function parsed_id(id)
  local sequence, epoch = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(sequence), tonumber(epoch)
end

local function last_of(log)
  local entry = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not entry then
    return 0, 0
  end
  return parsed_id(entry[1])
end

local function refused(text)
  return redis.error_reply('CHRONICLE_REFUSED ' .. text)
end

-- KEYS: log, head, meta. ARGV: what is restored. Answers the sequence after which to go on.
local function restore_begin(keys, args)
  local restoring = redis.call('HGET', keys[3], 'restoring')
  if redis.call('GET', keys[2]) or (redis.call('EXISTS', keys[1]) == 1 and not restoring) then
    return refused('the log is not empty: it ends at ' .. whole((last_of(keys[1]))))
  end
  if restoring and restoring ~= args[1] then
    return refused('another restore was begun here and not finished')
  end
  redis.call('HSET', keys[3], 'restoring', args[1])
  return (last_of(keys[1]))
end

-- KEYS: log, head, meta, and the prefixes of index lists and of keys of version 0. ARGV: what is restored, the sequence
-- after which the entries come, then id and value of each.
local function restore_entries(keys, args)
  local log, after = keys[1], tonumber(args[2])
  if redis.call('HGET', keys[3], 'restoring') ~= args[1] or redis.call('GET', keys[2]) or last_of(log) ~= after then
    return refused('somebody else wrote to the log that is being restored')
  end
  for at = 3, #args, 2 do
    after = after + 1
    if parsed_id(args[at]) ~= after or #args[at + 1] < VALUE_LENGTH_MIN then
      return refused('the entries have a gap before ' .. args[at])
    end
  end
  for at = 3, #args, 2 do
    local id = string.gsub(string.sub(args[at + 1], 27, 42), '.', function(byte)
      return string.format('%02x', string.byte(byte))
    end)
    redis.call('XADD', log, args[at], 'e', args[at + 1])
    local sequence = string.match(args[at], '^%d+')
    if struct.unpack('>I4', args[at + 1], VERSION_OFFSET) == 0 then
      redis.call('SET', keys[5] .. id, sequence)
    else
      redis.call('RPUSH', keys[4] .. id, sequence)
    end
  end
  return after
end

-- KEYS: log, head, meta, epoch. ARGV: what is restored, its last position, the log's identity, when.
local function restore_end(keys, args)
  local last, epoch = last_of(keys[1])
  if redis.call('HGET', keys[3], 'restoring') ~= args[1] or whole(last) .. '-' .. whole(epoch) ~= args[2] then
    return refused('the restored log does not end at ' .. args[2])
  end
  redis.call('SET', keys[4], whole(math.max(epoch, tonumber(redis.call('GET', keys[4]) or 0))))
  redis.call('HSET', keys[3], 'log_id', args[3], 'schema', '1', 'restored', args[2] .. ' ' .. args[4])
  redis.call('HDEL', keys[3], 'run_id', 'restoring')
  redis.call('SET', keys[2], whole(last))
  return last
end

-- KEYS: meta, segments. ARGV: the segment's name, first and last sequence, the hash of the segment before, its own hash.
local function archived(keys, args)
  local last = tonumber(redis.call('HGET', keys[1], 'archived') or 0)
  local digest = redis.call('HGET', keys[1], 'archived_digest') or ''
  if last == tonumber(args[3]) and digest == args[5] then
    return last
  end
  if last ~= tonumber(args[2]) - 1 or digest ~= args[4] then
    return refused('the archive ends at ' .. whole(last) .. ' and not where this segment goes on')
  end
  redis.call('HSET', keys[2], args[1], args[5])
  redis.call('HSET', keys[1], 'archived', args[3], 'archived_digest', args[5])
  return tonumber(args[3])
end

-- KEYS: log, head, meta. ARGV: the last sequence to remove. Never removes what is not archived, nor the last entry.
local function trim(keys, args)
  local through, last = tonumber(args[1]), last_of(keys[1])
  if through > tonumber(redis.call('HGET', keys[3], 'archived') or 0) or through >= last then
    return refused('what is trimmed must be in the archive, and the last entry stays')
  end
  if through <= tonumber(redis.call('HGET', keys[3], 'trimmed') or 0) then
    return 0
  end
  redis.call('HSET', keys[3], 'trimmed', whole(through))
  return redis.call('XTRIM', keys[1], 'MINID', '=', whole(through + 1) .. '-0')
end

redis.register_function('restore_begin_@VERSION@', restore_begin)
redis.register_function('restore_entries_@VERSION@', restore_entries)
redis.register_function('restore_end_@VERSION@', restore_end)
redis.register_function('archived_@VERSION@', archived)
redis.register_function('trim_@VERSION@', trim)
