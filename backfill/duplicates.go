package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/instance"
	"tandem/internal/moves"
)

// Policy is what is done about a key that the target holds before the migration.
type Policy string

const (
	// PolicyError refuses to start because of it.
	PolicyError Policy = "error"
	// PolicyOverwrite lets the source's replace it.
	PolicyOverwrite Policy = "overwrite"
	// PolicySkip keeps the target's.
	PolicySkip Policy = "skip"
	// PolicyNewest keeps the one that was used last; the source's, if they were used in the same second.
	PolicyNewest Policy = "newest"
)

// What is done about a key that only the target holds.
const (
	// OnlyAuto refuses to start where the key's policy is PolicyError, and leaves it alone otherwise.
	OnlyAuto = "auto"
	// OnlyRefuse refuses to start.
	OnlyRefuse = "refuse"
	// OnlyKeep leaves it alone.
	OnlyKeep = "keep"
	// OnlyDelete removes it.
	OnlyDelete = "delete"
)

// Fate is what becomes of a key that the target holds before the migration. The words are those of the list.
type Fate string

const (
	// Refused: the migration cannot start because of it.
	Refused Fate = "refused"
	// Overwritten: it gives way to the source's.
	Overwritten Fate = "overwritten"
	// Skipped: it stays as it is on the target.
	Skipped Fate = "kept"
	// Removed: it is removed, for the source has none.
	Removed Fate = "removed"
)

// Decision is what was decided about one key.
type Decision struct {
	DB     int
	Key    string
	Policy Policy
	// OnSource: the source has a key of that name, too.
	OnSource bool
	Fate     Fate
	// Why says it for a person.
	Why string
}

// DuplicatesOptions say what is decided. Zero values take the defaults, where there are any.
type DuplicatesOptions struct {
	// Name is what the connections are called (instance.ConnName).
	Name string
	// Databases is how many there are, on the side that has more. Default 16.
	Databases int
	// Moves leaves out what does not move. Nil: everything does.
	Moves *moves.Filter
	// ScanCount is the COUNT of each SCAN. Default 1000.
	ScanCount int
	// ReadTimeout bounds the wait for one answer. Default 5 s.
	ReadTimeout time.Duration
	// Policy returns a key's.
	Policy func(key string) Policy
	// TargetOnly is one of OnlyAuto, OnlyRefuse, OnlyKeep and OnlyDelete.
	TargetOnly string
	// Forced: what would be refused is overwritten, or removed if the source has none.
	Forced bool
	// Except tells names that are our own. Nil: there are none.
	Except func(key string) bool
	// Decided is given every decision, in the order of the databases. Its error ends the walk. A key that SCAN
	// returns twice, which it may while a server shrinks its table, is given twice.
	Decided func(d Decision) error
	// Log takes what is waited for. Default: nowhere.
	Log *slog.Logger
}

// ErrRestarted: what SCAN has returned before may come again.
var ErrRestarted = errors.New("the server was restarted or replaced while its keys were listed")

