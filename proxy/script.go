package proxy

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/internal/script"
	"tandem/router"
)

// Scripts says what becomes of scripts and functions on the secondary.
type Scripts uint8

const (
	// ScriptsAuto: those run there too that a look at their source shows to do the same there; the keys of the
	// others are copied.
	ScriptsAuto Scripts = iota
	// ScriptsReplay: all run there too, wherever the keys that they may touch are exact. One that may touch keys which
	// it does not name runs with nothing else under way on other lanes, and there only if all keys are exact.
	ScriptsReplay
	// ScriptsCopy: none runs there.
	ScriptsCopy
)

// scriptMemory bounds the sources that are remembered, in bytes.
const scriptMemory = 16 << 20

// scripts is what a shard knows of scripts and functions.
type scripts struct {
	book *script.Book
	libraries
	strangers strangers
	unseen    unseen
}

// scriptRun is what is known of the script that one command runs. It is made by the session that plans the
// command and belongs to the request.
type scriptRun struct {
	// facts are the worst that can be while nothing is known.
	facts  script.Facts
	script *script.Script // nil of a function, and of a script of unknown source
	record *script.Record // nil if nothing is known
	// shelf is the libraries that a function was looked up in.
	shelf *shelf
	// alone: it has an order with all writes of all keys (ledger.Anything), so that it can be repeated whatever it writes.
	alone bool
	// covered: since when the primary reports the keys that scripts write without naming them (see Covered).
	covered uint64
}

var unknownScript = script.Facts{Writes: true, Undeclared: true, Computed: true, Expires: true, MayExpire: true}

// scriptOf finds out what a command runs. Only commands of which IsScript is true are asked for.
func (sh *Shard) scriptOf(cmd *router.Command, args [][]byte) *scriptRun {
	run := &scriptRun{facts: unknownScript}
	switch cmd.Name {
	case "EVAL":
		run.is(sh.scripts.book.Run(args[1]))
	case "EVALSHA":
		run.is(sh.scripts.book.Named(args[1]))
		if run.script == nil {
			sh.scripts.strangers.add(args[1])
		}
	case "FCALL":
		sh.scripts.called.Store(true)
		if s := sh.scripts.shelf.Load(); s != nil {
			if f := s.functions.Function(args[1]); f != nil {
				run.facts, run.record, run.shelf = f.Facts, &f.Record, s
			}
		}
	}
	if f := &run.facts; f.Computed && !f.Unreported {
		f.Unreported = script.NamesUnreported(args[2:])
	}
	return run
}

func (run *scriptRun) is(s *script.Script) {
	if s != nil {
		run.script, run.facts, run.record = s, s.Facts, &s.Record
	}
}

// noteSource remembers the source of a script that passes on its way to the servers.
func (sh *Shard) noteSource(cmd *router.Command, args [][]byte) {
	switch {
	case cmd.Class == router.Everywhere && cmd.Name == "SCRIPT LOAD" && len(args) == 3:
		sh.scripts.book.Loaded(args[2])
	case cmd.Class == router.Everywhere && strings.HasPrefix(cmd.Name, "FUNCTION "):
		sh.scripts.called.Store(true) // to be known before they are
	case cmd.IsScript() && cmd.Name == "EVAL" && len(args) >= 3:
		sh.scripts.book.Run(args[1])
	}
}

// planScript finds the keys of a script, for the ledger, and appends the reads that its effect needs. ok is
// false if the keys could not be told: the server will refuse it.
func (s *session) planScript(cmd *router.Command, args [][]byte, h *hints, follows []byte) (run *scriptRun, _ []byte, n int, ok bool) {
	s.places, ok = cmd.AppendKeys(s.places[:0], args)
	if !ok {
		return nil, follows, 0, false
	}
	run = s.sh.scriptOf(cmd, args)
	if !run.facts.Writes {
		s.places = s.places[:0] // it orders nothing
		return run, follows, 0, true
	}
	if run.facts.Expires && s.sh.opt.Scripts != ScriptsCopy && (run.facts.Repeats || s.sh.opt.Scripts == ScriptsReplay) {
		follows, n = appendExpiryReads(follows, s.places, args, h.server)
	}
	return run, follows, n, true
}

// mayRunAlone reports whether a script is to be repeated though it may write keys that it does not name: then it must
// have a place in the order of all writes.
func (sh *Shard) mayRunAlone(run *scriptRun) bool {
	return run != nil && run.facts.Writes && run.facts.Undeclared && sh.opt.Scripts == ScriptsReplay && !sh.inPart()
}

