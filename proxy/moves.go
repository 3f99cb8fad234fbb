package proxy

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

// What does not move (package moves) is the primary's alone. A command on such keys goes to the primary like any other, and
// has no effect. Of one that names both kinds, what it writes of those that move is copied: its effect would need, or
// change, what the secondary does not have.
//
//	DEL moves stays          the one that moves is copied, which finds that it is gone
//	COPY stays moves         the copy is copied
//	RENAME moves stays       the old name is copied: it is gone
//	FLUSHDB                  where keys of it stay: a sweep is owed, whose second half removes only what moves
//	MULTI of all of these    steps of what stays alone are left out; if one is of both, all that moves is copied
//
// Databases are called by their source's numbers in everything that a session and the ledger say. On a connection to a server
// that has other ones (instance.Number) they are translated where they are sent: SELECT, and what names databases, when it is
// put on the lane and so when it is certain which server it is for. What cannot be translated, within transactions and
// scripts, is refused.

// markStay makes a key one that does not move, if it is.
func (sh *Shard) markStay(k *ledger.Key) {
	if m := sh.opt.Moves; m != nil && !m.Key(int(k.DB), k.Name) {
		k.Stays, k.Write = true, false
	}
}

// flushedDBs are those of the databases first to last that move.
func (sh *Shard) flushedDBs(dst []int, first, last int) []int {
	for db := first; db <= last; db++ {
		if sh.opt.Moves.Database(db) {
			dst = append(dst, db)
		}
	}
	return dst
}

// swapMoves reports whether one of two databases that are exchanged moves.
func (sh *Shard) swapMoves(a, b int) bool {
	return sh.opt.Moves.Database(a) || sh.opt.Moves.Database(b)
}

// sortOut looks, when the keys of a write are known, whether any of what it changes moves. What is left of one whose keys
// all stay for their names, in whatever database, is a read; of others the ledger is told, for the sake of what is reported
// of keys with their names in databases that move.
func (s *session) sortOut(r *request) {
	m := s.sh.opt.Moves
	named := false
	for i := range r.write.Keys {
		k := &r.write.Keys[i]
		if k.Write {
			return
		}
		named = named || m.Name(k.Name)
	}
	if r.script != nil && (r.script.facts.Undeclared || len(r.write.Keys) == 0) {
		return // it may write others
	}
	r.stays, r.script = true, nil
	r.follows, r.follow = r.follows[:0], 0
	if !named {
		r.writes = false
		r.write.Keys = r.write.Keys[:0]
	}
}

// sift takes out of the effect of one command what does not move, or has all copied. keys are the request's, own those of the
// command among them; nil: all.
func (sh *Shard) sift(e *router.Effect, keys []ledger.Key, own []int) {
	at := func(i int) *ledger.Key {
		if own != nil {
			i = own[i]
		}
		return &keys[i]
	}
	stays, changes := false, false
	look := func(i int) {
		k := at(i)
		stays, changes = stays || k.Stays, changes || k.Write
	}
	switch {
	case len(e.Keys) > 0:
		for _, i := range e.Keys {
			look(i)
		}
	case own != nil:
		for i := range own {
			look(i)
		}
	default:
		for i := range keys {
			look(i)
		}
	}
	switch {
	case !stays:
	case !changes:
		e.Kind = router.None
	default:
		asCopy(e)
	}
}

// leaveOut is sift for a request that is one command. timed are keys that its effect gives a time to live.
func (sh *Shard) leaveOut(e *router.Effect, r *request, timed []int) []int {
	switch {
	case r.copies && e.Kind != router.Copy:
		asCopy(e)
	case sh.opt.Moves == nil:
	case r.write.Kind == ledger.Flush || r.write.Kind == ledger.Swap:
		sh.siftBarrier(e, r.cmd, sh.args)
	case r.write.Everywhere:
	default:
		sh.sift(e, r.write.Keys, nil)
	}
	if e.Kind != router.Rewritten {
		return nil
	}
	return timed
}

// asCopy makes an effect a copy of the same keys.
func asCopy(e *router.Effect) {
	e.Kind, e.Blind, e.MayExpire = router.Copy, false, true
	e.Frames, e.N, e.Expects = e.Frames[:0], 0, e.Expects[:0]
}

// siftBarrier is sift for a flush or swap of databases some of which move. What the secondary would have to empty or exchange
// only in part is left to a sweep.
func (sh *Shard) siftBarrier(e *router.Effect, cmd *router.Command, args [][]byte) {
	m := sh.opt.Moves
	if a, b, ok := cmd.SwapDBs(args); ok {
		if !m.Whole(a) || !m.Whole(b) || sh.renumbers() {
			asCopy(e)
		}
		return
	}
	if m.ByName() {
		asCopy(e)
	}
}

// flushedOn returns the numbers of the databases that a FLUSHALL empties on the secondary, where those are not the first.
func (sh *Shard) flushedOn(e *EffectLane) []int {
	if sh.opt.Moves == nil && !e.inst.Renumbers() {
		return nil
	}
	numbers := []int{}
	for db := range sh.env.DBs {
		if sh.opt.Moves.Whole(db) && e.has(db) {
			numbers = append(numbers, e.inst.Number(db))
		}
	}
	return numbers
}