// DecideDuplicates walks through the target before anything is copied there, and decides what becomes of each key. It
// asks SCAN of the target, and EXISTS or OBJECT IDLETIME of both, neither of which counts as a use of the key. Trouble
// with either instance is waited out until ctx ends; an error is ctx's, or of a command that an instance refuses.
func DecideDuplicates(ctx context.Context, source, target *instance.Instance, o DuplicatesOptions) error {
	setDefault(&o.Databases, 16)
	setDefault(&o.ScanCount, 1000)
	setDefault(&o.ReadTimeout, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &duplicates{opt: o, source: newReader(source, o.Name, o.ReadTimeout).of(o.Moves),
		target: newReader(target, o.Name, o.ReadTimeout).of(o.Moves)}
	defer d.source.close()
	defer d.target.close()
	var there, here []int64
	err := d.insist(ctx, func() (err error) {
		if there, err = d.target.countKeys(ctx, o.Databases); err == nil {
			here, err = d.source.countKeys(ctx, o.Databases)
		}
		return err
	})
	for db := range there {
		if err != nil || there[db] == 0 {
			continue
		}
		runID := ""
		err = d.target.scanFrom(ctx, db, always(o.ScanCount), position{}, func(names []string, at position) error {
			if runID != "" && at.runID != runID {
				return fmt.Errorf("%s: %w", target, ErrRestarted)
			}
			runID = at.runID
			return d.page(ctx, db, names, here[db] > 0)
		})
	}
	if err != nil {
		return fmt.Errorf("look at the keys of %s: %w", target, err)
	}
	return nil
}

// duplicates is one walk.
type duplicates struct {
	opt            DuplicatesOptions
	source, target *reader
}

// insist calls f until it succeeds, or fails for good.
func (d *duplicates) insist(ctx context.Context, f func() error) error {
	return insist(ctx, d.opt.Log, "the look at the target's keys waits for an instance", 0, f)
}

// page decides about a page of the target's keys. populated: the source has keys in this database.
func (d *duplicates) page(ctx context.Context, db int, names []string, populated bool) error {
	policies := make([]Policy, 0, len(names))
	own := names[:0]
	for _, name := range names {
		if d.opt.Except == nil || !d.opt.Except(name) {
			own = append(own, name)
			policies = append(policies, d.opt.Policy(name))
		}
	}
	if names = own; len(names) == 0 {
		return nil
	}
	here, there := make([]age, len(names)), make([]age, len(names))
	if populated {
		if err := d.look(ctx, d.source, db, names, policies, here); err != nil {
			return err
		}
		if err := d.look(ctx, d.target, db, names, policies, there); err != nil {
			return err
		}
	}
	for i, name := range names {
		if populated && policies[i] == PolicyNewest && !there[i].exists {
			continue // it has expired since
		}
		x := Decision{DB: db, Key: name, Policy: policies[i], OnSource: here[i].exists}
		d.decide(&x, here[i].idle, there[i].idle)
		if err := d.opt.Decided(x); err != nil {
			return err
		}
	}
	return nil
}

// age is what an instance says of a key.
type age struct {
	exists bool
	idle   time.Duration // since it was used last, where PolicyNewest asks for it
}

// look asks one side for keys: the source whether they are there, and both how long they have been idle where that
// decides. Keys of other policies are not asked for on the target.
func (d *duplicates) look(ctx context.Context, r *reader, db int, names []string, policies []Policy, out []age) error {
	var commands []command
	var at []int
	for i, name := range names {
		switch {
		case policies[i] == PolicyNewest:
			commands, at = append(commands, command{"OBJECT", "IDLETIME", name}), append(at, i)
		case r == d.source:
			commands, at = append(commands, command{"EXISTS", name}), append(at, i)
		}
	}
	if len(commands) == 0 {
		return nil
	}
	var results []rueidis.RedisResult
	err := d.insist(ctx, func() (err error) {
		results, err = r.do(ctx, db, commands...)
		return err
	})
	if err != nil {
		return err
	}
	for j, res := range results {
		n, err := res.ToInt64()
		switch {
		case rueidis.IsRedisNil(err):
		case err != nil && policies[at[j]] == PolicyNewest: // it counts uses, or does not let us ask
			return fmt.Errorf("%s: %w: OBJECT IDLETIME: %w", r.in, instance.ErrCommandRefused, err)
		case err != nil:
			return fmt.Errorf("%s: %s: %w", r.in, strings.Join(commands[j][:len(commands[j])-1], " "), err)
		case policies[at[j]] == PolicyNewest:
			out[at[j]] = age{true, time.Duration(n) * time.Second}
		default:
			out[at[j]] = age{exists: n > 0}
		}
	}
	return nil
}

// decide fills in what becomes of a key. The times are for PolicyNewest.
func (d *duplicates) decide(x *Decision, here, there time.Duration) {
	if !x.OnSource {
		x.Why = "only the target has it"
		switch {
		case d.opt.TargetOnly == OnlyDelete:
			x.Fate = Removed
		case d.opt.TargetOnly == OnlyRefuse || d.opt.TargetOnly == OnlyAuto && x.Policy == PolicyError:
			x.Fate = Refused
		default:
			x.Fate = Skipped
		}
	} else {
		x.Why = "both have it"
		switch x.Policy {
		case PolicyOverwrite:
			x.Fate = Overwritten
		case PolicySkip:
			x.Fate = Skipped
		case PolicyNewest:
			x.Why = fmt.Sprintf("used %s ago on the target, %s ago on the source", there, here)
			if x.Fate = Overwritten; there < here {
				x.Fate = Skipped
			}
		default:
			x.Fate = Refused
		}
	}
	if x.Fate == Refused && d.opt.Forced {
		if x.Fate = Overwritten; !x.OnSource {
			x.Fate = Removed
		}
	}
}
