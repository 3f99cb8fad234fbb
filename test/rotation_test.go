package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/load"
	"tandem/test/program"
)

// The password of Tandem's user is replaced on both servers and in its files, under load, and all its connections are
// ended, as by a failover: it reads the new one, and nobody has to restart it. Once the server is first, once the file.
func TestPasswordsAreRotatedUnderLoad(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clients: 4, layout: keyspace.Layout{Keys: sized(5000), Seed: seed}}
	w.source, w.target = redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	files := map[string]string{}
	file := func(addr, password string) {
		t.Helper()
		must(t, os.WriteFile(files[addr], []byte(password+"\n"), 0o600))
	}
	server := func(addr, password string) {
		t.Helper()
		do(t, addr, "ACL", "SETUSER", "tandem", "on", "resetpass", ">"+password, "allkeys", "allchannels", "+@all")
	}
	addrs := []string{w.source.Addr, w.target.Addr}
	for _, addr := range addrs {
		files[addr] = filepath.Join(t.TempDir(), "password")
		file(addr, "first")
		server(addr, "first")
	}
	must(t, w.layout.Fill(w.source.Addr))
	must(t, load.Prepare(w.source.Addr, w.clients))
	w.td = program.Prepare(t, "redis://tandem@"+w.source.Addr, "redis://tandem@"+w.target.Addr, "auth: {mode: none}",
		"source: {password_file: "+files[addrs[0]]+"}", "target: {password_file: "+files[addrs[1]]+"}")
	w.td.Start()
	w.startLoad(func(c *load.Config) { c.Reconnect = true })
	w.td.WaitSynced()

	cut := func(addr string) { do(t, addr, "CLIENT", "KILL", "USER", "tandem") }
	whole := func(s program.Status) bool {
		return s.Phase != "backfill" && s.Source.Connected && s.Target.Connected && s.DirtyKeys == 0 && len(s.Blockers) == 0
	}
	first := addrs
	if !program.Full {
		first = addrs[seed%2:][:1]
	}
	for _, addr := range first {
		server(addr, "second") // and for a while nothing new is let in
		cut(addr)
		w.td.WaitStatus("the password is named", program.SyncTime(), func(s program.Status) bool {
			for _, b := range s.Blockers {
				if strings.Contains(b.Message, "refuses the password") {
					return true
				}
			}
			return false
		})
		file(addr, "second")
		w.td.WaitStatus("all is well", program.SyncTime(), whole)
		w.commands(300)
	}
	for _, addr := range addrs {
		file(addr, "third") // before the server has it: what is there goes on
		w.commands(300)
		server(addr, "third")
		cut(addr)
	}
	w.commands(300)
	w.td.WaitStatus("all is well", program.SyncTime(), whole)
	w.td.SwitchOver("cutover")
	w.commands(300)
	w.stopLoad()
	w.mustBeEqual()
}
