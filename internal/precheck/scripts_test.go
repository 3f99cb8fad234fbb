package precheck

import (
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// Everything that is tried around scripts, taken away from a user, is named; the remedy printed cures it, and
// nothing is kept on the server.
func TestScriptsThatAUserMayNotRun(t *testing.T) {
	p := newLimitedPair(t, "")
	for _, x := range scripting {
		for role := range p.admin {
			item := role + "_scripts"
			p.allow(t, role, "-"+strings.ReplaceAll(strings.ToLower(x.name), " ", "|"))
			r := p.precheck(t)
			r.expect(t, item, Warning, "no permission: "+x.name, "after a cutover")
			r.otherwise(t, item, "target_users")
			p.cure(t, role, r.item(t, item))
			after := p.precheck(t)
			after.expect(t, item, Success, "scripts and functions are allowed", "no libraries")
			after.cured(t, r, item)
			p.allow(t, role, "")
		}
	}
	for role, c := range p.admin {
		for _, section := range []string{"number_of_cached_scripts:0", "number_of_libraries:0"} {
			if info := string(do(t, c, "INFO memory").Str); !strings.Contains(info, section) {
				t.Errorf("%s: no %s in %s", role, section, info)
			}
		}
	}
}

// What the source does not know clients cannot use; what only the target does not know they will miss.
func TestScriptsThatAServerDoesNotKnow(t *testing.T) {
	with, without := start(t), start(t, "--rename-command", "SCRIPT", "", "--rename-command", "EVAL", "")
	r := precheck(t, with.URL(), without.URL(), Options{})
	r.expect(t, "source_scripts", Success)
	r.expect(t, "target_scripts", Warning, "renamed or disabled): EVAL, SCRIPT EXISTS, SCRIPT LOAD", "rename-command lines of EVAL")
	r.otherwise(t, "target_scripts", "target_command_names")
	precheck(t, without.URL(), with.URL(), Options{}).otherwise(t)
	precheck(t, without.URL(), start(t, "--rename-command", "SCRIPT", "", "--rename-command", "EVAL", "").URL(), Options{}).otherwise(t)

	old, ok := redisdtest.Find(t, "redis-6.0")
	if !ok {
		return
	}
	six := redisdtest.Start(t, redisd.Options{Binary: old[0].Path})
	r = precheck(t, with.URL(), six.URL(), Options{})
	r.expect(t, "target_scripts", Success, "6.0", "knows no functions")
	if _, err := connect(t, with).Do(t.Context(), "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)"); err != nil {
		t.Fatal(err)
	}
	r = precheck(t, with.URL(), six.URL(), Options{})
	r.expect(t, "source_scripts", Success, "1 library")
	r.expect(t, "target_scripts", Warning, "the source has 1 library", "version 7.0 or newer")
	precheck(t, with.URL(), start(t).URL(), Options{}).cured(t, r, "target_scripts")
}

// What was loaded past us can be called by its hash, and not be brought to the target unless the server shows it.
func TestScriptsThatAreLoaded(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			source, target := redisdtest.Start(t, redisd.Options{Binary: b.Path}), redisdtest.Start(t, redisd.Options{Binary: b.Path})
			do(t, connect(t, target), "SCRIPT LOAD return(1)")
			precheck(t, source.URL(), target.URL(), Options{}).otherwise(t)
			do(t, connect(t, source), "SCRIPT LOAD return(1)")
			do(t, connect(t, source), "EVAL return(2) 0")
			r := precheck(t, source.URL(), target.URL(), Options{})
			r.otherwise(t, "source_scripts")
			if strings.HasPrefix(b.Name, "valkey") {
				r.expect(t, "source_scripts", Success)
			} else {
				r.expect(t, "source_scripts", Warning, "there are 2", "NOSCRIPT")
			}
		})
	}
}

// What else a user may be kept from, with the remedy that is printed.
func TestControlThatAUserMayNotRun(t *testing.T) {
	p := newLimitedPair(t, "")
	for rules, x := range map[string]struct{ item, says string }{
		"-client|unblock":               {"client_unblock", "CLIENT UNBLOCK is refused"},
		"-client|tracking":              {"client_tracking", "CLIENT TRACKING"},
		"-client|id":                    {"client_tracking", "CLIENT ID"},
		"-subscribe":                    {"client_tracking", "SUBSCRIBE"},
		"resetchannels":                 {"client_tracking", "channel"},
		"-command|info":                 {"command_info", "COMMAND"},
		"resetchannels &other -command": {"command_info", "COMMAND"},
	} {
		for role := range p.admin {
			item := role + "_" + x.item
			p.allow(t, role, rules)
			r := p.precheck(t)
			r.expect(t, item, Warning, x.says)
			if strings.Contains(rules, "-command") {
				r.expect(t, role+"_command_names", Success, "does not tell")
			}
			p.cure(t, role, r.item(t, item))
			p.precheck(t).cured(t, r, item)
			p.allow(t, role, "")
		}
	}
	for role, c := range p.admin {
		if info := string(do(t, c, "INFO clients").Str); !strings.Contains(info, "tracking_clients:0") {
			t.Errorf("%s: tracking is left on: %s", role, info)
		}
	}

	good, odd, plain := start(t), start(t, "--rename-command", "CLIENT", "", "--rename-command", "COMMAND", ""), start(t)
	r := precheck(t, good.URL(), odd.URL(), Options{})
	for item, name := range map[string]string{"target_client_kill": "CLIENT", "target_client_unblock": "CLIENT", "target_client_tracking": "CLIENT",
		"target_command_info": "COMMAND"} {
		r.expect(t, item, Warning, "take the rename-command lines of "+name)
		precheck(t, good.URL(), plain.URL(), Options{}).cured(t, r, item)
	}
}

func TestRenamedCommandsAreNamed(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		good := redisdtest.Start(t, redisd.Options{Binary: b.Path})
		odd := redisdtest.Start(t, redisd.Options{Binary: b.Path, Args: []string{"--rename-command", "KEYS", "LIST-ALL", "--rename-command", "UNWATCH", ""}})
		r := precheck(t, good.URL(), odd.URL(), Options{})
		r.expect(t, "source_command_names", Success, "own names")
		r.expect(t, "target_command_names", Warning, "under other names: KEYS", "not there: UNWATCH", "rename-command lines of KEYS")
		r = precheck(t, odd.URL(), good.URL(), Options{})
		r.expect(t, "source_command_names", Warning, "under other names: KEYS")
		r.otherwise(t, "source_command_names")
		precheck(t, good.URL(), redisdtest.Start(t, redisd.Options{Binary: b.Path}).URL(), Options{}).cured(t, r, "source_command_names")
	}
}
