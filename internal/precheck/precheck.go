// Package precheck tells, before a migration starts, what would keep it from ending well: it tries what the
// migration will do, on both instances, and says for each item what was found, why it matters and what to do.
//
// The items are a table (checks.go); each is one function in the file of its subject. A check may write one
// scratch key, tandem:precheck:<random>, which expires by itself and is removed before Run returns. Nothing
// else is written or changed on either side.
package precheck

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/internal/moves"
	"tandem/internal/rdb"
)

// Status of an item, and of a whole report.
const (
	// Success: as it should be.
	Success = "success"
	// Warning: it can be started, knowing this.
	Warning = "warning"
	// Failed: it cannot be started.
	Failed = "failed"
)

// Item is one thing that was looked at.
type Item struct {
	// Name is stable and unique in a report: target_empty, source_commands, ...
	Name string `json:"name"`
	// Status is success, warning or failed.
	Status string `json:"status"`
	// Found is what the instances showed.
	Found string `json:"found"`
	// Why is why that matters for a migration.
	Why string `json:"why"`
	// Remedy is what to do; empty for a success.
	Remedy string `json:"remedy"`
	// Accept is the name under which a warning is accepted; empty for a success, for what failed, and for a warning that
	// was accepted.
	Accept string `json:"accept"`
}

// Report is the outcome. As JSON it is {result, items}, and nothing else.
type Report struct {
	// Result is the worst status of the items, without warnings that were accepted.
	Result string `json:"result"`
	Items  []Item `json:"items"`

	// notMade are the checks that had to be left out because of a failed one.
	notMade []string
	// accepted is how many warnings were accepted.
	accepted int
}

// Options of a run. The zero value is a check before a new migration.
type Options struct {
	// Resume says that the target holds what an earlier start of the same migration copied: that it is not
	// empty is then as it should be, and the item is left out.
	Resume bool
	// OwnUsers says that clients do not log in as users of the server (auth.mode is users or none): which users
	// the target has is then no matter, and the item is left out.
	OwnUsers bool
	// MaxClockOffset between the two servers without a warning. Default 100 ms, which is also the least that
	// clock correction corrects.
	MaxClockOffset time.Duration
	// Accept names warnings that are as they should be: they do not count for the result.
	Accept []string
	// StateDir is the state directory of the migration; empty leaves that item out.
	StateDir string
	// Duplicates decides what becomes of the keys that the target holds. Nil: there must be none.
	Duplicates func(ctx context.Context) (*Duplicates, error)
	// Moves leaves out what does not move, which is then the subject of an item. Nil: everything moves.
	Moves *moves.Filter
	// Pace is how fast the backfill may copy. The zero value has no limit.
	Pace Pace
	// SampleTime bounds the look at some of the source's keys. Default 1 s.
	SampleTime time.Duration
	// KeepIdle says that keys must not count as used because they were looked at.
	KeepIdle bool
	// LargeKey is the size of a key, in bytes, above which there is a warning. Default 64 MiB.
	LargeKey int64
	// LongBackfill is the time above which there is a warning. Default 24 h.
	LongBackfill time.Duration
	// Tell is told of each check before it is made: its name, how many were made, and how many there are. Nil: nobody.
	Tell func(name string, made, all int)
}

// withDefaults fills in what was not set.
func (o Options) withDefaults() Options {
	o.MaxClockOffset = cmp.Or(max(o.MaxClockOffset, 0), 100*time.Millisecond)
	o.SampleTime = cmp.Or(o.SampleTime, time.Second)
	o.LargeKey = cmp.Or(o.LargeKey, 64<<20)
	o.LongBackfill = cmp.Or(o.LongBackfill, 24*time.Hour)
	return o
}

// scratchPrefix begins the name of the scratch key, and scratchTTL removes it where we could not.
const (
	scratchPrefix = "tandem:precheck:"
	scratchTTL    = "60000" // ms
)

// Run makes all checks that can be made, one after the other; a failed one leaves out only those that need
// what it found missing. The error is of the context alone: whatever is wrong with an instance is an item.
func Run(ctx context.Context, source, target *instance.Instance, o Options) (*Report, error) {
	return runChecks(ctx, source, target, o, func(check) bool { return true })
}

// RunOne makes one check that is made once for both servers, after those that lead to it, and returns its item. ok is
// false where it could not be made, or has nothing to say.
func RunOne(ctx context.Context, source, target *instance.Instance, o Options, name string) (item Item, ok bool, err error) {
	report, err := runChecks(ctx, source, target, o, func(c check) bool {
		return c.name == name || slices.Contains(leading, c.name)
	})
	if err != nil {
		return Item{}, false, err
	}
	for _, item := range report.Items {
		if item.Name == name {
			return item, true, nil
		}
	}
	return Item{}, false, nil
}

