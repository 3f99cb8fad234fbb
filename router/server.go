package router

import (
	"fmt"
	"strconv"
	"strings"
)

// Server says what a server is, for the forms of commands that it knows. Its zero value knows only what
// every supported server does.
type Server struct {
	// Valkey is true for Valkey 7.2 and later, false for Redis and what calls itself so.
	Valkey bool
	// Version is major*10000 + minor*100 + patch: 70015 is 7.0.15.
	Version int
}

// release is a pair of versions, in Server's form, at which something appeared. The zero value is always
// there; never, for one of the two, that it is not in any version.
type release struct{ redis, valkey int }

const never = 1 << 30

// in reports whether a server has what appeared with the release.
func (r release) in(s Server) bool {
	if s.Valkey {
		return s.Version >= r.valkey
	}
	return s.Version >= r.redis
}

// What appeared when. Valkey began as Redis 7.2.4 and has everything of before.
var (
	redis60 = release{redis: 60000}
	redis62 = release{redis: 60200}
	redis70 = release{redis: 70000}
	redis72 = release{redis: 70200}
	// hashes whose fields may expire
	fieldTTLs = release{redis: 70400, valkey: 90000}
	hsetex    = release{redis: 80000, valkey: 90000}
	hgetdel   = release{redis: 80000, valkey: 90100}
	delifeq   = release{redis: never, valkey: 90000}
	// 8.2: BITOP's new operators, and what becomes of a stream entry's references when it is deleted
	redis82 = release{redis: 80200, valkey: never}
	redis84 = release{redis: 80400, valkey: never}
	msetex  = release{redis: 80400, valkey: 90100}
	redis86 = release{redis: 80600, valkey: never}
	redis88 = release{redis: 80800, valkey: never}
)

// HasKeepTTL: SET with KEEPTTL (6.0).
func (s Server) HasKeepTTL() bool { return redis60.in(s) }

// HasPXAT: SET with PXAT, and GETEX, GETDEL, COPY, LMOVE, and pops with a count (6.2).
func (s Server) HasPXAT() bool { return redis62.in(s) }

// HasPExpireTime: PEXPIRETIME, the exact expiry of a key (7.0).
func (s Server) HasPExpireTime() bool { return redis70.in(s) }

// HasEmptyConsumers: a stream's consumer comes into being by the first command that names it, even if there
// was nothing for it (7.2).
func (s Server) HasEmptyConsumers() bool { return redis72.in(s) }

// DefersMessages: what a client hears of what it does itself in a transaction comes behind EXEC's reply, and not in
// between its elements (7.2).
func (s Server) DefersMessages() bool { return redis72.in(s) }

// HasSetInfo: CLIENT SETINFO (7.2).
func (s Server) HasSetInfo() bool { return redis72.in(s) }

// HasHashFieldTTL: HPEXPIREAT and its family (Redis 7.4, Valkey 9.0).
func (s Server) HasHashFieldTTL() bool { return fieldTTLs.in(s) }

// HasHSETEX: HSETEX and HGETEX (Redis 8.0, Valkey 9.0).
func (s Server) HasHSETEX() bool { return hsetex.in(s) }

// HasMSETEX: MSETEX (Redis 8.4, Valkey 9.1).
func (s Server) HasMSETEX() bool { return msetex.in(s) }

// String is "redis 7.0.15" or "valkey 9.1.2".
func (s Server) String() string {
	name := "redis"
	if s.Valkey {
		name = "valkey"
	}
	return fmt.Sprintf("%s %d.%d.%d", name, s.Version/10000, s.Version/100%100, s.Version%100)
}

// ParseServer reads the text of INFO server. It fails when the text has no version.
func ParseServer(info string) (Server, error) {
	var s Server
	var redis, valkey string
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		switch name {
		case "redis_version":
			redis = value
		case "valkey_version":
			valkey = value
		}
	}
	text := redis
	if valkey != "" {
		s.Valkey, text = true, valkey
	}
	version, err := parseVersion(text)
	if err != nil {
		return Server{}, fmt.Errorf("INFO server: %w", err)
	}
	s.Version = version
	return s, nil
}

// parseVersion reads "7.0.15"; what is missing is 0, and a suffix such as "-rc1" is cut off. Development
// versions call themselves 255.255.255.
func parseVersion(text string) (int, error) {
	number, _, _ := strings.Cut(text, "-")
	parts := strings.SplitN(number, ".", 4)
	version := 0
	for i := range 3 {
		n := 0
		if i < len(parts) {
			var err error
			if n, err = strconv.Atoi(parts[i]); err != nil || n < 0 || n > 9999 {
				return 0, fmt.Errorf("no version in %q", text)
			}
		}
		if i > 0 {
			n = min(n, 99)
		}
		version = version*100 + n
	}
	return version, nil
}
