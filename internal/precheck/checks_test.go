package precheck

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// rdbVersions are the versions that servers' DUMPs end with, and takes says which they take as they are.
var rdbVersions = map[string]int{
	"redis-6.0": 9, "redis-6.2": 9, "redis-7.0": 10, "redis-7.2": 11, "redis-7.4": 12, "redis-8.0": 12, "redis-8.2": 12, "redis-8.4": 12,
	"valkey-7.2": 11, "valkey-8.0": 11, "valkey-8.1": 11, "valkey-9.0": 80, "valkey-9.1": 80,
}

func takes(server string, version int) bool {
	if strings.HasPrefix(server, "valkey") && version > 11 {
		return version == rdbVersions[server]
	}
	return version <= rdbVersions[server]
}

// All types come from every version to every other, in both directions, as they are or in another form; and what a target
// cannot hold is said.
func TestEveryTypeBetweenAllVersions(t *testing.T) {
	var servers []*redisd.Server
	for _, b := range redisdtest.Binaries(t) {
		if rdbVersions[b.Name] == 0 {
			t.Fatalf("%s: which DUMPs does it write and take? See the table of this test", b.Name)
		}
		servers = append(servers, redisdtest.Start(t, redisd.Options{Binary: b.Path}))
	}
	expires := func(s *redisd.Server) bool { return rdbVersions[s.Name] >= 12 }
	for _, source := range servers {
		for _, target := range servers {
			if source == target {
				continue // one server twice is another test's
			}
			t.Run(source.Name+" to "+target.Name, func(t *testing.T) {
				r := precheck(t, source.URL(), target.URL(), Options{})
				for name, way := range map[string][2]*redisd.Server{"dump_exchange": {source, target}, "dump_return": {target, source}} {
					r.expect(t, name, Success, "all types")
					older := strings.Contains(r.item(t, name).Found, "in an older form")
					if older == takes(way[1].Name, rdbVersions[way[0].Name]) {
						t.Errorf("%s: %s", name, r.item(t, name).Found)
					}
				}
				if expires(source) && !expires(target) {
					r.expect(t, "field_expiry", Success, "uses none now")
				}
				r.otherwise(t)
			})
		}
	}
}

// Hashes whose fields expire are counted where the target does not have that.
func TestFieldsThatWouldNotExpire(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "valkey-9.1", "redis-7.0")
	if !ok {
		return
	}
	target := redisdtest.Start(t, redisd.Options{Binary: servers[2].Path})
	for _, b := range servers[:2] {
		source := redisdtest.Start(t, redisd.Options{Binary: b.Path})
		c := connect(t, source)
		do(t, c, "HSET h a 1 b 2")
		do(t, c, "HPEXPIRE h 1000000 FIELDS 1 a")
		r := precheck(t, source.URL(), target.URL(), Options{})
		r.expect(t, "field_expiry", Warning, "1 hashes", "stay for ever")
		r.otherwise(t, "field_expiry")
		after := precheck(t, source.URL(), redisdtest.Start(t, redisd.Options{Binary: b.Path}).URL(), Options{}) // the remedy
		after.cured(t, r, "field_expiry")
		if !strings.Contains(after.item(t, "field_expiry").Found, "both servers have it") {
			t.Errorf("%+v", after.item(t, "field_expiry"))
		}
	}
}

func TestOneServerTwice(t *testing.T) {
	s := start(t)
	byName := fmt.Sprintf("redis://localhost:%d", s.Port)
	r := precheck(t, "redis://"+s.Addr, byName, Options{})
	r.expect(t, "distinct", Failed, "run id", "two different servers")
	r.otherwise(t, "distinct")
	if len(r.notMade) == 0 {
		t.Error("trials were made on one server twice")
	}
	precheck(t, s.URL(), start(t).URL(), Options{}).cured(t, r, "distinct")

	// Behind a provider's proxies that make up run ids.
	id := regexp.MustCompile(`run_id:[0-9a-f]{40}`)
	made := behind(t, s, func(answer []byte) []byte { return id.ReplaceAll(answer, []byte("run_id:"+strings.Repeat("0", 40))) })
	r = precheck(t, s.URL(), made, Options{})
	r.expect(t, "distinct", Failed, "appears on the target", "two different servers")
	precheck(t, s.URL(), start(t).URL(), Options{}).cured(t, r, "distinct")
	source, _ := instance.New(instance.Source, "redis://"+s.Addr, instance.Options{})
	target, _ := instance.New(instance.Target, byName, instance.Options{})
	p := &run{scratch: scratchPrefix + "x", source: &side{Instance: source}, target: &side{Instance: target}}
	for k, x := range []*side{p.source, p.target} {
		reachable(t.Context(), p, x)
		x.info.RunID = fmt.Sprint(k)
	}
	if f := distinct(t.Context(), p, p.target); f.status != Failed || !strings.Contains(f.found, "appears on the target") || !p.unfit {
		t.Errorf("%+v", f)
	} else {
		saw("distinct", f)
	}
	p.close()
	if v := do(t, connect(t, s), "DBSIZE"); v.Int != 0 {
		t.Errorf("%d keys are left", v.Int)
	}
}