// leading are the checks that lead to all others.
var leading = []string{"reachable", "login", "info"}

// runChecks makes those that are wanted.
func runChecks(ctx context.Context, source, target *instance.Instance, o Options, wanted func(check) bool) (*Report, error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	r := &run{
		Options: o.withDefaults(),
		source:  &side{Instance: source},
		target:  &side{Instance: target},
		scratch: scratchPrefix + hex.EncodeToString(id[:]),
		report:  &Report{Result: Success, Items: []Item{}},
	}
	r.source.other, r.target.other = r.target, r.source
	defer r.close()
	made, all := 0, 0
	for _, c := range checks {
		if wanted(c) {
			all += len(c.over(r))
		}
	}
	for _, c := range checks {
		if !wanted(c) {
			continue
		}
		for _, s := range c.over(r) {
			name := c.name
			if c.each {
				name = string(s.Role) + "_" + c.name
			}
			if o.Tell != nil {
				o.Tell(name, made, all)
			}
			made++
			if !c.possible(r, s) {
				r.report.notMade = append(r.report.notMade, name)
				continue
			}
			f := c.run(ctx, r, s)
			if ctx.Err() != nil {
				return nil, fmt.Errorf("precheck: %w", context.Cause(ctx))
			}
			if f != (finding{}) {
				r.add(name, c.why, f)
			}
		}
	}
	return r.report, nil
}

// run is one precheck under way.
type run struct {
	Options
	source, target *side
	scratch        string
	report         *Report
	// unfit: something failed that makes trials with the scratch key pointless or dangerous (a replica, a
	// cluster, one server twice).
	unfit bool
	// limited: a command that the migration needs is refused on one side.
	limited bool
	// sampled is what some of the source's keys are like, once somebody has asked.
	sampled *sampled
}

// side is one of the two instances and what is known of it so far.
type side struct {
	*instance.Instance
	other *side
	// has is how far the checks came with it.
	has need
	// connErr is why conn is nil; conn is there from login on, info from facts on.
	connErr error
	conn    *instance.Conn
	info    instance.Facts // its Keys are those of databases that move, by their numbers on this server
	// staying is how many keys are in databases that do not move, by their numbers on this server.
	staying map[int]int64
	// reads is what payloads of DUMP it reads; nil if that is not known.
	reads  *rdb.Dialect
	fields map[string]string // of INFO, once somebody has asked for one
	// refused are the commands that the server does not let us use.
	refused map[string]bool
	// scripting are the commands around scripts and functions that it does not know at all, and libraries how
	// many libraries of functions it has.
	scripting map[string]bool
	libraries int
	// names are the own names of all its commands, in upper case; nil if it does not tell.
	names []string
}

// finding is what a check returns; the zero value is no item at all.
type finding struct {
	status string
	found  string
	remedy string
}

func success(format string, args ...any) finding {
	return finding{status: Success, found: fmt.Sprintf(format, args...)}
}

func warning(remedy, format string, args ...any) finding {
	return finding{status: Warning, found: fmt.Sprintf(format, args...), remedy: remedy}
}

func failed(remedy, format string, args ...any) finding {
	return finding{status: Failed, found: fmt.Sprintf(format, args...), remedy: remedy}
}

// broken is for an error that is not the subject of the check: the connection broke, a reply has no sense, or the server
// is in a state in which it does nothing for anybody.
func broken(err error) finding {
	remedy := "see what the server's log says"
	var reply *instance.ReplyError
	if errors.As(err, &reply) {
		code, _, _ := strings.Cut(reply.Text, " ")
		remedy = cmp.Or(states[code], remedy)
	}
	return failed(remedy+", and run the precheck again", "%v", err)
}

func (r *run) add(name, why string, f finding) {
	item := Item{Name: name, Status: f.status, Found: f.found, Why: why, Remedy: f.remedy}
	switch f.status {
	case Failed:
		r.report.Result = Failed
	case Warning:
		if slices.Contains(r.Accept, name) {
			r.report.accepted++
			break
		}
		item.Accept = name
		if r.report.Result == Success {
			r.report.Result = Warning
		}
	}
	r.report.Items = append(r.report.Items, item)
}

// close removes the scratch key, whatever became of the context, and closes the connections.
func (r *run) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, s := range []*side{r.source, r.target} {
		if s.conn == nil {
			continue
		}
		err := r.remove(ctx, s)
		_ = s.conn.Close()
		if err == nil {
			continue
		}
		// The context's end broke the connection.
		if s.conn, err = s.Conn(ctx, connName, 0); err == nil {
			_ = r.remove(ctx, s) // if that fails, the key expires
			_ = s.conn.Close()
		}
	}
}
