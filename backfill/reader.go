package backfill

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/instance"
	"tandem/internal/moves"
)

// bigTimeout bounds the reading of one big value. The server needs seconds to serialize some hundred
// megabytes, and a slow link a multiple of that.
const bigTimeout = 60 * time.Second

// reader reads keys of one instance. It is safe for concurrent use: values come on connections of which as
// many are opened as there are reads at once, small things on one more that all share.
//
// Every block of commands begins with SELECT, so that neither a connection made anew nor another reader's
// block decides which database is read.
type reader struct {
	in *instance.Instance
	// name is what the connections are called on the server.
	name string
	// timeout bounds the reading of one batch.
	timeout time.Duration
	// moves leaves out what does not move, where keys are counted and scanned. Nil: everything moves.
	moves *moves.Filter
	// stayed counts names that scans have left out, and elsewhere is how many keys the databases have that do not move, as
	// counted last.
	stayed, elsewhere atomic.Int64

	// usePTTL: the server does not know PEXPIRETIME (before 7.0), or refuses it.
	usePTTL atomic.Bool
	// noMemoryUsage: the server refuses MEMORY USAGE.
	noMemoryUsage atomic.Bool
	// noFieldExpiry: the server knows no expiry of hash fields (Redis before 7.4, Valkey before 9).
	noFieldExpiry atomic.Bool
	// strings is how many of the keys are strings.
	strings stringsShare

	mu     sync.Mutex
	client rueidis.Client
	closed bool
}

func newReader(in *instance.Instance, name string, timeout time.Duration) *reader {
	return &reader{in: in, name: name, timeout: timeout}
}

// of makes r leave out what does not move.
func (r *reader) of(f *moves.Filter) *reader {
	r.moves = f
	return r
}

// anyDatabase is for commands that are about no key: database 0 of the instance, which every one has.
const anyDatabase = -1

// number is what to select for a database.
func (r *reader) number(db int) string {
	if db == anyDatabase {
		return "0"
	}
	return strconv.Itoa(r.in.Number(db))
}

// moving returns those of a page of names that move. It may reuse the slice.
func (r *reader) moving(db int, names []string) []string {
	if !r.moves.ByName() {
		return names
	}
	left := names[:0]
	for _, name := range names {
		if r.moves.KeyNamed(db, name) {
			left = append(left, name)
		}
	}
	r.stayed.Add(int64(len(names) - len(left)))
	return left
}

// staying is how many keys were found that do not move.
func (r *reader) staying() int64 { return r.elsewhere.Load() + r.stayed.Load() }

// errClosed says that a reader is used after its owner has closed it.
var errClosed = errors.New("closed")

// connect returns the client, making it when there is none.
func (r *reader) connect(ctx context.Context) (rueidis.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("%s: %w", r.in, errClosed)
	}
	if r.client == nil {
		client, err := r.in.Client(ctx, r.name, instance.ClientOptions{Timeout: bigTimeout, NoTouch: true})
		if err != nil {
			return nil, err
		}
		r.client = client
	}
	return r.client, nil
}

func (r *reader) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// open takes close back.
func (r *reader) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = false
}

// close ends all connections; reads that are under way fail or end first.
func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.client != nil {
		r.client.Close()
		r.client = nil
	}
}

// command is one command: its name and arguments.
type command []string

// do sends a block of commands to database db on the shared connection and returns their replies. The error
// is for what happened to the whole block; error replies are among the results.
func (r *reader) do(ctx context.Context, db int, commands ...command) ([]rueidis.RedisResult, error) {
	return r.doIn(ctx, r.timeout, db, commands...)
}

// doIn is do with a bound of its own.
func (r *reader) doIn(ctx context.Context, limit time.Duration, db int, commands ...command) ([]rueidis.RedisResult, error) {
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	block := make([]rueidis.Completed, 0, len(commands)+1)
	block = append(block, client.B().Arbitrary("SELECT", r.number(db)).Build())
	for _, c := range commands {
		block = append(block, client.B().Arbitrary(c...).Build())
	}
	results := client.DoMulti(ctx, block...)
	for _, res := range results {
		if err := res.NonRedisError(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", r.in, commands[0][0], err)
		}
		if err := wholeServer(res.Error()); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", r.in, commands[0][0], err)
		}
	}
	if err := results[0].Error(); err != nil {
		return nil, fmt.Errorf("%s: select database %d: %w", r.in, db, err)
	}
	return results[1:], nil
}

// wholeServer returns err if it is an error reply that is about the server's state rather than about the
// command: it passes, and says nothing of the key.
func wholeServer(err error) error {
	if e, ok := rueidis.IsRedisErr(err); ok {
		code, _, _ := strings.Cut(e.Error(), " ")
		switch code {
		case "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH":
			return e
		}
	}
	return nil
}

// refused reports whether an error reply says that the server has no such command, or that this user may
// not run it. That the user may not see this one key ("... to access a key", "... one of the keys ...") says
// nothing of the command.
func refused(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	if !ok {
		return false
	}
	text := e.Error()
	if strings.HasPrefix(text, "NOPERM") && strings.Contains(text, " key") {
		return false
	}
	if code, _, _ := strings.Cut(text, " "); code != strings.ToUpper(code) {
		text = "ERR " + text // rueidis takes it off
	}
	return errors.Is(&instance.ReplyError{Text: text}, instance.ErrCommandRefused)
}

// unknown reports whether an error reply says that the server has no such command, rather than that this user may not run it.
func unknown(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && strings.Contains(strings.ToLower(e.Error()), "unknown command")
}

// isWrongType reports whether an error reply says that the key is of another type.
func isWrongType(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(e.Error(), "WRONGTYPE")
}

// refusedCommand is refused for an error that wraps an error reply.
func refusedCommand(err error) bool {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if refused(e) {
			return true
		}
	}
	return errors.Is(err, instance.ErrCommandRefused) || errors.Is(err, instance.ErrCredentials)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// backoff is the pause after the nth failure in a row: 10 ms, doubling up to limit.
func backoff(n int, limit time.Duration) time.Duration {
	return min(limit, 10*time.Millisecond<<min(max(n-1, 0), 20))
}
