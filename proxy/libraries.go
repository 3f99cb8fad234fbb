package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/internal/script"
	"tandem/router"
)

// The secondary must have the primary's functions, and the scripts that clients call by their names: before
// the roles change, and for FCALL and EVALSHA to be repeated there. What passes through the proxy (SCRIPT LOAD,
// FUNCTION LOAD, ...) goes there as an effect. What was there before, or was lost on the way, is brought by a
// copy of all of it: the libraries as one effect, in the order of those; the scripts, which their names say
// everything of, on a connection of its own.

const (
	// librariesEvery is how often it is looked whether such a copy is owed.
	librariesEvery = 50 * time.Millisecond
	// functionsEvery is how often at most they are looked at because of something that may have changed them.
	functionsEvery = 100 * time.Millisecond
	// librariesRetry is the pause after one that failed.
	librariesRetry = 5 * time.Second
	// librariesTimeout bounds one.
	librariesTimeout = 30 * time.Second
	// loadAtOnce is how many bytes of scripts are sent before the answers are waited for.
	loadAtOnce = 1 << 20
)

// libraries is what is known of functions.
type libraries struct {
	shelf  atomic.Pointer[shelf] // nil while it is not known
	called atomic.Bool           // a function was called or loaded: it is worth knowing them
	kept   bool                  // somebody keeps them up to date; under the shard's lock
	failed string                // why they are not on the secondary, if that lasts; under the shard's lock
	names  []string              // of the libraries brought last; of keepLibraries
	read   time.Time             // when they were read last; of keepLibraries
	next   time.Time             // not before then are they brought again; of keepLibraries
	pause  time.Duration         // it grows while what is brought is not taken; of keepLibraries
}

// shelf is the primary's functions at one time.
type shelf struct {
	functions *script.Shelf
	// version is the ledger's of what belongs to no key: while it stands, no library was changed.
	version uint64
}

// keepLibrariesOnce starts what keeps the secondary's functions equal. The lock is held.
func (sh *Shard) keepLibrariesOnce() {
	if !sh.scripts.kept {
		sh.scripts.kept = true
		sh.work.Go(sh.keepLibraries)
	}
}

// keepLibraries brings the functions and scripts to the secondary whenever that is owed, and looks at the
// functions anew when they may have changed.
func (sh *Shard) keepLibraries() {
	sh.scripts.pause = librariesEvery
	tick := time.NewTicker(librariesEvery)
	defer tick.Stop()
	var trouble complaint
	var again time.Time
	for {
		select {
		case <-sh.ctx.Done():
			return
		case now := <-tick.C:
			if now.Before(again) {
				continue
			}
		}
		err := sh.renewLibraries()
		if err == nil && sh.scripts.pause > librariesRetry/2 {
			sh.lock()
			if why, owed := sh.ledger.EverywhereOwed(); owed {
				err = errors.New(why)
			}
			sh.unlock()
		}
		problem := ""
		switch {
		case err == nil:
			trouble.over(sh.opt.Log, "functions are on the secondary")
		case sh.ctx.Err() == nil:
			trouble.failed(sh.opt.Log, "functions could not be brought to the secondary", err)
			again, problem = time.Now().Add(librariesRetry), err.Error()
		}
		sh.lock()
		sh.scripts.failed = problem
		sh.unlock()
	}
}

// LibrariesProblem says why the secondary has not the primary's functions, if that lasts; until it has, roles
// cannot change. The lock is held.
func (sh *Shard) LibrariesProblem() string { return sh.scripts.failed }

// renewLibraries does what keepLibraries is to do once.
func (sh *Shard) renewLibraries() error {
	sh.lock()
	sh.uncover(time.Now())
	version, quiet := sh.ledger.BeginEverywhere()
	_, owed := sh.ledger.EverywhereOwed()
	if owed && !sh.bringsLibraries() {
		sh.unlock()
		return nil // what there will be here is not known yet
	}
	same := sh.sameFunctions()
	primary, e, ready := sh.primary.inst, sh.effects, sh.dual && sh.effects != nil && sh.effects.up && sh.primary.known
	server := sh.primary.facts.Server
	sh.unlock()
	now := time.Now()
	switch s := &sh.scripts; {
	case owed && now.Before(s.next):
		return nil
	case !owed && now.After(s.next):
		s.pause = librariesEvery
	}
	old := sh.scripts.shelf.Load()
	stale := sh.scripts.called.Load() && (old == nil || old.version != version) && time.Since(sh.scripts.read) > functionsEvery
	if !ready || !quiet {
		return nil
	}
	if err := sh.meetStrangers(primary, server); err != nil {
		return err
	}
	if !owed && !(stale && same) {
		return nil
	}
	ctx, cancel := context.WithTimeout(sh.ctx, librariesTimeout)
	defer cancel()
	sh.scripts.read = time.Now()
	all, err := sh.readLibraries(ctx, primary)
	if err != nil {
		return err
	}
	var gone []string
	if owed {
		if gone, err = sh.leftBehind(ctx, e.inst, all); err == nil {
			err = sh.loadScripts(ctx, primary, e.inst)
		}
		if err != nil {
			return err
		}
	}
	sources := make([][]byte, len(all))
	for i := range all {
		sources[i] = all[i].source
	}
	next := &shelf{functions: script.NewShelf(sources), version: version}

	sh.lock()
	defer sh.unlock()
	if again, quiet := sh.ledger.BeginEverywhere(); !quiet || again != version || sh.primary.inst != primary || sh.effects != e {
		return nil // something came in between: the next look is soon
	}
	if owed {
		if sh.ledger.EndEverywhere(version, bringing(all, gone)) != ledger.Won {
			return nil
		}
		sh.scripts.next = now.Add(sh.scripts.pause)
		sh.scripts.pause = min(2*sh.scripts.pause, librariesRetry)
		sh.scripts.names = sh.scripts.names[:0]
		for i := range all {
			sh.scripts.names = append(sh.scripts.names, all[i].name)
		}
	}
	if !sh.sameFunctions() {
		return nil
	}
	sh.scripts.shelf.Store(next)
	return nil
}

