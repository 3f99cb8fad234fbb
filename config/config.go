// Package config is what a user may set: one Config, its defaults, and how it is read.
//
// A setting comes from a flag, else from the environment, else from the file, else from its default.
// Reading is strict: unknown keys and unknown TANDEM_... variables are errors, and all errors are reported
// together. Passwords and tokens never show in an error, in a log or in what is printed.
//
// The package connects to nothing and starts nothing; what a URL means it asks package instance, what a
// certificate is worth package tlsconn. The comments of this file are the user's reference: defaults.yaml and
// docs/reference/configuration.md are generated from them.
package config

import "time"

//go:generate go test . -run TestGeneratedFiles -update

// Config is every setting of Tandem. Each field's key is its name in the file; its variable is TANDEM_ and
// the key in upper case with "." as "_".
type Config struct {
	// Address that clients connect to.
	Listen string `key:"listen" default:"127.0.0.1:6380"`
	// Address of a second listener that fronts the target, for clients on both instances at once. Not
	// available in this version: leave it empty.
	ListenTarget string `key:"listen_target"`

	// TLS for clients. With a certificate, clients that do not speak TLS are turned away. The files are read
	// again when they change; what is wrong with a new one is logged, and the old one goes on working.
	TLS TLS `key:"tls"`

	// Who may connect, and as whom clients are served.
	Auth Auth `key:"auth"`

	// What is done with single commands.
	Commands Commands `key:"commands"`
	// What becomes of a script's writes: run it on the target too where a look at its source shows that it
	// does the same there, and else copy its keys (auto); always run it there, with its reply as the check
	// (replay), which is for scripts known to be deterministic; or always copy (copy).
	Scripts string `key:"scripts" default:"auto" oneof:"auto replay copy"`

	Admin Admin `key:"admin"`

	// The instance to move from.
	Source Instance `key:"source"`
	// The instance to move to.
	Target Instance `key:"target"`

	// Directory that holds what must survive a restart: phase, cursors, intent map. One process and one
	// pair of servers per directory. A relative path is relative to the working directory.
	StateDir string `key:"state_dir" default:"./tandem-state"`
	// Whether the backfill of a new migration starts by itself (auto), once the precheck has passed, or
	// waits for `tandem start` (manual).
	Start string `key:"start" default:"auto" oneof:"auto manual"`
	// What to do about keys that the target holds before the migration: refuse to start (error), let the
	// source's replace them (overwrite), keep the target's (skip), or keep the one used last (newest).
	Duplicates string `key:"duplicates" default:"error" oneof:"error overwrite skip newest" later:"overwrite skip newest"`
	// When a client's write is answered: as soon as the source has executed it (source), or once the
	// target has acknowledged its effect too (both). With both, trouble on the target delays clients for
	// up to ack_timeout.
	Ack string `key:"ack" default:"source" oneof:"source both"`
	// How long a write waits for the target with `ack: both`; after that it is answered all the same and
	// its keys are copied.
	AckTimeout time.Duration `key:"ack_timeout" default:"1s" min:"1ms"`
	// Whether the server is asked to report keys that others change (CLIENT TRACKING): always (on), never
	// (off), or while other clients are seen to be connected (auto). It costs the source about half a
	// microsecond of CPU per command.
	Tracking string `key:"tracking" default:"auto" oneof:"auto on off" later:"on"`
	// Whether expiries that clients give as relative are corrected by the measured difference between the
	// two servers' clocks.
	ClockCorrection string `key:"clock_correction" default:"auto" oneof:"auto off"`
	// Ordered connections per server, user, protocol and database. One is fastest unless the server
	// executes commands on several cores.
	Lanes int `key:"lanes" default:"1" min:"1" max:"64"`
	// Effects that may wait for the secondary. Beyond it effects are dropped and their keys are copied
	// once the secondary has caught up; clients notice nothing.
	MaxLagBytes Bytes `key:"max_lag_bytes" default:"64MiB" min:"64KiB"`
	// A key whose value is larger is copied alone, not in a batch.
	BigKeyBytes Bytes `key:"big_key_bytes" default:"8MiB" min:"4KiB"`
	// Keys that are known to differ and wait for their copy. Beyond it the list is dropped and the whole
	// keyspace is compared again.
	MaxDirtyKeys int `key:"max_dirty_keys" default:"1000000" min:"1"`
	// Keys that the backfill remembers as equal on both sides, at about 32 bytes each. A key forgotten
	// costs one more copy when it is written to.
	ExactKeys int `key:"exact_keys" default:"2097152" min:"1"`

	Primary   Primary   `key:"primary"`
	Secondary Secondary `key:"secondary"`
	Cutover   Cutover   `key:"cutover"`
	Clients   Clients   `key:"clients"`
	Backfill  Backfill  `key:"backfill"`
	Verify    Verify    `key:"verify"`

	// Size of the heap above which the garbage collector works harder; 0 leaves it to Go. Requests and
	// replies in flight may exceed it.
	MemoryLimitBytes Bytes `key:"memory_limit_bytes" default:"256MiB" min:"0"`

	Log      Log      `key:"log"`
	Shutdown Shutdown `key:"shutdown"`

	// Replace another process on the same pair of servers that no longer runs but whose connections are
	// still open. Meant for the command line; never leave it on.
	Takeover bool `key:"takeover" default:"false"`
}

