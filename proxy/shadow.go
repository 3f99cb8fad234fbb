package proxy

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/tidwall/redcon"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

// Shadow reads: some of the clients' reads are sent to the secondary, too, to see whether it answers the same. The client
// has its reply by then, and waits for nothing.
//
// A read is compared only where it is a proof: at the place of its reply in the effect lane's order, of keys that are
// known to be equal there (ledger.PlaceShadow), and not close to an expiry. Reads that cannot be placed, and all while the
// secondary is behind, are skipped. So what differs is a difference, and the ledger has the keys copied.

const (
	// maxShadowRequest and maxShadowReply are how large a read and its reply may be to be compared, in bytes.
	maxShadowRequest = 16 << 10
	maxShadowReply   = 64 << 10
	// maxShadowLag is how much may wait on the effect lane for a read to be put behind it.
	maxShadowLag = 1 << 20
	// maxShadows is how many may be on their way at once.
	maxShadows = 256
)

// shadows are the shadow reads of a shard, under its lock.
type shadows struct {
	// odds of 2^64 is the chance of a read to be chosen; 0: none is.
	odds uint64
	// Of those that were chosen: whose replies were the same, were not, and that could not be compared.
	same, different, skipped uint64
	last                     string // the last that differed
	places                   []router.Key
}

// ShadowCounts are what has become of shadow reads.
type ShadowCounts struct {
	Same, Different, Skipped uint64
	// Last is the last that differed, for people.
	Last string
}

// shadow is one read on its way.
type shadow struct {
	look   ledger.Shadow
	cmd    *router.Command
	form   resp.Form
	frame  []byte
	db     int
	at     int64 // when it was sent to the primary, Unix nanoseconds
	digest uint64
}

// SetShadowReads sets the share of reads that are compared, from 0 to 1.
func (sh *Shard) SetShadowReads(share float64) {
	sh.lock()
	defer sh.unlock()
	switch {
	case share <= 0:
		sh.shadows.odds = 0
	case share >= 1:
		sh.shadows.odds = math.MaxUint64
	default:
		sh.shadows.odds = uint64(share * (1 << 63) * 2)
	}
}

// ShadowCounts returns what has become of shadow reads so far.
func (sh *Shard) ShadowCounts() ShadowCounts {
	sh.lock()
	defer sh.unlock()
	s := &sh.shadows
	return ShadowCounts{Same: s.same, Different: s.different, Skipped: s.skipped, Last: s.last}
}

// chooseShadow may make a read, which is about to be put on a lane, one to be compared. The lock is held.
func (s *session) chooseShadow(ln *lane, r *request) {
	sh := s.sh
	if rand.Uint64() > sh.shadows.odds || r.cmd == nil || len(r.parts) > 0 || r.tx != nil || r.replies != 1 || r.follow > 0 ||
		r.cursor || r.mute || r.own || r.sub != nil || r.then != nil || r.blocking != nil || len(r.src) > maxShadowRequest {
		return
	}
	form, ok := r.cmd.Shadow()
	if !ok {
		return
	}
	args := resp.Args(r.src, nil)
	sh.shadows.places, ok = r.cmd.AppendKeys(sh.shadows.places[:0], args)
	if !ok || len(sh.shadows.places) == 0 {
		return
	}
	if ln.resp3 && withScores(args) {
		return // nested there, and flat on the secondary's lane
	}
	x := &shadow{cmd: r.cmd, form: form, db: s.db, at: sh.now}
	for _, k := range sh.shadows.places {
		key := s.key(k, args)
		if key.Stays {
			return // the secondary does not have it
		}
		key.Name, key.Write = bytes.Clone(key.Name), true
		x.look.Keys = append(x.look.Keys, key)
	}
	if !sh.ledger.BeginShadow(&x.look, ln.id) {
		sh.shadows.skipped++
		return
	}
	x.frame = resp.AppendArgs(nil, args)
	r.shadow = x
}

// withScores reports whether a read asks for scores beside members.
func withScores(args [][]byte) bool {
	for _, a := range args[1:] {
		if bytes.EqualFold(a, []byte("WITHSCORES")) || bytes.EqualFold(a, []byte("WITHSCORE")) {
			return true
		}
	}
	return false
}

