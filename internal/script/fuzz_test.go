package script

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// FuzzLook: whatever the bytes, a look ends, and says nothing that contradicts itself.
func FuzzLook(f *testing.F) {
	for _, source := range corpus(f) {
		f.Add([]byte(source))
	}
	f.Add([]byte("#!lua name=x flags=no-writes\nredis.register_function{function_name='f', callback=function(k) end}"))
	f.Add([]byte("x.y[1]:z{} = function(...) return -#not (a..b)^2 end"))
	f.Fuzz(func(t *testing.T, source []byte) {
		facts := Look(source)
		switch {
		case facts.Undeclared && (!facts.Writes || facts.Repeats):
			t.Errorf("%+v", facts)
		case facts.Repeats != (facts.Why == "") && facts.Writes:
			t.Errorf("%+v", facts)
		}
		if _, err := LookLibrary(source); err == nil && !strings.HasPrefix(string(source), "#!") {
			t.Error("a library without a header")
		}
	})
}

// cpuTime is what the process has used of the processors, whatever else they do.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestALookTakesLinearTime gives it sources made to be slow.
func TestALookTakesLinearTime(t *testing.T) {
	const size = MaxSource - 64
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, source := range map[string]string{
		"names":         fill("local a = b "),
		"chain":         "local a = 1 " + fill("a = a .. "),
		"sums":          "local a = 1" + fill("+1"),
		"members":       "return a" + fill(".b"),
		"nested tables": fill("{"),
		"nested calls":  fill("f("),
		"parentheses":   "return " + fill("("),
		"functions":     fill("function f() "),
		"blocks":        fill("do "),
		"brackets":      fill("[=="),
		"comments":      fill("--[=["),
		"open string":   "'" + fill("x"),
		"wide call":     "f(" + fill("KEYS[1],"),
		"wide local":    "local " + fill("a,"),
		"spread":        "local " + strings.Repeat("a,", 300) + "a = f(" + strings.Repeat("1+", 900) + "1) " + strings.Repeat("a = a ", 9000),
		"cycle":         "local a, b, c = KEYS[1], 1, {} " + fill("a, b, c = b, c, a "),
		"many commands": fill("redis.call('SET', KEYS[1], ARGV[1]) "),
		"long chain of variables": func() string {
			var b strings.Builder
			for i := range 350 {
				b.WriteString("local a" + strings.Repeat("x", i) + " ")
			}
			for i := 349; i > 0; i-- {
				b.WriteString("a" + strings.Repeat("x", i) + " = a" + strings.Repeat("x", i-1) + " ")
			}
			return b.String()
		}(),
	} {
		began := cpuTime(t)
		Look([]byte(source))
		if took := cpuTime(t) - began; took > 5*time.Second {
			t.Errorf("%s: %d bytes took %v", name, len(source), took)
		} else {
			t.Logf("%s: %d bytes took %v", name, len(source), took)
		}
	}
	if f := Look(make([]byte, MaxSource+1)); !f.Undeclared || f.Why == "" {
		t.Errorf("a source that is too large: %+v", f)
	}
}

func BenchmarkLook(b *testing.B) {
	source := []byte(corpus(b)["token-bucket"])
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		Look(source)
	}
}