// Admin is the HTTP API, the metrics and the dashboard.
type Admin struct {
	// Address of the admin API, the metrics and the dashboard. Anything but a loopback address needs
	// admin.token.
	Listen string `key:"listen" default:"127.0.0.1:6390"`
	// Token that callers must send as `Authorization: Bearer ...`; empty for none. At least 16 characters.
	Token Secret `key:"token"`
}

// Instance is one of the two servers, given twice.
type Instance struct {
	// URL of the server: redis://[user:password@]host:port[/db], or rediss://... for TLS. In user and
	// password a percent sign is written as %25, and a colon in the user as %3A; all else may stand as it
	// is.
	URL URL `key:"url"`
	// File that holds the password, instead of the URL; the line break at its end does not count.
	PasswordFile string `key:"password_file"`

	// TLS to this server, which the URL turns on (rediss://). All of it has a default: the server's
	// certificate must be of an authority that this machine trusts, and name the host of the URL.
	TLS InstanceTLS `key:"tls"`
}

// InstanceTLS is TLS to one server.
type InstanceTLS struct {
	// File of the authorities that the server's certificate may be of, PEM; empty for those that this
	// machine trusts.
	CAFile string `key:"ca_file"`
	// File of the certificate that Tandem shows to a server that asks for one, PEM, with intermediates
	// behind it.
	CertFile string `key:"cert_file"`
	// File of the private key of cert_file, PEM.
	KeyFile string `key:"key_file"`
	// Name that the server's certificate must have, where it is not the host of the URL.
	ServerName string `key:"server_name"`
	// Take any certificate. Whoever is on the way to the server can then read and change everything; for a
	// server with a certificate of its own making, name that in ca_file instead.
	InsecureSkipVerify bool `key:"insecure_skip_verify" default:"false"`
}

// TLS is TLS for clients.
type TLS struct {
	// File of the certificate that clients see, PEM, with intermediates behind it; empty for no TLS.
	CertFile string `key:"cert_file"`
	// File of the private key of cert_file, PEM.
	KeyFile string `key:"key_file"`
	// File of the authorities that clients' certificates may be of, PEM.
	ClientCAFile string `key:"client_ca_file"`
	// Whether clients are asked for a certificate: no (off), yes but they may have none (optional), or only
	// those that show a valid one get in (required).
	ClientAuth string `key:"client_auth" default:"off" oneof:"off optional required"`
	// How long a client may take for its TLS handshake before it is closed.
	HandshakeTimeout time.Duration `key:"handshake_timeout" default:"10s" min:"100ms" max:"5m"`
}

// Auth is about who may connect.
type Auth struct {
	// How clients authenticate. With server, by the names and passwords that the primary knows: each is
	// served as that user. With users, by those of auth.users; with none, nobody has to. Both then are
	// served with the credentials of the source's and the target's URL.
	Mode string `key:"mode" default:"server" oneof:"server users none"`
	// Users with auth.mode users: a list of objects. The user of a client that gives a password alone is
	// named default.
	Users []User `key:"users"`
	// How long a login that the primary has accepted is accepted again without asking it; 0 is never.
	Cache time.Duration `key:"cache" default:"60s" min:"0s"`
}

// User is one of auth.users. It has exactly one of the three forms of a password.
type User struct {
	// Name of the user.
	Name string `key:"name"`
	// The password itself.
	Password Secret `key:"password"`
	// File that holds the password; the line break at its end does not count.
	PasswordFile string `key:"password_file"`
	// SHA-256 of the password, 64 hex digits.
	PasswordSHA256 Secret `key:"password_sha256"`
}

// Commands is about single commands.
type Commands struct {
	// Commands that are refused, by name, or by name and subcommand such as CONFIG SET. [] refuses none.
	Deny []CommandName `key:"deny" default:"SHUTDOWN, REPLICAOF, SLAVEOF, SYNC, PSYNC, REPLCONF, MIGRATE, FAILOVER"`
	// Writing commands that Tandem does not know and cannot ask the server about, because COMMAND INFO is
	// blocked there: a list of objects. Without being named here they are refused.
	Writes []WriteCommand `key:"writes"`
}