// blocksOnStaying reports whether nothing of what a command may block on moves.
func (s *session) blocksOnStaying(b *blocking) bool {
	if s.sh.opt.Moves == nil {
		return false
	}
	places, ok := b.cmd.AppendKeys(nil, b.args)
	if !ok || len(places) == 0 {
		return false
	}
	for _, p := range places {
		if k := s.key(p, b.args); !k.Stays {
			return false
		}
	}
	return true
}

// renumbers reports whether one of the servers has other numbers of databases. The lock is held.
func (sh *Shard) renumbers() bool {
	return sh.primary.inst.Renumbers() || sh.effects != nil && sh.effects.inst.Renumbers()
}

// spelled makes r a request whose form depends on the numbers that the primary has for databases.
func spelled(r *request, cmd *router.Command, args [][]byte) {
	own := make([][]byte, len(args))
	for i := range args {
		own[i] = slices.Clone(args[i])
	}
	r.copies = true
	r.spell = func(i *instance.Instance) []byte { return cmd.WithNumbers(own, i.Number) }
}

// selecting is the text of a SELECT for an instance. What is no number the server judges.
func selecting(arg []byte, i *instance.Instance) string {
	db, err := strconv.Atoi(string(arg))
	if err != nil || strconv.Itoa(db) != string(arg) || db < 0 {
		return string(arg)
	}
	return strconv.Itoa(i.Number(db))
}

// untranslatable says why a command cannot be sent where databases have other numbers on the target; empty if it can. Within a
// transaction numbers are part of what is queued, and might have to be queued again on the other server.
func (s *session) untranslatable(cmd *router.Command, args [][]byte, queued bool) string {
	h := s.sh.hints.Load()
	if !h.renumbers {
		return ""
	}
	switch {
	case queued && (cmd.Name == "SELECT" || cmd.NamesDatabases(args)):
		return "names a database within a transaction, and databases have other numbers on the target (database_map)"
	case h.foreignNumbers && s.sh.scriptNamesDatabases(cmd, args):
		return "runs a script that names a database, and databases have other numbers on this server (database_map)"
	}
	return ""
}

// Texts in the source of a script: the commands with which it can get into another database, and the one that can do so by an
// option.
var (
	naming  = textOf("SELECT|SWAPDB|MOVE")
	copying = textOf("COPY")
	intoDB  = textOf("DB")
)

// textOf finds one of these words as a string of Lua, however that is written.
func textOf(words string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:"|'|\[=*\[)(?:` + words + `)(?:"|'|\]=*\])`)
}

// scriptNamesDatabases reports whether the source of a script, as far as it is known, names such a command.
func (sh *Shard) scriptNamesDatabases(cmd *router.Command, args [][]byte) bool {
	if len(args) < 3 {
		return false
	}
	var source []byte
	switch cmd.Name {
	case "EVAL", "EVAL_RO":
		source = args[1]
	case "EVALSHA", "EVALSHA_RO":
		if x := sh.scripts.book.Named(args[1]); x != nil {
			source = []byte(x.Source)
		}
	}
	given := func(arg []byte) bool { return bytes.EqualFold(arg, []byte("DB")) }
	return naming.Match(source) || copying.Match(source) && (intoDB.Match(source) || slices.ContainsFunc(args[3:], given))
}

// spellOut gives r the form that it has for the lane's server. The lock is held.
func (ln *lane) spellOut(r *request) {
	raw := r.spell(ln.of.inst)
	if r.planned != nil {
		// The keys' names point into what the session has read; the lane has this in its place.
		args := resp.Args(raw, nil)
		for i := range r.write.Keys {
			k := &r.write.Keys[i]
			if at := slices.IndexFunc(args, func(a []byte) bool { return string(a) == string(k.Name) }); at >= 0 {
				k.Name = args[at]
			}
		}
	}
	r.src, r.take = raw, false
}

// oweUnchanged: where keys live longer on the target, one that a command finds nothing in to change, or to remove, may have
// expired at the source alone. It is copied, and so it is gone at the target as well. own are places among the request's keys;
// nil: all.
func (sh *Shard) oweUnchanged(r *request, own []int) {
	if sh.opt.Extend == 0 || !sh.dual {
		return
	}
	owe := func(k *ledger.Key) {
		if k.Write && sh.ledger.MayHaveExpired(k.Hash) {
			sh.ledger.MakeDirty(k)
		}
	}
	if own == nil {
		for i := range r.write.Keys {
			owe(&r.write.Keys[i])
		}
		return
	}
	for _, i := range own {
		owe(&r.write.Keys[i])
	}
}

// owesUnchanged reports whether a write that has changed nothing has left keys to be copied, see oweUnchanged.
func (sh *Shard) owesUnchanged(r *request) bool {
	if sh.opt.Extend == 0 || !sh.dual {
		return false
	}
	for i := range r.write.Keys {
		if k := &r.write.Keys[i]; k.Write && sh.ledger.IsDirty(k.Hash) {
			return true
		}
	}
	return false
}