func TestReplicas(t *testing.T) {
	master := start(t, "--repl-diskless-sync-delay", "0")
	replica := start(t, "--replicaof", "127.0.0.1", fmt.Sprint(master.Port))
	other := start(t)
	c := connect(t, replica)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(string(do(t, c, "INFO replication").Str), "master_link_status:up"); {
		if time.Now().After(deadline) {
			t.Fatal("the replica does not follow")
		}
	}
	ended := map[string]*Report{} // by who was checked before the replication ended
	trials := 0                   // that would write the scratch key
	for _, c := range checks {
		switch {
		case c.needs >= writable && c.each:
			trials += 2
		case c.needs >= writable:
			trials++
		}
	}
	for name, x := range map[string]struct {
		source, target *redisd.Server
		item           string
		says           []string
	}{
		"source of the target": {replica, master, "source_role", []string{"replica of " + master.Addr, "in one replication with the target", "REPLICAOF NO ONE"}},
		"target of the source": {master, replica, "target_role", []string{"replica of " + master.Addr, "in one replication with the source", "empty it"}},
		"source of another":    {replica, other, "source_role", []string{"replica of " + master.Addr, "give the address of its primary"}},
		"target of another":    {other, replica, "target_role", []string{"replica of " + master.Addr, "give the address of a primary"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := precheck(t, x.source.URL(), x.target.URL(), Options{})
			r.expect(t, x.item, Failed, x.says...)
			r.otherwise(t, x.item, "target_replicas")
			if len(r.notMade) != trials {
				t.Errorf("not made: %v", r.notMade)
			}
			if x.source == replica && x.target == other {
				precheck(t, master.URL(), other.URL(), Options{}).cured(t, r, x.item) // its primary
			}
			if x.target == replica {
				ended[name] = r
			}
		})
	}
	do(t, c, "REPLICAOF NO ONE")
	precheck(t, master.URL(), replica.URL(), Options{}).cured(t, ended["target of the source"], "target_role")
	precheck(t, other.URL(), replica.URL(), Options{}).cured(t, ended["target of another"], "target_role")
}

func TestMode(t *testing.T) {
	node, good := start(t, "--cluster-enabled", "yes"), start(t)
	r := precheck(t, node.URL(), good.URL(), Options{})
	r.expect(t, "source_mode", Failed, "cluster", "cluster-enabled no")
	precheck(t, good.URL(), start(t).URL(), Options{}).cured(t, r, "source_mode")
	r = precheck(t, good.URL(), node.URL(), Options{})
	r.expect(t, "target_mode", Failed, "cluster", "cluster-enabled no")

	// What is neither one nor the other.
	var on atomic.Bool
	on.Store(true)
	odd := behind(t, good, instead(&on, "\nredis_mode:standalone", "\nredis_mode:dispatcher"))
	other := start(t)
	for side, urls := range map[string][2]string{"source": {odd, other.URL()}, "target": {other.URL(), odd}} {
		on.Store(true)
		r := precheck(t, urls[0], urls[1], Options{})
		r.expect(t, side+"_mode", Failed, "a dispatcher, which holds no keys", "the Redis server itself")
		on.Store(false)
		precheck(t, urls[0], urls[1], Options{}).cured(t, r, side+"_mode")
	}
}

