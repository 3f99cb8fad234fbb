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
	// Address of a second listener that fronts the target, for clients on both instances at once (two-way); empty for
	// none. It lets nobody in before the phase two_way, which follows synced by itself where this is set. With it
	// nothing is done about clients that go past Tandem (tracking), and there is no cutover; it asks for ack: source, for no
	// keys of the target that are kept, and for no shadow reads.
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
	Audit Audit `key:"audit"`

	// The instance to move from.
	Source Instance `key:"source"`
	// The instance to move to.
	Target Instance `key:"target"`

	// Directory that holds what must survive a restart: phase, cursors, intent map. One process and one
	// pair of servers per directory. A relative path is relative to the working directory.
	StateDir string `key:"state_dir" default:"./tandem-state"`
	// Databases that move, by their numbers on the source, such as [0, 3]; empty for all. What does not move stays where it
	// is: its commands go to the server that answers, and after a cutover that is the target, which has none of it. It
	// cannot be changed once a backfill has begun, nor can database_map and keys.
	Databases []int `key:"databases"`
	// Numbers that databases get on the target, where they are others than on the source: a list of objects. Clients go on
	// to use the source's numbers.
	DatabaseMap []DatabaseNumber `key:"database_map"`
	// Which keys of those databases move.
	Keys Keys `key:"keys"`
	// What becomes of the expiry of keys.
	Expiry Expiry `key:"expiry"`

	// Whether the backfill of a new migration starts by itself (auto), once the precheck has passed, or
	// waits for `tandem start` (manual).
	Start string `key:"start" default:"auto" oneof:"auto manual"`
	// What to do about keys that the target holds before the migration: refuse to start (error), let the
	// source's replace them (overwrite), keep the target's (skip), or keep the one used last (newest; by OBJECT
	// IDLETIME, so not where a server evicts by LFU or refuses that command). It is decided once, before the
	// first copy. A key that a client writes to afterwards becomes what the client has made of it, kept or not.
	Duplicates string `key:"duplicates" default:"error" oneof:"error overwrite skip newest"`
	// The same for keys that match a pattern: a list of objects, of which the first counts that matches.
	DuplicatesByPattern []DuplicatesRule `key:"duplicates_by_pattern"`
	// What to do about keys that only the target holds before the migration: refuse to start where the key's
	// policy is error, and else leave them alone (auto); always refuse (refuse); always leave them alone
	// (keep); or remove them (delete).
	TargetOnly string `key:"target_only" default:"auto" oneof:"auto refuse keep delete"`
	// When a client's write is answered: as soon as the source has executed it (source), or once the
	// target has acknowledged its effect too (both). With both, trouble on the target delays clients for
	// up to ack_timeout.
	Ack string `key:"ack" default:"source" oneof:"source both"`
	// How long a write waits for the target with `ack: both`; after that it is answered all the same and
	// its keys are copied.
	AckTimeout time.Duration `key:"ack_timeout" default:"1s" min:"1ms"`
	// What is done about clients that go past Tandem. With auto, the server that answers is asked to report
	// changed keys (CLIENT TRACKING, about half a microsecond of its CPU per command) while others are seen
	// to use it (CLIENT LIST), or it evicts keys; with on, always. Both block a cutover, a rollback and
	// finish while others write. With off, such writes are lost, and only a warning says that there are any.
	Tracking string `key:"tracking" default:"auto" oneof:"auto on off"`
	// How long nobody who writes past Tandem must have been seen for them to count as gone. All keys are
	// compared once more then.
	TrackingQuiet time.Duration `key:"tracking_quiet" default:"2m" min:"1s"`
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
	// A key whose value is larger is copied piece by piece, not by DUMP: while a server makes or reads the DUMP of a large
	// value it answers nobody. A smaller one is read whole, and so at one moment.
	DumpBytes Bytes `key:"dump_bytes" default:"64MiB" min:"64KiB"`
	// Keys that are known to differ and wait for their copy. Beyond it the list is dropped and the whole
	// keyspace is compared again.
	MaxDirtyKeys int `key:"max_dirty_keys" default:"1000000" min:"1"`
	// Keys that the backfill remembers as equal on both sides, at about 32 bytes each. A key forgotten
	// costs one more copy when it is written to.
	ExactKeys int `key:"exact_keys" default:"2097152" min:"1"`

	Precheck  Precheck  `key:"precheck"`
	Primary   Primary   `key:"primary"`
	Secondary Secondary `key:"secondary"`
	Cutover   Cutover   `key:"cutover"`
	TwoWay    TwoWay    `key:"two_way"`
	Clients   Clients   `key:"clients"`
	Backfill  Backfill  `key:"backfill"`
	Verify    Verify    `key:"verify"`

	Alarms  Alarms  `key:"alarms"`
	Tracing Tracing `key:"tracing"`
	// Whom to tell what happens: a list of objects. Each sends events to a URL or runs a command; what is told is JSON,
	// as GET /api/v1/events has it. Nothing waits for a hook.
	Hooks []Hook `key:"hooks" live:"true"`

	// Size of the heap above which the garbage collector works harder; 0 leaves it to Go. Requests and
	// replies in flight may exceed it.
	MemoryLimitBytes Bytes `key:"memory_limit_bytes" default:"256MiB" min:"0" live:"true"`

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
	// TLS for callers. With a certificate, those who do not speak TLS are turned away; the files are read again when they
	// change. A token is needed all the same where one is: a client certificate says who it was, not what he may.
	TLS TLS `key:"tls"`
	// Token that callers must send as `Authorization: Bearer ...`; empty for none. At least 16 characters.
	Token Secret `key:"token" live:"true"`
	// File that holds the token, instead of admin.token; the line break at its end does not count. It is read again when the
	// configuration is.
	TokenFile string `key:"token_file" live:"true"`
	// Tokens of several callers, so that it is known who has done what: a list of objects. They count beside admin.token,
	// whose caller has no name. The files are read again when the configuration is.
	Tokens []Token `key:"tokens" live:"true"`
}

