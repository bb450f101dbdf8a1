#!lua name=chronicle_@VERSION@

--[[ The only writer of the log. Loaded as a library whose name ends in its version and the digest of this file, so old
and new programs serve side by side, each with its own. @VERSION@ is replaced when it is loaded.

Rules. A function has no rollback: everything that can be refused or can fail is read and checked before the first
write. `head` is written last, so a head below the log's last entry tells of an unfinished call. While a library loads,
only `redis` exists: everything else is reached from inside functions. Numbers are doubles: positions and microseconds
stay exact up to 2^53. All keys of a call carry one hash tag. Trimming must keep the log's last entry. ]]

local EVENTS_MAX = 500
local INSERT_EVENTS_MAX = 1000
local BYTES_MAX = 1048576
local IDEMPOTENCY_S = 86400
local STAMP_LENGTH = 8
local RECORD_LENGTH_MIN = 46
local VERSION_OFFSET = 35

local WRITTEN, REPEATED, CONFLICT, MISMATCH, TRACKED = 1, 2, 3, 4, 5

local function whole(number)
  return string.format('%.0f', number)
end

local function parsed_id(id)
  local sequence, epoch = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(sequence), tonumber(epoch)
end

-- The last entry's sequence, epoch and time; zeros if the log is empty.
local function tail_of(log)
  local entry = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not entry then
    return 0, 0, 0
  end
  local sequence, epoch = parsed_id(entry[1])
  local time = 0
  for _, byte in ipairs({ string.byte(entry[2][2], 1, STAMP_LENGTH - 1) }) do
    time = time * 256 + byte
  end
  return sequence, epoch, time
end

-- max(previous, now) as seven bytes and their check byte: the eight bytes add up to 255 modulo 256.
local function stamp(previous)
  local now = redis.call('TIME')
  local time = math.max(previous, tonumber(now[1]) * 1000000 + tonumber(now[2]))
  local bytes, sum = {}, 0
  for index = STAMP_LENGTH - 1, 1, -1 do
    bytes[index] = time % 256
    sum = sum + bytes[index]
    time = math.floor(time / 256)
  end
  bytes[STAMP_LENGTH] = (255 - sum) % 256
  return string.char(unpack(bytes))
end

-- What an append starts from: the epoch, the last sequence and the stamp of this call; or why nothing may be appended.
local function opened(log, head, epoch_key)
  local epoch = redis.call('GET', epoch_key)
  if not epoch then
    return nil, 'CHRONICLE_UNOPENED no epoch: this server has not been opened by a store'
  end
  local last, last_epoch, time = tail_of(log)
  if last ~= tonumber(redis.call('GET', head) or 0) or last_epoch > tonumber(epoch) then
    return nil, 'CHRONICLE_UNOPENED head, epoch and the last entry of the log differ'
  end
  return { epoch = epoch, last = last, prefix = stamp(time) }
end

-- The version that a record carries, nil if it is too short to be a record.
local function version_of(record)
  if #record < RECORD_LENGTH_MIN then
    return nil
  end
  return (struct.unpack('>I4', record, VERSION_OFFSET))
end

local function limit_error(events, bytes)
  return 'CHRONICLE_LIMIT ' .. events .. ' events of ' .. bytes .. ' bytes in one call'
end

-- Reads the arguments of append_many: ARGV is the number of appends, then for each the expected version, the number of
-- records, the request's digest ('' without a claim) and the records; KEYS has three fixed keys, then for each append its
-- index list and, with a claim, the claim's key.
local function parsed_appends(keys, args)
  local appends, key, arg, events, bytes = {}, 4, 2, 0, 0
  for _ = 1, tonumber(args[1]) do
    local count, digest = tonumber(args[arg + 1]), args[arg + 2]
    local append = { index = keys[key], expected = tonumber(args[arg]), digest = digest, records = {} }
    key = key + 1
    if digest ~= '' then
      append.claim = keys[key]
      key = key + 1
    end
    for number = 1, count do
      local record = args[arg + 2 + number]
      if version_of(record) ~= append.expected + number then
        return nil, 'CHRONICLE_ARGUMENTS a record does not carry the version that it is appended as'
      end
      append.records[number] = record
      bytes = bytes + #record
    end
    events = events + count
    arg = arg + 3 + count
    appends[#appends + 1] = append
  end
  if events > EVENTS_MAX or bytes > BYTES_MAX then
    return nil, limit_error(events, bytes)
  end
  return appends
end

-- Everything that decides a verdict, read before the first write, so a key of a wrong type fails the call as a whole.
local function present_state(appends)
  local versions, claims = {}, {}
  for _, append in ipairs(appends) do
    versions[append.index] = redis.call('LLEN', append.index)
    if append.claim then
      claims[append.claim] = redis.call('GET', append.claim)
    end
  end
  return versions, claims
end

-- A claim's value: request digest, aggregate id, sequence, epoch, version, separated by spaces.
local function repeated(claim, digest)
  local parts = {}
  for part in string.gmatch(claim, '%S+') do
    parts[#parts + 1] = part
  end
  if parts[1] ~= digest then
    return MISMATCH
  end
  return table.concat({ REPEATED, parts[3], parts[5], parts[4], parts[2] }, ' ')
end

-- Keeps what an append did under its claim, and answers the value: the aggregate is the end of its index list's name.
local function claimed(key, digest, index, last, epoch, version)
  local value = table.concat({ digest, string.match(index, '[^:]+$'), whole(last), epoch, version }, ' ')
  redis.call('SET', key, value, 'EX', IDEMPOTENCY_S)
  return value
end

local function append_many(keys, args)
  local log, head, epoch_key = keys[1], keys[2], keys[3]
  local appends, problem = parsed_appends(keys, args)
  if not appends then
    return redis.error_reply(problem)
  end
  local state, unopened = opened(log, head, epoch_key)
  if not state then
    return redis.error_reply(unopened)
  end
  local versions, claims = present_state(appends)
  local epoch, last, prefix = state.epoch, state.last, state.prefix
  local first, verdicts = last, {}
  for number, append in ipairs(appends) do
    local version = versions[append.index]
    if append.claim and claims[append.claim] then
      verdicts[number] = repeated(claims[append.claim], append.digest)
    elseif version ~= append.expected then
      verdicts[number] = CONFLICT .. ' ' .. version
    else
      local sequences = {}
      for index, record in ipairs(append.records) do
        last = last + 1
        sequences[index] = whole(last)
        redis.call('XADD', log, sequences[index] .. '-' .. epoch, 'e', prefix .. record)
      end
      redis.call('RPUSH', append.index, unpack(sequences))
      version = version + #sequences
      versions[append.index] = version
      if append.claim then
        claims[append.claim] = claimed(append.claim, append.digest, append.index, last, epoch, version)
      end
      verdicts[number] = table.concat({ WRITTEN, whole(last), version, epoch }, ' ')
    end
  end
  if last > first then
    redis.call('SET', head, whole(last))
  end
  -- One string, because clients take longer to parse hundreds of nested numbers than the server to write the events.
  return table.concat(verdicts, '\n')
end

-- Puts entries above `from` into their index lists, where an unfinished call left them out; version 0 has its own key.
local function reindex(log, from, prefix, zero_prefix)
  for _, entry in ipairs(redis.call('XRANGE', log, whole(from + 1), '+')) do
    local sequence = parsed_id(entry[1])
    local id = string.gsub(string.sub(entry[2][2], 27, 42), '.', function(byte)
      return string.format('%02x', string.byte(byte))
    end)
    local last = redis.call('LINDEX', prefix .. id, -1)
    if version_of(string.sub(entry[2][2], STAMP_LENGTH + 1)) == 0 then
      redis.call('SET', zero_prefix .. id, whole(sequence))
    elseif not last or tonumber(last) < sequence then
      redis.call('RPUSH', prefix .. id, whole(sequence))
    end
  end
end

-- Why the log cannot be appended to, or nil. Sequences are unique and rise, so length and ends tell of any gap.
local function damage(log, meta, head, last)
  if last < head then
    return 'CHRONICLE_LOST the log ends at ' .. whole(last) .. ' and ' .. whole(head) .. ' events were acknowledged'
  end
  if last - head > INSERT_EVENTS_MAX then
    return 'CHRONICLE_LOST the head counter ' .. whole(head) .. ' is too far below the last entry ' .. whole(last)
  end
  if last == 0 then
    return nil
  end
  local first = parsed_id(redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1][1])
  local trimmed = tonumber(redis.call('HGET', meta, 'trimmed') or 0)
  if first > trimmed + 1 or redis.call('XLEN', log) ~= last - first + 1 then
    return 'CHRONICLE_GAP entries are missing between ' .. whole(first) .. ' and ' .. whole(last)
  end
  return nil
end

-- KEYS: log, head, epoch, meta, and the prefixes of index lists and of keys of version 0. ARGV: the server's run id, an identity for a new log.
-- Compares the head with the log, and raises the epoch once for each run of the server. The epoch is at least the
-- server's time in milliseconds: a plain counter that was lost together with the log's tail would give a lost position twice.
local function open_run(keys, args)
  local log, head_key, epoch_key, meta, prefix = keys[1], keys[2], keys[3], keys[4], keys[5]
  local last, last_epoch = tail_of(log)
  local head = tonumber(redis.call('GET', head_key) or 0)
  local problem = damage(log, meta, head, last)
  if problem then
    return redis.error_reply(problem)
  end
  local epoch = tonumber(redis.call('GET', epoch_key) or 0)
  local run = redis.call('HGET', meta, 'run_id')
  if last > head then
    reindex(log, head, prefix, keys[6])
    redis.call('SET', head_key, whole(last))
  end
  if run ~= args[1] or epoch == 0 or last_epoch > epoch then
    local now = redis.call('TIME')
    epoch = math.max(epoch + 1, last_epoch + 1, tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
    redis.call('SET', epoch_key, whole(epoch))
    redis.call('HSET', meta, 'run_id', args[1])
    redis.call('HSETNX', meta, 'log_id', args[2])
    redis.call('HSETNX', meta, 'schema', '1')
  end
  return { epoch, last, last_epoch }
end

-- KEYS: index list, log, key of version 0. ARGV: after which version, how many events to answer at most, after how many
-- bytes to stop, up to which version ('' for all), and 1 for the latest first. Answers the aggregate's version and entries;
-- an entry that is not in the log is its sequence number alone.
local function load_aggregate(keys, args)
  local version = redis.call('LLEN', keys[1])
  local after, count = tonumber(args[1]), math.min(tonumber(args[2]), EVENTS_MAX)
  local zero = after < 0 and redis.call('GET', keys[3])
  local first = math.max(after + 1, zero and 0 or 1)
  local last = math.min(version, tonumber(args[4]) or version)
  local backwards = args[5] == '1'
  if backwards then
    first = math.max(first, last - count + 1)
  else
    last = math.min(last, first + count - 1)
  end
  local sequences = last >= 1 and redis.call('LRANGE', keys[1], math.max(first, 1) - 1, last - 1) or {}
  if first == 0 and last >= 0 then
    table.insert(sequences, 1, zero)
  end
  local answer, bytes = { version }, 0
  for number = 1, #sequences do
    local sequence = sequences[backwards and #sequences + 1 - number or number]
    local entry = redis.call('XRANGE', keys[2], sequence, sequence)[1]
    if not entry then
      answer[#answer + 1] = tonumber(sequence)
    else
      answer[#answer + 1] = { entry[1], entry[2][2] }
      bytes = bytes + #entry[2][2]
    end
    if bytes >= tonumber(args[3]) then
      break
    end
  end
  return answer
end

redis.register_function('append_many_@VERSION@', append_many)
redis.register_function('open_run_@VERSION@', open_run)
redis.register_function({ function_name = 'load_@VERSION@', callback = load_aggregate, flags = { 'no-writes' } })
