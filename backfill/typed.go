package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"

	"tandem/internal/crashpoint"
	"tandem/internal/instance"
	"tandem/internal/rdb"
)

// A copy by type reads a value in pieces and writes them to a temporary key of the secondary, on connections of the
// copier's own; what goes to the Sink is the step that gives the value its name. Between the pieces the key may change,
// so they are worth something only together with the version of its stripe, as the payload of a DUMP is: it is noted
// before the first piece, and is still the same when the last has been written and acknowledged. What changes a key
// without raising a version, an expiry, is looked for at the end.
//
//	version noted ─► piece ─► piece ─► ... ─► same facts as before? ─► all written? ─► version the same: RENAME
//	                   └────────┴──► temporary key

const (
	// typedBytes is what a copy by type has in memory: a piece that is read, one that waits, one that is written.
	typedBytes = 4 * pieceBytes
	// temporaryTTL is when a temporary key goes by itself whose maker has died; each piece puts it off.
	temporaryTTL = 10 * time.Minute
	// pieceTimeout bounds the reading, and the writing, of one piece.
	pieceTimeout = 60 * time.Second
)

var (
	// errOvertaken says that the key has changed since the first piece.
	errOvertaken = errors.New("the key has changed")
	// errSecondary says that the secondary's connection broke, or that it does not answer now: no key is to blame.
	errSecondary = errors.New("the secondary could not be written to")
)

// pieceReader reads a value in pieces, each as the commands that add it to the temporary key; nil when there are no more.
type pieceReader interface {
	next(ctx context.Context) ([]command, error)
}

// copyTyped tries to copy a key by type, and sets its result. The error is ctx's, or of the connection to one of the
// servers.
func (c *Copier) copyTyped(ctx context.Context, db int, it *item) error {
	if err := c.throttle.turn(ctx, it.copy.Dirty != nil, 0); err != nil {
		return err
	}
	reserved := int64(typedBytes)
	if it.size > 0 {
		reserved = min(reserved, 4*it.size+copyOverhead)
	}
	if !c.window.enter(ctx, reserved) {
		return context.Cause(ctx)
	}
	defer func() {
		c.l.Lock()
		c.window.leave(reserved)
		c.l.Unlock()
	}()
	s := scratches.Get().(*scratch)
	defer s.free()
	c.begin([]*item{it}, s)
	if len(s.items) == 0 {
		return nil
	}
	overtaken := func() bool {
		c.l.Lock()
		defer c.l.Unlock()
		return c.l.Overtaken(&it.copy)
	}
	c.hooks.at(beforeRead, db, s.names)
	out, err := c.build(ctx, db, it.name, !it.hurried, overtaken)
	if err != nil {
		return err
	}
	if out.found == unreadable && overtaken() {
		out.found = torn // it became another type, or ceased to be
	}
	c.hooks.at(afterRead, db, s.names)
	if out.found == built {
		crashpoint.Reach(crashpoint.CopyBuilt)
	}
	c.end(s.items, []reading{out})
	crashpoint.Reach(crashpoint.CopyAppended)
	if it.result != settled && out.from != "" {
		c.discard(ctx, db, out.from)
	}
	return nil
}

