package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/backfill"
	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/resp"
)

// keyspace is what a server holds, read key by key: "db/type/key" to a text that is the same for the same
// content, expiry included.
type keyspace map[string]string

// ask sends one command on a connection of the test's own and returns the parsed reply.
func (w *wire) ask(args ...string) resp.Value {
	w.t.Helper()
	w.send(string(resp.AppendCommand(nil, args...)))
	raw := w.raw()
	v, _, err := resp.Parse(raw)
	if err != nil {
		w.t.Fatalf("%v: %q: %v", args, raw, err)
	}
	return v
}

// raw reads one reply as it came.
func (w *wire) raw() []byte {
	w.t.Helper()
	var b []byte
	var f resp.Framer
	for {
		c, err := w.r.ReadByte()
		if err != nil {
			w.t.Fatalf("after %q: %v", b[:min(len(b), 100)], err)
		}
		b = append(b, c)
		if _, done, err := f.Feed(b[len(b)-1:]); err != nil {
			w.t.Fatalf("%q: %v", b, err)
		} else if done {
			return b
		}
	}
}

func texts(v resp.Value) []string {
	out := make([]string, len(v.Elems))
	for i, e := range v.Elems {
		out[i] = string(e.Str)
		if e.Kind == ':' {
			out[i] = strconv.FormatInt(e.Int, 10)
		}
		if len(e.Elems) > 0 {
			out[i] = fmt.Sprint(texts(e))
		}
	}
	return out
}

// readKeyspace reads all keys of the first dbs databases.
func readKeyspace(t testing.TB, addr string, dbs int) keyspace {
	t.Helper()
	w := dial(t, addr)
	defer w.Close()
	k := keyspace{}
	for db := range dbs {
		w.ask("SELECT", strconv.Itoa(db))
		for _, key := range texts(w.ask("KEYS", "*")) {
			kind := string(w.ask("TYPE", key).Str)
			var content []string
			switch kind {
			case "string":
				content = []string{string(w.ask("GET", key).Str)}
			case "list":
				content = texts(w.ask("LRANGE", key, "0", "-1"))
			case "set":
				content = slices.Sorted(slices.Values(texts(w.ask("SMEMBERS", key))))
			case "hash":
				fields := map[string]string{}
				all := texts(w.ask("HGETALL", key))
				for i := 0; i < len(all); i += 2 {
					fields[all[i]] = all[i+1]
				}
				for _, f := range slices.Sorted(maps.Keys(fields)) {
					content = append(content, f, fields[f])
				}
			case "zset":
				content = texts(w.ask("ZRANGE", key, "0", "-1", "WITHSCORES"))
			case "stream":
				content = texts(w.ask("XRANGE", key, "-", "+"))
			case "none":
				continue // expired between KEYS and TYPE
			}
			k[fmt.Sprintf("%d/%s/%s", db, kind, key)] = fmt.Sprintf("%q expires %d", content, w.ask("PEXPIRETIME", key).Int)
		}
	}
	return k
}

// same fails the test if the two servers do not hold the same.
func (h *house) same() {
	h.t.Helper()
	source, target := readKeyspace(h.t, h.source.Addr, 16), readKeyspace(h.t, h.target.Addr, 16)
	shown := 0
	for _, key := range slices.Sorted(maps.Keys(source)) {
		if v, ok := target[key]; !ok || v != source[key] {
			if shown++; shown <= 10 {
				h.t.Errorf("%s: source %.200s, target %.200s", key, source[key], v)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(target)) {
		if _, ok := source[key]; !ok {
			if shown++; shown <= 10 {
				h.t.Errorf("%s: only on the target: %.200s", key, target[key])
			}
		}
	}
	if shown > 10 {
		h.t.Errorf("%d keys differ in all", shown)
	}
}

// link copies what is dirty, and sweeps when that is owed, from the primary to the secondary: the part of a
// migration that this package leaves to others.
type link struct {
	copier *backfill.Copier
	stop   func()
}

func (h *house) link(primary, secondary *instance.Instance) *link {
	h.t.Helper()
	log := slog.New(slog.DiscardHandler)
	l := &link{copier: backfill.NewCopier(h.shard.ledger, primary, secondary, backfill.CopierOptions{
		Name: h.shard.ConnName("copier"), Throttle: backfill.NewThrottle(backfill.Limits{Workers: 2}), Log: log,
	})}
	sweep := backfill.NewSweep(h.shard.ledger, l.copier, primary, secondary, backfill.SweepOptions{
		Name: h.shard.ConnName("sweep"), Log: log,
	})
	changed := make(chan struct{}, 1)
	h.shard.lock()
	h.shard.ledger.OnChange(func() {
		l.copier.Wake()
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	h.shard.unlock()
	ctx, cancel := context.WithCancel(context.Background())
	copied, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(copied)
		if err := l.copier.Run(ctx); err != nil {
			h.t.Error(err)
		}
	}()
	go func() {
		defer close(swept)
		for ctx.Err() == nil {
			h.shard.lock()
			gen, _, owed := h.shard.ledger.SweepOwed()
			h.shard.unlock()
			if owed {
				if err := sweep.Run(ctx, gen); err != nil && ctx.Err() == nil {
					h.t.Error(err)
				}
				continue
			}
			select {
			case <-ctx.Done():
			case <-changed:
			}
		}
	}()
	l.stop = func() {
		cancel()
		<-copied
		<-swept
	}
	return l
}

// converged waits until everything is settled and nothing is owed, with a link running for that time.
func (h *house) converged() {
	h.t.Helper()
	primary, secondary := h.src, h.tgt
	if h.shard.Primary() == h.tgt {
		primary, secondary = h.tgt, h.src
	}
	l := h.link(primary, secondary)
	defer l.stop()
	h.atRest()
}

// atRest waits until everything is settled and nothing is owed; a link must run.
func (h *house) atRest() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := h.shard.Await(ctx, func() bool { return h.shard.Answered() && h.shard.ledger.Drained() }); err != nil {
		h.shard.lock()
		defer h.shard.unlock()
		l := h.shard.ledger
		copies, _ := l.Copying()
		_, why, owed := l.SweepOwed()
		var failing []string
		l.Failing(1, func(d *ledger.Dirty) bool {
			failing = append(failing, string(d.Key.Name)+": "+d.Why)
			return len(failing) < 5
		})
		h.t.Fatalf("not at rest: answered %v, unsettled %d, dirty %d, copies %d, sweep owed %v %s %s, effect lane up %v",
			h.shard.Answered(), l.Unsettled(), l.DirtyKeys(), copies, owed, why, strings.Join(failing, "; "),
			h.shard.effects != nil && h.shard.effects.up)
	}
}
