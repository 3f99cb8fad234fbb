package wire

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Server is what a server says it is.
type Server struct {
	// Valkey is false for Redis.
	Valkey bool
	// Major and Minor are the product's own version.
	Major, Minor int
}

// AtLeast reports whether the server is of this Redis version or later, Valkey's being given beside it;
// a major version of 0 means that this product never has it.
func (s Server) AtLeast(redisMajor, redisMinor, valkeyMajor, valkeyMinor int) bool {
	major, minor := redisMajor, redisMinor
	if s.Valkey {
		major, minor = valkeyMajor, valkeyMinor
	}
	return major != 0 && (s.Major > major || s.Major == major && s.Minor >= minor)
}

// HasPExpireTime: PEXPIRETIME and the like.
func (s Server) HasPExpireTime() bool { return s.AtLeast(7, 0, 7, 0) }

// HasFieldTTL: expiry of single hash fields.
func (s Server) HasFieldTTL() bool { return s.AtLeast(7, 4, 9, 0) }

// HasGetDel: GETDEL, SET ... GET, COPY, LMOVE and the other commands of 6.2.
func (s Server) HasGetDel() bool { return s.AtLeast(6, 2, 7, 0) }

// Server asks what is at the other end.
func (c *Conn) Server() (Server, error) {
	info, err := c.Do("INFO", "server")
	if err != nil {
		return Server{}, fmt.Errorf("INFO server of %s: %w", c.Addr, err)
	}
	var s Server
	version := infoField(info.Str, "redis_version")
	if v := infoField(info.Str, "valkey_version"); v != "" {
		s.Valkey, version = true, v
	}
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return s, fmt.Errorf("%s: no version in INFO: %q", c.Addr, version)
	}
	if s.Major, err = strconv.Atoi(parts[0]); err != nil {
		return s, fmt.Errorf("%s: version %q: %w", c.Addr, version, err)
	}
	if s.Minor, err = strconv.Atoi(parts[1]); err != nil {
		return s, fmt.Errorf("%s: version %q: %w", c.Addr, version, err)
	}
	return s, nil
}

// DBs lists the databases that hold keys, with how many.
func (c *Conn) DBs() (map[int]int, error) {
	info, err := c.Do("INFO", "keyspace")
	if err != nil {
		return nil, fmt.Errorf("INFO keyspace of %s: %w", c.Addr, err)
	}
	dbs := map[int]int{}
	for _, line := range strings.Split(info.Str, "\r\n") {
		var db, keys int
		if n, _ := fmt.Sscanf(line, "db%d:keys=%d,", &db, &keys); n == 2 {
			dbs[db] = keys
		}
	}
	return dbs, nil
}

// SortedDBs are the databases of several answers of DBs, in order.
func SortedDBs(of ...map[int]int) []int {
	seen := map[int]bool{}
	var dbs []int
	for _, m := range of {
		for db := range m {
			if !seen[db] {
				seen[db] = true
				dbs = append(dbs, db)
			}
		}
	}
	sort.Ints(dbs)
	return dbs
}

func infoField(info, name string) string {
	for _, line := range strings.Split(info, "\r\n") {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return v
		}
	}
	return ""
}