// build copies the value of a key into a temporary key. overtaken is asked between the pieces whether it is of no more
// use; throttled, they wait for their turn. The error is of the primary's connection or ctx's; whatever is about the key is in the reading.
func (c *Copier) build(ctx context.Context, db int, name string, throttled bool, overtaken func() bool) (out reading, err error) {
	defer func() {
		switch {
		case errors.Is(err, errOvertaken):
			out.found, err = torn, nil
		case isReply(err):
			out.found, out.err, err = unreadable, fmt.Errorf("copy by type: %w", err), nil
		}
		if out.found != built && out.from != "" {
			c.discard(ctx, db, out.from)
			out.from = ""
		}
	}()
	before, err := c.reader.facts(ctx, db, []string{name})
	if err != nil {
		return out, err
	}
	if before[0].kind == noKey {
		return out, nil // found is missing
	}
	if n := before[0].count; before[0].kind == "string" && n > c.longest(n) {
		return out, &tooLong{n, c.longest(n)} // a string may not be longer in pieces, either
	}
	// One answer for all pieces, and none without: what the secondary can hold would be left out.
	known := c.forms.ask(ctx)
	if known.dialect == nil {
		return out, fmt.Errorf("%w: %s does not tell what it reads", errSecondary, c.forms.to.in)
	}
	out.from = c.temporary.Next(bytesOf(name))
	b := &building{c: c, db: db, name: name, to: out.from, kind: before[0].kind, count: before[0].count, dialect: known.dialect,
		throttled: throttled}
	from, err := b.pieces()
	if err != nil {
		return out, err
	}
	if err := b.run(ctx, from, overtaken); err != nil {
		return out, err
	}
	if b.written == 0 {
		out.found = torn
		return out, nil // all that there was has expired meanwhile, or it is not there any more
	}
	after, err := c.reader.facts(ctx, db, []string{name})
	if err != nil {
		return out, err
	}
	whole, err := c.forms.to.count(ctx, db, out.from, b.kind)
	switch {
	case err != nil:
		return out, secondaryError(err)
	case after[0].kind != b.kind || !sameMoment(after[0].expireAt, before[0].expireAt),
		b.fieldsExpire && whole == 0,
		!b.fieldsExpire && (after[0].count != before[0].count || whole != after[0].count):
		return out, errOvertaken // an expiry, or somebody past the proxy
	}
	out.found, out.expireAt, out.size = built, after[0].expireAt, b.bytes
	out.lostExpiry, out.nextExpiry = b.lost, b.nextLost
	return out, nil
}

// sameMoment compares two looks at an expiry. Where the server has no PEXPIRETIME they are by its clock, and as good as that
// can be read.
func sameMoment(a, b int64) bool {
	if a == 0 || b == 0 {
		return a == b
	}
	return time.Duration(max(a-b, b-a))*time.Millisecond <= 10*ttlPrecision
}

// building is one copy by type under way.
type building struct {
	c        *Copier
	db       int
	name, to string
	kind     string
	count    int64
	dialect  *rdb.Dialect // what the secondary reads
	// written is how many commands have added to the temporary key, bytes about how much they had.
	written int
	bytes   int64
	// throttled: its pieces wait for their turn.
	throttled bool
	// fieldsExpire: it is a hash of which some fields expire; its count may change by itself.
	fieldsExpire bool
	lost         int
	nextLost     int64
}

// pieces returns the reader for the key's type.
func (b *building) pieces() (pieceReader, error) {
	switch b.kind {
	case "string":
		return &stringPieces{building: b}, nil
	case "list":
		return &listPieces{building: b, size: newPieces()}, nil
	case "set":
		return &elementPieces{building: b, scan: "SSCAN", add: b.addMembers, size: newPieces()}, nil
	case "zset":
		return &elementPieces{building: b, scan: "ZSCAN", add: b.addScores, size: newPieces()}, nil
	case "hash":
		return &elementPieces{building: b, scan: "HSCAN", add: b.addFields, size: newPieces()}, nil
	case "stream":
		return &streamPieces{building: b, size: newPieces(), looked: newPieces()}, nil
	}
	return nil, fmt.Errorf("type %s: %w", b.kind, errNoPieces)
}

// errNoPieces says that a value is of a type which only the module that made it can read.
var errNoPieces = keyError("the value is of a module's type: the secondary does not read its DUMP, and nothing else can copy it")

// keyError is an error about one key.
type keyError string

func (e keyError) Error() string { return string(e) }

