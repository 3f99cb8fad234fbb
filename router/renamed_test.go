package router

import (
	"slices"
	"strings"
	"testing"

	"tandem/internal/redisd/redisdtest"
)

// TestRenamedCommandsAreRefusedUnlessTheirFactsTellAll learns every command of every version as if it had been asked
// for by another name.
func TestRenamedCommandsAreRefusedUnlessTheirFactsTellAll(t *testing.T) {
	passed := []string{"GET", "KEYS", "CONFIG", "SET", "FLUSHALL", "XGROUP", "INFO", "SORT"}
	refused := append([]string{"SCAN", "MOVE", "COPY", "BLPOP", "XREAD", "WAIT", "DEBUG", "SHUTDOWN", "FUNCTION", "FCALL", "REPLICAOF", "SYNC"}, Essential...)
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			for _, c := range learnAll(t, start(t, b).infos()) {
				if c.As(c.Name) != c {
					t.Errorf("%s is not itself", c.Name)
				}
				as := c.As("OTHER")
				switch reason := as.Refuse(nil); {
				case slices.Contains(passed, c.Name) && as != c:
					t.Errorf("%s is refused: %s", c.Name, reason)
				case slices.Contains(refused, c.Name) && !strings.Contains(reason, c.Name) && c.Class != Refused:
					t.Errorf("%s passes", c.Name)
				}
			}
		})
	}
}

// TestEssentialCommandsAreUnclear: by their facts they might be anything, which is why they are looked for.
func TestEssentialCommandsAreUnclear(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			all := learnAll(t, start(t, b).infos())
			for _, name := range Essential {
				i := slices.IndexFunc(all, func(c *Command) bool { return c.Name == name })
				if i < 0 {
					t.Errorf("there is no %s", name)
				} else if !all[i].Unclear() {
					t.Errorf("the facts of %s are clear", name)
				}
			}
		})
	}
	module, err := Learn(infoOf("mod.x", "module", "0", "0", "0"))
	if err != nil {
		t.Fatal(err)
	}
	if module.Unclear() {
		t.Error("a module's command may be a renamed one")
	}
}

// TestLearnedStatefulCommands: what may change its connection is known for it, wherever it comes, in a MULTI too.
func TestLearnedStatefulCommands(t *testing.T) {
	for flags, want := range map[string]bool{"fast": true, "loading noscript": true, "admin": false, "readonly": false, "write": false, "module": true} {
		c, err := Learn(infoOf("mod.x", flags, "0", "0", "0"))
		if err != nil {
			t.Fatal(err)
		}
		if c.Resolve(request("mod.x", "a")).Stateful() != want {
			t.Errorf("%s: stateful is %v", flags, !want)
		}
	}
	box, err := Learn(infoOf("mod.box", "", "0", "0", "0", noFacts, noFacts, noFacts, "*1\r\n"+string(infoOf("mod.box|use", "fast", "0", "0", "0"))))
	if err != nil {
		t.Fatal(err)
	}
	if !box.Resolve(request("mod.box", "use", "x")).Stateful() {
		t.Error("a subcommand that may be about its connection is not stateful")
	}
}

func TestWritesOfUnknownKeysThatMayHaveRun(t *testing.T) {
	learned, err := Learn(infoOf("mod.x", "write", "0", "0", "0"))
	if err != nil {
		t.Fatal(err)
	}
	learned.Arity = -2
	eval := byName("EVAL")
	for _, c := range []struct {
		cmd     *Command
		request string
		reply   string
		want    bool
	}{
		{learned, "mod.x a", "+OK", true},
		{learned, "mod.x a", "-ERR no more room in the index", true},
		{learned, "mod.x a", "!4\r\nfull", true},
		{learned, "mod.x a", "-WRONGTYPE Operation against a key holding the wrong kind of value", true},
		{learned, "mod.x a", "-OOM command not allowed when used memory > 'maxmemory'.", true},
		{learned, "mod.x", "-ERR wrong number of arguments for 'mod.y' command", false},
		{learned, "mod.x a", "-ERR unknown command 'mod.x', with args beginning with: 'a'", false},
		{learned, "mod.x a", "-ERR unknown command 'other', with args beginning with: 'a'", true},
		{learned, "mod.x a", "-ERR unknown subcommand 'a'. Try MOD.X HELP.", false},
		{learned, "mod.x a", "-READONLY You can't write against a read only replica.", false},
		{learned, "mod.x a", "-NOPERM No permissions to access a key", false},
		{learned, "mod.x a", "-NOPERM the module says so", true},
		{eval, "EVAL x none", "-ERR value is not an integer or out of range", false},
		{eval, "EVAL x none", ":1", true},
	} {
		if got := c.cmd.MayHaveRun(request(strings.Fields(c.request)...), []byte(c.reply+"\r\n")); got != c.want {
			t.Errorf("%s answered %s: may have run is %v", c.request, c.reply, got)
		}
	}
}
