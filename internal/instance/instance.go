// Package instance is one of the two servers of a migration: where it is, how to get a connection to it,
// and what it is (version, run id, databases, memory, clock).
//
// Source and target are the same type, Instance, used twice; nothing here is written per side. The package
// owns dialling, the greeting of a new connection (AUTH, CLIENT SETNAME, SELECT), the names that our
// connections carry on the server, and the proof that old ones are dead. It never reads or writes a key of
// the application, and a password never leaves it: not in an error, not in a log, not in a %+v.
package instance

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"tandem/internal/tlsconn"
)

// Role is the instance's place in the migration. It never changes, not even by a cutover.
type Role string

const (
	// Source holds the keyspace when the migration begins.
	Source Role = "source"
	// Target is what the keyspace moves to.
	Target Role = "target"
)

// Options of an instance. The zero value is complete: New fills in the defaults.
type Options struct {
	// Password is used when the URL has none (it comes from a file, say).
	Password string
	// Reread gives that password anew, when the server refuses the one there is. Default: there is no newer one.
	Reread func() (string, error)
	// DialTimeout bounds a TCP connect, and the greeting that follows it. Default 5 s.
	DialTimeout time.Duration
	// ReplyTimeout bounds the wait for one reply of a Conn. Default 10 s. A server that is busy for longer
	// (a slow script, a huge DEL) is reported as not answering.
	ReplyTimeout time.Duration
	// KeepAlive is the idle time before TCP probes the peer; three probes at a third of it decide that an
	// idle peer is gone. Default 15 s.
	KeepAlive time.Duration
	// MaxReplyBytes is the longest string that a reply may have on a connection of Client: a server that
	// announces more is not believed. Default 4 GiB: DUMP of a collection may be longer than any string, and
	// whoever reads one takes of it what there is room for.
	MaxReplyBytes int64
	// TLS is what connections verify and show where the URL is rediss://. Default: the certificate must be of
	// an authority that this machine trusts and name the URL's host. It must not be given with redis://.
	TLS *tlsconn.Client
}

func (o Options) withDefaults() Options {
	if o.DialTimeout <= 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.ReplyTimeout <= 0 {
		o.ReplyTimeout = 10 * time.Second
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = 15 * time.Second
	}
	if o.MaxReplyBytes <= 0 {
		o.MaxReplyBytes = 4 << 30
	}
	return o
}

// Instance is the source or the target. It is safe for concurrent use and keeps no connection of its own:
// whoever asks for a connection owns and closes it.
type Instance struct {
	Role Role
	// Addr is host:port, in lower case, IPv6 hosts in brackets.
	Addr string
	// User is the ACL user, empty for the default one.
	User string
	// DB is the database named in the URL, 0 if none is.
	DB int

	opts    Options
	numbers numbers
	listens []net.TCPAddr   // see NotAt
	tls     *tlsconn.Client // nil without TLS
	// A function, because fmt prints the fields of a struct, unexported ones too, but not what a function
	// would return.
	password func() string
	// renew has the password read anew that the server has refused, and reports whether it is another one now.
	renew func(refused string) (renewed bool, err error)
	// auth is false when the URL names neither user nor password: nothing to say to the server then.
	auth bool
	// unnamed becomes true when a connection could not be named: EnsureDead cannot find such a connection
	// by name, and has to settle instead.
	unnamed atomic.Bool
}

// New makes an instance of a URL, redis://[user:password@]host:port[/db], or rediss:// for TLS. The port
// defaults to 6379. It does not connect. Its errors say what is wrong with the URL and what to write instead, and never repeat
// what may be a password.
func New(role Role, rawURL string, opts Options) (*Instance, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%s URL: %w", role, err)
	}
	text, given := u.password, u.hasPassword
	if !given && opts.Password != "" {
		text, given = opts.Password, true
	}
	if u.user != "" && !given {
		// The user is not quoted: who forgets the colon has written the password there.
		return nil, fmt.Errorf("%s URL: names a user and no password: write redis://user:password@host:port, "+
			"redis://:password@host:port for a password alone, redis://user:@host:port for a user without", role)
	}
	own := new(password)
	own.present.Store(&text)
	if !u.hasPassword {
		own.reread = opts.Reread
	}
	opts.Password, opts.Reread = "", nil
	switch {
	case opts.TLS != nil && !u.tls:
		return nil, fmt.Errorf("%s URL: begins with redis://, and TLS is configured: write rediss://", role)
	case opts.TLS == nil && u.tls:
		if opts.TLS, err = tlsconn.NewClient(tlsconn.ClientOptions{Keys: string(role) + ".tls."}); err != nil {
			return nil, fmt.Errorf("%s: TLS: %w", role, err)
		}
	}
	return &Instance{
		Role:     role,
		Addr:     u.addr,
		User:     u.user,
		DB:       u.db,
		opts:     opts.withDefaults(),
		tls:      opts.TLS,
		password: own.get,
		renew:    own.renew,
		auth:     given,
	}, nil
}

// String is "source 10.0.0.1:6379": role and address, without credentials.
func (i *Instance) String() string { return string(i.Role) + " " + i.Addr }

// GoString is String, so that %#v tells no more.
func (i *Instance) GoString() string { return i.String() }
