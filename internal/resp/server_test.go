package resp

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// converse sends a stream to a server, says that it was all, and returns the server's replies.
func converse(t *testing.T, addr string, stream []byte) [][]byte {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// A server that has found a breach closes without reading the rest: writing may fail, and so may reading
	// behind the error reply, which is what we look at.
	if _, err = conn.Write(stream); err == nil {
		err = conn.(*net.TCPConn).CloseWrite()
	}
	answer, readErr := io.ReadAll(conn)
	if err == nil && readErr != nil && len(answer) == 0 {
		t.Fatalf("%.80q: %v", stream, readErr)
	}
	var replies [][]byte
	var f Framer
	for len(answer) > 0 {
		n, done, err := f.Feed(answer)
		if !done || err != nil {
			t.Fatalf("%.80q is answered %.80q: %v", stream, answer, err)
		}
		replies = append(replies, answer[:n])
		answer = answer[n:]
	}
	return replies
}

// serverVerdict is how many commands a server executed and its protocol error, if any.
func serverVerdict(replies [][]byte) (commands int, breach string) {
	for i, reply := range replies {
		text, isBreach := strings.CutPrefix(string(reply), "-ERR Protocol error")
		if isBreach && i == len(replies)-1 {
			return i, "Protocol error" + strings.TrimSuffix(text, "\r\n")
		}
	}
	return len(replies), ""
}

// guardVerdict is the same of Guard, which counts what Redis ignores as commands without arguments.
func guardVerdict(t *testing.T, limits Limits, stream []byte) (commands int, breach string) {
	v := guardInPieces(t, limits, stream)
	return len(v.counts) - strings.Count(v.counts, "i") - strings.Count(v.counts, "0"), v.err
}

// onEveryServer runs a test on each version of a server that this machine has.
func onEveryServer(t *testing.T, o redisd.Options, test func(t *testing.T, addr string)) {
	for _, binary := range redisdtest.Binaries(t) {
		t.Run(binary.Name, func(t *testing.T) {
			o := o
			o.Binary = binary.Path
			test(t, redisdtest.Start(t, o).Addr)
		})
	}
}

func compareVerdicts(t *testing.T, addr string, limits Limits, name, stream string) {
	t.Helper()
	commands, breach := serverVerdict(converse(t, addr, []byte(stream)))
	wantCommands, wantBreach := guardVerdict(t, limits, []byte(stream))
	if commands != wantCommands || breach != wantBreach {
		t.Errorf("%.60q: the server executes %d and says %q, Guard finds %d and says %q",
			name, commands, breach, wantCommands, wantBreach)
	}
}

func TestGuardSaysWhatRealServersSay(t *testing.T) {
	onEveryServer(t, redisd.Options{}, func(t *testing.T, addr string) {
		for _, c := range guardCases {
			if !c.stricter {
				compareVerdicts(t, addr, DefaultLimits, c.name, c.stream)
			}
		}
	})
}

func TestGuardSaysWhatRealServersSayBeforeAuthentication(t *testing.T) {
	onEveryServer(t, redisd.Options{Password: "secret"}, func(t *testing.T, addr string) {
		for _, stream := range []string{
			"*10\r\n$4\r\nPING\r\n", "*11\r\n$4\r\nPING\r\n", "*1048576\r\n", "*2147483648\r\n",
			"*1\r\n$16384\r\n", "*1\r\n$16385\r\n", "*1\r\n$536870913\r\n",
			"*11\r\n$16385\r\n", "*0\r\n*-1\r\nPING\r\nA B C D E F G H I J K L\r\n",
		} {
			compareVerdicts(t, addr, PreAuthLimits, stream, stream)
		}
	})
}

// Whatever passes Guard must be to the server the same commands with the same arguments: nothing may hide in
// the bytes of one command that the server takes for another.
func TestNothingIsSmuggledPastGuard(t *testing.T) {
	onEveryServer(t, redisd.Options{}, func(t *testing.T, addr string) {
		random := rand.New(rand.NewPCG(7, 11))
		clean, refused := 0, 0
		for range 1500 {
			if smuggle(t, addr, garbled(random)) {
				clean++
			} else {
				refused++
			}
		}
		if clean < 200 || refused < 200 {
			t.Errorf("%d streams clean, %d refused: the streams test little", clean, refused)
		}
	})
}

