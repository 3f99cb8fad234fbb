package precheck

import (
	"slices"
	"strings"
	"testing"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// A type that only a module has is tried; a target without the module does not take it.
func TestModules(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0")
	if !ok {
		t.Log("Redis 8.0, which has a module built in, is not installed")
		return
	}
	source, target := redisdtest.Start(t, redisd.Options{Binary: servers[0].Path}), start(t)
	s := connect(t, source)
	lacked := &Report{}
	r := &run{Options: Options{}.withDefaults(), scratch: scratchPrefix + "x", report: &Report{}}
	sides := func() {
		for _, x := range []struct {
			at   **side
			url  string
			role instance.Role
		}{{&r.source, source.URL(), instance.Source}, {&r.target, target.URL(), instance.Target}} {
			i, err := instance.New(x.role, x.url, instance.Options{})
			if err != nil {
				t.Fatal(err)
			}
			*x.at = &side{Instance: i}
			reachable(t.Context(), r, *x.at)
			if f := info(t.Context(), r, *x.at); f.status != Success {
				t.Fatalf("%+v", f)
			}
		}
		r.sampled = nil
	}
	// A pair whose DUMPs are refused is not asked further, so the check is asked by itself.
	sides()
	if f := targetModules(t.Context(), r, nil); f.status != Success {
		t.Errorf("a module that comes with the server, and that nobody uses: %+v", f)
	}
	r.close()
	do(t, s, "VADD vectors VALUES 2 1 2 a")
	sides()
	if f := targetModules(t.Context(), r, nil); f.status != Failed || !strings.Contains(f.found, "type vectorset") {
		t.Errorf("a key of a module that the target lacks: %+v", f)
	} else {
		saw("target_modules", f)
		lacked.Items = []Item{{Name: "target_modules", Status: f.status, Found: f.found, Remedy: f.remedy}}
	}
	// Where the copier would write a payload in another form, that form is tried.
	do(t, s, "RPUSH list a b")
	if err := r.askForms(t.Context(), r.target); err != nil {
		t.Fatal(err)
	}
	if why, err := r.tryModuleKey(t.Context(), sampledKey{name: "list", size: 100}); why != "" || err != nil {
		t.Errorf("%q, %v", why, err)
	}
	r.close()
	// The remedy: a target with the module.
	target = redisdtest.Start(t, redisd.Options{Binary: servers[0].Path})
	check := precheck(t, source.URL(), target.URL(), Options{})
	check.expect(t, "target_modules", Success, "the target has those of the source")
	check.cured(t, lacked, "target_modules")
	check.otherwise(t)
}

func TestLackingModules(t *testing.T) {
	source := []module{{"json", 20808}, {"bf", 20809}, {"lua", 1}, {"ts", 11205}}
	target := []module{{"bf", 20612}, {"json", 20808}, {"other", 1}}
	if missing := lacking(source, target); !slices.Equal(missing, []string{"bf 20809", "ts 11205"}) {
		t.Errorf("%v", missing)
	}
}
