package script

import "strings"

// command is what there is to know of a command that a script calls.
type command struct {
	write bool
	// args has a letter for each argument, see commandLines; from the last cycle letters on it repeats.
	args  string
	cycle int
	reply kind
	// open: what it does or answers is not determined by the keys and arguments.
	open bool
	// scores: its reply has numbers in a text that depends on the server's version.
	scores bool
	// pops: its reply is a text, or a table of them if more than the key is given.
	pops bool
	// heard: what it answers is not determined, but what it does is no data.
	heard bool
	// timed: it gives a key a time to live at an absolute time, or that of another key.
	timed bool
	// words are the options that may stand at an 'o', which do not depend on the clock.
	words []string
}

// commandLines lists the commands that are understood: "r" or "w" for whether they write; a letter for each
// argument; the kind of the reply, or "open" where the reply or the effect is not determined (random members,
// the order in which a hash table has its members, clocks, floats of more digits than a double has), "heard"
// where that is so of the reply alone, "timed" where a time to live comes from elsewhere, "scores" where the text of a double is in it; and option words. The
// letters:
//
//	k  a key
//	t  a text that is stored, or compared with what is stored
//	n  a number, or a text that is read as one
//	e  a time to live
//	o  an option
//	O  options, as many as there are
//	N  the number of keys, and the keys
//	*2 the last two letters repeat, and so on
//
// A command that is not here may do anything. So can one of its newer options: all that can name a key or tell
// another thing to store are here.
const commandLines = `
GET          r  k       text
GETRANGE     r  knn     text
SUBSTR       r  knn     text
STRLEN       r  k       number
GETBIT       r  kn      number
BITCOUNT     r  ko*1    number  BYTE BIT
BITPOS       r  kno*1   number  BYTE BIT
MGET         r  k*1     texts
EXISTS       r  k*1     number
TYPE         r  k       anything
HGET         r  kt      text
HMGET        r  kt*1    texts
HEXISTS      r  kt      number
HLEN         r  k       number
HSTRLEN      r  kt      number
LLEN         r  k       number
LINDEX       r  kn      text
LRANGE       r  knn     texts
LPOS         r  kto*1   anything  RANK COUNT MAXLEN
SCARD        r  k       number
SISMEMBER    r  kt      number
SMISMEMBER   r  kt*1    anything
ZCARD        r  k       number
ZSCORE       r  kt      scores
ZMSCORE      r  kt*1    scores
ZRANK        r  kt      anything
ZREVRANK     r  kt      anything
ZCOUNT       r  knn     number
ZLEXCOUNT    r  ktt     number
ZRANGE       r  knno*1  members  REV LIMIT BYSCORE
ZREVRANGE    r  knno*1  members
ZRANGEBYSCORE    r  knno*1  members  LIMIT
ZREVRANGEBYSCORE r  knno*1  members  LIMIT
ZRANGEBYLEX      r  ktto*1  texts    LIMIT
ZREVRANGEBYLEX   r  ktto*1  texts    LIMIT
XLEN         r  k       number
XRANGE       r  ktto*1  anything  COUNT
XREVRANGE    r  ktto*1  anything  COUNT
PFCOUNT      w  k*1     number
PING         r  t*1     anything
ECHO         r  t       text

SMEMBERS     r  k       open
SRANDMEMBER  r  kn*1    open
SSCAN        r  kt*1    open
SINTER       r  k*1     open
SUNION       r  k*1     open
SDIFF        r  k*1     open
HGETALL      r  k       open
HKEYS        r  k       open
HVALS        r  k       open
HRANDFIELD   r  kn*1    open
HSCAN        r  kt*1    open
ZRANDMEMBER  r  kn*1    open
ZSCAN        r  kt*1    open
RANDOMKEY    r  -       open
DBSIZE       r  -       open
TIME         r  -       open
TTL          r  k       open
PTTL         r  k       open
EXPIRETIME   r  k       open
PEXPIRETIME  r  k       open
LASTSAVE     r  -       open
INFO         r  t*1     open
PUBLISH      r  tt      heard
SPUBLISH     r  tt      heard

SET          w  kto*1   anything  NX XX GET KEEPTTL EXAT PXAT
SETNX        w  kt      number
SETEX        w  ket     anything
PSETEX       w  ket     anything
GETSET       w  kt      text
GETDEL       w  k       text
APPEND       w  kt      number
SETRANGE     w  knt     number
SETBIT       w  knn     number
MSET         w  kt*2    anything
MSETNX       w  kt*2    number
INCR         w  k       number
DECR         w  k       number
INCRBY       w  kn      number
DECRBY       w  kn      number
INCRBYFLOAT  w  kn      open
DEL          w  k*1     number
UNLINK       w  k*1     number
RENAME       w  kk      timed
RENAMENX     w  kk      timed
PERSIST      w  k       number
EXPIRE       w  keo*1   number  NX XX GT LT
PEXPIRE      w  keo*1   number  NX XX GT LT
EXPIREAT     w  kno*1   timed   NX XX GT LT
PEXPIREAT    w  kno*1   timed   NX XX GT LT
HSET         w  ktt*2   number
HMSET        w  ktt*2   anything
HSETNX       w  ktt     number
HDEL         w  kt*1    number
HINCRBY      w  ktn     number
HINCRBYFLOAT w  ktn     open
LPUSH        w  kt*1    number
RPUSH        w  kt*1    number
LPUSHX       w  kt*1    number
RPUSHX       w  kt*1    number
LPOP         w  kn      pop
RPOP         w  kn      pop
LSET         w  knt     anything
LINSERT      w  kott    number  BEFORE AFTER
LREM         w  knt     number
LTRIM        w  knn     anything
RPOPLPUSH    w  kk      text
LMOVE        w  kkoo    text    LEFT RIGHT
LMPOP        w  Noo     anything LEFT RIGHT COUNT
SADD         w  kt*1    number
SREM         w  kt*1    number
SMOVE        w  kkt     number
SPOP         w  kn      open
SINTERSTORE  w  kk*1    number
SUNIONSTORE  w  kk*1    number
SDIFFSTORE   w  kk*1    number
ZADD         w  kOnt*2  scores  NX XX GT LT CH INCR
ZINCRBY      w  knt     scores
ZREM         w  kt*1    number
ZPOPMIN      w  kn      scores
ZPOPMAX      w  kn      scores
ZREMRANGEBYRANK  w  knn  number
ZREMRANGEBYSCORE w  knn  number
ZREMRANGEBYLEX   w  ktt  number
ZUNIONSTORE  w  kNo*1   number  WEIGHTS AGGREGATE SUM MIN MAX
ZINTERSTORE  w  kNo*1   number  WEIGHTS AGGREGATE SUM MIN MAX
PFADD        w  kt*1    number
PFMERGE      w  kk*1    anything
XADD         w  kttt*1  open
XDEL         w  kt*1    number
XACK         w  ktt*1   number
`