func TestTargetEmpty(t *testing.T) {
	source, target := start(t), start(t, "--enable-debug-command", "yes")
	c := connect(t, target)
	result := func(o Options) *Report { return precheck(t, source.URL(), target.URL(), o) }

	// What SCAN would not show is not there: expired keys that still stand, and a scratch key of a killed run.
	do(t, c, "DEBUG SET-ACTIVE-EXPIRE 0")
	do(t, c, "SET gone 1 PX 1")
	do(t, c, "SET "+scratchPrefix+"0011 1")
	waitExpired(t, c)
	if v := do(t, c, "DBSIZE"); v.Int != 2 {
		t.Fatalf("%d keys", v.Int)
	}
	result(Options{}).expect(t, "target_empty", Success, "no keys")

	do(t, c, "MSET a 1 b 2")
	do(t, c, "SELECT 3")
	do(t, c, "SET a 1")
	r := result(Options{})
	r.expect(t, "target_empty", Failed, "3 keys (db0: 2, db3: 1)", "FLUSHALL", target.Addr)
	r.otherwise(t, "target_empty")
	if again := result(Options{Resume: true}); again.Result != Success || strings.Contains(again.text(), "target_empty") {
		t.Errorf("resumed:\n%s", again.text())
	}

	do(t, c, "DEBUG POPULATE 20000")
	result(Options{}).expect(t, "target_empty", Failed, "db3: 20001")
	do(t, c, "FLUSHALL") // the remedy
	result(Options{}).cured(t, r, "target_empty")
}

// waitExpired waits, by the server's own clock, until a key set with PX 1 has expired.
func waitExpired(t *testing.T, c *instance.Conn) {
	t.Helper()
	second := func() string { return string(do(t, c, "TIME").Elems[0].Str) }
	for began, deadline := second(), time.Now().Add(5*time.Second); second() == began; {
		if time.Now().After(deadline) {
			t.Fatal("the server's clock stands still")
		}
	}
}

// setUser is a command of a remedy.
var setUser = regexp.MustCompile(`ACL SETUSER [^;,]*`)

// limitedPair is a source and a target with a user each, whose rights a test changes.
type limitedPair struct {
	source, target *redisd.Server
	admin          map[string]*instance.Conn // by role
	channels       string                    // the rule for all of them, "" where there is none
}

func newLimitedPair(t *testing.T, binary string) *limitedPair {
	t.Helper()
	p := &limitedPair{
		source: redisdtest.Start(t, redisd.Options{Binary: binary}),
		target: redisdtest.Start(t, redisd.Options{Binary: binary}),
	}
	p.admin = map[string]*instance.Conn{"source": connect(t, p.source), "target": connect(t, p.target)}
	if p.source.Name != "redis-6.0" {
		p.channels = "allchannels"
	}
	p.allow(t, "source", "")
	p.allow(t, "target", "")
	return p
}

// allow gives the user of one side all rights but those that rules take away.
func (p *limitedPair) allow(t *testing.T, role, rules string) {
	t.Helper()
	do(t, p.admin[role], "ACL SETUSER app reset on >"+secret+" ~* "+p.channels+" +@all "+rules)
}

func (p *limitedPair) precheck(t *testing.T) *Report {
	t.Helper()
	return precheck(t, "redis://app:"+secret+"@"+p.source.Addr, "redis://app:"+secret+"@"+p.target.Addr, Options{})
}

// cure does what an item's remedy says.
func (p *limitedPair) cure(t *testing.T, role string, item Item) {
	t.Helper()
	command := setUser.FindString(item.Remedy)
	if command == "" {
		t.Fatalf("no command in the remedy of %+v", item)
	}
	do(t, p.admin[role], command)
}

// Each command that is needed, taken away from a user, is named; and the remedy printed cures it.
func TestCommandsThatAUserMayNotRun(t *testing.T) {
	for _, name := range []string{"redis-6.0", "redis-7.0"} {
		found, ok := redisdtest.Find(t, name)
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := newLimitedPair(t, found[0].Path)
			for _, x := range needed {
				if x.name == "PEXPIRETIME" && name == "redis-6.0" || x.name == "HPEXPIRETIME" {
					continue
				}
				item, says := "_commands", "no permission: "+x.name
				if x.name == "TIME" { // is asked for earlier
					item, says = "_info", "TIME: NOPERM"
				}
				for role := range p.admin {
					p.allow(t, role, "-"+strings.ToLower(x.name))
				}
				r := p.precheck(t)
				r.otherwise(t, "source"+item, "target"+item)
				for role := range p.admin {
					r.expect(t, role+item, Failed, says)
					p.cure(t, role, r.item(t, role+item))
				}
				after := p.precheck(t)
				for role := range p.admin {
					after.cured(t, r, role+item)
					p.allow(t, role, "")
				}
			}
			do(t, p.admin["source"], "ACL SETUSER app resetkeys ~app:*")
			r := p.precheck(t)
			r.expect(t, "source_commands", Failed, "may not touch the scratch key: SET, GET")
			p.cure(t, "source", r.item(t, "source_commands"))
			after := p.precheck(t)
			after.cured(t, r, "source_commands")
			after.otherwise(t)
		})
	}
}

