package proxy

import (
	"bytes"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

// payload is an effect on its way into the EffectLane: the commands and what they should be answered.
type payload struct {
	db      int
	frames  []byte
	n       int
	expects []router.Expect
	name    string // of the command, for the count of mismatches
	at      int64  // when the write was sent to the primary, Unix nanoseconds
	own     []byte // memory of frames, reused
}

// singleEffect is the effect of one command, nil if nothing changed.
func (sh *Shard) singleEffect(r *request, reply []byte) *ledger.Effect {
	sh.args = resp.Args(r.raw, sh.args[:0])
	e := &sh.effect
	e.Reset()
	sh.setEnv(r)
	r.cmd.Effect(e, &sh.env, sh.args, reply, sh.follow)
	if e.Kind == router.None {
		return nil
	}
	p := &sh.payload
	p.db, p.name, p.at = int(r.lane.db), r.cmd.Name, r.at
	p.n, p.expects = e.N, e.Expects
	p.frames = e.Frames
	if e.Kind == router.Verbatim {
		p.frames, p.n = r.raw, 1
	}
	le := &sh.lEffect
	le.Payload = p
	le.Steps = append(le.Steps[:0], ledger.Step{
		Blind: e.Blind, Copy: e.Kind == router.Copy, MayExpire: e.MayExpire, Keys: e.Keys,
	})
	return le
}

func (sh *Shard) setEnv(r *request) {
	sh.env.DB = r.lane.db
	sh.env.Now = (sh.now + int64(sh.primaryAhead)) / int64(time.Millisecond)
}

// copyEffect says that what r wrote must be copied: its reply was too large to look at.
func (sh *Shard) copyEffect(r *request) *ledger.Effect {
	le := &sh.lEffect
	le.Payload = nil
	le.Steps = append(le.Steps[:0], ledger.Step{Copy: true, MayExpire: true})
	return le
}

// blockEffect is the effect of a transaction, from EXEC's reply: those of its commands, one behind the
// other.
func (sh *Shard) blockEffect(r *request, exec []byte) *ledger.Effect {
	if exec[0] == '-' || bytes.HasPrefix(exec, []byte("*-1")) || exec[0] == '_' {
		return nil
	}
	elements, ok := splitArray(exec, len(r.parts))
	if !ok {
		return sh.copyEffect(r)
	}
	p, le := &sh.payload, &sh.lEffect
	p.db, p.name, p.at, p.n = r.lane.db, "EXEC", r.at, 0
	p.own = p.own[:0]
	p.expects = nil
	le.Payload, le.Steps = p, le.Steps[:0]
	sh.setEnv(r)
	follow := sh.follow
	for i := range r.parts {
		part := &r.parts[i]
		mine := follow[:part.follow]
		follow = follow[part.follow:]
		if len(part.keys) == 0 {
			continue
		}
		args := resp.Args(r.block[part.from:part.to], nil)
		if !part.cmd.IsWrite(args) {
			continue
		}
		if touchedLater(r.parts[i+1:], part.keys) {
			mine = nil // they say what the key was like after those
		}
		var e router.Effect
		part.cmd.Effect(&e, &sh.env, args, elements[i], mine)
		if e.Kind == router.None {
			continue
		}
		step := ledger.Step{Blind: e.Blind, Copy: e.Kind == router.Copy, MayExpire: e.MayExpire}
		if len(e.Keys) == 0 {
			step.Keys = part.keys
		} else {
			for _, k := range e.Keys {
				step.Keys = append(step.Keys, part.keys[k])
			}
		}
		le.Steps = append(le.Steps, step)
		if e.Kind == router.Verbatim {
			e.Frames, e.N = r.block[part.from:part.to], 1
		}
		p.own = append(p.own, e.Frames...)
		p.n += e.N
		p.expects = append(p.expects, e.Expects...)
	}
	p.frames = p.own
	if len(le.Steps) == 0 {
		return nil
	}
	return le
}

// touchedLater reports whether a later command of the transaction names one of the keys.
func touchedLater(later []part, keys []int) bool {
	for i := range later {
		for _, k := range later[i].keys {
			for _, mine := range keys {
				if k == mine {
					return true
				}
			}
		}
	}
	return false
}

// splitArray returns the n elements of an array reply, undecoded. ok is false if it has another number.
func splitArray(reply []byte, n int) (elements [][]byte, ok bool) {
	i := bytes.IndexByte(reply, '\n') + 1
	var f resp.Framer
	for i < len(reply) {
		m, done, err := f.Feed(reply[i:])
		if err != nil || !done {
			return nil, false
		}
		elements = append(elements, reply[i:i+m])
		i += m
	}
	return elements, len(elements) == n
}
