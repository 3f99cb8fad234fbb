package router

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// tried are blocking requests, in the syntax of samples, whose timeout is short enough to wait for.
var tried = []string{
	"BLPOP {l} 0.002", "BRPOP {l} 0.002", "BLPOP {l} {l} {l} 0.002", "brpop {l} {l} 0.002", "BLPOP {l} {l} 0.002",
	"BLMPOP 0.002 1 {l} LEFT|RIGHT", "BLMPOP 0.002 3 {l} {l} {l} LEFT|RIGHT COUNT 2", "BLMPOP 0.002 9 {l} LEFT",
	"BLMOVE {l} {l} LEFT|RIGHT LEFT|right 0.002", "BRPOPLPUSH {l} {l} 0.002",
	"BZPOPMIN {z} 0.002", "BZPOPMAX {z} 0.002", "BZPOPMIN {z} {z} 0.002", "bzpopmax {z} {z} {z} 0.002",
	"BZMPOP 0.002 1 {z} MIN|MAX", "BZMPOP 0.002 2 {z} {z} MIN|MAX COUNT 2",
	"XREAD BLOCK 1 STREAMS {x} 0|{old}|$|+", "XREAD COUNT 2 BLOCK 1 STREAMS {x} {x} 0|$|{old} 0|$",
	"XREAD BLOCK 1 COUNT 1 BLOCK 2 STREAMS {x} 0", "XREADGROUP GROUP {grp} {con} BLOCK 1 STREAMS {x} >",
	"XREADGROUP GROUP {grp} {con} BLOCK 1 COUNT 2 NOACK STREAMS {x} {x} > >|0", "XREADGROUP GROUP block {con} BLOCK 1 STREAMS {x} >",
	"XREADGROUP GROUP {grp} {con} COUNT 1 BLOCK 1 STREAMS {x} 0|{old}",
}

// trial holds the same data in two databases of one server: the blocking command runs in the one, what Try
// makes of it in the other.
type trial struct {
	*replay
	served, asleep map[string]int
}

// impatient starts a server that looks for timeouts every 2 ms, and not every 100.
func impatient(t *testing.T, b redisdtest.Binary) *conn {
	t.Helper()
	k := start(t, b)
	k.must("CONFIG", "SET", "hz", "500")
	return k
}

// both runs a request in both databases.
func (p *trial) both(words ...string) {
	p.a.parse(words...)
	p.b.parse(words...)
}

// TestTriedFormsAnswerAsTheBlockingCommand compares the reply that Reshape makes with that of the blocking
// command, byte for byte, and the data after both, on every version and in both protocols.
func TestTriedFormsAnswerAsTheBlockingCommand(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		for _, protocol := range []string{"2", "3"} {
			t.Run(b.Name+" in RESP"+protocol, func(t *testing.T) {
				k := impatient(t, b)
				p := &trial{served: map[string]int{}, asleep: map[string]int{}, replay: &replay{
					t: t, r: &sampler{Rand: newRand(seedOf(t))}, a: k, b: dial(t, k.c.RemoteAddr().String()),
				}}
				p.b.must("SELECT", "1")
				p.both("HELLO", protocol)
				known := p.known(tried)
				// Chance may leave one out for long.
				for n := 0; n < stepsOf(t)/2 || n < 20*stepsOf(t) && p.left(known) != ""; n++ {
					p.change()
					args := p.r.request(p.r.pick(known...))
					p.fill(args)
					p.try(args)
				}
				if name := p.left(known); name != "" {
					t.Errorf("%s was never served", name)
				}
				if len(p.asleep) < 3 {
					t.Errorf("only %v found nothing to take", p.asleep)
				}
			})
		}
	}
}

// left is one of the commands that were never served; empty if there is none.
func (p *trial) left(known []string) string {
	for _, sample := range known {
		if name := strings.ToUpper(strings.Fields(sample)[0]); p.served[name] == 0 {
			return name
		}
	}
	return ""
}

// change makes, fills and empties keys in both databases alike.
func (p *trial) change() {
	n := p.r.pick("1", "2", "3")
	switch p.r.Intn(10) {
	case 0, 1:
		p.both("RPUSH", "l"+n, p.r.pick("a", "b", ""), "c")
	case 2, 3:
		p.both("ZADD", "z"+n, p.r.pick("1", "-2.5", "inf", "0.1"), p.r.pick("a", "b"), "3", "c")
	case 4, 5:
		p.r.ids++
		p.both("XADD", "x"+n, fmt.Sprintf("%d-%d", p.r.ids, p.r.ids), "f", "v")
		if p.r.Intn(3) == 0 {
			p.both("XGROUP", "CREATE", "x"+n, "g1", "0", "MKSTREAM")
		}
	case 6, 7, 8:
		p.both("DEL", p.r.pick("l", "l", "z", "z", "x")+n)
	case 9:
		p.both("XGROUP", "CREATE", "x"+n, p.r.pick("g1", "g2", "block"), p.r.pick("0", "$"), "MKSTREAM")
	}
}

