package chaos

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tandem/internal/redisd"
	"tandem/test/wire"
)

// What a server does to its clients in need, and what a disk does to the program. Each gets back what it needs before the
// fault ends, and a server that is killed afterwards starts without it.

// pressures are these faults, twice each. Servers before 6.2 do not tell what they refuse.
func (w *world) pressures() (cards []card) {
	for range 2 {
		for _, s := range []struct {
			name   string
			victim *serverVictim
		}{{"source", w.onSource}, {"target", w.onTarget}} {
			cards = append(cards, card{"connections ended by the " + s.name, "connections", func(r *rand.Rand) (int64, error) {
				return s.victim.disconnect(1 + r.IntN(8))
			}})
			if w.older.AtLeast(6, 2, 7, 0) {
				cards = append(cards, card{"no memory, " + s.name, "refusals", func(r *rand.Rand) (int64, error) {
					return s.victim.starve(time.Duration(100+r.IntN(1400)) * time.Millisecond)
				}})
			}
			cards = append(cards, card{"no room for answers, " + s.name, "connections", func(r *rand.Rand) (int64, error) {
				return s.victim.choke(time.Duration(400+r.IntN(800)) * time.Millisecond)
			}})
		}
		if w.toTarget == nil { // with clients on both servers there are no plans to write down
			cards = append(cards, card{"full disk, proxy", "looks", func(r *rand.Rand) (int64, error) {
				return w.proxy.fillDisk(time.Duration(500+r.IntN(3000)) * time.Millisecond)
			}})
		}
	}
	return cards
}

// whileSet changes a parameter of a server for a time. hits is by how much count has grown meanwhile.
func whileSet(s *redisd.Server, parameter, value string, d time.Duration, count func(*wire.Conn) (int64, error)) (hits int64, err error) {
	conn, err := wire.Dial(s.Addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	kept, err := conn.Do("CONFIG", "GET", parameter)
	if err != nil || len(kept.Elems) != 2 {
		return 0, fmt.Errorf("CONFIG GET %s: %s %w", parameter, kept, err)
	}
	before, err := count(conn)
	if err != nil {
		return 0, err
	}
	if _, err := conn.Do("CONFIG", "SET", parameter, value); err != nil {
		return 0, fmt.Errorf("CONFIG SET %s: %w", parameter, err)
	}
	<-time.After(d)
	if _, err := conn.Do("CONFIG", "SET", parameter, kept.Elems[1].Str); err != nil {
		return 0, fmt.Errorf("CONFIG SET %s: %w", parameter, err)
	}
	after, err := count(conn)
	return after - before, err
}

// outOfMemory is how often a server has refused a command for want of memory.
func outOfMemory(conn *wire.Conn) (n int64, err error) {
	info, err := conn.Do("INFO", "errorstats")
	if err != nil {
		return 0, fmt.Errorf("INFO: %w", err)
	}
	for line := range strings.Lines(info.Str) {
		if text, ok := strings.CutPrefix(line, "errorstat_OOM:count="); ok {
			return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		}
	}
	return 0, nil
}

// starve leaves the server no memory: what needs some is refused. It returns how often that was so.
func (v *serverVictim) starve(d time.Duration) (refused int64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return whileSet(v.server, "maxmemory", "1", d, outOfMemory)
}

// choke leaves each client so little of the server's memory for its answers that large ones end its connection. It returns how many
// were ended.
func (v *serverVictim) choke(d time.Duration) (ended int64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return whileSet(v.server, "client-output-buffer-limit", "normal 1024 0 0 pubsub 1024 0 0", d, func(*wire.Conn) (int64, error) {
		return int64(strings.Count(v.server.Log(), "overcoming of output buffer limits")), nil
	})
}

// disconnect has the server end the connections of all its clients, some times.
func (v *serverVictim) disconnect(times int) (ended int64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	conn, err := wire.Dial(v.server.Addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	for range times {
		for _, kind := range []string{"normal", "pubsub"} {
			reply, err := conn.Do("CLIENT", "KILL", "TYPE", kind)
			if err != nil {
				return ended, fmt.Errorf("CLIENT KILL: %w", err)
			}
			ended += reply.Int
		}
		<-time.After(20 * time.Millisecond)
	}
	return ended, nil
}

// fillDisk makes every write of the program to a file fail for a time, as on a full disk. It returns how often it was
// seen to say so.
func (v *proxyVictim) fillDisk(d time.Duration) (said int64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	limit := func(n uint64) error {
		return unix.Prlimit(v.td.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: unix.RLIM_INFINITY}, nil)
	}
	if err := limit(0); err != nil {
		return 0, fmt.Errorf("limit the size of files: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); time.Since(since) < d; <-tick.C {
		// What it may have nothing to write down otherwise.
		v.td.TryPlan(time.Now().Add(time.Hour))
		if s, err := v.td.TryStatus(); err == nil && s.Blocked("state_unwritable") {
			said++
		}
	}
	return said, limit(unix.RLIM_INFINITY)
}
