package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// replay runs requests on a primary and their effects on a secondary, and compares the keys after each. A
// third server shows that blind effects are blind: before each, its keys are made something else.
type replay struct {
	t          *testing.T
	r          *sampler
	a, b, c    *conn // primary, secondary, the one for blind effects
	env        Env
	common     Server
	mayExpire  map[string]bool // keys that some effect has announced to expire
	history    []string
	runs       map[string]int // by command: requests that succeeded
	effects    map[string]int // by command: requests that had an effect
	copies     map[string]int // by command: effects that were copies
	mismatches int
	within     int64     // by how much times may differ that depend on when a command ran
	sent       time.Time // when the request was, whose effect is applied
	typed      bool      // copies are made by type, for the servers share no DUMP
}

func newReplay(t *testing.T, seed int64, primary, secondary redisdtest.Binary) *replay {
	t.Helper()
	p := &replay{
		t: t, r: &sampler{Rand: newRand(seed)},
		a: start(t, primary), b: start(t, secondary), c: start(t, secondary),
		within: nearTime, mayExpire: map[string]bool{}, runs: map[string]int{}, effects: map[string]int{}, copies: map[string]int{},
	}
	p.env = Env{DBs: 3, Primary: p.a.server, Secondary: p.b.server}
	p.common = p.a.server
	if p.b.server.Version < p.common.Version {
		p.common = p.b.server
	}
	return p
}

func (p *replay) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s -> %s: %s", p.a.name, p.b.name, fmt.Sprintf(format, args...))
}

// story is the part of the history that led to the state of these keys.
func (p *replay) story(keys ...string) string {
	var lines []string
	for i := len(p.history) - 1; i >= 0 && len(lines) < 25; i-- {
		line := p.history[i]
		refused := strings.Contains(line, `-> "-`)
		if !refused && slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(line, `"`+k+`"`) }) {
			lines = append(lines, line)
		}
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// step runs one request and its effect.
func (p *replay) step(args [][]byte) {
	p.t.Helper()
	cmd := Lookup(args)
	if cmd == nil {
		p.fail("%q is not in the table", args)
	}
	keys, ok := cmd.AppendKeys(nil, args)
	frames, n := cmd.FollowUps(resp.AppendArgs(nil, args), args, p.env.Primary)
	p.sent = time.Now()
	replies := p.a.exchange(frames, n+1)
	p.env.Now = time.Now().UnixMilli()
	reply, follow := replies[0], replies[1:]
	p.history = append(p.history, fmt.Sprintf("%q -> %.80q %.80q", args, reply, follow))
	if isError(reply) {
		if !ok {
			return
		}
	} else {
		p.runs[cmd.Name]++
		if !ok {
			p.fail("AppendKeys(%q) says that it has not the form, but the server answered %q", args, reply)
		}
	}
	var e Effect
	cmd.Effect(&e, &p.env, args, reply, follow)
	p.check(cmd, args, keys, &e)
	p.apply(cmd, args, keys, reply, &e)
	p.compare(args, keys)
	for _, k := range e.Keys {
		if k >= len(keys) {
			p.fail("%q: effect names key %d of %d", args, k, len(keys))
		}
	}
}

// check tells whether an effect is well formed.
func (p *replay) check(cmd *Command, args [][]byte, keys []Key, e *Effect) {
	p.t.Helper()
	switch e.Kind {
	case Verbatim:
		if len(e.Expects) != 1 || e.N != 0 || len(e.Frames) != 0 {
			p.fail("%q: verbatim effect with %d expectations and %d frames", args, len(e.Expects), e.N)
		}
	case Rewritten:
		n := 0
		for rest := e.Frames; len(rest) > 0; n++ {
			v, took, err := resp.Parse(rest)
			if err != nil || v.Kind != '*' {
				p.fail("%q: bad frame in %q: %v", args, e.Frames, err)
			}
			rest = rest[took:]
		}
		if n != e.N || len(e.Expects) != n {
			p.fail("%q: %d frames, N %d, %d expectations", args, n, e.N, len(e.Expects))
		}
	default:
		if e.N != 0 || len(e.Expects) != 0 || e.Blind {
			p.fail("%q: effect of kind %d has commands", args, e.Kind)
		}
	}
	if e.Kind != None && e.MayExpire {
		for _, k := range affected(keys, e) {
			if k.Write {
				p.mayExpire[string(args[k.Arg])] = true
			}
		}
	}
	for _, k := range affected(keys, e) {
		if e.Blind && !k.Write {
			p.fail("%q: blind effect names a key that it does not write", args)
		}
	}
	if e.Kind != None {
		p.effects[cmd.Name]++
	}
	if e.Kind == Copy {
		p.copies[cmd.Name]++
	}
}

