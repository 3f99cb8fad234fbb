package instance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tandem/router"
)

// Facts is what a server says of itself. What a provider leaves out of INFO is empty or 0.
type Facts struct {
	// Server is the product and version that effects are written for.
	Server router.Server
	// Version is the same for people: "redis 7.0.15", "valkey 8.1.1".
	Version string
	// RunID changes with every start of the server process.
	RunID string
	// Mode is standalone, cluster or sentinel.
	Mode string
	// ReplicationRole is master or slave, as servers call it.
	ReplicationRole string
	// MasterAddr is whom a slave replicates, host:port as the slave was told; empty on a master.
	MasterAddr string
	// MasterLinkDown: it is a slave that is not in touch with its master, or is just loading the master's data.
	MasterLinkDown bool
	// ReplicationID is the same on a master and its replicas (master_replid).
	ReplicationID string
	// FormerReplicationID is what ReplicationID was before the server was last made a master (master_replid2); empty if it
	// never was.
	FormerReplicationID string
	// Databases is how many can be selected: 0 to Databases-1.
	Databases int
	// UsedMemory and MaxMemory are bytes; MaxMemory 0 means no limit.
	UsedMemory, MaxMemory int64
	// MaxMemoryPolicy is what the server evicts by: noeviction, allkeys-lru, ...
	MaxMemoryPolicy string
	// Expired and Evicted count the keys, and fields of hashes, that the server has let expire, and the keys that it has
	// evicted, since it was started.
	Expired, Evicted int64
	// Keys has the number of keys of each database that has any, expired ones that still stand included.
	Keys map[int]int64
	// ExpiringFields is how many hashes have fields that expire.
	ExpiringFields int64
	// ClockOffset is the server's clock minus ours, give or take ClockError.
	ClockOffset, ClockError time.Duration
}

// KeysTotal is the number of keys of all databases.
func (f *Facts) KeysTotal() int64 {
	var n int64
	for _, keys := range f.Keys {
		n += keys
	}
	return n
}

// HighestDB is the highest database that has keys, -1 if none has.
func (f *Facts) HighestDB() int {
	highest := -1
	for db := range f.Keys {
		highest = max(highest, db)
	}
	return highest
}

// Facts asks the server, on a connection of its own: INFO, CONFIG GET databases (or SELECT where CONFIG is
// refused) and TIME. A refused INFO is ErrCommandRefused.
func (i *Instance) Facts(ctx context.Context) (Facts, error) {
	c, err := i.Conn(ctx, controlName, 0)
	if err != nil {
		return Facts{}, err
	}
	defer c.Close()
	v, err := c.Do(ctx, "INFO")
	if err != nil {
		return Facts{}, err
	}
	f, hasKeyspace, err := parseInfo(string(v.Str))
	if err != nil {
		return Facts{}, fmt.Errorf("%s: INFO: %w", i, err)
	}
	if f.Databases, err = c.databases(ctx, f.Mode); err != nil {
		return Facts{}, err
	}
	if !hasKeyspace {
		if f.Keys, err = c.countKeys(ctx, f.Databases); err != nil {
			return Facts{}, err
		}
	}
	if f.ClockOffset, f.ClockError, err = c.clock(ctx); err != nil {
		return Facts{}, err
	}
	return f, nil
}

// parseInfo reads INFO. hasKeyspace tells an empty keyspace section from a missing one.
func parseInfo(text string) (f Facts, hasKeyspace bool, err error) {
	f = Facts{Mode: "standalone", ReplicationRole: "master", Keys: map[int]int64{}}
	if f.Server, err = router.ParseServer(text); err != nil {
		return f, false, err
	}
	f.Version = f.Server.String()
	number := func(s string) int64 {
		n, _ := strconv.ParseInt(s, 10, 64) // a field that is no number is as good as missing
		return max(n, 0)
	}
	var masterHost, masterPort string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "# Keyspace" {
			hasKeyspace = true
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		switch key {
		case "run_id":
			f.RunID = value
		case "redis_mode", "server_mode":
			f.Mode = value
		case "cluster_enabled":
			if value == "1" {
				f.Mode = "cluster"
			}
		case "role":
			f.ReplicationRole = value
		case "master_host":
			masterHost = value
		case "master_port":
			masterPort = value
		case "master_link_status":
			f.MasterLinkDown = f.MasterLinkDown || value != "up"
		case "master_sync_in_progress":
			f.MasterLinkDown = f.MasterLinkDown || value == "1"
		case "master_replid":
			f.ReplicationID = value
		case "master_replid2":
			f.FormerReplicationID = strings.Trim(value, "0")
		case "used_memory":
			f.UsedMemory = number(value)
		case "maxmemory":
			f.MaxMemory = number(value)
		case "expired_keys", "expired_subkeys", "expired_fields": // of hashes: the later two, Redis' and Valkey's
			f.Expired += number(value)
		case "evicted_keys":
			f.Evicted = number(value)
		case "maxmemory_policy":
			f.MaxMemoryPolicy = value
		default:
			if db, keys, ok := parseKeyspace(key, value); ok {
				f.Keys[db] = keys
				f.ExpiringFields += parseExpiringFields(value)
			}
		}
	}
	if masterHost != "" {
		f.MasterAddr = masterHost + ":" + masterPort
	}
	return f, hasKeyspace, nil
}

