-- look: writes repeats tables numbers
-- seed: SET k1 {"name":"x","data":{"b":1,"a":[1,2]},"attempts":2}
-- run: 1 | done
-- run: 1 | failed
local raw = redis.call('GET', KEYS[1])
if not raw then return nil end
local doc = cjson.decode(raw)
doc.status = ARGV[1]
doc['attempts'] = (doc['attempts'] or 0) + 1
redis.call('SET', KEYS[1], cjson.encode(doc))
return doc.attempts