// run reads pieces and writes them, the next being read while one is written.
func (b *building) run(ctx context.Context, from pieceReader, overtaken func() bool) error {
	pieces := make(chan []command)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(pieces)
		for {
			if err := b.turn(ctx); err != nil {
				return err
			}
			if overtaken() {
				return errOvertaken
			}
			before := b.bytes
			commands, err := from.next(ctx)
			b.c.throttle.bytes.spend(float64(b.bytes - before))
			if err != nil || commands == nil {
				return err
			}
			select {
			case pieces <- commands:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	g.Go(func() error {
		for commands := range pieces {
			if err := b.write(ctx, commands); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// turn waits until the next piece may be read, but not until the temporary key is gone.
func (b *building) turn(ctx context.Context) error {
	if !b.throttled {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, temporaryTTL/2)
	defer cancel()
	if err := b.c.throttle.turn(limited, true, 0); err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}

// write adds a piece to the temporary key, and puts its end off, in one transaction: at no moment is it without one. Evicted,
// flushed or expired, it would begin anew with this piece: so it must be there if it is not the first.
func (b *building) write(ctx context.Context, commands []command) error {
	if len(commands) == 0 {
		return nil
	}
	if err := b.c.checkLengths(commands); err != nil {
		return err
	}
	ttl := strconv.FormatInt(temporaryTTL.Milliseconds(), 10)
	block := make([]command, 0, len(commands)+4)
	block = append(block, command{"MULTI"}, command{"EXISTS", b.to})
	block = append(block, commands...)
	block = append(block, command{"PEXPIRE", b.to, ttl}, command{"EXEC"})
	results, err := b.c.forms.to.doIn(ctx, pieceTimeout, b.db, block...)
	if err != nil {
		return secondaryError(err)
	}
	for i := range results {
		if err := results[i].Error(); err != nil {
			return fmt.Errorf("%s: %s: %w", b.c.forms.to.in, block[i][0], err)
		}
	}
	replies, err := results[len(results)-1].ToArray()
	if err != nil {
		return fmt.Errorf("%s: EXEC: %w", b.c.forms.to.in, err)
	}
	for i := range replies {
		if err := replies[i].Error(); err != nil {
			return fmt.Errorf("%s: %s: %w", b.c.forms.to.in, block[1+i][0], err)
		}
	}
	if n, err := replies[0].ToInt64(); err != nil {
		return fmt.Errorf("%s: EXISTS: %w", b.c.forms.to.in, err)
	} else if n != 1 && b.written > 0 {
		return errOvertaken
	}
	b.written += len(commands)
	b.c.hooks.at(pieceWritten, b.db, []string{b.name, b.to})
	return nil
}

// discard removes a temporary key that is of no use. Where that does not succeed it goes by itself.
func (c *Copier) discard(ctx context.Context, db int, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	_, _ = c.forms.to.do(ctx, db, command{"UNLINK", name})
}

// discardTimeout bounds the removal of a temporary key.
const discardTimeout = 2 * time.Second

// count returns how many elements a key of a type has, a string bytes.
func (r *reader) count(ctx context.Context, db int, name, kind string) (int64, error) {
	results, err := r.do(ctx, db, command{countCommands[kind], name})
	if err != nil {
		return 0, err
	}
	n, err := results[0].ToInt64()
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", r.in, countCommands[kind], err)
	}
	return n, nil
}

// isReply reports whether an error is about the key: an error reply of a server, or one of ours.
func isReply(err error) bool {
	var key keyError
	var long *tooLong
	if errors.As(err, &key) || errors.As(err, &long) || errors.Is(err, errForm) {
		return true
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if _, ok := rueidis.IsRedisErr(e); ok {
			return wholeServer(e) == nil
		}
	}
	return false
}

// secondaryError marks an error of the secondary's connection as one.
func secondaryError(err error) error {
	if isReply(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errSecondary, err)
}

// withoutTemporary returns the names that are no temporary keys.
func withoutTemporary(names []string) []string {
	return slices.DeleteFunc(names, instance.IsTemporaryKey)
}

// dropTemporary returns the names that are no temporary keys. Those among them that somebody has left behind who died are
// removed.
func (c *Copier) dropTemporary(ctx context.Context, db int, names []string) []string {
	if !slices.ContainsFunc(names, instance.IsTemporaryKey) {
		return names
	}
	left := make([]string, 0, len(names))
	remove := command{"UNLINK"}
	for _, name := range names {
		switch {
		case !instance.IsTemporaryKey(name):
			left = append(left, name)
		case !c.temporary.Own(name):
			remove = append(remove, name)
		}
	}
	if len(remove) > 1 {
		_, _ = c.forms.to.do(ctx, db, remove) // they go by themselves as well
	}
	return left
}
