package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tandem/internal/redisd"
	"tandem/test/program"
	"tandem/test/wire"
)

// Full is set for the full sizes and all pairs of servers.
var Full = program.Full

// direct is set when parts play against a server alone.
var direct = os.Getenv("TANDEM_TEST_DIRECT") != ""

// Pair names a source and a target: "redis-7.0", "valkey-8.1".
type Pair struct{ Source, Target string }

func (p Pair) String() string { return p.Source + " to " + p.Target }

// Pairs is the one pair that a test takes, and in the full size one of each version. The two servers exchange
// DUMPs in both directions: a rollback to an older server, which refuses the newer one's, cannot repair keys.
func Pairs(one Pair) []Pair {
	if !Full {
		return []Pair{one}
	}
	pairs := []Pair{one}
	for _, p := range []Pair{{"redis-6.0", "redis-6.0"}, {"redis-7.0", "redis-7.0"}, {"redis-8.0", "redis-8.0"},
		{"valkey-8.1", "valkey-8.1"}, {"valkey-9.1", "valkey-9.1"}} {
		if p != one {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// find finds a server's program: the installed one, or what scripts/servers.sh has fetched. Without it the
// installed one serves, and the output says so: which versions can be fetched is not the program's fault.
func find(t *testing.T, name string) string {
	t.Helper()
	if installed, err := redisd.Version("redis-server"); err == nil && installed == name {
		return ""
	}
	root, err := program.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, ".servers", "bin", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	fmt.Fprintf(os.Stderr, "*** %s: NOT TESTED with %s, which is not here, but with redis-server; scripts/servers.sh fetches it ***\n", t.Name(), name)
	return ""
}

// start starts a server that ends with the test.
func start(t *testing.T, name string) *redisd.Server {
	t.Helper()
	s, err := redisd.Start(redisd.Options{Binary: find(t, name)})
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Features are what scenarios ask for before they use newer commands: both servers have it, for after a cutover
// the other one answers.
type Features struct {
	// Redis7: functions, sharded pub/sub, LMPOP and ZMPOP and their blocking forms, EXPIRETIME.
	Redis7 bool
	// Redis62: LMOVE, GETDEL, COPY, XAUTOCLAIM.
	Redis62 bool
}

func features(t *testing.T, servers ...*redisd.Server) Features {
	t.Helper()
	f := Features{Redis7: true, Redis62: true}
	for _, s := range servers {
		has := func(command string) bool {
			reply, err := wire.Once(s.Addr, "COMMAND", "INFO", command)
			if err != nil {
				t.Fatalf("COMMAND INFO %s on %s: %v", command, s.Name, err)
			}
			return len(reply.Elems) == 1 && len(reply.Elems[0].Elems) > 0
		}
		f.Redis7 = f.Redis7 && has("fcall")
		f.Redis62 = f.Redis62 && has("lmove")
	}
	return f
}