// maxKeys is more than any database has; the sum of all is still a number.
const maxKeys = 1 << 40

// parseKeyspace reads "db0:keys=5,expires=1,avg_ttl=0".
func parseKeyspace(key, value string) (db int, keys int64, ok bool) {
	number, ok := strings.CutPrefix(key, "db")
	if !ok {
		return 0, 0, false
	}
	db, err := strconv.Atoi(number)
	if err != nil || db < 0 {
		return 0, 0, false
	}
	for field := range strings.SplitSeq(value, ",") {
		if n, ok := strings.CutPrefix(field, "keys="); ok {
			keys, err = strconv.ParseInt(n, 10, 64)
			return db, keys, err == nil && keys >= 0 && keys <= maxKeys
		}
	}
	return 0, 0, false
}

// parseExpiringFields reads how many of a database's hashes have fields that expire: subexpiry=1 in Redis,
// keys_with_volatile_items=1 in Valkey.
func parseExpiringFields(value string) int64 {
	for field := range strings.SplitSeq(value, ",") {
		name, number, _ := strings.Cut(field, "=")
		if name == "subexpiry" || name == "keys_with_volatile_items" {
			if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= maxKeys {
				return n
			}
		}
	}
	return 0
}

// maxDatabases bounds the probing for the number of databases. Providers offer up to 16,384 at most.
const maxDatabases = 16384

// databases is how many databases can be selected. CONFIG GET is exact where it is allowed; elsewhere SELECT
// is tried, which every server answers by the same rule. The connection is left in database 0.
func (c *Conn) databases(ctx context.Context, mode string) (int, error) {
	if mode == "cluster" {
		return 1, nil
	}
	v, err := c.Do(ctx, "CONFIG", "GET", "databases")
	if err == nil && len(v.Elems) == 2 {
		if n, err := strconv.Atoi(string(v.Elems[1].Str)); err == nil && n > 0 {
			return n, nil
		}
	}
	var refused *ReplyError
	if err != nil && !errors.As(err, &refused) {
		return 0, err
	}
	n, err := firstRefused(maxDatabases, func(db int) (bool, error) {
		_, err := c.Do(ctx, "SELECT", strconv.Itoa(db))
		if errors.As(err, &refused) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return 0, fmt.Errorf("count databases: %w", err)
	}
	if n > 1 {
		_, err = c.Do(ctx, "SELECT", "0")
	}
	return n, err
}

// firstRefused finds the lowest n from 1 to limit for which ok(n) is false, limit if there is none, when ok
// holds for all numbers below some bound and for none above it: by doubling, then by halves.
func firstRefused(limit int, ok func(n int) (bool, error)) (int, error) {
	good, bad := 0, 1 // database 0 is always there
	for bad < limit {
		yes, err := ok(bad)
		if err != nil {
			return 0, err
		}
		if !yes {
			break
		}
		good, bad = bad, bad*2
	}
	bad = min(bad, limit)
	for bad-good > 1 {
		middle := (good + bad) / 2
		yes, err := ok(middle)
		if err != nil {
			return 0, err
		}
		if yes {
			good = middle
		} else {
			bad = middle
		}
	}
	return bad, nil
}

// countKeys asks DBSIZE of every database, for servers whose INFO has no keyspace section. The connection is
// left in database 0.
func (c *Conn) countKeys(ctx context.Context, databases int) (map[int]int64, error) {
	keys := map[int]int64{}
	for db := range databases {
		if databases > 1 {
			if _, err := c.Do(ctx, "SELECT", strconv.Itoa(db)); err != nil {
				return nil, err
			}
		}
		v, err := c.Do(ctx, "DBSIZE")
		if err != nil {
			return nil, err
		}
		if v.Int > 0 {
			keys[db] = v.Int
		}
	}
	if databases > 1 {
		if _, err := c.Do(ctx, "SELECT", "0"); err != nil {
			return nil, err
		}
	}
	return keys, nil
}