// smuggle sends to a server what Guard lets pass of a stream, checks the replies, and reports whether Guard
// had nothing to object to.
func smuggle(t *testing.T, addr string, stream []byte) (clean bool) {
	t.Helper()
	g := NewGuard(DefaultLimits)
	var expect [][]byte
	passed := 0
	for {
		n, complete, err := g.Next(stream[passed:])
		if err != nil || !complete {
			clean = err == nil
			break
		}
		if command := stream[passed : passed+n]; !g.Empty() {
			expect = append(expect, echoReply(t, &g, command))
		}
		passed += n
	}
	replies := converse(t, addr, stream[:passed])
	if len(replies) != len(expect) {
		t.Fatalf("%q: Guard passes %d commands, the server answers %d: %q",
			stream[:passed], len(expect), len(replies), replies)
	}
	for i := range replies {
		if expect[i] != nil && !bytes.Equal(replies[i], expect[i]) {
			t.Fatalf("%q: reply %d is %q, want %q", stream[:passed], i, replies[i], expect[i])
		}
	}
	return clean
}

// echoReply is the server's reply to a complete command if it is an ECHO of one argument, else nil.
func echoReply(t *testing.T, g *Guard, command []byte) []byte {
	t.Helper()
	var args [][]byte
	var err error
	if g.Inline() {
		if args, err = SplitInline(command, nil); err != nil {
			t.Fatalf("%q: %v", command, err)
		}
	} else if args = Args(command, nil); args == nil {
		t.Fatalf("Args refuses %q", command)
	}
	if len(args) != g.Count() {
		t.Fatalf("%q has %d arguments, Guard counted %d", command, len(args), g.Count())
	}
	if len(args) != 2 || !strings.EqualFold(string(args[0]), "echo") {
		return nil
	}
	return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(args[1]), args[1])
}

// garbled is a pipeline of harmless commands with a few bytes changed, lost or doubled.
func garbled(random *rand.Rand) []byte {
	const alphabet = "\r\n*$0123459-+ \"'\\x\x00aE"
	var stream []byte
	for range 1 + random.IntN(4) {
		text := make([]byte, random.IntN(12))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		switch random.IntN(4) {
		case 0:
			stream = append(append(append(stream, "ECHO "...), text...), "\r\n"...)
		case 1:
			stream = append(stream, []string{"*0\r\n", "*-1\r\n", "\r\n", "PING\n"}[random.IntN(4)]...)
		default:
			stream = AppendArgs(stream, [][]byte{[]byte("ECHO"), text})
		}
	}
	for range random.IntN(3) {
		i := random.IntN(len(stream))
		switch random.IntN(3) {
		case 0:
			stream[i] = alphabet[random.IntN(len(alphabet))]
		case 1:
			stream = append(stream[:i:i], stream[i+1:]...)
		case 2:
			stream = append(stream[:i+1:i+1], stream[i:]...)
		}
		if len(stream) == 0 {
			return []byte("\n")
		}
	}
	return stream
}

// A real server's own splitting is the rule: its script returns the words that it saw.
func TestSplitInlineSplitsAsARealServer(t *testing.T) {
	server := redisdtest.Start(t, redisd.Options{})
	random := rand.New(rand.NewPCG(3, 5))
	const alphabet = "abf09x\\\\\\\"\"'' \t\v\f\r\xff"
	unbalanced := 0
	for range 3000 {
		line := make([]byte, random.IntN(14))
		for i := range line {
			line[i] = alphabet[random.IntN(len(alphabet))]
		}
		request := append(append([]byte("eval 'return ARGV' 0 "), line...), '\n')
		want := []byte("-ERR Protocol error: unbalanced quotes in request\r\n")
		if args, err := SplitInline(request, nil); err == nil {
			want = AppendArgs(nil, args[3:])
		} else {
			unbalanced++
		}
		replies := converse(t, server.Addr, request)
		if len(replies) != 1 || !bytes.Equal(replies[0], want) {
			t.Fatalf("%q: the server sees %q, SplitInline %q", line, replies, want)
		}
	}
	if unbalanced < 300 || unbalanced > 2700 {
		t.Errorf("%d of 3000 lines unbalanced: the lines test little", unbalanced)
	}
}
