package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/instance"
	"tandem/internal/rdb"
)

// formsFor is how long what the secondary reads is taken for known: it may be restarted as another version.
const formsFor = 10 * time.Second

// forms is what the secondary reads, and rewrites for it what the primary has dumped.
type forms struct {
	to *reader

	asking sync.Mutex // held by whoever asks the secondary
	known  atomic.Pointer[formsKnown]
}

// formsKnown is one answer.
type formsKnown struct {
	// dialect is nil if the secondary did not say.
	dialect *rdb.Dialect
	at      time.Time
}

// ask returns what the secondary reads. What is not known, because the secondary is away or refuses everything just now,
// is asked for again by the next one, once a second at most.
func (f *forms) ask(ctx context.Context) *formsKnown {
	fresh := func() *formsKnown {
		k := f.known.Load()
		if k == nil || time.Since(k.at) > formsFor || k.dialect == nil && time.Since(k.at) > time.Second {
			return nil
		}
		return k
	}
	if k := fresh(); k != nil {
		return k
	}
	if !f.asking.TryLock() {
		if k := f.known.Load(); k != nil {
			return k // somebody is at it
		}
		f.asking.Lock()
	}
	defer f.asking.Unlock()
	if k := fresh(); k != nil {
		return k
	}
	k := &formsKnown{dialect: f.to.forms(ctx)}
	k.at = time.Now() // an answer that took seconds to fail to come is not asked for again by each who has waited for it
	if old := f.known.Load(); old != nil && k.dialect == nil {
		k.dialect = old.dialect
	}
	f.known.Store(k)
	return k
}

// forget has the secondary asked again: it has refused what it was said to read. Until it answers, that is what is known.
func (f *forms) forget() {
	if k := f.known.Load(); k != nil && time.Since(k.at) > time.Second {
		f.known.CompareAndSwap(k, &formsKnown{dialect: k.dialect})
	}
}

// forms asks a server what it reads; nil if it cannot be told now.
func (r *reader) forms(ctx context.Context) *rdb.Dialect {
	questions := rdb.Questions()
	name := instance.NewTemporaryKeys().Next(nil)
	commands := make([]command, len(questions))
	for i, q := range questions {
		commands[i] = command{"RESTORE", name, "1", q, "ABSTTL"}
	}
	results, err := r.do(ctx, anyDatabase, commands...)
	if err != nil {
		return nil
	}
	ok := make([]bool, len(questions))
	for i := range questions {
		err := results[i].Error()
		if e, is := rueidis.IsRedisErr(err); is && !refusesForm(e.Error()) {
			return nil // it is full, or a replica, or does not let us
		}
		ok[i] = err == nil
	}
	return rdb.NewDialect(ok)
}

// refusesForm reports whether an error reply to RESTORE says that the server does not read the payload.
func refusesForm(text string) bool {
	return strings.Contains(text, "DUMP payload version") || strings.Contains(text, "Bad data format")
}

// rewrite makes payloads of db ones that the secondary reads. Those that cannot be are left to a copy by type, and
// those that become larger than the limit of a value to a later attempt, like those that were dropped. The error is that
// of asking the primary for its clock.
func (c *Copier) rewrite(ctx context.Context, db int, readings []reading, lim limits) error {
	known := c.forms.ask(ctx)
	if known.dialect == nil {
		return nil
	}
	limit := min(lim.value, 2*c.opt.DumpBytes)
	// What has expired by now has expired for good; what expires later is seen to later.
	now, err := c.now(ctx, db, readings, known.dialect)
	if err != nil {
		return err
	}
	for i := range readings {
		switch o := &readings[i]; {
		case o.found != present:
		case c.onlyTyped:
			o.found, o.payload = byType, ""
		default:
			o.rewrite(known.dialect, now, limit, limit == lim.value)
		}
	}
	return nil
}

// now is the primary's clock, Unix ms, if it matters to one of the readings; otherwise 0.
func (c *Copier) now(ctx context.Context, db int, readings []reading, d *rdb.Dialect) (int64, error) {
	if d.ExpiringFields() {
		return 0, nil
	}
	matters := func(o reading) bool { return o.found == present && rdb.FieldsExpire(bytesOf(o.payload)) }
	if !slices.ContainsFunc(readings, matters) {
		return 0, nil
	}
	results, err := c.reader.do(ctx, db, command{"TIME"})
	if err != nil {
		return 0, err
	}
	now, err := serverTime(results[0])
	if err != nil {
		return 0, fmt.Errorf("%s: TIME: %w", c.reader.in, err)
	}
	return now.UnixMilli(), nil
}

// rewrite makes the payload, whose bytes are nobody else's, one that d reads. again: with a higher limit, a value that is
// too large for this one can be read once more.
func (o *reading) rewrite(d *rdb.Dialect, now, limit int64, again bool) {
	out, err := d.Rewrite(bytesOf(o.payload), now, limit)
	switch {
	case errors.Is(err, rdb.ErrTooLarge) && again:
		o.found, o.payload, o.size = dropped, "", limit+1
	case err != nil:
		o.found, o.payload = byType, ""
	case out.Payload == nil:
		o.found, o.payload, o.expireAt = missing, "", 0
	default:
		o.payload = rueidis.BinaryString(out.Payload)
		o.lostExpiry, o.nextExpiry = out.LostExpiry, out.NextExpiry
	}
}
