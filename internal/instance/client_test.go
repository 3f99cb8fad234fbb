package instance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

func TestClientOnEveryVersion(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, s *redisd.Server) {
		i := at(t, s, "")
		admin := connect(t, i, "", 0)
		do(t, admin, "ACL", "SETUSER", "app", "on", ">"+secret, "~*", "+@all")
		name := ConnName(testID, "copier", "1")
		client, err := at(t, s, "app:"+secret+"@").Client(t.Context(), name, ClientOptions{DB: 3, NoTouch: true})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ask := func(args ...string) (string, error) {
			return client.Do(t.Context(), client.B().Arbitrary(args...).Build()).ToString()
		}
		// Ask again after the connection was killed: the next one is greeted as well.
		for round := range 2 {
			for want, args := range map[string][]string{name: {"CLIENT", "GETNAME"}, "app": {"ACL", "WHOAMI"}, "OK": {"SET", "k", "v"}} {
				if got, err := ask(args...); got != want || err != nil {
					t.Errorf("round %d: %q: %q, %v", round, args, got, err)
				}
			}
			// More than rueidis would put on one connection by itself.
			many := make([]rueidis.Completed, 3000)
			for k := range many {
				many[k] = client.B().Append().Key("list").Value(fmt.Sprint(k, ",")).Build()
			}
			for _, r := range client.DoMulti(t.Context(), many...) {
				if r.Error() != nil {
					t.Fatal(r.Error())
				}
			}
			list := string(do(t, admin, "CLIENT", "LIST").Str)
			if n := strings.Count(list, "name="+name+" "); n != 1 {
				t.Errorf("round %d: %d connections", round, n)
			}
			if s.Name != "redis-6.0" && s.Name != "redis-7.0" && !strings.Contains(flagsOf(list, name), "T") {
				t.Errorf("round %d: CLIENT NO-TOUCH is not on: %s", round, list)
			}
			killed, err := i.EnsureDead(t.Context(), func(n string) bool { return n == name }, 0)
			if killed != 1 || err != nil {
				t.Fatalf("killed %d, %v", killed, err)
			}
			eventually(t, "rueidis connects again", func() bool { _, err := ask("PING"); return err == nil })
		}
		do(t, admin, "SELECT", "3")
		if v := do(t, admin, "GET", "k"); string(v.Str) != "v" {
			t.Errorf("database 3 has %q", v.Str)
		}
	})
}

func flagsOf(list, name string) string {
	for line := range strings.Lines(list) {
		if strings.Contains(line, "name="+name+" ") {
			_, rest, _ := strings.Cut(line, " flags=")
			flags, _, _ := strings.Cut(rest, " ")
			return flags
		}
	}
	return ""
}

func TestClientWithoutHello(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{Args: []string{"--rename-command", "HELLO", ""}})
	client, err := at(t, s, "").Client(t.Context(), "tandem:00:x:1", ClientOptions{DB: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if v, err := client.Do(t.Context(), client.B().Arbitrary("CLIENT", "GETNAME").Build()).ToString(); v != "tandem:00:x:1" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}