func (p *trial) try(args [][]byte) {
	p.t.Helper()
	cmd := Lookup(args)
	if !cmd.Blocks(args) {
		p.t.Fatalf("%q does not block", args)
	}
	want := p.a.exchange(resp.AppendArgs(nil, args), 1)[0]
	frame, tried, reshape, ok := cmd.Try([]byte("before"), args, p.a.server)
	if !ok {
		if _, _, good := cmd.Timeout(args); good && p.shouldTry(args) {
			p.t.Fatalf("%q was not tried", args)
		}
		p.b.exchange(resp.AppendArgs(nil, args), 1)
		return
	}
	frame = frame[len("before"):]
	sent := resp.Args(frame, nil)
	if Lookup(sent) != tried || tried.Blocks(sent) {
		p.t.Fatalf("%q is tried as %q with the effect of %s", args, sent, tried.Name)
	}
	reply := p.b.exchange(frame, 1)[0]
	for i := range args {
		args[i] = bytes.Repeat([]byte("x"), len(args[i])) // nothing of them may have been kept
	}
	got, served := reshape([]byte("before"), reply)
	name := cmd.Name
	switch empty := isNull(want) || isError(want); {
	case served == empty:
		p.t.Fatalf("%q answered %q, served %v; %s answered %q", sent, reply, served, name, want)
	case !served:
		if string(got) != "before" {
			p.t.Fatalf("%q: %q was appended though nothing was served", sent, got)
		}
		p.asleep[name]++
	default:
		if string(got) != "before"+string(want) {
			p.t.Fatalf("%q answered %q, made %q; %s answers %q", sent, reply, got, name, want)
		}
		p.served[name]++
	}
	var reads []byte
	keys := []string{"l1", "l2", "l3", "z1", "z2", "z3", "x1", "x2", "x3"}
	for _, key := range keys {
		if key[0] == 'x' { // times of delivery, which a DUMP has, differ
			reads = resp.AppendCommand(reads, "XINFO", "GROUPS", key)
		} else {
			reads = resp.AppendCommand(reads, "DUMP", key)
		}
	}
	a, b := p.a.exchange(reads, len(keys)), p.b.exchange(reads, len(keys))
	for i, key := range keys {
		if !bytes.Equal(a[i], b[i]) {
			p.t.Fatalf("after %q: %s is %q and %q", sent, key, a[i], b[i])
		}
	}
}

// shouldTry reports whether there is a form that does not block.
func (p *trial) shouldTry(args [][]byte) bool {
	cmd := Lookup(args)
	keys, _ := cmd.AppendKeys(nil, args)
	switch cmd.Name {
	case "BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX":
		return len(keys) == 1 || redis70.in(p.a.server)
	case "XREAD":
		return len(cmd.Streams(args)) < len(keys)
	}
	return true
}

// TestTriedErrorsAreLeftToTheBlockingCommand: it finds the same error, and its own text.
func TestTriedErrorsAreLeftToTheBlockingCommand(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		k := start(t, b)
		k.must("SET", "s", "string")
		for _, text := range []string{
			"BLPOP s 1", "BLMOVE s d LEFT LEFT 1", "BRPOPLPUSH s d 1", "BZPOPMIN s 1", "XREAD BLOCK 5 STREAMS s 0",
			"XREADGROUP GROUP g c BLOCK 5 STREAMS s >", "BLMPOP 1 1 s LEFT", "BZMPOP 1 2 none s MIN", "BLMPOP 1 1 l LEFT COUNT 0",
		} {
			args := request(strings.Fields(text)...)
			frame, _, reshape, ok := Lookup(args).Try(nil, args, k.server)
			if !ok {
				t.Errorf("%s: %s is not tried", b.Name, text)
				continue
			}
			reply := k.exchange(frame, 1)[0]
			if got, served := reshape(nil, reply); served || len(got) > 0 || !isError(reply) {
				t.Errorf("%s: %s answered %q, made %q, served %v", b.Name, text, reply, got, served)
			}
		}
	}
}