// What clients write a type with is needed on the target if the source has it.
func TestCommandsOfATypeThatAUserMayNotRun(t *testing.T) {
	p := newLimitedPair(t, "")
	for _, x := range typed {
		without := "-" + strings.ToLower(x.name)
		p.allow(t, "source", without)
		p.precheck(t).expect(t, "source_commands", Success)
		p.allow(t, "target", without)
		p.precheck(t).expect(t, "target_commands", Success)
		p.allow(t, "source", "")
		r := p.precheck(t)
		r.expect(t, "target_commands", Failed, "no permission: "+x.name)
		p.cure(t, "target", r.item(t, "target_commands"))
		p.precheck(t).cured(t, r, "target_commands")
	}
}

// When fields expire must be known where they can; and a command that only copies by type need is a warning, which says so.
func TestCommandsOfCopiesByTypeThatAUserMayNotRun(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0")
	if !ok {
		return
	}
	p := newLimitedPair(t, servers[0].Path)
	for role := range p.admin {
		p.allow(t, role, "-hpexpiretime")
		r := p.precheck(t)
		r.expect(t, role+"_commands", Failed, "no permission: HPEXPIRETIME")
		p.cure(t, role, r.item(t, role+"_commands"))
		p.precheck(t).cured(t, r, role+"_commands")
		for _, name := range []string{"STRLEN", "HSCAN", "XINFO", "XPENDING", "RENAME", "XCLAIM", "HPEXPIREAT"} {
			p.allow(t, role, "-"+strings.ToLower(name))
			r := p.precheck(t)
			r.expect(t, role+"_commands", Warning, "piece by piece", "no permission: "+name)
			r.otherwise(t, role+"_commands")
			p.cure(t, role, r.item(t, role+"_commands"))
			p.precheck(t).cured(t, r, role+"_commands")
		}
	}
}

func TestRenamedCommands(t *testing.T) {
	good, plain := start(t), start(t)
	odd := start(t, "--rename-command", "DUMP", "", "--rename-command", "SCAN", "OTHERSCAN", "--rename-command", "EXEC", "")
	for role, urls := range map[string][2]string{"source": {odd.URL(), good.URL()}, "target": {good.URL(), odd.URL()}} {
		r := precheck(t, urls[0], urls[1], Options{})
		r.expect(t, role+"_commands", Failed, "renamed or disabled): SCAN, DUMP, EXEC", "rename-command lines of SCAN, DUMP, EXEC")
		r.expect(t, role+"_command_names", Warning, "under other names: SCAN")
		r.otherwise(t, role+"_commands", role+"_command_names")
		precheck(t, good.URL(), plain.URL(), Options{}).cured(t, r, role+"_commands", role+"_command_names") // the remedy
	}
}

func TestInfoRefused(t *testing.T) {
	good, odd, renamed := start(t), start(t), start(t, "--rename-command", "INFO", "")
	do(t, connect(t, odd), "ACL SETUSER app on >pw ~* &* +@all -info")
	r := precheck(t, "redis://app:pw@"+odd.Addr, good.URL(), Options{})
	r.expect(t, "source_info", Failed, "INFO", "ACL SETUSER app +info")
	r.otherwise(t, "source_info")
	nameless := precheck(t, good.URL(), renamed.URL(), Options{})
	nameless.expect(t, "target_info", Failed, "unknown command", "take the rename-command lines of INFO")
	precheck(t, good.URL(), start(t).URL(), Options{}).cured(t, nameless, "target_info")
	do(t, connect(t, odd), setUser.FindString(r.item(t, "source_info").Remedy))
	precheck(t, "redis://app:pw@"+odd.Addr, good.URL(), Options{}).cured(t, r, "source_info")
}

func TestDatabases(t *testing.T) {
	source, small := start(t), start(t, "--databases", "4")
	r := precheck(t, source.URL(), small.URL(), Options{})
	r.expect(t, "target_databases", Warning, "16 databases, the target 4", "databases 16")
	large := start(t, "--databases", "16") // the remedy
	precheck(t, source.URL(), large.URL(), Options{}).cured(t, r, "target_databases")
	c := connect(t, source)
	do(t, c, "SELECT 4")
	do(t, c, "SET k v")
	r = precheck(t, source.URL(), small.URL(), Options{})
	r.expect(t, "target_databases", Failed, "keys in database 4, the target's last is 3", "databases 16")
	r.otherwise(t, "target_databases")
	precheck(t, source.URL(), large.URL(), Options{}).cured(t, r, "target_databases")
	precheck(t, small.URL(), start(t, "--databases", "5").URL(), Options{}).expect(t, "target_databases", Success)
}

