package ledger

import "strings"

// The simulated servers of the interleaving test. A value is the list of the tokens of all writes that made
// it, so that two servers with equal values have executed the same writes in the same order.

// keyID is a simulated key: database*keysPerDB + name.
type keyID int

const (
	keysPerDB = 4
	simDBs    = 2
	maxKeys   = keysPerDB * simDBs
)

func (k keyID) db() int      { return int(k) / keysPerDB }
func (k keyID) name() string { return "key-" + string(rune('a'+int(k)%keysPerDB)) }

// hash puts two keys of each database into each of two stripes; a name is in different stripes in
// different databases.
func (k keyID) hash() Hash {
	return Hash{Lo: uint64(int(k)%keysPerDB/2^k.db()) | uint64(k+1)<<20, Hi: uint64(k+1) * 0x9e3779b97f4a7c15}
}

// cmdKind is what a simulated command does.
type cmdKind uint8

const (
	cmdSet     cmdKind = iota // SET
	cmdSetX                   // SET PX, its effect SET PXAT
	cmdSetKeep                // SET KEEPTTL
	cmdNX                     // SETNX, its effect SET
	cmdDel                    // DEL
	cmdApp                    // RPUSH: its reply does not tell the value apart
	cmdPop                    // LPOP
	cmdPEx                    // PEXPIRE, its effect PEXPIREAT
	cmdRen                    // RENAME w[0] w[1]
	cmdUni                    // SUNIONSTORE w[0] r[0] r[1]
	cmdMSet                   // MSET w[0] w[1]
	cmdOpaque                 // a write with no deterministic effect, such as a script's
	cmdFlush                  // FLUSHDB of each of dbs
	cmdSwap                   // SWAPDB dbs[0] dbs[1]
	cmdTx                     // MULTI: some of those above that have one key
	cmdFlushTx                // MULTI: a flush, and one that has a key
	cmdSwapTx                 // MULTI: a swap, and one that has a key
	cmdScript                 // a script whose keys cannot be told
	cmdMove                   // a blocked BLPOP w[0], or BLMOVE w[0] w[1], that is served
	cmdHidden                 // a script that writes a key that it does not declare
	cmdReplay                 // a script that writes what it declares, and is replayed
	cmdAny                    // a script that writes a key that it does not declare too, and is replayed alone
	cmdLoad                   // FUNCTION LOAD: it belongs to no key
	cmdLoadTx                 // MULTI: a load, and one that has a key
)

// command is one command as a server executes it.
type command struct {
	kind  cmdKind
	w, r  []keyID
	dbs   []int
	token string
	fails bool // the server answers with an error
	// hidden: nobody is told of its key.
	hidden bool
	exp    int // ms from now for a client's, absolute for an effect's
}

// entry is a key's value and when it expires (0: never).
type entry struct {
	val string
	exp int
}

// missing is the value of a key that does not exist.
const missing = ""

// server is one instance.
type server [maxKeys]entry

// expire removes what has expired; a server does so for the keys of a command before it executes it.
func (s *server) expire(k keyID, now int) {
	if s[k].exp != 0 && now >= s[k].exp {
		s[k] = entry{}
	}
}

// live returns a key's entry as a command executed now would see it.
func (s *server) live(k keyID, now int) entry {
	s.expire(k, now)
	return s[k]
}

// apply executes c, whose expiries are absolute. It returns the reply and whether something changed.
func (s *server) apply(now int, c *command) (reply string, changed bool) {
	for _, k := range c.w {
		s.expire(k, now)
	}
	for _, k := range c.r {
		s.expire(k, now)
	}
	if c.fails {
		return "an error", false
	}
	switch c.kind {
	case cmdFlush:
		for _, db := range c.dbs {
			clear(s[db*keysPerDB : (db+1)*keysPerDB])
		}
		return "ok", true
	case cmdSwap:
		for i := range keysPerDB {
			a, b := c.dbs[0]*keysPerDB+i, c.dbs[1]*keysPerDB+i
			s[a], s[b] = s[b], s[a]
		}
		return "ok", true
	case cmdLoad:
		return "ok", true // what it does is not in here
	case cmdMSet:
		for _, k := range c.w {
			s[k] = entry{val: c.token}
		}
		return "ok", true
	}
	e := &s[c.w[0]]
	switch c.kind {
	case cmdSet:
		*e = entry{val: c.token}
	case cmdSetX:
		*e = entry{val: c.token, exp: c.exp}
	case cmdSetKeep:
		e.val = c.token
	case cmdNX:
		if e.val != missing {
			return "0", false
		}
		*e = entry{val: c.token}
		return "1", true
	case cmdDel:
		if e.val == missing {
			return "0", false
		}
		*e = entry{}
		return "1", true
	case cmdApp, cmdOpaque, cmdReplay:
		e.val = join(e.val, c.token)
	case cmdPop:
		first, rest, _ := strings.Cut(e.val, ",")
		if e.val = rest; rest == missing {
			*e = entry{}
		}
		return first, first != missing
	case cmdMove:
		first, rest, _ := strings.Cut(e.val, ",")
		if first == missing {
			return "", false
		}
		if e.val = rest; rest == missing {
			*e = entry{}
		}
		if len(c.w) > 1 {
			to := &s[c.w[1]]
			to.val = join(to.val, first)
		}
		return first, true
	case cmdPEx:
		if e.val == missing {
			return "0", false
		}
		e.exp = c.exp
		return "1", true
	case cmdRen:
		if e.val == missing {
			return "no such key", false
		}
		s[c.w[1]], *e = *e, entry{}
	case cmdUni:
		*e = entry{val: join(s[c.r[0]].val, s[c.r[1]].val)}
	}
	return "ok", true
}

func join(a, b string) string {
	if a == missing || b == missing {
		return a + b
	}
	return a + "," + b
}