// TestTimeoutsAreReadAsTheServersDo asks every version, in a transaction, whether it takes a timeout. (Of the
// greatest number, and times that end just behind it, versions think differently.)
func TestTimeoutsAreReadAsTheServersDo(t *testing.T) {
	texts := strings.Fields(`0 1 10 0.5 .5 1. 1e2 1E-3 1e+2 +3 -1 -0 -0.0 -0.5 007 0x10 0X1p3 0x1.8 0x 1_0 0x_1 1x x e1 nan inf -inf infinity
		1e15 1e300 1e400 92233720368547758070 9223372036854776000 1e-9 00 -`)
	texts = append(texts, "", " 1", "1 ", "1\n")
	for _, b := range redisdtest.Binaries(t) {
		k := start(t, b)
		for _, form := range []string{"BLPOP k ?", "BRPOPLPUSH k d ?", "BZPOPMAX k ?", "BLMPOP ? 1 k LEFT", "BLMOVE k d LEFT LEFT ?",
			"XREAD BLOCK ? STREAMS k $", "XREAD BLOCK 1 BLOCK ? STREAMS k $", "WAIT 0 ?", "WAITAOF 0 0 ?"} {
			name, _, _ := strings.Cut(form, " ")
			if info := k.must("COMMAND", "INFO", name); info.Elems[0].Elems == nil {
				continue
			}
			for _, text := range texts {
				args := request(strings.Fields(form)...)
				for i, a := range args {
					if string(a) == "?" {
						args[i] = []byte(text)
					}
				}
				k.must("MULTI")
				k.exchange(resp.AppendArgs(nil, args), 1)
				reply := elements(k.raw("EXEC"))
				d, forever, ok := Lookup(args).Timeout(args)
				if taken := len(reply) == 1 && !isError(reply[0]); taken != ok {
					t.Errorf("%s: timeout %q of %s: answered %q, read as %v, %v, %v", b.Name, text, name, reply, d, forever, ok)
				}
			}
		}
	}
}

// TestTimeoutTellsHowLong covers the numbers themselves.
func TestTimeoutTellsHowLong(t *testing.T) {
	const far = time.Duration(1<<63 - 1)
	for _, c := range []struct {
		request     string
		d           time.Duration
		forever, ok bool
	}{
		{"BLPOP k 0", 0, true, true}, {"BLPOP k 0.0", 0, true, true}, {"BLPOP k 1.5", 1500 * time.Millisecond, false, true},
		{"BRPOP a b 0.0001", time.Millisecond, false, true}, {"BLPOP k -1", 0, false, false}, {"BLPOP k", 0, false, false},
		{"BLMPOP 3 1 k LEFT", 3 * time.Second, false, true}, {"BLMPOP x 1 k LEFT", 0, false, false}, {"BZMPOP 0x10 1 k MIN", 16 * time.Second, false, true},
		{"BLMOVE a b LEFT LEFT 2", 2 * time.Second, false, true}, {"BRPOPLPUSH a b 2", 2 * time.Second, false, true},
		{"XREAD BLOCK 20 STREAMS s $", 20 * time.Millisecond, false, true}, {"XREAD BLOCK 0 STREAMS s $", 0, true, true},
		{"XREAD STREAMS s $", 0, false, false}, {"XREAD BLOCK 1.5 STREAMS s $", 0, false, false}, {"XREAD COUNT BLOCK STREAMS s 0", 0, false, false},
		{"XREADGROUP GROUP BLOCK c BLOCK 7 STREAMS BLOCK >", 7 * time.Millisecond, false, true}, {"XREADGROUP GROUP BLOCK BLOCK STREAMS BLOCK 0", 0, false, false},
		{"XREAD BLOCK 5 BLOCK 0 STREAMS s $", 0, true, true}, {"WAIT 1 250", 250 * time.Millisecond, false, true}, {"WAITAOF 0 1 0", 0, true, true},
		{"BLPOP k 1e15", far, false, true}, {"XREAD BLOCK 9000000000000000000 STREAMS s $", far, false, true}, {"GET k", 0, false, false},
	} {
		args := request(strings.Fields(c.request)...)
		if d, forever, ok := Lookup(args).Timeout(args); d != c.d || forever != c.forever || ok != c.ok {
			t.Errorf("Timeout(%s) = %v, %v, %v", c.request, d, forever, ok)
		}
	}
}