// behind takes into account how late an effect was executed, on a machine with other work.
func (p *replay) behind() {
	p.within = max(p.within, nearTime+time.Since(p.sent).Milliseconds())
}

// affected are the keys that an effect is about.
func affected(keys []Key, e *Effect) []Key {
	if len(e.Keys) == 0 {
		return keys
	}
	var some []Key
	for _, i := range e.Keys {
		some = append(some, keys[i])
	}
	return some
}

// apply brings the effect to the secondary, and a blind one to the third server too.
func (p *replay) apply(cmd *Command, args [][]byte, keys []Key, reply []byte, e *Effect) {
	p.t.Helper()
	switch e.Kind {
	case None:
		return
	case Copy:
		for _, k := range affected(keys, e) {
			if k.Write {
				p.copyKey(p.b, string(args[k.Arg]), k.DB)
			}
		}
		return
	}
	frames, n := e.Frames, e.N
	if e.Kind == Verbatim {
		frames, n = resp.AppendArgs(nil, args), 1
	}
	for i, got := range p.b.exchange(frames, n) {
		if e.Expects[i].Match(got) {
			continue
		}
		if p.mayMismatch(args, keys) {
			p.mismatches++
			p.copyKey(p.b, string(args[keys[0].Arg]), -1)
			return
		}
		p.fail("%q answered %q\n\teffect %q\n\tcommand %d answered %q, which was not expected\n%s",
			args, reply, frames, i, got, p.story(names(args, keys)...))
	}
	p.behind()
	if !e.Blind {
		return
	}
	for _, k := range affected(keys, e) {
		if k.Write {
			p.spoil(string(args[k.Arg]))
		}
	}
	for i, got := range p.c.exchange(frames, n) {
		if !e.Expects[i].Match(got) {
			p.fail("%q: blind effect %q on other keys was answered %q", args, frames, got)
		}
	}
	p.behind()
	for _, k := range affected(keys, e) {
		if key := string(args[k.Arg]); k.Write {
			p.settle(p.a, key)
			p.settle(p.c, key)
			if d := p.a.describe(key, p.common).differs(p.c.describe(key, p.common), p.exactClock(), p.within); d != "" {
				p.fail("%q: blind effect %q on another %s leaves another %s", args, frames, key, d)
			}
		}
	}
}

// mayMismatch reports whether a request may be answered otherwise on the secondary although the keys are
// equal. How long fields that have expired are still counted is each server's own affair; versions from 7.2
// on refuse an XSETID that 7.0 accepts; before 7.0 entries that are no more can be claimed. Such keys become
// dirty and are copied.
func (p *replay) mayMismatch(args [][]byte, keys []Key) bool {
	switch {
	case equalFold(args[0], "XSETID"):
		return p.a.server != p.b.server
	case equalFold(args[0], "XCLAIM"):
		return redis70.in(p.a.server) != redis70.in(p.b.server)
	}
	return len(keys) == 1 && p.a.server.HasHashFieldTTL() && p.b.server.HasHashFieldTTL() &&
		string(p.a.must("TYPE", string(args[keys[0].Arg])).Str) == "hash"
}

func names(args [][]byte, keys []Key) (names []string) {
	for _, k := range keys {
		names = append(names, string(args[k.Arg]))
	}
	return names
}

