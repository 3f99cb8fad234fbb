package precheck

import (
	"os/exec"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// carryOver runs the command that a remedy of target_users prints.
func carryOver(t *testing.T, item Item) {
	t.Helper()
	_, command, ok := strings.Cut(item.Remedy, "): ")
	command, _, ends := strings.Cut(command, "; and have the target")
	if !ok || !ends {
		t.Fatalf("no command in the remedy of %+v", item)
	}
	out, err := exec.Command("sh", "-c", command).CombinedOutput()
	if err != nil || strings.Trim(string(out), "OK\n") != "" {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// Each way in which a user of the source is not what clients are used to is said, and the command that is printed
// cures it, on a target of every version that reads the source's DUMPs.
func TestUsersThatTheTargetLacks(t *testing.T) {
	found, ok := redisdtest.Find(t, "redis-6.0", "redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1")
	if !ok {
		found, _ = redisdtest.Find(t, "redis-7.0")
	}
	for _, x := range [][2]int{{0, 0}, {0, 1}, {0, 3}, {1, 1}, {1, 2}, {1, 3}, {3, 4}} {
		if x[1] >= len(found) {
			continue
		}
		source := redisdtest.Start(t, redisd.Options{Binary: found[x[0]].Path})
		target := redisdtest.Start(t, redisd.Options{Binary: found[x[1]].Path})
		t.Run(source.Name+" to "+target.Name, func(t *testing.T) {
			s, d := connect(t, source), connect(t, target)
			channels := ""
			if source.Name != "redis-6.0" {
				channels = " &app:*"
			}
			do(t, s, "ACL SETUSER own on >"+secret+" ~* +@all"+strings.ReplaceAll(channels, "app:", ""))
			for _, name := range []string{"absent", "same", "off-there", "password", "rules", "closed"} {
				do(t, s, "ACL SETUSER "+name+" on >"+secret+" >other ~app:*"+channels+" -@all +@read -get +set")
			}
			do(t, s, "ACL SETUSER closed off")
			on := " on >other >" + secret // the order of passwords is no matter
			if target.Name != "redis-6.0" {
				if channels == "" {
					channels = " &*"
				}
				on += channels
			}
			do(t, d, "ACL SETUSER same"+on+" ~app:* -@all +@read -get +set")
			do(t, d, "ACL SETUSER off-there"+on+" ~app:* -@all +@read -get +set off")
			do(t, d, "ACL SETUSER password"+on+" <other ~app:* -@all +@read -get +set")
			do(t, d, "ACL SETUSER rules"+on+" ~app:* ~more:* -@all +@read -get +set")
			url := "redis://own:" + secret + "@" + source.Addr
			r := precheck(t, url, target.URL(), Options{})
			r.expect(t, "target_users", Warning, "not on the target: absent; off there: off-there; with other passwords there: password; "+
				"with other rules there: rules")
			if text := r.text(); strings.Contains(text, "#") || strings.Contains(text, secret) {
				t.Errorf("a password or its hash is in\n%s", text)
			}
			carryOver(t, r.item(t, "target_users"))
			after := precheck(t, url, target.URL(), Options{})
			after.cured(t, r, "target_users")
			if r := precheck(t, url, target.URL(), Options{OwnUsers: true}); strings.Contains(r.text(), "target_users") {
				t.Errorf("with users of the proxy's own:\n%s", r.text())
			}
		})
	}
}

func TestUsersThatNobodyTells(t *testing.T) {
	source, target := start(t), start(t)
	do(t, connect(t, source), "ACL SETUSER app on >pw ~* &* +@all -acl")
	r := precheck(t, "redis://app:pw@"+source.Addr, target.URL(), Options{})
	r.expect(t, "target_users", Warning, "ACL LIST is refused", "ACL SETUSER app +acl|list", "by hand")
	r.otherwise(t, "target_users")
	renamed := precheck(t, start(t, "--rename-command", "ACL", "").URL(), target.URL(), Options{})
	renamed.expect(t, "target_users", Warning, "take the rename-command lines of ACL out")
	do(t, connect(t, source), setUser.FindString(r.item(t, "target_users").Remedy))
	precheck(t, "redis://app:pw@"+source.Addr, target.URL(), Options{}).cured(t, r, "target_users")
	precheck(t, start(t).URL(), target.URL(), Options{}).cured(t, renamed, "target_users")
}

// Many users, and names that a shell or an expression would read otherwise, are not put into a command.
func TestUsersThatNoCommandCarriesOver(t *testing.T) {
	source, target := start(t), start(t)
	s := connect(t, source)
	do(t, s, "ACL SETUSER a.b'c on nopass")
	r := precheck(t, source.URL(), target.URL(), Options{})
	r.expect(t, "target_users", Warning, "not on the target: a.b'c", "ACL LIST there prints a line for each")
	if strings.Contains(r.item(t, "target_users").Remedy, "sed") {
		t.Errorf("%s", r.item(t, "target_users").Remedy)
	}
	for _, c := range "defghijklmno" {
		do(t, s, "ACL SETUSER user-"+string(c)+" on nopass")
	}
	precheck(t, source.URL(), target.URL(), Options{}).expect(t, "target_users", Warning, "user-n, and 1 more", "ACL LIST there prints a line for each")
	do(t, s, "ACL SETUSER a.b'c off")
	r = precheck(t, source.URL(), target.URL(), Options{})
	carryOver(t, r.item(t, "target_users"))
	precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, "target_users")
}

func TestUsersAreComparedByWhatTheyMay(t *testing.T) {
	for _, c := range []struct {
		source, target string
		same           bool
	}{
		{"user a on nopass ~* &* +@all", "user a on nopass sanitize-payload ~* &* +@all", true},
		{"user a on nopass ~x ~y &* -@all +get +set", "user a on nopass &* ~y ~x -@all +set +get", true},
		{"user a on nopass ~* resetchannels -@all", "user a on nopass ~* -@all", true},
		{"user a on nopass ~* &* +@all -@write", "user a on nopass ~* &* -@write +@all", false},
		{"user a on nopass ~* &* -@all +get +@hash", "user a on nopass ~* &* -@all +@hash +get", false},
		{"user a on nopass %R~x -@all", "user a on nopass ~x -@all", false},
		{"user a on nopass -@all (~x -@all +get) (~y -@all +set)", "user a on nopass -@all (~y -@all +set) (~x -@all +get)", true},
		{"user a on nopass -@all (~x -@all +get) (~y -@all +set)", "user a on nopass -@all (~x -@all +set) (~y -@all +get)", false},
	} {
		_, s := parseUser(c.source)
		_, d := parseUser(c.target)
		if s.mayAs(d) != c.same || d.mayAs(s) != c.same {
			t.Errorf("%q and %q: same is %t, want %t", c.source, c.target, s.mayAs(d), c.same)
		}
	}
}