// TestWithTimeout covers the text, and that the request stays what it was.
func TestWithTimeout(t *testing.T) {
	for _, c := range []struct {
		request string
		d       time.Duration
		want    string
	}{
		{"BLPOP k 0", 0, "BLPOP k 0.0015"}, {"BLPOP k 0", -time.Second, "BLPOP k 0.0015"}, {"BLPOP k 0", 2 * time.Second, "BLPOP k 2"},
		{"blpop k j 9", 1234 * time.Microsecond, "blpop k j 0.0025"}, {"BLMPOP 0 1 k LEFT", 61500 * time.Millisecond, "BLMPOP 61.5005 1 k LEFT"},
		{"BRPOPLPUSH a b 5", time.Second, "BRPOPLPUSH a b 1"}, {"XREAD COUNT 1 BLOCK 0 STREAMS s $", 1, "XREAD COUNT 1 BLOCK 1 STREAMS s $"},
		{"XREAD BLOCK 3 BLOCK 0 STREAMS s $", time.Minute, "XREAD BLOCK 3 BLOCK 60000 STREAMS s $"}, {"WAIT 1 0", time.Second, "WAIT 1 1000"},
		{"XREAD STREAMS s $", time.Second, "XREAD STREAMS s $"}, {"GET k", time.Second, "GET k"}, {"BLPOP k", time.Second, "BLPOP k"},
	} {
		args := request(strings.Fields(c.request)...)
		got := Lookup(args).WithTimeout([]byte("*"), args, c.d)
		if text := string(bytes.Join(resp.Args(got[1:], nil), []byte(" "))); text != c.want {
			t.Errorf("%s with %v is %q, want %s", c.request, c.d, got, c.want)
		}
	}
}

// TestShortTimeoutsEnd: none of them is cut off to 0, which means for ever.
func TestShortTimeoutsEnd(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		k := impatient(t, b)
		for ms := range 12 {
			for _, text := range []string{"BLPOP none 0", "XREAD BLOCK 0 STREAMS none $", "BRPOPLPUSH none d 0"} {
				args := request(strings.Fields(text)...)
				d := time.Duration(ms) * time.Millisecond
				began := time.Now()
				reply := k.exchange(Lookup(args).WithTimeout(nil, args, d), 1)[0]
				if took := time.Since(began); !isNull(reply) || took < d-2*time.Millisecond {
					t.Errorf("%s: %s for %v answered %q after %v", b.Name, text, d, reply, took)
				}
			}
		}
	}
}

// TestStreamsNamesTheIDsToCome, and what they are at this moment.
func TestStreamsNamesTheIDsToCome(t *testing.T) {
	for _, c := range []struct{ request, want string }{
		{"XREAD BLOCK 0 STREAMS a b c $ 0 $", "[{4 7} {6 9}]"}, {"XREAD BLOCK 0 STREAMS a 0", "[]"}, {"XREAD STREAMS a $", "[]"},
		{"XREAD BLOCK 0 COUNT 1 STREAMS $ $", "[{6 7}]"}, {"XREADGROUP GROUP g c BLOCK 0 STREAMS a $", "[]"}, {"XREAD BLOCK 0 STREAMS a b $", "[]"},
	} {
		args := request(strings.Fields(c.request)...)
		if got := fmt.Sprint(Lookup(args).Streams(args)); got != c.want {
			t.Errorf("Streams(%s) = %s", c.request, got)
		}
	}
	for _, b := range redisdtest.Binaries(t) {
		for _, protocol := range []string{"2", "3"} {
			k := start(t, b)
			k.must("HELLO", protocol)
			k.must("SET", "string", "x")
			k.must("XADD", "s", "5-1", "f", "v")
			k.must("XADD", "s", "6-1", "f", "v")
			k.must("XDEL", "s", "6-1")
			for key, want := range map[string]string{"s": "6-1 true", "none": "0-0 true", "string": " false"} {
				id, ok := ReadLastID(k.exchange(AppendLastIDRead(nil, []byte(key)), 1)[0])
				if got := fmt.Sprintf("%s %v", id, ok); got != want {
					t.Errorf("%s: last id of %s: %s", b.Name, key, got)
				}
			}
			for key, want := range map[string]string{"s": "5-1 true", "none": "0-0 true", "string": " false"} {
				id, ok := ReadLastEntry(k.exchange(AppendLastEntryRead(nil, []byte(key)), 1)[0])
				if got := fmt.Sprintf("%s %v", id, ok); got != want {
					t.Errorf("%s: last entry of %s: %s", b.Name, key, got)
				}
				if refused := isError(k.exchange(AppendNothingRead(nil, []byte(key)), 1)[0]); refused != (key == "string") {
					t.Errorf("%s: reading nothing of %s is refused: %v", b.Name, key, refused)
				}
			}
		}
	}
}