// inPart reports whether a script must be known to touch nothing but the keys that it names, to be repeated: the secondary does
// not have all keys, or has databases by other numbers.
func (sh *Shard) inPart() bool { return sh.opt.Moves != nil || sh.opt.Renumbered }

// scriptEffect is the effect of a script: its own repetition, where that does the same on the secondary, else
// a copy of its keys. follow has the replies to appendExpiryReads, nil where they may not be used. timed are the
// places of the keys that have a time to live now, where only those may have one (else e.MayExpire is set, or
// none has).
func (sh *Shard) scriptEffect(e *router.Effect, run *scriptRun, cmd *router.Command, args [][]byte, reply []byte, follow [][]byte) (timed []int) {
	if !run.facts.Writes {
		return nil
	}
	cmd.Effect(e, &sh.env, args, reply, follow)
	if e.Kind == router.None {
		return nil
	}
	repeats := reply[0] != '-' && reply[0] != '!' && sh.repeats(run)
	if repeats && run.facts.Expires {
		repeats = len(follow) > 0 || args[2][0] == '0'
	}
	if run.facts.Undeclared && !repeats {
		sh.wroteUndeclared(run, cmd)
	}
	if !repeats {
		return nil
	}
	e.Kind, e.Keys, e.MayExpire = router.Rewritten, e.Keys[:0], run.facts.MayExpire
	if cmd.Name == "EVAL" && run.script.Kept() {
		// By its name; EffectLane.Append sees to it that the secondary has it.
		e.Frames = resp.AppendArgs(e.Frames, append([][]byte{[]byte("EVALSHA"), []byte(run.script.Name)}, args[2:]...))
	} else {
		e.Frames = resp.AppendArgs(e.Frames, args)
	}
	e.N, e.Expects = 1, append(e.Expects[:0], router.ExpectSame(reply))
	if run.facts.Expires {
		e.MayExpire = false
		timed = sh.appendExpiries(e, nil, cmd, args, follow)
		e.MayExpire = e.Kind == router.Copy
	}
	return timed
}

// unnamedKeys is the effect of a script that was called without keys, in a transaction.
func (sh *Shard) unnamedKeys(run *scriptRun, cmd *router.Command, args [][]byte, reply []byte) {
	var e router.Effect
	if cmd.Effect(&e, &sh.env, args, reply, nil); e.Kind != router.None && run.facts.Undeclared {
		sh.wroteUndeclared(run, cmd)
	}
}

// repeats decides whether a script that has run may run on the secondary too.
func (sh *Shard) repeats(run *scriptRun) bool {
	if run.facts.Renames && sh.env.Primary.HasHashFieldTTL() && !sh.env.Secondary.HasHashFieldTTL() {
		return false // fields would expire on the primary alone, and nothing would tell
	}
	if sh.opt.Extend > 0 && (run.facts.Expires || run.facts.MayExpire) {
		return false // the expiries that it gives would not be longer there
	}
	switch sh.opt.Scripts {
	case ScriptsCopy:
		return false
	case ScriptsReplay:
		if sh.inPart() && !run.facts.Repeats {
			return false // it may read what does not move, or get into another database
		}
		if run.facts.Undeclared && !(run.alone && sh.ledger.Settled()) {
			return false // a key that it does not name may be another there
		}
	default:
		if run.record == nil || run.record.Fails() ||
			!run.facts.RepeatsOn(script.Server(sh.env.Primary), script.Server(sh.env.Secondary)) {
			return false
		}
	}
	if run.shelf == nil {
		return true
	}
	// No library may have changed since the function was looked up, and the secondary must have them all.
	version, quiet := sh.ledger.BeginEverywhere()
	_, owed := sh.ledger.EverywhereOwed()
	return quiet && !owed && version == run.shelf.version && sh.sameFunctions()
}

// load is the script that must be on the secondary before the effect: it is called by its name there.
func (run *scriptRun) load(cmd *router.Command, e *router.Effect) *script.Script {
	if run.script == nil || e.Kind != router.Rewritten || cmd.Name == "EVAL" && !run.script.Kept() {
		return nil
	}
	return run.script
}

// noScript reports whether a reply says that a script is not there.
func noScript(reply []byte) bool { return bytes.Contains(reply, []byte("NOSCRIPT ")) }

const (
	// coverWait is how long a script that may write keys which it does not name waits for the primary to report
	// changed keys.
	coverWait = time.Second
	// coverRetry is the pause before that is tried again, where it cannot be had.
	coverRetry = 10 * time.Second
	// coverIdle is how long no such script must have come for the primary to be spared the reports again.
	coverIdle = time.Minute
)

