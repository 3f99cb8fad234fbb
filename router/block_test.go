package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/resp"
)

// blockPart is one command of a transaction and what came of it.
type blockPart struct {
	cmd     *Command
	args    [][]byte
	keys    []Key
	ok      bool
	follows int
	effect  Effect
}

// elements cuts EXEC's reply into its raw elements; nil when it was not executed.
func elements(exec []byte) (parts [][]byte) {
	c := walk(exec)
	v := c.next()
	if !v.aggregate() {
		return nil
	}
	for range v.n {
		before := c.b
		c.skip()
		parts = append(parts, before[:len(before)-len(c.b)])
	}
	return parts
}

// block runs requests as one transaction, and their effects as another on the secondary. Follow-ups are read
// behind EXEC and given to commands whose keys no later one names, or to none at all.
func (p *replay) block(requests [][][]byte, withFollows bool) {
	p.t.Helper()
	var parts []blockPart
	frames := resp.AppendCommand(nil, "MULTI")
	var follows []byte
	for _, args := range requests {
		part := blockPart{cmd: Lookup(args), args: args}
		part.keys, part.ok = part.cmd.AppendKeys(nil, args)
		frames = resp.AppendArgs(frames, args)
		if withFollows {
			follows, part.follows = part.cmd.FollowUps(follows, args, p.env.Primary)
		}
		parts = append(parts, part)
	}
	frames = append(resp.AppendCommand(frames, "EXEC"), follows...)
	n := len(parts) + 2
	for i := range parts {
		n += parts[i].follows
	}
	replies := p.a.exchange(frames, n)
	p.env.Now = time.Now().UnixMilli()
	executed := elements(replies[len(parts)+1])
	p.history = append(p.history, fmt.Sprintf("MULTI %q -> %.200q", requests, replies[len(parts)+1]))
	if executed == nil {
		return
	}
	follow := replies[len(parts)+2:]
	for i := range parts {
		part := &parts[i]
		mine := follow[:part.follows]
		follow = follow[part.follows:]
		if namedLater(part, parts[i+1:]) {
			mine = nil
		}
		if !isError(executed[i]) {
			p.runs[part.cmd.Name]++
			if !part.ok {
				p.fail("AppendKeys(%q) says that it has not the form, but it was executed", part.args)
			}
		}
		part.cmd.Effect(&part.effect, &p.env, part.args, executed[i], mine)
		p.check(part.cmd, part.args, part.keys, &part.effect)
	}
	p.applyBlock(parts)
	for i := range parts {
		p.compare(parts[i].args, parts[i].keys)
	}
}

// namedLater reports whether a later command of the transaction names one of the command's keys.
func namedLater(part *blockPart, later []blockPart) bool {
	mine := map[string]bool{}
	for _, k := range part.keys {
		mine[string(part.args[k.Arg])] = true
	}
	for i := range later {
		for _, k := range later[i].keys {
			if mine[string(later[i].args[k.Arg])] {
				return true
			}
		}
	}
	return false
}

// applyBlock brings a transaction's effects to the secondary, and copies what is dirty after it.
func (p *replay) applyBlock(parts []blockPart) {
	p.t.Helper()
	type place struct {
		key string
		db  int
	}
	dirty := map[place]bool{}
	frames := resp.AppendCommand(nil, "MULTI")
	var expects []Expect
	tolerant := false
	for i := range parts {
		part := &parts[i]
		e := &part.effect
		tolerant = tolerant || p.mayMismatch(part.args, part.keys)
		if e.Kind == None {
			continue
		}
		keys := affected(part.keys, e)
		exact := e.Kind != Copy
		for _, k := range keys {
			exact = exact && (e.Blind || !dirty[place{string(part.args[k.Arg]), k.DB}])
		}
		for _, k := range keys {
			if at := (place{string(part.args[k.Arg]), k.DB}); k.Write {
				dirty[at] = !exact
			}
		}
		if !exact {
			continue
		}
		if e.Kind == Verbatim {
			frames = resp.AppendArgs(frames, part.args)
		} else {
			frames = append(frames, e.Frames...)
		}
		expects = append(expects, e.Expects...)
	}
	replies := p.b.exchange(resp.AppendCommand(frames, "EXEC"), len(expects)+2)
	got := elements(replies[len(expects)+1])
	if len(got) != len(expects) {
		p.fail("block %q was answered %q", frames, replies)
	}
	for i, x := range expects {
		if x.Match(got[i]) {
			continue
		}
		p.mismatches++
		if !tolerant {
			p.fail("block %q\n\tcommand %d was answered %q\n%s", frames, i, got[i], strings.Join(p.history[max(0, len(p.history)-3):], "\n"))
		}
		for i := range parts {
			for _, k := range parts[i].keys {
				dirty[place{string(parts[i].args[k.Arg]), k.DB}] = true
			}
		}
	}
	for at, is := range dirty {
		if is {
			p.copyKey(p.b, at.key, at.db)
		}
	}
}