// Token is one of admin.tokens.
type Token struct {
	// Name of who has it, for the log and the audit log: letters, digits, and any of -_.@
	Name string `key:"name"`
	// File that holds the token, at least 16 characters; the line break at its end does not count.
	File string `key:"file"`
	// Role is what may be done with it: look at everything, and nothing else (read), or take all steps too (operate).
	Role string `key:"role" default:"operate" oneof:"read operate"`
}

// Audit is about the record of who did what.
type Audit struct {
	// File that each step which is asked for is written to, refused ones and callers without a token too: one JSON object per
	// line, on the disk before it is answered. It is opened anew when the configuration is read again, for logrotate. Empty:
	// only the log has them. While it cannot be written, what moves the migration on is refused: start, resume, cutover,
	// finish, and a verify that repairs. Pause and rollback are not.
	File string `key:"file" live:"true"`
}

// DatabaseNumber is one of database_map.
type DatabaseNumber struct {
	// Number of the database on the source.
	From int `key:"from" default:"-1"`
	// Its number on the target.
	To int `key:"to" default:"-1"`
}

// Expiry is about when keys expire on the target.
type Expiry struct {
	// How much longer keys that expire live on the target than on the source, for caches that are to survive a cutover: what
	// is copied, and what clients write until the cutover, expires so much later there. 0: at the same time. Nothing lives on
	// that the source reports as expired, while it is asked to (tracking). It cannot be changed once a backfill has begun.
	ExtendBy time.Duration `key:"extend_by" default:"0s" min:"0s" max:"8760h"`
}

// Keys chooses keys by their names. The patterns are as for KEYS: * is any bytes, ? one byte, [a-z] one of several, and \ takes
// the meaning from what follows.
type Keys struct {
	// Patterns of the keys that move: one that matches is enough; empty for all.
	Include []string `key:"include"`
	// Patterns of keys that do not move, though they are included.
	Exclude []string `key:"exclude"`
}