func TestMemoryAndEviction(t *testing.T) {
	source := start(t)
	c := connect(t, source)
	do(t, c, "SETRANGE big 3000000 x")
	target := start(t, "--maxmemory", "3mb")
	r := precheck(t, source.URL(), target.URL(), Options{})
	r.expect(t, "target_memory", Warning, "limit is 3.0 MiB", "or choose a larger one")
	r.otherwise(t, "target_memory")
	d := connect(t, target)
	apply(t, d, r.item(t, "target_memory"))
	precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, "target_memory")
	do(t, d, "CONFIG SET maxmemory 100mb")
	precheck(t, source.URL(), target.URL(), Options{}).expect(t, "target_memory", Success, "limit is 100.0 MiB")

	for role, x := range map[string]*instance.Conn{"source": c, "target": d} {
		do(t, x, "CONFIG SET maxmemory 50mb")
		do(t, x, "CONFIG SET maxmemory-policy volatile-ttl")
		r := precheck(t, source.URL(), target.URL(), Options{})
		r.expect(t, role+"_eviction", Warning, "volatile-ttl at 50.0 MiB", "noeviction")
		r.otherwise(t, role+"_eviction")
		apply(t, x, r.item(t, role+"_eviction"))
		precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, role+"_eviction")
		do(t, x, "CONFIG SET maxmemory-policy volatile-ttl")
		do(t, x, "CONFIG SET maxmemory 0")
		precheck(t, source.URL(), target.URL(), Options{}).expect(t, role+"_eviction", Success, "without a maxmemory")
		do(t, x, "CONFIG SET maxmemory-policy noeviction")
	}

	if f := eviction(t.Context(), nil, &side{}); f.status != Warning {
		t.Errorf("a server that does not tell: %+v", f)
	}
	if f := targetMemory(t.Context(), &run{source: &side{}, target: &side{}}, nil); f.status != Warning {
		t.Errorf("a server that does not tell: %+v", f)
	}
}

func TestClientKill(t *testing.T) {
	source, target := start(t), start(t)
	admin := connect(t, source)
	all := []string{"source_client_kill", "source_client_unblock", "source_client_tracking"}
	for rule, says := range map[string]string{
		"-client":         "CLIENT SETNAME is refused",
		"-client|setname": "CLIENT SETNAME is refused",
		"-client|list":    "CLIENT LIST is refused",
		"-client|kill":    "CLIENT KILL is refused",
	} {
		do(t, admin, "ACL SETUSER app reset on >pw ~* &* +@all "+rule)
		r := precheck(t, "redis://app:pw@"+source.Addr, target.URL(), Options{})
		r.expect(t, "source_client_kill", Warning, says, "settling time")
		if rule == "-client" {
			r.otherwise(t, all...)
		} else {
			r.otherwise(t, "source_client_kill")
		}
		do(t, admin, setUser.FindString(r.item(t, "source_client_kill").Remedy))
		precheck(t, "redis://app:pw@"+source.Addr, target.URL(), Options{}).cured(t, r, "source_client_kill")
	}
	renamed := start(t, "--rename-command", "CLIENT", "")
	precheck(t, source.URL(), renamed.URL(), Options{}).expect(t, "target_client_kill", Warning, "CLIENT SETNAME is refused")
}

func TestClocks(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		source, target, margin time.Duration
		status, says           string
	}{
		{0, 0, ms, Success, "0s ahead"},
		{5 * time.Second, 5*time.Second + 99*ms, ms, Success, "99ms ahead of the source's, give or take 2ms"},
		{0, 130 * ms, ms, Warning, "130ms ahead"},
		{40 * ms, -90 * ms, ms, Warning, "130ms behind"},
		{0, 130 * ms, 20 * ms, Success, "130ms ahead of the source's, give or take 40ms"},
	} {
		r := &run{Options: Options{MaxClockOffset: 100 * ms}, source: &side{}, target: &side{}}
		r.source.info.ClockOffset, r.source.info.ClockError = c.source, c.margin
		r.target.info.ClockOffset, r.target.info.ClockError = c.target, c.margin
		if f := r.clocksApart(); f.status != c.status || !strings.Contains(f.found, c.says) {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}
