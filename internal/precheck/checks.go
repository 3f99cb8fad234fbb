package precheck

import "context"

// check is one line of the table.
type check struct {
	// name of the item; with each set it is made for both sides, as source_<name> and target_<name>.
	name string
	each bool
	// needs is what must be known before.
	needs need
	// why it matters, the same for every outcome.
	why string
	run func(ctx context.Context, r *run, s *side) finding
}

// need is what a check builds on, in rising order.
type need int

const (
	nothing need = iota
	// reached: a TCP connection came about and something answered.
	reached
	// login: a connection stands.
	login
	// facts: INFO was read.
	facts
	// writable: so on both sides, and no check has found that the scratch key must not be written.
	writable
	// dumps: also, the commands that keys are copied with are allowed on both sides.
	dumps
)

// checks are in the order in which they are made and shown: what others need comes first.
// Every finding that one can make has a test on real servers, and every remedy one in which it cures: see outcomes_test.go.
var checks = []check{
	{name: "reachable", each: true, needs: nothing, run: reachable,
		why: "Tandem stands between the clients and this server: it must reach it from where it runs."},
	{name: "login", each: true, needs: reached, run: loggedIn,
		why: "Commands are sent with the user and password of the URL."},
	{name: "info", each: true, needs: login, run: info,
		why: "Version, run id, role, databases and memory decide how the migration is done, and INFO tells them."},
	{name: "mode", each: true, needs: facts, run: mode,
		why: "This version moves one standalone server to another; in a cluster each node has a part of the keys."},
	{name: "role", each: true, needs: facts, run: role,
		why: "Writes go to both servers, and a replica refuses them or loses them at its next synchronization."},
	{name: "distinct", needs: facts, run: distinct,
		why: "If both addresses lead to one server, every write would be done twice on the same data."},
	{name: "commands", each: true, needs: writable, run: commands,
		why: "Keys are copied and kept equal with these commands; before a cutover on one side, after it on the other."},
	{name: "target_empty", needs: facts, run: targetEmpty,
		why: "Keys that are on the target already are overwritten, kept or removed, as the configuration says; where it says nothing there must be none."},
	{name: "dump_exchange", needs: dumps, run: dumpExchange,
		why: "Keys are copied with DUMP and RESTORE; what a server does not read of another version is written anew for it, or copied piece by piece."},
	{name: "dump_return", needs: dumps, run: dumpReturn,
		why: "After a cutover the source is kept equal for a rollback; a key that differs there is repaired by DUMP and RESTORE."},
	{name: "field_expiry", needs: dumps, run: fieldExpiry,
		why: "Fields of hashes can expire by themselves since Redis 7.4 and Valkey 9.0; elsewhere they stay until somebody removes them."},
	{name: "target_modules", needs: dumps, run: targetModules,
		why: "Keys of a module's type can be copied only to a server with that module, and its commands run only there."},
	{name: "large_keys", needs: dumps, run: largeKeys,
		why: "A key can be copied only while nobody writes to it, and a large one takes its time."},
	{name: "staying_keys", needs: dumps, run: stayingKeys,
		why: "What does not move stays at the source: after a cutover clients do not find it, for it is the target that answers them."},
	{name: "duration", needs: dumps, run: duration,
		why: "The backfill reads every key of the source and writes it to the target; how long that takes is measured with some of them."},
	{name: "target_databases", needs: facts, run: targetDatabases,
		why: "Each database of the source is moved to the one with the same number, or the one that database_map gives it."},
	{name: "target_memory", needs: facts, run: targetMemory,
		why: "A target that is full refuses writes, or evicts keys; 10 % more than the source uses is the least."},
	{name: "eviction", each: true, needs: facts, run: eviction,
		why: "A server that evicts drops keys by itself, without telling: the two sides then differ."},
	{name: "maxclients", each: true, needs: facts, run: maxClients,
		why: "A server that is full of connections refuses those of Tandem, and of clients that need one of their own."},
	{name: "idle_timeout", each: true, needs: facts, run: idleTimeout,
		why: "Clients share Tandem's connections: one that the server closes because it was idle may take a command with it that was just sent."},
	{name: "output_buffers", each: true, needs: facts, run: outputBuffers,
		why: "A server closes a connection whose replies or messages exceed its limit (client-output-buffer-limit), and copies and reports come as such."},
	{name: "target_settings", needs: facts, run: targetSettings,
		why: "After a cutover clients get what the target's settings give them."},
	{name: "target_persistence", needs: facts, run: targetPersistence,
		why: "After a cutover the target alone has the newest data; with its process it loses what it does not keep on disk."},
	{name: "target_replicas", needs: facts, run: targetReplicas,
		why: "After a cutover nobody takes over from a target without replicas."},
	{name: "client_kill", each: true, needs: login, run: clientKill,
		why: "After a broken connection Tandem makes sure that nothing sent on it is executed late, by CLIENT LIST and CLIENT KILL."},
	{name: "client_unblock", each: true, needs: login, run: clientUnblock,
		why: "Before a cutover Tandem takes back the commands that block (BLPOP, XREAD BLOCK, ...), by CLIENT UNBLOCK, to issue them again on the other server."},
	{name: "client_tracking", each: true, needs: facts, run: clientTracking,
		why: "Keys that a script writes without naming them, and keys that others write past Tandem, are reported by the server alone (CLIENT TRACKING)."},
	{name: "command_info", each: true, needs: login, run: commandInfo,
		why: "What a command of a module, or of a version newer than this one, does with which keys, the server tells (COMMAND INFO)."},
	{name: "command_names", each: true, needs: login, run: commandNames,
		why: "Tandem must know a command to do what it asks for: one that was renamed is refused, or its keys are copied; and what is forwarded to a server must be known there."},
	{name: "scripts", each: true, needs: facts, run: scripts,
		why: "Scripts and functions must be on both servers, so that clients can call them after a cutover as before it."},
	{name: "target_users", needs: facts, run: users,
		why: "Clients log in as users of the server that answers: after a cutover, of the target."},
	{name: "state_directory", needs: nothing, run: stateDirectory,
		why: "Tandem keeps there what it must know after a restart, and serves no step that it cannot write down."},
	{name: "clocks", needs: facts, run: clocks,
		why: "Each server expires keys by its own clock, so keys end earlier or later by the difference of the two."},
}

// over is the sides that the check is made for; one of the pair is made once, for the target.
func (c check) over(r *run) []*side {
	if c.each {
		return []*side{r.source, r.target}
	}
	return []*side{r.target}
}

// possible: what the check needs is there, on its own side, or on both if it is one of the pair.
func (c check) possible(r *run, s *side) bool {
	if c.needs >= writable {
		return !r.unfit && !(c.needs == dumps && r.limited) && min(r.source.has, r.target.has) >= facts
	}
	if c.each {
		return s.has >= c.needs
	}
	return min(r.source.has, r.target.has) >= c.needs
}