// library is one that an instance has.
type library struct {
	name   string
	source []byte
}

// readLibraries asks an instance for its libraries. One that knows no functions, or tells nobody, has none.
func (sh *Shard) readLibraries(ctx context.Context, i *instance.Instance) ([]library, error) {
	c, err := i.Conn(ctx, sh.ConnName("libraries"), 0)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	v, err := c.Do(ctx, "FUNCTION", "LIST", "WITHCODE")
	if errors.Is(err, instance.ErrCommandRefused) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []library
	for _, l := range v.Elems {
		var one library
		for k := 0; k+1 < len(l.Elems); k += 2 {
			switch string(l.Elems[k].Str) {
			case "library_name":
				one.name = string(l.Elems[k+1].Str)
			case "library_code":
				one.source = l.Elems[k+1].Str
			}
		}
		if one.name == "" || len(one.source) == 0 {
			return nil, fmt.Errorf("%s: FUNCTION LIST: a library without name or code", i)
		}
		all = append(all, one)
	}
	return all, nil
}

// leftBehind lists the libraries that an instance still has of those brought last, and should not have any
// more. Others, which were there before, stay.
func (sh *Shard) leftBehind(ctx context.Context, i *instance.Instance, all []library) (gone []string, err error) {
	for _, name := range sh.scripts.names {
		if !slices.ContainsFunc(all, func(l library) bool { return l.name == name }) {
			gone = append(gone, name)
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	there, err := sh.readLibraries(ctx, i)
	return slices.DeleteFunc(gone, func(name string) bool {
		return !slices.ContainsFunc(there, func(l library) bool { return l.name == name })
	}), err
}

// bringing is the effect that makes the secondary's libraries those.
func bringing(all []library, gone []string) *ledger.Effect {
	p := &payload{name: "FUNCTION LOAD", lasting: true}
	for _, name := range gone {
		p.frames = resp.AppendCommand(p.frames, "FUNCTION", "DELETE", name)
	}
	for i := range all {
		p.frames = resp.AppendArgs(p.frames, [][]byte{[]byte("FUNCTION"), []byte("LOAD"), []byte("REPLACE"), all[i].source})
	}
	p.n = len(gone) + len(all)
	if p.n == 0 {
		p.frames, p.n = resp.AppendCommand(p.frames, "PING"), 1 // something must be acknowledged
	}
	p.expects = make([]router.Expect, p.n)
	return &ledger.Effect{Payload: p}
}

// loadScripts loads on the secondary what clients may call by name on the primary. A script that the secondary
// does not compile is none that could be called there.
func (sh *Shard) loadScripts(ctx context.Context, primary, secondary *instance.Instance) error {
	all := sh.scripts.book.Kept()
	if len(all) == 0 {
		return nil
	}
	from, err := primary.Conn(ctx, sh.ConnName("libraries"), 0)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := secondary.Conn(ctx, sh.ConnName("libraries"), 0)
	if err != nil {
		return err
	}
	defer to.Close()
	for len(all) > 0 {
		exists, loads := []string{"SCRIPT", "EXISTS"}, [][]string(nil)
		for size := 0; len(exists)-2 < len(all) && size < loadAtOnce; {
			s := all[len(exists)-2]
			exists = append(exists, s.Name)
			size += len(s.Source)
		}
		part := all[:len(exists)-2]
		all = all[len(part):]
		v, err := from.Do(ctx, exists...)
		if errors.Is(err, instance.ErrCommandRefused) {
			return nil
		}
		if err != nil {
			return err
		}
		for i, there := range v.Elems {
			if i < len(part) && there.Int == 1 {
				loads = append(loads, []string{"SCRIPT", "LOAD", part[i].Source})
			}
		}
		if len(loads) == 0 {
			continue
		}
		replies, err := to.Pipe(ctx, loads...)
		if err != nil {
			return err
		}
		for _, r := range replies {
			if r.IsError() {
				sh.opt.Log.Warn("a script was not loaded on the secondary", "instance", secondary.String(),
					"error", strings.ToValidUTF8(string(r.Str), "?"))
			}
		}
	}
	return nil
}