// TestEffectsOfTransactions runs the same samples in transactions of up to four commands.
func TestEffectsOfTransactions(t *testing.T) {
	for _, pair := range []struct{ from, to, protocol string }{
		{"redis-7.0", "redis-7.0", "2"}, {"redis-6.0", "redis-7.0", "3"}, {"redis-7.0", "redis-8.0", "2"}, {"valkey-9.1", "valkey-9.1", "3"},
	} {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, seedOf(t), from, to)
			p.seedDumps()
			if pair.protocol == "3" {
				p.a.must("HELLO", "3")
			}
			known := p.known(slices.Concat(samples, blockingSamples, blockingSamples, scriptSamples))
			for range stepsOf(t) / 4 {
				var requests [][][]byte
				for range 1 + p.r.Intn(4) {
					requests = append(requests, p.next(known))
				}
				p.block(requests, p.r.Intn(2) == 0)
			}
			p.compareAll()
			p.summary()
			for _, s := range p.known(blockingSamples) {
				cmd := Lookup(request(strings.Fields(s)...))
				if cmd.Class == Write && p.effects[cmd.Name] == 0 && len(p.history) > enoughSteps {
					t.Errorf("%s never had an effect", cmd.Name)
				}
			}
		})
	}
}

// TestEffectsFromRESP3Replies has the primary, or the secondary, answer in RESP3.
func TestEffectsFromRESP3Replies(t *testing.T) {
	for _, pair := range []struct {
		from, to string
		primary  bool // the primary speaks RESP3, else the secondary
	}{{"redis-7.0", "redis-7.0", true}, {"redis-6.0", "redis-7.0", true}, {"valkey-9.1", "valkey-9.1", false}} {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, seedOf(t), from, to)
			p.seedDumps()
			known := p.known(samples)
			if pair.primary {
				p.a.must("HELLO", "3")
			} else {
				p.b.must("HELLO", "3")
			}
			for range stepsOf(t) / 2 {
				p.step(p.next(known))
			}
			p.compareAll()
			p.summary()
		})
	}
}

// lagging runs requests one by one, and their effects only after all of them.
func (p *replay) lagging(requests [][][]byte) {
	p.t.Helper()
	var parts []blockPart
	for _, args := range requests {
		part := blockPart{cmd: Lookup(args), args: args}
		part.keys, _ = part.cmd.AppendKeys(nil, args)
		frames, n := part.cmd.FollowUps(resp.AppendArgs(nil, args), args, p.env.Primary)
		replies := p.a.exchange(frames, n+1)
		p.env.Now = time.Now().UnixMilli()
		p.history = append(p.history, fmt.Sprintf("%q -> %.80q %.80q", args, replies[0], replies[1:]))
		if !isError(replies[0]) {
			p.runs[part.cmd.Name]++
		}
		part.cmd.Effect(&part.effect, &p.env, args, replies[0], replies[1:])
		p.check(part.cmd, args, part.keys, &part.effect)
		parts = append(parts, part)
	}
	p.applyBlock(parts)
	for i := range parts {
		p.compare(parts[i].args, parts[i].keys)
	}
}

// TestEffectsOfALaggingSecondary: an effect may not depend on anything that happens after its command.
func TestEffectsOfALaggingSecondary(t *testing.T) {
	for _, pair := range []struct{ from, to string }{{"redis-7.0", "redis-8.0"}, {"valkey-9.1", "valkey-9.1"}} {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			p := newReplay(t, seedOf(t), from, to)
			p.seedDumps()
			p.r.slow, p.within = true, lateTime
			known := p.known(samples)
			for range stepsOf(t) / 20 {
				var requests [][][]byte
				for range 40 {
					requests = append(requests, p.next(known))
				}
				p.lagging(requests)
			}
			p.compareAll()
			p.summary()
		})
	}
}
