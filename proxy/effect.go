package proxy

import (
	"bytes"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/internal/script"
	"tandem/router"
)

// payload is an effect on its way into the EffectLane: the commands and what they should be answered.
type payload struct {
	db      int
	frames  []byte
	n       int
	expects []router.Expect
	lasting bool   // the memory of frames is not used again: it may be sent from there
	name    string // of the command, for the count of mismatches
	load    []*script.Script
	record  *script.Record
	at      int64  // when the write was sent to the primary, Unix nanoseconds
	own     []byte // memory of frames, reused
	traced  *traced
}

// judge makes the effect of a write from its replies and gives it to the ledger.
func (sh *Shard) judge(ln *lane, r *request, unit int) gate {
	sh.counts.Writes++
	sh.follow = sh.follow[:0]
	for i := r.replies; i < len(ln.ends) && !ln.large; i++ {
		sh.follow = append(sh.follow, ln.buf[ln.ends[i-1]:ln.ends[i]])
	}
	e := sh.effectOf(ln, r, unit)
	if e == nil && len(r.parts) == 0 {
		sh.oweUnchanged(r, nil)
	}
	sh.payload.traced = r.traced
	out := sh.ledger.Reply(&r.write, e)
	if r.traced != nil {
		sh.tellEffect(r.traced, out)
	}
	if e != nil && len(sh.crowds) > 0 {
		sh.stir(r)
	}
	r.acquired = false
	if !sh.opt.AckBoth || out == ledger.Unchanged && !sh.owesUnchanged(r) {
		return gate{}
	}
	return sh.gates.of(sh, r.write.Keys)
}

// effectOf is the effect of a write, nil if nothing changed.
func (sh *Shard) effectOf(ln *lane, r *request, unit int) *ledger.Effect {
	end := ln.ends[r.replies-1]
	switch {
	case !sh.dual: // stopped since it was sent
		return nil
	case r.unkeyed: // a barrier, see enclose
		if reply := ln.buf[unit:end]; ln.large || sh.mayHaveRun(r.cmd, r.raw, reply) {
			sh.tookUnkeyed(r.cmd)
		}
		return nil
	case ln.large:
		return sh.copyEffect(r)
	case len(r.parts) == 0:
		return sh.singleEffect(r, ln.buf[unit:end])
	case r.apart:
		return sh.blockEffect(r, ln.buf[unit:end])
	}
	last := ln.ends[r.replies-2]
	if ends := ln.ends[:r.replies-1]; ln.buf[last] == '-' && !queuedWhole(ln.buf[:last], ends, unit) {
		return sh.copyEffect(r)
	}
	return sh.blockEffect(r, ln.buf[last:end])
}

// tookUnkeyed: the server has executed a write whose keys could not be told. Any key may differ now.
func (sh *Shard) tookUnkeyed(cmd *router.Command) {
	sh.counts.Unkeyed++
	sh.ledger.OweSweep("the server took a "+cmd.Name+" whose keys could not be told", 0)
}

// mayHaveRun reports whether a write whose keys could not be told may have changed something.
func (sh *Shard) mayHaveRun(cmd *router.Command, raw, reply []byte) bool {
	sh.args = resp.Args(raw, sh.args[:0])
	return cmd.MayHaveRun(sh.args, reply)
}

// singleEffect is the effect of one command, nil if nothing changed.
func (sh *Shard) singleEffect(r *request, reply []byte) *ledger.Effect {
	if r.stays {
		return nil
	}
	sh.args = resp.Args(r.raw, sh.args[:0])
	e := &sh.effect
	e.Reset()
	sh.setEnv(r)
	p := &sh.payload
	p.load, p.record = p.load[:0], nil
	var timed []int
	if r.script != nil {
		timed = sh.scriptEffect(e, r.script, r.cmd, sh.args, reply, sh.follow)
		if s := r.script.load(r.cmd, e); s != nil {
			p.load = append(p.load, s)
		}
		if e.Kind == router.Rewritten {
			p.record = r.script.record
		}
	} else {
		r.cmd.Effect(e, &sh.env, sh.args, reply, sh.follow)
	}
	if e.Kind == router.None {
		return nil
	}
	if timed = sh.leaveOut(e, r, timed); e.Kind == router.None {
		return nil
	}
	p.db, p.name, p.at = int(r.lane.db), r.cmd.Name, r.at
	p.n, p.expects = e.N, e.Expects
	p.frames, p.lasting = e.Frames, false
	if e.Kind == router.Verbatim {
		p.frames, p.n, p.lasting = r.raw, 1, r.chunk.own
	}
	le := &sh.lEffect
	le.Payload = p
	le.Steps = append(le.Steps[:0], ledger.Step{
		Blind: e.Blind, Copy: e.Kind == router.Copy, MayExpire: e.MayExpire, Keys: e.Keys,
		Everywhere: r.write.Everywhere,
	})
	if len(timed) > 0 {
		le.Steps = append(le.Steps, ledger.Step{MayExpire: true, Keys: timed})
	}
	return le
}