// placeShadow sends a read whose reply has just come to the secondary. Of a reply that was passed on in pieces, reply is
// nil. The lock is held.
func (sh *Shard) placeShadow(x *shadow, reply []byte) {
	var err error
	if len(reply) == 0 || len(reply) > maxShadowReply || !sh.dual || sh.effects == nil {
		sh.shadows.skipped++
		return
	}
	if x.digest, err = resp.DigestAs(x.form, reply); err != nil { // an error of the server's
		sh.shadows.skipped++
		return
	}
	guard := sh.ledger.MayExpire(&x.look)
	if guard && x.cmd.Name[0] == 'H' || !sh.ledger.PlaceShadow(&x.look) || !sh.effects.appendShadow(x, guard) {
		sh.shadows.skipped++ // fields of a hash may expire, too, and nobody can ask for all of them
	}
}

// appendShadow queues a read behind all effects. With guard it is preceded by a look at each key's time to live. It
// reports false when the secondary is not there or behind.
func (e *EffectLane) appendShadow(x *shadow, guard bool) bool {
	if !e.up || !e.has(x.db) || e.shadows >= maxShadows || e.refusal.standing() || e.lagBytes+e.out.unsent > min(maxShadowLag, e.sh.opt.MaxLagBytes/2) {
		return false
	}
	a := awaited{n: 1, at: x.at, name: x.cmd.Name, shadow: x}
	a.selects = e.selectDB(x.db)
	if guard {
		a.guards, a.block = int32(len(x.look.Keys)), true
		e.put(multiFrame)
		for i := range x.look.Keys {
			e.frame = redcon.AppendBulk(append(e.frame[:0], pttlFrame...), x.look.Keys[i].Name)
			e.put(e.frame)
		}
	}
	e.put(x.frame)
	if a.block {
		e.put(execFrame)
	}
	e.shadows++
	e.await(a)
	return true
}

// judgeShadow compares the replies to a read, which are buf[unit:] as far as ends say, with the primary's. An error says
// that the connection must not be used any more.
func (e *EffectLane) judgeShadow(a *awaited, unit int, ends []int, now int64) error {
	x, s := a.shadow, &e.sh.shadows
	reply := e.buf[unit:ends[len(ends)-1]]
	var open error
	certain := true
	if a.block {
		exec := e.buf[ends[len(ends)-2]:ends[len(ends)-1]]
		if leftOpen(exec) {
			open = errOpen
		}
		elements, ok := splitArray(exec, int(a.guards+a.n))
		for i := 0; ok && i < int(a.guards); i++ {
			pttl, _, err := resp.Parse(elements[i])
			ok = err == nil && pttl.Kind == ':' && !ledger.EdgeSuspect(pttl.Int, time.Duration(now-a.at), e.skew)
		}
		if certain = ok; ok {
			reply = elements[a.guards]
		}
	}
	e.awaited.pop()
	e.shadows--
	switch digest, err := resp.DigestAs(x.form, reply); {
	case !certain, e.sh.effects != e, err != nil && !bytes.HasPrefix(reply, []byte("-WRONGTYPE")):
		s.skipped++
	case err == nil && digest == x.digest:
		s.same++
	default:
		e.differs(x)
	}
	if loggedOut(text(reply)) {
		return errText(text(reply))
	}
	return open
}

// endlessShadow has the keys of the read copied whose reply on the secondary does not end: or it would be asked for again,
// and end the lane again. The lock is held.
func (e *EffectLane) endlessShadow() {
	if e.awaited.n == 0 || e.awaited.front().shadow == nil {
		return
	}
	if e.sh.effects == e {
		e.differs(e.awaited.front().shadow)
	}
}

// differs counts a read that the secondary has answered otherwise, unless something explains it that is known already, and
// has its keys copied.
func (e *EffectLane) differs(x *shadow) {
	s := &e.sh.shadows
	if !e.sh.ledger.ShadowDiffers(&x.look) {
		s.skipped++
		return
	}
	s.different++
	s.last = x.String()
}

// String names a read by its command and first key.
func (x *shadow) String() string {
	name := x.look.Keys[0].Name
	return fmt.Sprintf("%s of key %s in db %d", x.cmd.Name, strconv.Quote(string(name[:min(len(name), 128)])), x.db)
}
