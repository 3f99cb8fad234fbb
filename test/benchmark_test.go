package test

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/test/program"
)

// benchmarkTests are what redis-benchmark runs by default.
var benchmarkTests = []string{"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD",
	"HSET", "SPOP", "ZADD", "ZPOPMIN", "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)",
	"LRANGE_300 (first 300 elements)", "LRANGE_500 (first 500 elements)", "LRANGE_600 (first 600 elements)", "MSET (10 keys)"}

// redis-benchmark's default tests, plain, pipelined and with 500 clients, pass through in every phase. The
// backfill is paused in the middle meanwhile, so that the phase lasts.
func TestRedisBenchmarkPassesInEveryPhase(t *testing.T) {
	// It is paused in the middle of the backfill, which need not be slow besides.
	w := newWorld(t, worldOptions{keys: sized(100_000), settings: throttled(true, 2*sized(100_000))})
	for _, phase := range []string{"passthrough", "backfill", "synced", "reversed"} {
		switch phase {
		case "backfill":
			w.reach("backfill")
			w.td.Step("pause")
		case "synced":
			w.td.Step("resume")
			w.td.WaitSynced()
		case "reversed":
			w.td.SwitchOver("cutover")
		}
		for _, args := range [][]string{nil, {"-P", "16"}, {"-c", "500"}} {
			t.Run(strings.TrimSpace(phase+" "+strings.Join(args, " ")), func(t *testing.T) {
				want := benchmarkTests
				if !program.Full && len(args) > 0 && args[0] == "-c" {
					// Connecting 500 clients for each test is what takes the time, with a bare server too.
					want = []string{"PING_INLINE", "PING_MBULK", "SET", "GET", "LPUSH", "MSET (10 keys)"}
					args = append(args, "-t", "ping,set,get,lpush,mset")
				}
				benchmark(t, w.td.Addr, want, args...)
			})
		}
		if s := w.td.Status(); s.Phase != phase {
			t.Errorf("phase %s after the benchmarks of %s", s.Phase, phase)
		}
	}
	w.mustBeEqual()
	w.checkMemory()
}

// benchmark runs redis-benchmark and requires a rate for every test that is wanted, and no complaint.
func benchmark(t *testing.T, addr string, want []string, more ...string) {
	t.Helper()
	n := 3000
	if program.Full {
		n = 100_000
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	args := append([]string{"-h", host, "-p", port, "-q", "-n", strconv.Itoa(n)}, more...)
	out, err := exec.CommandContext(ctx, "redis-benchmark", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-benchmark %q: %v\n%s", args, err, program.Last(string(out), 4000))
	}
	// -q redraws each line: what stands behind the last carriage return is the result.
	rates := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		line = line[strings.LastIndexByte(line, '\r')+1:]
		lower := strings.ToLower(line)
		if strings.Contains(lower, "err") || strings.Contains(lower, "warn") || strings.Contains(lower, "could not") {
			t.Errorf("redis-benchmark %q complains: %s", args, line)
		}
		if name, rate, ok := strings.Cut(line, ": "); ok && strings.Contains(rate, "requests per second") {
			rates[name] = strings.Fields(rate)[0]
		}
	}
	for _, name := range want {
		if rates[name] == "" {
			t.Errorf("redis-benchmark %q printed no rate of %s", args, name)
		}
	}
	t.Logf("SET %s, GET %s, LPUSH %s, MSET %s per second", rates["SET"], rates["GET"], rates["LPUSH"], rates["MSET (10 keys)"])
}