// spoil makes a key of the third server something random.
func (p *replay) spoil(key string) {
	p.c.must("DEL", key)
	switch p.r.Intn(7) {
	case 0:
		p.c.must("SET", key, "spoiled")
	case 1:
		p.c.must("RPUSH", key, "a", "b", "c", "d", "e", "f")
	case 2:
		p.c.must("SADD", key, "a", "zz")
	case 3:
		p.c.must("HSET", key, "f1", "spoiled", "other", "x")
	case 4:
		p.c.must("ZADD", key, "17", "a", "18", "b")
	case 5:
		p.c.must("XADD", key, "1-1", "a", "b")
	case 6:
		return
	}
	if p.r.Intn(2) == 0 {
		p.c.must("PEXPIRE", key, "77000")
	}
}

// exactClock reports whether expiries must be equal to the ms: before 7.0 none can be read exactly.
func (p *replay) exactClock() bool { return p.a.server.HasPExpireTime() && p.b.server.HasPExpireTime() }

// expiresSoon is how long before an expiry the comparison waits for it.
const expiresSoon = 60

// settle waits until a key or field that is about to expire has done so. Versions take the ms of the expiry
// itself to be before or after it, so that one more must have passed.
func (p *replay) settle(k *conn, key string) {
	soon := func(at int64) bool { return at >= 0 && at < time.Now().UnixMilli()+expiresSoon }
	pass := func(at int64) {
		for time.Now().UnixMilli() <= at+2 {
			k.must("EXISTS", key)
		}
	}
	if at := k.expiry(key); soon(at) {
		pass(at)
	}
	if !k.server.HasHashFieldTTL() || string(k.must("TYPE", key).Str) != "hash" {
		return
	}
	for _, f := range k.must("HKEYS", key).Elems {
		at := k.must("HPEXPIRETIME", key, "FIELDS", "1", string(f.Str))
		switch {
		case len(at.Elems) != 1:
		case at.Elems[0].Int == -2: // listed, but expired: this very ms
			pass(time.Now().UnixMilli())
		case soon(at.Elems[0].Int):
			pass(at.Elems[0].Int)
		}
	}
}

// compare tells whether the request's keys are equal on both sides.
func (p *replay) compare(args [][]byte, keys []Key) {
	p.t.Helper()
	for _, k := range keys {
		p.compareKey(string(args[k.Arg]))
	}
}

func (p *replay) compareKey(key string) {
	p.t.Helper()
	p.settle(p.a, key)
	p.settle(p.b, key)
	a, b := p.a.describe(key, p.common), p.b.describe(key, p.common)
	if d := a.differs(b, p.exactClock(), p.within); d != "" {
		p.fail("key %q differs: %s\n%s", key, d, p.story(key))
	}
	switch expires := a.expires >= 0 || strings.HasPrefix(a.text, "hash") && hasFieldExpiry(a.text); {
	case !expires:
		delete(p.mayExpire, key)
	case !p.mayExpire[key]:
		p.fail("key %q expires, but no effect said that it may\n%s", key, p.story(key))
	}
}

// hasFieldExpiry reports whether a hash's description has a field with an expiry.
func hasFieldExpiry(text string) bool {
	for _, item := range strings.Fields(text) {
		if at := strings.LastIndexByte(item, '@'); at > 0 {
			return true
		}
	}
	return false
}

// compareAll compares all databases.
func (p *replay) compareAll() {
	p.t.Helper()
	for _, db := range []string{"1", "2", "0"} {
		p.a.must("SELECT", db)
		p.b.must("SELECT", db)
		seen := map[string]bool{}
		for _, k := range []*conn{p.a, p.b} {
			for _, key := range k.must("KEYS", "*").Elems {
				seen[string(key.Str)] = true
			}
		}
		for key := range seen {
			announced := p.mayExpire[key]
			p.mayExpire[key] = announced || db != "0" // of the other databases that is not kept
			p.compareKey(key)
			p.mayExpire[key] = announced
		}
	}
}

