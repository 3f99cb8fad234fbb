package keyspace

import (
	"fmt"
	"strconv"
	"time"

	"tandem/test/wire"
)

// pair is a connection to each side, both in the same database.
type pair [2]*side

// side is one of them, and what its server can be asked.
type side struct {
	*wire.Conn
	server wire.Server
	db     int
}

func dialPair(addrs [2]string) (pair, error) {
	var p pair
	for i, addr := range addrs {
		conn, err := wire.Dial(addr)
		if err != nil {
			p.close()
			return p, err
		}
		p[i] = &side{Conn: conn}
		if p[i].server, err = conn.Server(); err != nil {
			p.close()
			return p, err
		}
	}
	return p, nil
}

func (p pair) conns() [2]*wire.Conn { return [2]*wire.Conn{p[0].Conn, p[1].Conn} }

func (p pair) close() {
	for _, s := range p {
		if s != nil {
			s.Close()
		}
	}
}

func (p pair) selectDB(db int) error {
	for _, s := range p {
		if s.db == db {
			continue
		}
		if _, err := s.Do("SELECT", strconv.Itoa(db)); err != nil {
			return fmt.Errorf("%s: SELECT %d: %w", s.Addr, db, err)
		}
		s.db = db
	}
	return nil
}

// head is what is asked of every key: when it expires, and a digest of its DUMP.
type head struct {
	expires int64 // Unix ms; -1 never, -2 the key is missing
	dump    wire.Digest
}

func (h head) missing() bool { return h.expires == -2 || h.dump.Null }

func (h head) when() string {
	if h.expires < 0 {
		return "never"
	}
	return time.UnixMilli(h.expires).UTC().Format("15:04:05.000")
}

func (h head) String() string {
	return fmt.Sprintf("DUMP of %d bytes, expires %s", h.dump.Len, h.when())
}

// dumpTail is the end of a DUMP that says nothing of the value: 2 bytes of RDB version and 8 of checksum.
const dumpTail = 10

// heads asks both sides about keys, in one round trip.
func (p pair) heads(keys []string) (h [2][]head, err error) {
	for _, s := range p {
		ask := "PTTL"
		if s.server.HasPExpireTime() {
			ask = "PEXPIRETIME"
		}
		for _, key := range keys {
			s.Send(ask, key)
			s.Send("DUMP", key)
		}
		if err := s.Flush(); err != nil {
			return h, err
		}
	}
	for i, s := range p {
		h[i] = make([]head, len(keys))
		for k := range keys {
			ttl, err := s.Receive()
			if err != nil {
				return h, err
			}
			if ttl.IsErr() {
				return h, fmt.Errorf("%s: expiry of %q: %s", s.Addr, keys[k], ttl.Str)
			}
			d, err := s.ReceiveDigest(dumpTail)
			if err != nil {
				return h, err
			}
			if d.Err != "" {
				return h, fmt.Errorf("%s: DUMP %q: %s", s.Addr, keys[k], d.Err)
			}
			expires := ttl.Int
			if expires >= 0 && !s.server.HasPExpireTime() {
				expires += time.Now().UnixMilli()
			}
			h[i][k] = head{expires, d}
		}
	}
	return h, nil
}

// near reports whether two points in time (Unix ms, negative for none) are the same within a tolerance.
func near(a, b int64, tolerance time.Duration) bool {
	if a < 0 || b < 0 {
		return a == b
	}
	return max(a-b, b-a) <= tolerance.Milliseconds()
}