// WriteCommand is one of commands.writes. Where its keys are is written as in COMMAND INFO.
type WriteCommand struct {
	// Name of the command, with the subcommand if it has one.
	Name CommandName `key:"name"`
	// Position of the first key, the name being 0; 0 where it is not known which keys are written: after
	// such a command all keys are compared again.
	FirstKey int `key:"first_key" default:"0" min:"0" max:"1000000"`
	// Position of the last key, counted from the end where negative (-1 is the last argument); 0 is that of
	// the first.
	LastKey int `key:"last_key" default:"0" min:"-1000000" max:"1000000"`
	// Distance from one key to the next.
	Step int `key:"step" default:"1" min:"1" max:"1000000"`
}

// Primary is about the instance that answers clients.
type Primary struct {
	// How long a client's command waits while the primary is unreachable, before it gets an error.
	Wait time.Duration `key:"wait" default:"10s" min:"0s"`
}

// Secondary is about the instance that is kept equal.
type Secondary struct {
	// How long to wait before a broken connection counts as dead, where CLIENT LIST or CLIENT KILL is
	// blocked on the server; only time in which the server answers counts.
	Settle time.Duration `key:"settle" default:"30s" min:"1s"`
}

// Cutover is about the moment in which primary and secondary swap.
type Cutover struct {
	// The longest time that clients' commands are held; a cutover that would take longer is undone, as if
	// never asked for.
	MaxPause time.Duration `key:"max_pause" default:"1s" min:"10ms"`
	// How long to wait for a moment that can be drained, before any command is held.
	Wait time.Duration `key:"wait" default:"10s" min:"0s"`
}

// Clients bounds what clients may ask for and cost.
type Clients struct {
	// Connected clients; one more gets an error and is closed.
	Max int `key:"max" default:"10000" min:"1"`
	// The longest argument of a command, as proto-max-bulk-len of the server.
	MaxBulkBytes Bytes `key:"max_bulk_bytes" default:"512MiB" min:"1KiB" max:"4GiB"`
	// The most arguments of a command.
	MaxArgs int `key:"max_args" default:"1048576" min:"16" max:"1073741824"`
	// The longest inline command, and the longest line that starts an argument.
	MaxInlineBytes Bytes `key:"max_inline_bytes" default:"64KiB" min:"1KiB" max:"16MiB"`
	// Replies that may wait for a client that does not read; beyond it the client is closed. A single
	// larger reply still passes.
	OutputLimitBytes Bytes `key:"output_limit_bytes" default:"256MiB" min:"64KiB"`
	// What all clients together may occupy: commands that have come in part, transactions that are being queued,
	// replies that wait to be read. Beyond it the client that occupies most is closed. No command or reply that
	// has to be kept can be larger.
	MemoryBytes Bytes `key:"memory_bytes" default:"1GiB" min:"16MiB"`
	// How long a client may take no byte at all of a reply before it is closed.
	WriteTimeout time.Duration `key:"write_timeout" default:"30s" min:"100ms"`
	// How long a client may be silent before it is closed; 0 is for ever.
	IdleTimeout time.Duration `key:"idle_timeout" default:"0s" min:"0s"`
	// Interval of the TCP keepalive that finds clients that vanished.
	TCPKeepalive time.Duration `key:"tcp_keepalive" default:"300s" min:"1s"`
}

// Backfill is about copying what was there before.
type Backfill struct {
	// Copies worked on at once.
	Workers int `key:"workers" default:"4" min:"1" max:"256"`
	// COUNT of each SCAN: keys that the source looks at in one go.
	ScanCount int `key:"scan_count" default:"1000" min:"1" max:"100000"`
	// Values in flight between source and target; a single larger value still passes, alone.
	WindowBytes Bytes `key:"window_bytes" default:"16MiB" min:"64KiB"`
	// The most keys copied per second; 0 is no limit.
	MaxKeysPerS int `key:"max_keys_per_s" default:"0" min:"0"`
}

// Verify is about comparing both keyspaces.
type Verify struct {
	// Comparisons worked on at once.
	Workers int `key:"workers" default:"2" min:"1" max:"256"`
	// Difference between two expiry times that counts as none.
	TTLTolerance time.Duration `key:"ttl_tolerance" default:"1s" min:"0s"`
}

// Log is about the log on stderr.
type Log struct {
	// The least important level that is written.
	Level string `key:"level" default:"info" oneof:"debug info warn error"`
	// One line per entry for people (text), or one JSON object per line (json).
	Format string `key:"format" default:"text" oneof:"text json"`
}

// Shutdown is about ending on SIGINT or SIGTERM.
type Shutdown struct {
	// How long to wait for commands in flight and writes that have not settled.
	Timeout time.Duration `key:"timeout" default:"10s" min:"0s"`
}

// Default is the configuration that nothing was set in. It lacks source.url and target.url.
func Default() *Config {
	c := new(Config)
	for _, s := range settings(c) {
		if s.def == "" {
			continue
		}
		if err := s.set(s.def); err != nil {
			panic("config: default of " + s.key + ": " + err.Error()) // a tag of this file; a test reads all
		}
	}
	return c
}