// copyKey copies a key, which a copier would do by DUMP and RESTORE.
func (p *replay) copyKey(to *conn, key string, db int) {
	p.t.Helper()
	if db >= 0 {
		p.a.must("SELECT", fmt.Sprint(db))
		to.must("SELECT", fmt.Sprint(db))
		defer to.must("SELECT", "0")
		defer p.a.must("SELECT", "0")
	}
	p.settle(p.a, key)
	if p.typed {
		p.copyTyped(to, key)
		return
	}
	expires := p.a.expiry(key)
	payload := p.a.must("DUMP", key)
	if payload.Null {
		to.must("DEL", key)
		return
	}
	if reply := to.parse("RESTORE", key, fmt.Sprint(max(expires, 0)), string(payload.Str), "REPLACE", "ABSTTL"); reply.IsError() {
		p.fail("copy of %q: %s\n%s", key, reply.Str, p.story(key))
	}
}

// pairs are the migrations that are tried: every version to itself, and upwards where DUMP is understood.
var pairs = []struct{ from, to string }{
	{"redis-7.0", "redis-7.0"},
	{"redis-8.0", "redis-8.0"},
	{"valkey-9.1", "valkey-9.1"},
	{"redis-6.0", "redis-7.0"},
	{"redis-7.0", "redis-8.0"},
	{"redis-7.0", "valkey-8.1"},
	{"valkey-8.1", "valkey-9.1"},
}

// TestEffectsMakeTheSecondaryEqual is the property that all of this package is for.
func TestEffectsMakeTheSecondaryEqual(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, seedOf(t), from, to)
			p.seedDumps()
			known := p.known(slices.Concat(samples, scriptSamples))
			for range stepsOf(t) {
				p.step(p.next(known))
			}
			p.compareAll()
			p.report()
		})
	}
}

// seedDumps makes payloads for RESTORE on the primary.
func (p *replay) seedDumps() {
	p.a.must("SET", "tmp", "restored")
	p.r.dumps = append(p.r.dumps, string(p.a.must("DUMP", "tmp").Str))
	p.a.must("DEL", "tmp")
	p.a.must("RPUSH", "tmp", "a", "b")
	p.r.dumps = append(p.r.dumps, string(p.a.must("DUMP", "tmp").Str))
	p.a.must("DEL", "tmp")
	p.a.must("HSET", "tmp", "f1", "1", "f2", "2")
	if p.a.server.HasHashFieldTTL() {
		p.a.must("HEXPIRE", "tmp", "5000", "FIELDS", "1", "f1")
	}
	p.r.dumps = append(p.r.dumps, string(p.a.must("DUMP", "tmp").Str))
	p.a.must("DEL", "tmp")
}

// enoughSteps is from how many requests on every command must have had an effect.
const enoughSteps = 8000

// report is summary, and after enough requests fails if some command never had an effect.
func (p *replay) report() {
	p.summary()
	if len(p.history) < enoughSteps {
		return
	}
	for _, s := range p.known(samples) {
		cmd := Lookup(request(strings.Fields(s)...))
		if p.effects[cmd.Name] == 0 && cmd.since.in(p.a.server) {
			p.t.Errorf("%s never had an effect", cmd.Name)
		}
	}
}

// summary logs how often each command needed a copy.
func (p *replay) summary() {
	var copied []string
	for name, n := range p.copies {
		copied = append(copied, fmt.Sprintf("%s %d/%d", name, n, p.effects[name]))
	}
	slices.Sort(copied)
	total := 0
	for _, n := range p.runs {
		total += n
	}
	p.t.Logf("%s -> %s: %d requests, %d succeeded, %d mismatches; copies: %s", p.a.name, p.b.name,
		len(p.history), total, p.mismatches, strings.Join(copied, ", "))
	if p.mismatches > 2+total/200 {
		p.t.Errorf("%d of %d effects were not answered as expected", p.mismatches, total)
	}
}
