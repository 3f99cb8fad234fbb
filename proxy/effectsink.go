package proxy

import (
	"strconv"
	"time"
	"unsafe"

	"github.com/tidwall/redcon"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

// effectOverhead is about what an effect on its way costs besides its bytes, here and in the ledger.
const effectOverhead = 256

var (
	multiFrame  = []byte("*1\r\n$5\r\nMULTI\r\n")
	execFrame   = []byte("*1\r\n$4\r\nEXEC\r\n")
	pttlFrame   = []byte("*2\r\n$4\r\nPTTL\r\n")
	selectFrame = []byte("*2\r\n$6\r\nSELECT\r\n")
)

// Append queues the effect of a write. (ledger.Sink)
func (e *EffectLane) Append(w *ledger.Write, le *ledger.Effect) bool {
	p := le.Payload.(*payload)
	if !e.up || !e.has(p.db) {
		return false
	}
	if p.n == 0 || len(p.expects) != p.n {
		return false // nothing that could be acknowledged: the keys are copied
	}
	size := len(p.frames)
	if e.lagBytes+size+(e.awaited.n+1)*effectOverhead > e.sh.opt.MaxLagBytes && e.awaited.n > 0 {
		return false
	}
	for _, g := range le.Guard {
		if int(w.Keys[g].DB) != p.db {
			return false // its PTTL would need another database; a copy needs none
		}
	}
	longest := longestIn(p.frames)
	if e.tooLong(longest) {
		return false // the copy says what is wrong with it
	}
	a := awaited{n: int32(p.n), bytes: size, at: p.at, handed: e.sh.now, name: p.name, guards: int32(len(le.Guard)), record: p.record,
		longest: longest, traced: p.traced}
	a.block = a.guards > 0 || p.n > 1
	if p.n == 1 {
		a.one = p.expects[0]
	} else {
		a.many = append([]router.Expect(nil), p.expects...)
	}
	a.selects = e.selectDB(p.db)
	a.loads = e.load(p)
	if a.block {
		e.put(multiFrame)
		for _, g := range le.Guard {
			e.frame = redcon.AppendBulk(append(e.frame[:0], pttlFrame...), w.Keys[g].Name)
			e.put(e.frame)
		}
	}
	e.out.append(p.frames, p.lasting, false)
	if a.block {
		e.put(execFrame)
	}
	if p.traced != nil {
		e.tellHanded(p.traced)
	}
	e.lagBytes += size
	e.sh.counts.EffectBytes += uint64(size)
	e.await(a)
	return true
}

// AppendCopy queues the state of one key. (ledger.Sink)
func (e *EffectLane) AppendCopy(c *ledger.Copy, s *ledger.State) bool {
	if !e.up || e.sh.copiesHeld || !e.refusal.admits() {
		return false
	}
	a := awaited{n: 1, copied: true, gone: s.Missing, at: e.sh.now, name: "RESTORE", longest: len(s.Payload)}
	if db := int(c.Key.DB); !e.has(db) {
		// Its SELECT is tried alone: whatever it is answered, the copy has failed, and says why.
		a.probe, a.db = true, int32(db)
		e.db = -1
		e.selectDB(db)
		e.db = -1
		e.await(a)
		return true
	}
	a.selects = e.selectDB(int(c.Key.DB))
	b := e.frame[:0]
	if s.From != "" {
		e.rename(&a, c, s)
	} else if s.Missing {
		b = append(b, "*2\r\n$6\r\nUNLINK\r\n"...)
		b = redcon.AppendBulk(b, c.Key.Name)
		e.frame = b
		e.put(b)
	} else {
		a.one = router.ExpectOK()
		if s.ExpireAt != 0 {
			b = append(b, "*6\r\n$7\r\nRESTORE\r\n"...)
		} else {
			b = append(b, "*5\r\n$7\r\nRESTORE\r\n"...)
		}
		b = redcon.AppendBulk(b, c.Key.Name)
		b = redcon.AppendBulkInt(b, s.ExpireAt)
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(s.Payload)), 10)
		b = append(b, '\r', '\n')
		if len(s.Payload) < handover {
			b = append(b, s.Payload...)
		} else {
			e.put(b)
			// The string is read only and so is what is sent of it.
			e.out.append(unsafe.Slice(unsafe.StringData(s.Payload), len(s.Payload)), true, false)
			b = b[:0]
		}
		b = append(b, "\r\n$7\r\nREPLACE\r\n"...)
		if s.ExpireAt != 0 {
			b = append(b, "$6\r\nABSTTL\r\n"...)
		}
		e.frame = b
		e.put(b)
		e.sh.counts.CopyBytes += uint64(len(s.Payload))
	}
	e.await(a)
	return true
}

// rename queues the last step of a copy that was made in a temporary key: it gets its expiry, or none, and its name.
func (e *EffectLane) rename(a *awaited, c *ledger.Copy, s *ledger.State) {
	key := string(c.Key.Name)
	if now := time.Now().Add(e.facts.ClockOffset).UnixMilli(); s.ExpireAt != 0 && s.ExpireAt <= now {
		// By the secondary's clock it has expired: with such an expiry it would go before it got its name.
		a.gone, a.name = true, "UNLINK"
		e.put(resp.AppendCommand(nil, "UNLINK", key, s.From))
		return
	}
	a.name, a.n, a.block = "RENAME", 2, true
	a.many = []router.Expect{router.ExpectInt(1), router.ExpectOK()}
	e.put(multiFrame)
	if s.ExpireAt != 0 {
		e.put(resp.AppendCommand(nil, "PEXPIREAT", s.From, strconv.FormatInt(s.ExpireAt, 10)))
	} else {
		e.put(resp.AppendCommand(nil, "PERSIST", s.From))
	}
	e.put(resp.AppendCommand(nil, "RENAME", s.From, key))
	e.put(execFrame)
}

// load sees to it that the scripts are there which an effect calls by name, and returns how many it sends.
func (e *EffectLane) load(p *payload) (n int32) {
	for _, s := range p.load {
		if !e.loaded[s.Name] {
			e.loaded[s.Name] = true
			e.put(resp.AppendCommand(nil, "SCRIPT", "LOAD", s.Source))
			n++
		}
	}
	if p.name == "SCRIPT FLUSH" {
		clear(e.loaded)
	}
	return n
}

// has reports whether a database is known to be there.
func (e *EffectLane) has(db int) bool { return db < len(e.dbs) && e.dbs[db] }

func (e *EffectLane) put(b []byte) { e.out.append(b, false, false) }

// selectDB makes db the connection's database.
func (e *EffectLane) selectDB(db int) bool {
	if db == e.db {
		return false
	}
	e.db = db
	e.frame = redcon.AppendBulkInt(append(e.frame[:0], selectFrame...), int64(e.inst.Number(db)))
	e.put(e.frame)
	return true
}

// await expects the replies to what was just queued, and has it written out.
func (e *EffectLane) await(a awaited) {
	if e.awaited.n == 0 {
		e.heard = time.Now().UnixNano() // a silence before is no stall; sh.now may be of before it
		e.progress.Store(e.heard)
	}
	e.awaited.push(a)
	switch {
	case e.due:
	case e.sh.turn.Late(e):
		e.due = true
	default:
		e.wakeWriter()
	}
}
