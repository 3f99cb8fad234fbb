package instance

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// ClientOptions of a rueidis client. The zero value is complete.
type ClientOptions struct {
	// DB is selected on every connection of the client.
	DB int
	// Timeout bounds a write, and the wait for replies. Default 60 s: a DUMP of some hundred megabytes
	// over a slow link takes that long, and the command's own context bounds it where less will do.
	Timeout time.Duration
	// NoTouch sends CLIENT NO-TOUCH ON where the server has it (Redis 7.2, Valkey), so that reading keys
	// for a copy does not make them look recently used. Where it is refused, reads do touch.
	NoTouch bool
	// BufferBytes is the size of each connection's read buffer and of its write buffer. Default 128 KiB.
	BufferBytes int
}

// Client connects with rueidis: for SCAN, DUMP, RESTORE, verify, precheck; not for lanes. The first
// connection is made, within ctx, before Client returns, so wrong credentials and dead servers show here;
// later ones are made when needed and after a break. The caller closes the client.
//
// Connections are dialled and greeted by this package, so they carry name, and a server that refuses CLIENT
// SETNAME is served all the same; rueidis never learns the password. Whatever the server sends is checked before
// rueidis sees it (checkedConn).
func (i *Instance) Client(ctx context.Context, name string, o ClientOptions) (rueidis.Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = 60 * time.Second
	}
	if o.BufferBytes <= 0 {
		o.BufferBytes = 128 << 10
	}
	g := greeting{name: name, db: o.DB, noTouch: o.NoTouch}
	// rueidis makes its first connection with a context of its own; the caller's holds until it stands.
	var first atomic.Pointer[context.Context]
	first.Store(&ctx)
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{i.Addr},
		DialCtxFn: func(own context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			if p := first.Load(); p != nil {
				own = *p
			}
			c, _, err := i.open(own, g)
			if err != nil {
				return nil, err
			}
			return i.checked(c), nil
		},
		Dialer: net.Dialer{
			// Bounds rueidis' own HELLO.
			Timeout: i.opts.DialTimeout,
			// Not TCP's: an idle connection is PINGed this often, and given up after ConnWriteTimeout.
			KeepAlive: i.opts.KeepAlive,
		},
		// Standalone: no probing for cluster or sentinel, and an instance that is down is an error, not a guess.
		ForceSingleClient: true,
		// Caching needs CLIENT TRACKING, which providers block and a copy must not have.
		DisableCache: true,
		// A retried RESTORE or UNLINK would run after what was sent behind it. Whoever may retry, does.
		DisableRetry: true,
		// One connection: with the default of several, keyed commands take different ones and lose their order.
		PipelineMultiplex: -1,
		// Otherwise a DoMulti of 2,000 and more takes another connection.
		BlockingPipeline: -1,
		// The default is 10 s, which a big value passes.
		ConnWriteTimeout: o.Timeout,
		// The default is 512 KiB for each, and there are two on each of many connections.
		ReadBufferEachConn:  o.BufferBytes,
		WriteBufferEachConn: o.BufferBytes,
		// CLIENT SETINFO is new in 7.2; elsewhere it only adds to the server's error statistics.
		ClientSetInfo: rueidis.DisableClientSetInfo,
		// ClientName, SelectDB, Username and Password stay empty: the greeting did that. RESP3 is tried, and
		// RESP2 used where HELLO is unknown.
	})
	first.Store(nil)
	if err != nil {
		if client != nil {
			client.Close()
		}
		if strings.HasPrefix(err.Error(), i.String()) { // ours, of dialling and greeting
			return nil, err
		}
		return nil, fmt.Errorf("%s: connect: %w", i, err)
	}
	return client, nil
}
