package resp

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/redcon"
)

func TestArgsAreThoseThatWereAppended(t *testing.T) {
	for _, args := range [][]string{
		{"PING"}, {""}, {"SET", "key", "\r\n$3\r\n"}, {"ECHO", strings.Repeat("x", 100000)},
		strings.Split(strings.Repeat("a,", 5000), ","),
	} {
		raw := AppendCommand([]byte("before"), args...)[len("before"):]
		got := Args(raw, [][]byte{[]byte("kept")})
		if len(got) != 1+len(args) || string(got[0]) != "kept" {
			t.Fatalf("%d arguments, want %d behind what was there", len(got), len(args))
		}
		for i := range args {
			if string(got[1+i]) != args[i] {
				t.Fatalf("argument %d is %.40q, want %.40q", i, got[1+i], args[i])
			}
		}
		if again := AppendArgs(nil, got[1:]); !bytes.Equal(again, raw) {
			t.Fatalf("%.60q became %.60q", raw, again)
		}
	}
}

func TestArgsRefusesWhatIsNotExactlyOneRequest(t *testing.T) {
	for _, raw := range []string{
		"", "PING\r\n", "$4\r\nPING\r\n", "*", "*1", "*1\r\n", "*-1\r\n", "*1\r\n$4\r\nPING", "*1\r\n$4\r\nPING\r\n\r\n",
		"*1\r\n$9\r\nPING\r\n", "*1\r\n$999999999999\r\nPING\r\n", "*1\r\n$9223372036854775807\r\nPING\r\n",
		"*1\r\n$04\r\nPING\r\n", "*1\r\n:4\r\n", "*2\r\n$4\r\nPING\r\n", "*1\r\n$4\nPING\r\n", "*1\r\n$4\r\nPINGxx",
	} {
		if args := Args([]byte(raw), nil); args != nil {
			t.Errorf("%q is split into %q", raw, args)
		}
	}
}

// The path of every GET and SET allocates nothing.
func TestHotPathAllocatesNothing(t *testing.T) {
	request := AppendCommand(nil, "SET", "key:000000000001", strings.Repeat("x", 64))
	inline := []byte("PING\r\n")
	reply := []byte("+OK\r\n$5\r\nhello\r\n:12\r\n*2\r\n$1\r\na\r\n_\r\n%1\r\n+a\r\n,1.5\r\n")
	pieces := [][]byte{[]byte("*3\r\n$1\r\na\r\n:1"), []byte("2\r\n$-"), []byte("1\r\n")}
	nested := []byte("%2\r\n+a\r\n,1.5\r\n$4\r\n2.25\r\n*2\r\n:1\r\n_\r\n")
	guard, args, buf := NewGuard(DefaultLimits), make([][]byte, 0, 8), make([]byte, 0, 256)
	var framer Framer
	for name, step := range map[string]func() bool{
		"Guard": func() bool {
			n, complete, err := guard.Next(request)
			return n == len(request) && complete && err == nil
		},
		"Guard, in pieces": func() bool {
			_, early, _ := guard.Next(request[:30])
			_, complete, err := guard.Next(request)
			return !early && complete && err == nil
		},
		"Guard, inline": func() bool {
			_, complete, err := guard.Next(inline)
			return complete && err == nil
		},
		"Args":        func() bool { return len(Args(request, args)) == 3 },
		"AppendArgs":  func() bool { return len(AppendArgs(buf, args[:3])) > 0 },
		"SplitInline": func() bool { got, err := SplitInline(inline, args); return len(got) == 1 && err == nil },
		"Framer": func() bool {
			ends := 0
			for at := 0; at < len(reply); ends++ {
				n, done, err := framer.Feed(reply[at:])
				if !done || err != nil {
					return false
				}
				at += n
			}
			return ends == 5
		},
		"Framer, in pieces": func() bool {
			_, early, _ := framer.Feed(pieces[0])
			_, earlyToo, _ := framer.Feed(pieces[1])
			n, done, err := framer.Feed(pieces[2])
			return !early && !earlyToo && done && n == 3 && err == nil
		},
		"Digest": func() bool { _, err := Digest(nested); return err == nil },
	} {
		if !step() {
			t.Errorf("%s does not do what is measured", name)
		}
		if allocs := testing.AllocsPerRun(100, func() { step() }); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

// BenchmarkArgs splits the commands that Guard has found, and has redcon do the same.
func BenchmarkArgs(b *testing.B) {
	for _, x := range benchmarked {
		name, alone := strings.CutSuffix(x.name, "/pipeline=1")
		if !alone {
			continue // they are split one by one
		}
		want := Args(x.stream, nil)
		if len(want) != x.args {
			b.Fatal(len(want))
		}
		b.Run(name+"/by=Args", func(b *testing.B) {
			args := make([][]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				if got := Args(x.stream, args); len(got) != len(want) {
					b.Fatal(len(got))
				}
			}
		})
		b.Run(name+"/by=redcon", func(b *testing.B) {
			args := make([][]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				if done, got, _, _, err := redcon.ReadNextCommand(x.stream, args); !done || err != nil || len(got) != len(want) {
					b.Fatal(done, err)
				}
			}
			if _, got, _, _, _ := redcon.ReadNextCommand(x.stream, args); !slices.EqualFunc(got, want, bytes.Equal) {
				b.Fatal("the two disagree")
			}
		})
	}
}

func TestLongest(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{
		{"", 0},
		{"*1\r\n$4\r\nPING\r\n", 4},
		{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$4\r\nECHO\r\n$11\r\nhello world\r\n*1\r\n$5\r\nMULTI\r\n", 11},
		{"*1\r\n$4\r\nPING\r\nPING\r\n", 4},
		{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\ncut off", 3},
		{"*2\r\n$3\r\nSET\r\n:1\r\n", 3},
	} {
		if got := Longest([]byte(c.in)); got != c.want {
			t.Errorf("%q: %d, want %d", c.in, got, c.want)
		}
	}
}
