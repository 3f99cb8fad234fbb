package instance

import (
	"fmt"
	"strings"
	"testing"
)

// FuzzClientList: whatever a server, or a client that names itself, puts into CLIENT LIST, a connection is found by its
// name with the id that stands in its own line.
func FuzzClientList(f *testing.F) {
	own := "id=7 addr=10.0.0.1:5 laddr=10.0.0.2:6379 fd=8 name=tandem:00112233445566aa:lane-0-1:3.1 age=0 cmd=client|list user=default\n"
	f.Add(own)
	f.Add("id=3 addr= name= age=1\n" + own)
	f.Add("id=99999999999999999999 addr=x\n")
	f.Add("id=-1 addr=x name=tandem:x\n")
	f.Add("id=1 id=2 addr=x addr=y name=a name=b\n")
	f.Add("id=1\taddr=x\n\n\r\n")
	f.Add("addr=x\n")
	f.Add("txt:" + own)
	f.Add("id=1 addr=[::1]:6379 name=a=b=c lib-name=x(y) \n")
	f.Fuzz(func(t *testing.T, text string) {
		clients, err := parseClientList(text)
		if err != nil {
			if clients != nil {
				t.Fatal("an error and clients")
			}
			return
		}
		if lines := strings.Count(text, "\n") + 1; len(clients) > lines {
			t.Fatalf("%d clients in %d lines", len(clients), lines)
		}
		for _, c := range clients {
			if strings.ContainsAny(c.Name+c.Addr, " \n") || c.Addr != "" && !strings.Contains(text, fmt.Sprint("addr=", c.Addr)) {
				t.Fatalf("%+v is not in %q", c, text)
			}
			_ = isOurs(c.Name)
		}
	})
}

// FuzzConnName: only names that ConnName can have made are ours.
func FuzzConnName(f *testing.F) {
	f.Add("tandem:00112233445566aa:lane-0-1:3.1")
	f.Add("tandem::::")
	f.Add("tandem:a:b:c:d")
	f.Add("tandem-control-x")
	f.Fuzz(func(t *testing.T, name string) {
		id, what, generation, ok := ParseConnName(name)
		legal := !strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' }) // as servers take them
		if ok && legal && ConnName(id, what, generation) != name {
			t.Fatalf("%q is %q, %q, %q", name, id, what, generation)
		}
	})
}

// FuzzInfo: INFO is text of a server, whatever it holds.
func FuzzInfo(f *testing.F) {
	f.Add("# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nredis_mode:standalone\r\n# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\n")
	f.Add("redis_version:7.0.15\r\ndb-1:keys=5\r\ndb99999999999999999999:keys=1\r\ndb3:keys=-9\r\ndb1:keys=9999999999999999999\r\n")
	f.Add("redis_version:x\r\nused_memory:-1\r\nmaxmemory:1e9\r\n")
	f.Add("redis_version:7.0.15\r\nrole:slave\r\nmaster_host:::1\r\nmaster_port:\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		facts, _, err := parseInfo(text)
		if err != nil {
			return
		}
		if facts.KeysTotal() < 0 || facts.HighestDB() < -1 || facts.UsedMemory < 0 || facts.MaxMemory < 0 {
			t.Fatalf("%q: %+v", text, facts)
		}
	})
}
