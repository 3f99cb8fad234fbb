package conformance

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/test/keyspace"
)

// pair is a source's version and a target's.
type pair struct{ source, target string }

// inAllPhases is the pair that every run plays in every phase; elsewhere the phases are those of the full size.
var inAllPhases = pair{"redis-7.0", "redis-7.0"}

// inSynced are the pairs that every run plays in synced alone, so that each version answers once.
var inSynced = []pair{{"redis-6.0", "redis-7.0"}, {"redis-8.0", "redis-8.0"}, {"valkey-8.1", "valkey-9.1"}, {"valkey-9.1", "valkey-9.1"}}

// inFull are all pairs whose target can hold what the source's commands make.
var inFull = []pair{
	{"redis-6.0", "redis-6.0"}, {"redis-6.0", "redis-7.0"}, {"redis-6.0", "redis-8.0"}, {"redis-6.0", "valkey-8.1"}, {"redis-6.0", "valkey-9.1"},
	{"redis-7.0", "redis-7.0"}, {"redis-7.0", "redis-8.0"}, {"redis-7.0", "valkey-8.1"}, {"redis-7.0", "valkey-9.1"},
	{"redis-8.0", "redis-8.0"}, {"valkey-8.1", "valkey-8.1"}, {"valkey-8.1", "valkey-9.1"}, {"valkey-9.1", "valkey-9.1"},
}

// world is two servers with the program between them.
type world struct {
	t                *testing.T
	source, target   *redisd.Server
	onSource, onGoal *Control
	td               *tandem
	// returns: the source reads the target's DUMPs. Where it does not, what must be copied back to it never arrives,
	// as the precheck says (dump_return), and after a cutover only replies can be compared.
	returns bool
	// next is the database of the next play, and played who had which since the last flush.
	next   int
	played map[int]play
	found  *findings
	// mismatched are the effects of this program that newMismatches has told.
	mismatched []string
}

// batch is how many databases are played in before they are compared and all is flushed: as many as people have.
// The proxy's connections to a server are by database.
const batch = 16

// filler is how many keys of no scenario the source holds in database 0, and fillPace how many of them the
// backfill may copy per second; much fewer until it is paused.
const filler, fillPace = 2000, 2000

// newWorld starts servers and program, in passthrough.
func newWorld(t *testing.T, versions pair, found *findings) *world {
	t.Helper()
	w := &world{t: t, found: found, source: start(t, versions.source), target: start(t, versions.target), played: map[int]play{}, next: 1}
	w.onSource, w.onGoal = control(t, w.source), control(t, w.target)
	w.returns = w.isRead()
	w.serve()
	return w
}

// isRead reports whether the source restores what the target dumps.
func (w *world) isRead() bool {
	w.t.Helper()
	if _, err := w.onGoal.Must("SET", "k", "v"); err != nil {
		w.t.Fatal(err)
	}
	dump, err := w.onGoal.Must("DUMP", "k")
	if err != nil {
		w.t.Fatal(err)
	}
	reply, err := w.onSource.do("RESTORE", "k", "0", dump.Text)
	if err != nil {
		w.t.Fatal(err)
	}
	return !reply.IsError()
}

// compared reports whether the keyspaces are to be the same in a phase.
func (w *world) compared(phase string) bool {
	return phase == "synced" || phase == twoWay || phase == "reversed" && w.returns
}

// serve starts the program as if for the first time; what was is gone from both servers.
func (w *world) serve() {
	w.t.Helper()
	if w.td != nil {
		w.td.Stop()
	}
	reset(w.t, w.onSource)
	reset(w.t, w.onGoal)
	// A login is asked of the server each time, as without the proxy.
	w.td = serve(w.t, w.source, w.target, "backfill:", "  max_keys_per_s: "+strconv.Itoa(fillPace), "auth:", "  cache: 0s")
	w.mismatched = nil
	w.forget()
}

// begin starts the program and the migration anew, so that the lanes and feeds of what was are gone.
func (w *world) begin() {
	w.t.Helper()
	w.serve()
	w.td.Step("start")
	w.td.settle()
}

// forget begins to count databases anew, after a flush.
func (w *world) forget() { w.next, w.played = 1, map[int]play{} }

// database is the next play's own.
func (w *world) database(p play) int {
	if p.scenario.Alone {
		return 0
	}
	db := w.next
	w.next++
	w.played[db] = p
	return db
}

// player plays through the proxy; primary is the server that answers.
func (w *world) player(p play, primary *Control) Player {
	return Player{Addr: w.td.Addr, Server: primary, Protocol: p.protocol}
}

