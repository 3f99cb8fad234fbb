package precheck

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// behind is a real server behind somebody who changes what it answers, as providers do who keep something to themselves:
// change gets what was read of the answers and returns as many bytes. It is the URL to connect to.
func behind(t *testing.T, s *redisd.Server, change func(answer []byte) []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		work.Wait() // its clients have closed their connections
	})
	carry := func(to, from net.Conn, change func([]byte) []byte) {
		defer to.Close()
		answer := make([]byte, 256<<10)
		for {
			n, err := from.Read(answer)
			if n > 0 {
				if _, err := to.Write(change(answer[:n])); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.Addr)
			if err != nil {
				client.Close()
				continue
			}
			work.Go(func() { carry(server, client, func(b []byte) []byte { return b }) })
			work.Go(func() { carry(client, server, change) })
		}
	})
	return "redis://" + listener.Addr().String()
}

// instead has one text stand for another of the same length while on is true.
func instead(on *atomic.Bool, texts ...string) func([]byte) []byte {
	return func(answer []byte) []byte {
		for i := 0; on.Load() && i < len(texts); i += 2 {
			answer = []byte(strings.ReplaceAll(string(answer), texts[i], texts[i+1]))
		}
		return answer
	}
}

// What a server does not tell of itself is said, with what to look at by hand; nothing of it is taken for granted.
func TestProvidersThatTellLess(t *testing.T) {
	source, target := start(t), start(t)
	var hidden atomic.Bool
	hide := instead(&hidden, "\nused_memory:", "\nused_secret:", "\nmaxmemory_policy:", "\nmaxmemory_secret:")
	from, to := behind(t, source, hide), behind(t, target, hide)
	hidden.Store(true)
	r := precheck(t, from, to, Options{})
	r.expect(t, "target_memory", Warning, "the source does not tell", "by hand")
	r.expect(t, "source_eviction", Warning, "does not tell its policy")
	r.expect(t, "target_eviction", Warning, "does not tell its policy")
	r.otherwise(t, "target_memory", "source_eviction", "target_eviction")
	hidden.Store(false)
	after := precheck(t, from, to, Options{})
	after.cured(t, r, "target_memory", "source_eviction", "target_eviction")
}

// A machine that has less than the source uses, though its server has no limit.
func TestATargetOnASmallMachine(t *testing.T) {
	source, target := start(t), start(t)
	memory := regexp.MustCompile(`total_system_memory:(\d+)`)
	to := behind(t, target, func(answer []byte) []byte {
		return memory.ReplaceAllFunc(answer, func(field []byte) []byte {
			digits := len(field) - len("total_system_memory:")
			return fmt.Appendf(nil, "total_system_memory:%0*d", digits, 1000)
		})
	})
	r := precheck(t, source.URL(), to, Options{})
	r.expect(t, "target_memory", Warning, "its machine only 1000 bytes", "more memory")
	precheck(t, source.URL(), target.URL(), Options{}).cured(t, r, "target_memory")
}

// Clocks that are apart, and one that is set while the check is under way.
func TestServersWithOtherClocks(t *testing.T) {
	source, target := start(t), start(t)
	var ahead [2]atomic.Int64 // seconds
	reply := regexp.MustCompile(`\*2\r\n\$10\r\n(\d{10})\r\n\$`)
	var urls [2]string
	for i, s := range []*redisd.Server{source, target} {
		urls[i] = behind(t, s, func(answer []byte) []byte {
			return reply.ReplaceAllFunc(answer, func(reply []byte) []byte {
				digits := reply[len("*2\r\n$10\r\n") : len("*2\r\n$10\r\n")+10]
				seconds, _ := strconv.ParseInt(string(digits), 10, 64)
				return fmt.Appendf(nil, "*2\r\n$10\r\n%d\r\n$", seconds+ahead[i].Load())
			})
		})
	}
	check := func(tell func(string, int, int)) *Report {
		return precheck(t, urls[0], urls[1], Options{Tell: tell, MaxClockOffset: 500 * time.Millisecond})
	}
	ahead[1].Store(3)
	r := check(nil)
	r.expect(t, "clocks", Warning, "the target's clock is ", "ahead of the source's", "NTP", "clock_correction")
	r.otherwise(t, "clocks")
	ahead[0].Store(3)
	precheck(t, urls[0], urls[1], Options{MaxClockOffset: 500 * time.Millisecond}).cured(t, r, "clocks")
	for i, side := range []string{"source", "target"} {
		r = check(before("clocks", func() { ahead[i].Add(-1) }))
		r.expect(t, "clocks", Warning, "the "+side+"'s clock has moved by ", "without steps")
		ahead[i].Add(1)
		check(nil).cured(t, r, "clocks")
	}
}

// A module that the target lacks, though no key is of it. The one that this server has is given another name, for nothing is
// said of those that come with a server.
func TestAModuleThatTheTargetLacks(t *testing.T) {
	found, ok := redisdtest.Find(t, "redis-8.0")
	if !ok {
		return
	}
	source, target := redisdtest.Start(t, redisd.Options{Binary: found[0].Path}), redisdtest.Start(t, redisd.Options{Binary: found[0].Path})
	var other atomic.Bool
	other.Store(true)
	rename := instead(&other, "$9\r\nvectorset\r\n", "$9\r\nmodule-ab\r\n")
	from, to := behind(t, source, rename), behind(t, target, rename)
	r := precheck(t, from, target.URL(), Options{})
	r.expect(t, "target_modules", Warning, "module-ab", "load them on the target")
	r.otherwise(t, "target_modules")
	precheck(t, from, to, Options{}).cured(t, r, "target_modules") // they are loaded there, too
}

// Where neither CONFIG nor INFO tells how many connections there may be.
func TestConnectionsThatNobodyCounts(t *testing.T) {
	s, d := start(t), start(t)
	var hidden atomic.Bool
	hidden.Store(true)
	for i, x := range []*redisd.Server{s, d} {
		do(t, connect(t, x), "ACL SETUSER app on nopass ~* &* +@all -config")
		at, err := instance.New(instance.Source, behind(t, x, instead(&hidden, "\nmaxclients:", "\nmaxsecrets:")), instance.Options{})
		if err != nil {
			t.Fatal(err)
		}
		urls := []string{s.URL(), d.URL()}
		urls[i] = "redis://app:x@" + at.Addr
		r := precheck(t, urls[0], urls[1], Options{})
		r.expect(t, []string{"source", "target"}[i]+"_maxclients", Success, "does not tell maxclients")
		r.otherwise(t)
	}
}