// cover sees to it, before a request is sent that runs a script which may write keys that it does not name, that
// the primary reports those. False: it has waited, and everything must be looked at again. The lock is held, and
// released while waiting.
func (s *session) cover(r *request) bool {
	if s.sh.opt.TwoWay {
		return s.enclose(r)
	}
	if r.script == nil && len(r.parts) == 0 {
		return true
	}
	if sh := s.sh; r.script != nil && sh.mayRunAlone(r.script) {
		// With keys that are not exact it could not be repeated: then it goes like any other that must be copied.
		if r.script.alone = sh.ledger.Settled(); r.script.alone {
			r.write.Kind, r.write.Hidden = ledger.Anything, false
			return true
		}
		r.write.Kind = ledger.Plain
	}
	// What it writes to the keys that it names is reported, too, and is no stranger's.
	r.write.Script = r.script != nil || slices.ContainsFunc(r.parts, func(p part) bool { return p.script != nil })
	if r.unseenPart() == nil {
		return true
	}
	sh := s.sh
	if !s.awaitShelf(r) {
		return false
	}
	covered, u := sh.Covered(), &sh.scripts.unseen
	if covered == 0 {
		now := time.Now()
		if now.After(u.tryAgain) {
			u.until, u.tryAgain = now.Add(coverWait), now.Add(coverRetry)
			u.tracks = true
			sh.Track(OfScripts, true)
		}
		if left := u.until.Sub(now); left > 0 {
			if s.on != nil {
				s.on.flushLocked(s.turn)
			}
			sh.unlock()
			ctx, cancel := s.bound(left)
			_ = sh.Await(ctx, func() bool { return sh.Covered() != 0 })
			cancel()
			sh.lock()
			return false
		}
	}
	sh.feeds.use(s.db)
	for i := range r.parts {
		if p := &r.parts[i]; p.selects && p.db != noDB {
			sh.feeds.use(p.db)
		}
	}
	r.write.Hidden = true
	u.last = time.Unix(0, sh.now)
	if r.script != nil {
		r.script.covered = covered
	}
	for i := range r.parts {
		if run := r.parts[i].script; run != nil {
			run.covered = covered
		}
	}
	return true
}

// awaitShelf waits, when a function is called of which nothing is known because the libraries have just changed or
// are being read, until they are known. False: it has, and the request must be planned again. The lock is held, and
// released while waiting.
func (s *session) awaitShelf(r *request) bool {
	sh := s.sh
	known := func() bool {
		version, quiet := sh.ledger.BeginEverywhere()
		shelf := sh.scripts.shelf.Load()
		return quiet && shelf != nil && shelf.version == version && sh.sameFunctions()
	}
	u, now := &sh.scripts.unseen, time.Now()
	if cmd := r.unseenPart(); cmd.Name != "FCALL" || known() || now.Before(u.shelfAgain) {
		return true
	}
	if s.on != nil {
		s.on.flushLocked(s.turn)
	}
	sh.unlock()
	ctx, cancel := s.bound(coverWait)
	err := sh.Await(ctx, known)
	cancel()
	sh.lock()
	if err != nil {
		u.shelfAgain = time.Now().Add(coverRetry)
	}
	r.planned = nil
	return false
}

// wroteUndeclared notes that a script may have written keys that it does not name: they are reported, or a sweep
// is owed.
func (sh *Shard) wroteUndeclared(run *scriptRun, cmd *router.Command) {
	if run.facts.Unreported || run.covered == 0 || run.covered != sh.Covered() {
		sh.wroteUnseen(cmd)
	}
}

// unseen are writes that no key is known of.
type unseen struct {
	until    time.Time // scripts wait for the primary to report changed keys until then
	tryAgain time.Time // it is asked again then
	tracks   bool      // it has been asked
	// shelfAgain: functions that are not known are not waited for until then.
	shelfAgain time.Time
	last       time.Time // when such a script was last sent
}

// wroteUnseen notes that a script may have written keys that it does not name. A sweep is owed for it: at
// once, or when the one that is owed already is done, so that scripts that come one after the other do not
// have it begin anew each time.
func (sh *Shard) wroteUnseen(cmd *router.Command) {
	sh.counts.Unkeyed++
	sh.ledger.OweAgain("a script (" + cmd.Name + ") may have written keys that it does not name")
}

// uncover spares the primary the reports when they have not been needed for a while: they cost it time, and
// replays of several keys are copies meanwhile. The lock is held.
func (sh *Shard) uncover(now time.Time) {
	if u := &sh.scripts.unseen; u.tracks && sh.ledger.Unsettled() == 0 && now.Sub(u.last) > coverIdle && now.After(u.until) {
		u.tracks, u.tryAgain = false, time.Time{}
		sh.Track(OfScripts, false)
	}
}
