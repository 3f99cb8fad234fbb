package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/load"
	"tandem/test/program"
)

// The user that docs/guide-security.md has people make on both servers is enough for all of a migration: the precheck finds
// nothing that it may not, and neither server has ever refused it anything.
func TestTheUserOfTheGuideIsEnough(t *testing.T) {
	t.Parallel()
	root, err := program.Root()
	must(t, err)
	guide, err := os.ReadFile(filepath.Join(root, "docs/guide-security.md"))
	must(t, err)
	line := regexp.MustCompile(`(?m)^ACL SETUSER tandem .*$`).FindString(string(guide))
	if !strings.Contains(line, ">a-long-secret") {
		t.Fatalf("the guide has no such line: %q", line)
	}
	w := &world{t: t, clients: 4, layout: keyspace.Layout{Keys: sized(5000), Seed: seed}}
	w.source, w.target = redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	for _, s := range []*redisd.Server{w.source, w.target} {
		do(t, s.Addr, strings.Fields(line)...)
		do(t, s.Addr, "ACL", "SETUSER", "app", "on", ">app-secret", "~*", "&*", "+@all", "-@dangerous")
	}
	must(t, w.layout.Fill(w.source.Addr))
	must(t, load.Prepare(w.source.Addr, w.clients))
	do(t, w.source.Addr, "FUNCTION", "LOAD", "#!lua name=ours\nredis.register_function('ours', function(keys) return redis.call('INCR', keys[1]) end)")
	login := func(s *redisd.Server) string { return "redis://tandem:a-long-secret@" + s.Addr }
	w.td = program.Prepare(t, login(w.source), login(w.target), "auth: {mode: none}", "start: manual", "tracking: on")
	code, out, _ := program.Command(t, nil, "precheck", "--source", login(w.source), "--target", login(w.target))
	if code != 0 || strings.Contains(out, "NOPERM") {
		t.Errorf("precheck: %d\n%s", code, out)
	}
	w.td.Start()
	w.startLoad(func(c *load.Config) { c.Reconnect = true })
	w.td.Step("start")
	w.td.WaitSynced()
	for _, command := range [][]string{
		{"EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", "acl:script"}, {"FCALL", "ours", "1", "acl:function"},
		{"SORT", "acl:list", "STORE", "acl:sorted"}, {"SWAPDB", "7", "8"}, {"FLUSHDB"},
	} {
		if command[0] == "FLUSHDB" {
			c := dial(t, w.td.Addr)
			for _, command := range [][]string{{"SELECT", "9"}, {"SET", "k", "v"}, {"FLUSHDB"}} {
				if reply, err := c.Do(command...); err != nil {
					t.Errorf("%q: %+v, %v", command, reply, err)
				}
			}
			continue
		}
		do(t, w.td.Addr, command...)
	}
	w.td.WaitSettled()
	w.commands(300)
	w.td.SwitchOver("cutover")
	w.commands(300)
	w.td.SwitchOver("rollback")
	w.commands(300)
	w.stopLoad()
	w.mustBeEqual()
	w.td.MustVerify()
	for _, s := range []*redisd.Server{w.source, w.target} {
		if denied := do(t, s.Addr, "ACL", "LOG").Elems; len(denied) > 0 {
			t.Errorf("%s has refused %d times, last: %v", s.Addr, len(denied), denied[0])
		}
	}
}