// hold starts the backfill and stops its sweep before it is done; n are the keys that give the time for it.
func (w *world) hold(n int) {
	w.t.Helper()
	for i := range n {
		if err := w.onSource.send([]string{"SET", "filler:" + strconv.Itoa(i), "x"}); err != nil {
			w.t.Fatal(err)
		}
	}
	for range n {
		if _, err := w.onSource.receive(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.td.Pace(fillPace / 40) // however late it is paused
	w.td.Step("start")
	w.td.until("the backfill begins", func() bool { return w.td.Status().Phase == "backfill" })
	w.td.Step("pause")
	w.td.until("the backfill is held", func() bool { return w.td.Status().Backfill.State == "paused" })
	w.td.Pace(fillPace)
	if s := w.td.Status(); s.Phase != "backfill" {
		w.t.Fatalf("it was held too late: %s", s.Phase)
	}
}

// release lets the backfill go on and waits for its end.
func (w *world) release() {
	w.t.Helper()
	w.td.Step("resume")
	w.td.settle()
}

// through plays through the proxy, in batches. Before those that want to be alone all is flushed, through it too.
func (w *world) through(phase string, all []play, primary *Control, want transcripts) {
	w.t.Helper()
	began := time.Now()
	got, stale := transcripts{}, false
	compared := w.compared(phase)
	if phase == "reversed" && !compared {
		w.t.Logf("%s does not read the DUMPs of %s: in reversed, replies alone are compared", w.source.Name, w.target.Name)
	}
	for _, p := range all {
		if _, ok := want[p]; !ok || w.found.known.leavesOut(p.scenario, w.primary(phase)) {
			continue
		}
		switch {
		case w.next > batch:
			if compared {
				w.mustBeEqual(phase)
			}
			w.flush()
		case p.scenario.Alone, stale:
			w.flush()
		}
		stale = p.scenario.Alone // it has been in databases of others
		player := w.player(p, primary)
		since := time.Now()
		got[p] = player.Play(p.scenario, w.database(p))
		w.slow(phase, p, since)
		if p.scenario.Alone && compared {
			w.mustBeEqual(phase + ", after " + p.scenario.ID())
		}
	}
	// What hangs on a moment may come out otherwise on a busy machine: only what differs three times counts.
	for p := range got {
		for try := 1; try < 3 && w.found.differs(p, w.primary(phase), want[p], got[p]); try++ {
			if compared {
				w.mustBeEqual(phase)
			}
			w.flush()
			w.t.Logf("%s, RESP%d, differed in %s and is played again: %s", p.scenario.ID(), p.protocol, phase,
				w.found.of(p, w.primary(phase), want[p], got[p]))
			player := w.player(p, primary)
			got[p] = player.Play(p.scenario, w.database(p))
		}
	}
	if compared {
		w.mustBeEqual(phase)
	}
	w.found.compare(w.where(phase), w.primary(phase), want, got)
	w.t.Logf("%-11s %4d plays in %v", phase, len(all), time.Since(began).Round(time.Millisecond))
}

// slow names plays that take long: somebody waits for a reply that does not come.
func (w *world) slow(phase string, p play, since time.Time) {
	if took := time.Since(since); took > time.Second {
		w.t.Logf("%s, RESP%d, took %v in %s", p.scenario.ID(), p.protocol, took.Round(time.Millisecond), phase)
	}
}

// primary is the version that answers in a phase.
func (w *world) primary(phase string) string {
	if phase == "reversed" {
		return w.target.Name
	}
	return w.source.Name
}

// where names a phase between these servers.
func (w *world) where(phase string) string {
	return w.source.Name + " to " + w.target.Name + ", " + phase
}

func (w *world) flush() {
	w.t.Helper()
	c, err := DialControl(w.td.Addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	reset(w.t, c)
	w.forget()
}

// mustBeEqual waits until both servers should hold the same, and compares them.
func (w *world) mustBeEqual(when string) {
	w.t.Helper()
	w.td.settle()
	w.mustMatch(when)
	result, err := keyspace.Compare(w.source.Addr, w.target.Addr, keyspace.Options{Ignore: func(db int, key string) bool {
		return w.isVectors(db, key)
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range result.Differences {
		whose := ""
		if p, ok := w.played[d.DB]; ok {
			whose = " of " + p.scenario.ID()
		}
		w.t.Errorf("%s: source and target differ%s: %s", when, whose, d)
	}
}

// newMismatches are the effects that the secondary has answered otherwise than they should be, by command, that it has
// not told before.
func (w *world) newMismatches() []string {
	w.t.Helper()
	var found []string
	for _, m := range w.td.Mismatches() {
		if !slices.Contains(w.mismatched, m) {
			found = append(found, m)
		}
	}
	w.mismatched = append(w.mismatched, found...)
	return found
}

// mustMatch reports new mismatches.
func (w *world) mustMatch(when string) {
	w.t.Helper()
	if found := w.newMismatches(); len(found) > 0 {
		w.t.Errorf("%s: effects answered otherwise than they should be: %s", when, strings.Join(found, ", "))
	}
}

// isVectors tells keys that hold a set of vectors: its graph is random, so that equal ones differ in their bytes.
// What can be said of two is compared here.
func (w *world) isVectors(db int, key string) bool {
	if w.played[db].scenario == nil || w.played[db].scenario.File != "vectors" {
		return false
	}
	var said [2]string
	for i, server := range []*redisd.Server{w.source, w.target} {
		c, err := dial(server.Addr, 2, db)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, command := range []string{"TYPE", "VCARD", "VDIM"} {
			if command != "TYPE" && said[i] != " +vectorset" && !strings.HasPrefix(said[i], " +vectorset ") {
				break
			}
			reply, err := c.do(command, key)
			if err != nil {
				w.t.Fatal(err)
			}
			said[i] += " " + reply.String()
		}
		c.conn.Close()
	}
	if said[0] != said[1] {
		w.t.Errorf("%q of the scenarios of vectors: TYPE, VCARD and VDIM are%s on the source,%s on the target", key, said[0], said[1])
	}
	return strings.HasPrefix(said[0], " +vectorset")
}

// TestPhases plays everything through the program in every phase.
func TestPhases(t *testing.T) {
	all := plays(corpus(t))
	here := present(t)
	known := loadExceptions(t)
	found := &findings{known: known}
	defer func() {
		found.report(t)
		known.report(t, *only == "" && *alone == "" && *resp == 0 && len(here) == len(versions))
	}()
	pairs := append([]pair{inAllPhases}, inSynced...)
	if full {
		pairs = inFull
	}
	for _, pair := range pairs {
		if !slices.Contains(here, pair.source) || !slices.Contains(here, pair.target) {
			continue // present has said so
		}
		t.Run(pair.source+" to "+pair.target, func(t *testing.T) {
			w := newWorld(t, pair, found)
			asSource, asTarget := directly(t, pair.source), directly(t, pair.target)
			if full || pair == inAllPhases {
				w.passthrough(all, asSource)
				w.backfill(all, asSource)
				w.begin()
				w.through("synced", of(all, inOwn, inAll), w.onSource, asSource)
				w.flush()
				w.td.cutOver()
				w.through("reversed", all, w.onGoal, asTarget)
				w.begin()
				w.through("synced", of(all, scriptsInOwn, scriptsInAll), w.onSource, asSource)
			} else {
				w.begin()
				w.through("synced", all, w.onSource, asSource)
			}
			t.Log(w.td.counts())
		})
	}
}

// passthrough leaves the target as it is.
func (w *world) passthrough(all []play, want transcripts) {
	w.t.Helper()
	w.through("passthrough", all, w.onSource, want)
	if info, err := w.onGoal.Must("INFO", "keyspace"); err != nil || len(info.Text) > len("# Keyspace\r\n") {
		w.t.Errorf("the target holds something in passthrough: %s %v", info, err)
	}
}

// backfill plays while a sweep is under way: what is given in a scenario is on the source before, and not yet on
// the target. Those that flush come first, for nothing given would survive them; for the others, the
// migration begins once more.
func (w *world) backfill(all []play, want transcripts) {
	w.t.Helper()
	all = slices.DeleteFunc(slices.Clone(all), func(p play) bool {
		_, ok := want[p]
		return !ok || w.found.known.leavesOut(p.scenario, w.source.Name)
	})
	w.serve()
	w.hold(filler)
	w.through("backfill", of(all, inAll, scriptsInAll), w.onSource, want)
	w.release()
	w.mustBeEqual("after backfill")
	w.filled(of(all, scriptsInOwn), want)
	w.filled(of(all, inOwn), want)
}

// filled plays with what is given there, each in a database of its own.
func (w *world) filled(own []play, want transcripts) {
	w.t.Helper()
	w.serve()
	given := make([]*Performance, len(own))
	for i, p := range own {
		onSource := Player{Addr: w.source.Addr, Server: w.onSource, Protocol: p.protocol}
		given[i] = onSource.Given(p.scenario, w.database(p))
	}
	w.hold(filler)
	began := time.Now()
	got := transcripts{}
	for i, p := range own {
		player := w.player(p, w.onSource)
		since := time.Now()
		got[p] = player.Resume(given[i], p.scenario)
		w.slow("backfill", p, since)
	}
	w.found.compare(w.where("backfill"), w.primary("backfill"), want, got)
	w.t.Logf("%-11s %4d plays in %v", "backfill", len(own), time.Since(began).Round(time.Millisecond))
	w.release()
	w.mustBeEqual("after backfill")
}