func (sh *Shard) setEnv(r *request) {
	sh.env.DB = r.lane.db
	sh.env.Number = sh.env.DB
	if e := sh.effects; e != nil {
		sh.env.Number = e.inst.Number(sh.env.DB)
	}
	sh.env.Now = (sh.now + int64(sh.primaryAhead)) / int64(time.Millisecond)
}

// copyEffect says that what r wrote must be copied: its reply was too large to look at, or not what it should
// be.
func (sh *Shard) copyEffect(r *request) *ledger.Effect {
	if cmd := r.unkeyedPart(); cmd != nil {
		sh.tookUnkeyed(cmd)
	}
	if cmd := r.unseenPart(); cmd != nil {
		sh.wroteUnseen(cmd)
	}
	le := &sh.lEffect
	le.Payload = nil
	le.Steps = append(le.Steps[:0], ledger.Step{Copy: true, MayExpire: true})
	if r.write.Everywhere {
		le.Steps = append(le.Steps, ledger.Step{Everywhere: true})
	}
	return le
}

// blockEffect is the effect of a transaction, from EXEC's reply: those of its commands, one behind the
// other.
func (sh *Shard) blockEffect(r *request, exec []byte) *ledger.Effect {
	if exec[0] == '-' || bytes.HasPrefix(exec, []byte("*-1")) || exec[0] == '_' {
		return nil
	}
	elements, ok := r.execElements(exec)
	if !ok || r.copies {
		return sh.copyEffect(r)
	}
	for i := range r.parts {
		if p := &r.parts[i]; p.unkeyed && sh.mayHaveRun(p.cmd, r.block[p.from:p.to], elements[i]) {
			sh.tookUnkeyed(p.cmd)
		}
	}
	p, le := &sh.payload, &sh.lEffect
	p.db, p.name, p.at, p.n = r.lane.db, "EXEC", r.at, 0
	p.own, p.load, p.record = p.own[:0], p.load[:0], nil
	p.expects = nil
	le.Payload, le.Steps = p, le.Steps[:0]
	sh.setEnv(r)
	follow := sh.follow
	for i := range r.parts {
		part := &r.parts[i]
		mine := follow[:part.follow]
		follow = follow[part.follow:]
		everywhere := part.cmd.Class == router.Everywhere
		if part.script != nil && len(part.keys) == 0 {
			sh.unnamedKeys(part.script, part.cmd, resp.Args(r.block[part.from:part.to], nil), elements[i])
			continue
		}
		if len(part.keys) == 0 && !part.barrier && !everywhere {
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
		var timed []int
		if part.script != nil {
			timed = sh.scriptEffect(&e, part.script, part.cmd, args, elements[i], mine)
			if s := part.script.load(part.cmd, &e); s != nil {
				p.load = append(p.load, s)
			}
		} else {
			part.cmd.Effect(&e, &sh.env, args, elements[i], mine)
		}
		if e.Kind != router.None && sh.opt.Moves != nil {
			if part.barrier {
				sh.siftBarrier(&e, part.cmd, args)
			} else if len(part.keys) > 0 {
				sh.sift(&e, r.write.Keys, part.keys)
			}
			if e.Kind == router.Copy {
				timed = nil
			}
		}
		if e.Kind == router.None {
			sh.oweUnchanged(r, part.keys)
			continue
		}
		step := ledger.Step{Blind: e.Blind, Copy: e.Kind == router.Copy, MayExpire: e.MayExpire, Everywhere: everywhere}
		if len(e.Keys) == 0 {
			step.Keys = part.keys
		} else {
			for _, k := range e.Keys {
				step.Keys = append(step.Keys, part.keys[k])
			}
		}
		le.Steps = append(le.Steps, step)
		if len(timed) > 0 {
			step.Keys, step.MayExpire = nil, true
			for _, k := range timed {
				step.Keys = append(step.Keys, part.keys[k])
			}
			le.Steps = append(le.Steps, step)
		}
		if e.Kind == router.Verbatim {
			e.Frames, e.N = r.block[part.from:part.to], 1
		}
		p.own = append(p.own, e.Frames...)
		p.n += e.N
		p.expects = append(p.expects, e.Expects...)
	}
	p.frames, p.lasting = p.own, false
	if len(le.Steps) == 0 {
		return nil
	}
	return le
}

// touchedLater reports whether a later command of the transaction names one of the keys, or all of them.
func touchedLater(later []part, keys []int) bool {
	for i := range later {
		if later[i].barrier {
			return true
		}
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
		if reply[i] != '>' {
			elements = append(elements, reply[i:i+m])
		}
		i += m
	}
	return elements, len(elements) == n
}