// Instance is one of the two servers, given twice.
type Instance struct {
	// URL of the server: redis://[user:password@]host:port[/db], or rediss://... for TLS. In user and
	// password a percent sign is written as %25, and a colon in the user as %3A; all else may stand as it
	// is.
	URL URL `key:"url"`
	// File that holds the password, instead of the URL; the line break at its end does not count. It is read
	// again when the server refuses the password.
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
	// File that holds the password; the line break at its end does not count. It is read at each login.
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

// Precheck is about what the check before a start has found.
type Precheck struct {
	// Names of warnings that are as they should be, such as [source_eviction, clocks]: they are shown, and neither keep
	// anything from starting nor, where the same is looked at again, from a cutover.
	Accept []CheckName `key:"accept"`
	// Whether the backfill starts in spite of warnings that nobody has accepted (start), or is refused (refuse).
	Warnings string `key:"warnings" default:"start" oneof:"start refuse"`
}

// DuplicatesRule is one of duplicates_by_pattern.
type DuplicatesRule struct {
	// Pattern that the whole key must match, as in KEYS: * is any characters, ? one, [a-z] one of several, and
	// \ takes the meaning from the next.
	Pattern string `key:"pattern"`
	// Policy is as the values of duplicates.
	Policy string `key:"policy" oneof:"error overwrite skip newest"`
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

// TwoWay is about clients on both instances, with listen_target.
type TwoWay struct {
	// What becomes of a key whose last change is on one instance alone, which is out of reach, when a client of the
	// other instance writes it: the write waits, and after primary.wait is refused (wait); it replaces that change,
	// where no other key's is replaced with it (newest); or what the named instance has counts, so that writes at
	// source, or at target, replace that change, and those at the other one wait. Each key is listed.
	Conflict string `key:"conflict" default:"wait" oneof:"wait newest source target"`
	// How long an instance must have been out of reach before that is decided.
	DecideAfter time.Duration `key:"decide_after" default:"5s" min:"100ms"`
}

// Cutover is about the moment in which primary and secondary swap.
type Cutover struct {
	// The longest time that clients' commands are held; a cutover that would take longer is undone, as if
	// never asked for.
	MaxPause time.Duration `key:"max_pause" default:"1s" min:"10ms" live:"true"`
	// How long to wait for a moment that can be drained, before any command is held.
	Wait time.Duration `key:"wait" default:"10s" min:"0s" live:"true"`
	// How old the last full verify may be that has found both servers equal, for a cutover; 0 asks for none. One that has
	// found differences stands in the way in any case, until another has found none.
	RequireVerify time.Duration `key:"require_verify" default:"0s" min:"0s" live:"true"`
	// The longest time that the target may take to answer, at its best, for a cutover; 0 asks for nothing.
	MaxTargetLatency time.Duration `key:"max_target_latency" default:"100ms" min:"0s" live:"true"`
	// How full the target's memory may be for a cutover, as a share of its maxmemory, where it evicts nothing.
	MaxMemoryPercent int `key:"max_memory_percent" default:"90" min:"1" max:"100" live:"true"`

	Trial Trial `key:"trial"`
}

// Trial is the time after a cutover in which Tandem rolls back by itself, if clients fare badly with the target.
type Trial struct {
	// How long the target is on trial; 0 is not at all.
	Time time.Duration `key:"time" default:"0s" min:"0s"`
	// The greatest share of commands that are answered with an error, in percent; 0 asks for nothing. Clients get errors
	// for reasons of their own, too: set more than that.
	MaxErrorPercent int `key:"max_error_percent" default:"10" min:"0" max:"100"`
	// The longest time that half of the commands may take, those that block left out; 0 asks for nothing.
	MaxLatency time.Duration `key:"max_latency" default:"0s" min:"0s"`
}

// Clients bounds what clients may ask for and cost.
type Clients struct {
	// Connected clients; one more gets an error and is closed.
	Max int `key:"max" default:"10000" min:"1" live:"true"`
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
	MemoryBytes Bytes `key:"memory_bytes" default:"1GiB" min:"16MiB" live:"true"`
	// How long a client may take no byte at all of a reply before it is closed.
	WriteTimeout time.Duration `key:"write_timeout" default:"30s" min:"100ms"`
	// How long a client may be silent before it is closed; 0 is for ever. Clients that listen, to channels or with MONITOR, may be silent.
	IdleTimeout time.Duration `key:"idle_timeout" default:"0s" min:"0s"`
	// Interval of the TCP keepalive that finds clients that vanished.
	TCPKeepalive time.Duration `key:"tcp_keepalive" default:"300s" min:"1s"`
}

// Backfill is about copying what was there before.
type Backfill struct {
	// Copies worked on at once.
	Workers int `key:"workers" default:"4" min:"1" max:"256" live:"true"`
	// COUNT of each SCAN: keys that the source looks at in one go.
	ScanCount int `key:"scan_count" default:"1000" min:"1" max:"100000"`
	// Values in flight between source and target; a single larger value still passes, alone.
	WindowBytes Bytes `key:"window_bytes" default:"16MiB" min:"64KiB" live:"true"`
	// The most keys copied per second, or ten times as many that are only scanned; 0 is no limit. Keys that clients write
	// to before they are equal on both servers are copied besides, and first.
	MaxKeysPerS int `key:"max_keys_per_s" default:"0" min:"0" live:"true"`
	// The most bytes of values read per second, for copying and by a verify, in whatever phase; 0 is no limit. A value is
	// read whole, and the next one later.
	MaxBytesPerS Bytes `key:"max_bytes_per_s" default:"0" min:"0" live:"true"`
	// Whether copying yields to clients (on), and a verify as well: Tandem watches how long their commands take on the server
	// that answers, knows from pauses of 0.3 s every 5 s how long without copying, and copies as fast as that does not change.
	// Where there are no clients it sends PINGs.
	Governor string `key:"governor" default:"off" oneof:"off on" live:"true"`
	// By how much the time that 99 % of the clients' commands do not exceed may rise while keys are copied, as a share of
	// what it is without, from 0 to 1 or in percent.
	GovernorRise Share `key:"governor_rise" default:"0.1"`
	// The speed, in keys per second, below which the governor does not go, and of values, in half KiB per second.
	GovernorFloor int `key:"governor_floor" default:"10000" min:"1"`
	// The times of the day in which all keys are copied or compared; outside of them that waits, and only what clients
	// write goes on reaching both servers. A list of objects, of which the first counts that a moment is in; [] is always.
	Windows []Window `key:"windows"`
	// Place whose clock the windows are of, such as Europe/Berlin; Local is this machine's.
	TimeZone string `key:"time_zone" default:"UTC"`
}

// Window is one of backfill.windows.
type Window struct {
	// Days on which it begins, such as [mon, tue]; [] is every day.
	Days []string `key:"days"`
	// When it begins, such as 22:00.
	From string `key:"from" default:"00:00"`
	// When it ends; what is not later than the beginning is on the next day.
	To string `key:"to" default:"24:00"`
	// As backfill.max_keys_per_s, which counts besides.
	MaxKeysPerS int `key:"max_keys_per_s" default:"0" min:"0"`
	// As backfill.max_bytes_per_s, which counts besides.
	MaxBytesPerS Bytes `key:"max_bytes_per_s" default:"0" min:"0"`
}

// Verify is about comparing both keyspaces.
type Verify struct {
	// Comparisons worked on at once.
	Workers int `key:"workers" default:"2" min:"1" max:"256"`
	// Difference between two expiry times that counts as none.
	TTLTolerance time.Duration `key:"ttl_tolerance" default:"1s" min:"0s"`
	// The most keys looked at per second, on both servers together with what is compared of them; 0 is no limit. What
	// backfill.max_bytes_per_s and backfill.governor say counts as well.
	MaxKeysPerS int `key:"max_keys_per_s" default:"0" min:"0"`
	// Share of the keys whose values a verify of mode sample compares, from 0 to 1 or in percent.
	SampleShare Share `key:"sample_share" default:"0.05"`
	// How often a verify is started by itself while the phase is synced or reversed; 0 is never. One that finds a
	// difference is an alarm.
	Every time.Duration `key:"every" default:"0s" min:"0s"`
	// Mode of the verifies that start by themselves.
	Mode string `key:"mode" default:"full" oneof:"full sample keys"`
	// Share of the clients' reads that are sent to the secondary too, to compare the replies, from 0 to 1 or in percent.
	// No client waits for it. A key that is found to differ is copied, counted, and an alarm.
	ShadowReads Share `key:"shadow_reads" default:"0"`
}

// Alarms is about when something is worth an alarm. Each is an event, which hooks tell and the report lists.
type Alarms struct {
	// Age of the oldest effect that the secondary has not acknowledged, from which on it is an alarm; it ends below half
	// of it. 0 is never.
	Lag time.Duration `key:"lag" default:"30s" min:"0s" live:"true"`
}

// Tracing is about traces of some of the clients' commands, for a collector of OpenTelemetry traces: each with how long it
// waited, how long the primary took, and what became of its effect on the secondary. Values are never in them.
type Tracing struct {
	// URL of the collector's receiver of OTLP over HTTP, the whole of it, such as http://collector:4318/v1/traces; empty for
	// no traces. Nothing waits for the collector.
	Endpoint string `key:"endpoint"`
	// Share of the commands that are told, from 0 to 1 or in percent.
	Share Share `key:"share" default:"0.01" live:"true"`
	// Whether the names of keys are told too, of each command at most 8.
	Keys bool `key:"keys" default:"false"`
	// Name of this service in the traces.
	Service string `key:"service" default:"tandem"`
	// File of headers to send along, one per line, such as Authorization: Bearer ... It is read for each request.
	HeadersFile string `key:"headers_file"`
	// How long a command waits for others that are sent together with it, at most.
	Every time.Duration `key:"every" default:"5s" min:"10ms" max:"5m"`
	// How long one request to the collector may take.
	Timeout time.Duration `key:"timeout" default:"10s" min:"100ms" max:"5m"`
	// Commands that may wait to be sent; more are left out, and counted.
	Queue int `key:"queue" default:"4096" min:"1" max:"1000000"`

	// TLS to the collector, which the endpoint turns on (https://).
	TLS InstanceTLS `key:"tls"`
}

// Hook is one of hooks. It has either a url or a command.
type Hook struct {
	// Kinds of events to tell: process, phase, step, sweep, fault, lag, verify, difference.
	On []string `key:"on" default:"phase, fault, lag, difference"`
	// URL that each event is sent to by POST, http:// or https://. It is shown nowhere, for many hold a secret.
	URL Secret `key:"url"`
	// Program that is run for each event, with its arguments as a list, and no shell; the event is on its stdin.
	Command []string `key:"command"`
	// File that holds the secret which requests to url are signed with, at least 16 characters; the line break at its
	// end does not count. Empty: they are not signed.
	SecretFile string `key:"secret_file"`
	// How long one attempt may take; a command is ended then.
	Timeout time.Duration `key:"timeout" default:"10s" min:"100ms" max:"5m"`
	// How long an event is tried again, with longer and longer pauses, before it is given up.
	RetryFor time.Duration `key:"retry_for" default:"15m" min:"0s"`
}

// Log is about the log on stderr.
type Log struct {
	// The least important level that is written.
	Level string `key:"level" default:"info" oneof:"debug info warn error" live:"true"`
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
