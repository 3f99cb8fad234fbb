package tools

import (
	"fmt"
	"strconv"
	"strings"

	"tandem/test/clients/stage"
)

// rates are the lines that redis-benchmark prints when it runs everything.
var rates = []string{"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD",
	"HSET", "SPOP", "ZADD", "ZPOPMIN", "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)",
	"LRANGE_300 (first 300 elements)", "LRANGE_500 (first 500 elements)", "LRANGE_600 (first 600 elements)", "MSET (10 keys)"}

// benchmark runs everything that redis-benchmark has: plain, with pipelines over many keys, and what its user gives
// it, among that a stream and a script.
func benchmark(p *stage.Player, protocol ...string) error {
	n := "100"
	if stage.Full {
		n = "5000"
	}
	for p.Going() {
		for _, run := range []struct {
			want []string
			args []string
		}{
			{rates, []string{"-c", "10"}},
			{rates, []string{"-c", "10", "-P", "16", "-r", "1000"}},
			{nil, []string{"-c", "5", "-P", "4", "-r", "1000", "XADD", p.Key("stream"), "MAXLEN", "100", "*", "member", "__rand_int__"}},
			{nil, []string{"-c", "5", "-r", "100", "EVAL", "return redis.call('INCR', KEYS[1])", "1", p.Key("__rand_int__")}},
			{nil, []string{"-c", "5", "-k", "0", "INCR", p.Key("reconnected")}},
		} {
			if err := measure(p, run.want, append(append([]string{"-q", "-n", n}, protocol...), run.args...)); err != nil {
				return err
			}
		}
		p.Round()
	}
	return nil
}

// measure runs redis-benchmark once: every test has a rate, and nothing complains.
func measure(p *stage.Player, want []string, args []string) error {
	ctx, cancel := p.Context()
	defer cancel()
	cmd, err := tool(ctx, p, "redis-benchmark", args...)
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("redis-benchmark %q: %w: %s", args, err, end(out))
	}
	got := map[string]bool{}
	for _, line := range strings.Split(string(out), "\n") {
		line = line[strings.LastIndexByte(line, '\r')+1:] // the last of what was drawn over each other
		lower := strings.ToLower(line)
		if strings.Contains(lower, "error") || strings.Contains(lower, "could not") {
			return fmt.Errorf("redis-benchmark %q: %s", args, line)
		}
		if name, figures, ok := strings.Cut(line, ": "); ok && strings.Contains(figures, "requests per second") {
			rate, err := strconv.ParseFloat(strings.Fields(figures)[0], 64)
			got[name] = err == nil && rate > 0
		}
	}
	if len(want) == 0 && len(got) != 1 {
		return fmt.Errorf("redis-benchmark %q printed no rate: %s", args, end(out))
	}
	for _, name := range want {
		if !got[name] {
			return fmt.Errorf("redis-benchmark %q printed no rate of %s: %s", args, name, end(out))
		}
	}
	return nil
}
