-- look: writes repeats tables numbers
local raw = redis.call('GET', KEYS[1])
if not raw then return nil end
local doc = cjson.decode(raw)
doc.status = ARGV[1]
doc['attempts'] = (doc['attempts'] or 0) + 1
redis.call('SET', KEYS[1], cjson.encode(doc))
return doc.attempts