var commands = parseCommands(commandLines)

func parseCommands(lines string) map[string]*command {
	all := map[string]*command{}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		c := &command{write: f[1] == "w", words: f[4:], reply: anything}
		c.args, _, _ = strings.Cut(strings.Trim(f[2], "-"), "*")
		if _, cycle, ok := strings.Cut(f[2], "*"); ok {
			c.cycle = int(cycle[0] - '0')
		}
		switch f[3] {
		case "text":
			c.reply = text
		case "number":
			c.reply = number
		case "texts":
			c.reply = texts
		case "members": // texts, unless their scores are asked for
			c.reply, c.scores = texts, true
		case "scores":
			c.reply, c.scores = anything, true
		case "pop":
			c.pops = true
		case "heard":
			c.heard = true
		case "open":
			c.open = true
		case "timed":
			c.timed = true
		}
		all[f[0]] = c
	}
	return all
}

// letter is what the i-th argument is, 0 when there can be none.
func (c *command) letter(i int) byte {
	switch {
	case i < len(c.args):
		return c.args[i]
	case c.cycle == 0:
		return 0
	}
	return c.args[len(c.args)-c.cycle+(i-len(c.args))%c.cycle]
}

// takes reports whether a word is one of the command's options that do not depend on the clock.
func (c *command) takes(word string) bool {
	for _, w := range c.words {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}
