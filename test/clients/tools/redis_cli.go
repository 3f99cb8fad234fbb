// Package tools plays what comes with the server: redis-cli, with a terminal and without, and redis-benchmark.
package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"tandem/test/clients/stage"
	"tandem/test/program"
	"tandem/test/wire"
)

// parts are all uses of both tools.
func parts() []stage.Part {
	return []stage.Part{
		{Name: "redis-cli one command", Rounds: 2, Play: oneCommand},
		{Name: "redis-cli interactive", Rounds: 2, Play: func(p *stage.Player) error { return interactive(p, 2) }},
		{Name: "redis-cli interactive -3", Rounds: 2, Play: func(p *stage.Player) error { return interactive(p, 3) }},
		{Name: "redis-cli subscribe", Play: subscribe},
		{Name: "redis-cli monitor", Play: monitor},
		{Name: "redis-cli stat", Rounds: 2, Play: stat},
		{Name: "redis-cli latency", Rounds: 1, Play: latency},
		{Name: "redis-cli scan", Rounds: 2, Play: scan},
		{Name: "redis-cli bigkeys", Rounds: 1, Play: bigkeys},
		{Name: "redis-cli pipe", Rounds: 1, Play: pipe},
		{Name: "redis-benchmark", Rounds: 1, Play: func(p *stage.Player) error { return benchmark(p) }},
		{Name: "redis-benchmark -3", Rounds: 1, Play: func(p *stage.Player) error { return benchmark(p, "-3") }},
	}
}

// tool makes a process that ends with the test, and at the latest with ctx.
func tool(ctx context.Context, p *stage.Player, name string, args ...string) (*exec.Cmd, error) {
	host, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, name, append([]string{"-h", host, "-p", port}, args...)...)
	cmd.Env = append(program.Environment(), "REDISCLI_HISTFILE=/dev/null")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// output runs redis-cli to its end and returns what it has printed.
func output(p *stage.Player, stdin string, args ...string) (string, error) {
	ctx, cancel := p.Context()
	defer cancel()
	cmd, err := tool(ctx, p, "redis-cli", args...)
	if err != nil {
		return "", err
	}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("redis-cli %s: %w: %s", strings.Join(args, " "), err, end(out))
	}
	return string(out), nil
}

// end is the last of what a tool has printed.
func end(out []byte) string {
	const length = 500
	if len(out) > length {
		out = out[len(out)-length:]
	}
	return string(bytes.TrimSpace(out))
}

// oneCommand runs a process per command, as shell scripts do.
func oneCommand(p *stage.Player) error {
	for n := 1; p.Going(); n++ {
		for _, c := range []struct {
			stdin, want string
			args        []string
		}{
			{"", strconv.Itoa(n), []string{"INCR", p.Key("n")}},
			{"", strconv.Itoa(3*n-2) + "\n" + strconv.Itoa(3*n-1) + "\n" + strconv.Itoa(3*n), []string{"-r", "3", "INCR", p.Key("three")}},
			{"from stdin", "OK", []string{"-x", "SET", p.Key("x")}},
			{"", "from stdin", []string{"GET", p.Key("x")}},
			{"SET " + p.Key("y") + " 1\nINCR " + p.Key("y") + "\n", "OK\n2", nil},
			{"", `(integer) 2`, []string{"--no-raw", "INCRBY", p.Key("y"), "0"}},
			{"", `"a","1"`, []string{"--csv", "EVAL", "return {'a','1'}", "0"}},
			{"", "PONG", []string{"-3", "PING"}},
		} {
			out, err := output(p, c.stdin, c.args...)
			if err != nil {
				return err
			}
			if got := strings.TrimSpace(out); got != c.want {
				return fmt.Errorf("redis-cli %s: %q, want %q", strings.Join(c.args, " "), got, c.want)
			}
		}
		p.Round()
	}
	return nil
}

// scan lists keys that stay as they are.
func scan(p *stage.Player) error {
	const keys = 500
	c, err := wire.Dial(p.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var want []string
	for i := range keys {
		key := p.Key("k%d", i)
		if _, err := c.Do("SET", key, "1"); err != nil {
			return err
		}
		want = append(want, key)
	}
	slices.Sort(want)
	for p.Going() {
		out, err := output(p, "", "--scan", "--pattern", p.Key("*"))
		if err != nil {
			return err
		}
		got := strings.Fields(out)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			return fmt.Errorf("--scan: %d different keys, want %d", len(got), len(want))
		}
		p.Round()
	}
	return nil
}

// bigkeys finds the largest of all.
func bigkeys(p *stage.Player) error {
	c, err := wire.Dial(p.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	const members = 70_000
	set := []string{"SADD", p.Key("set")}
	for i := range members {
		set = append(set, strconv.Itoa(i))
	}
	if _, err := c.Do(set...); err != nil {
		return err
	}
	for p.Going() {
		for _, option := range []string{"--bigkeys", "--memkeys"} {
			out, err := output(p, "", option)
			if err != nil {
				return err
			}
			want := fmt.Sprintf(`found '"%s"' has %d members`, p.Key("set"), members)
			if option == "--memkeys" { // sizes are the server's
				want = fmt.Sprintf(`found '"%s"' has `, p.Key("set"))
			}
			_, summary, _ := strings.Cut(out, "-------- summary -------")
			if !strings.Contains(summary, want) {
				return fmt.Errorf("%s says nothing of %s: %s", option, want, end([]byte(out)))
			}
		}
		p.Round()
	}
	return nil
}

// pipe loads commands in bulk: a million of them in the full size.
func pipe(p *stage.Player) error {
	n := 5000
	if stage.Full {
		n = 1_000_000
	}
	const counters = 500
	var in bytes.Buffer
	for i := range n {
		in.Write(wire.AppendCommand(nil, "INCR", p.Key("c%d", i%counters)))
	}
	check := []string{"MGET"}
	for i := range counters {
		check = append(check, p.Key("c%d", i))
	}
	for round := 1; p.Going(); round++ {
		out, err := output(p, in.String(), "--pipe")
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("errors: 0, replies: %d", n); !strings.Contains(out, want) {
			return fmt.Errorf("--pipe: %s, want %s", end([]byte(out)), want)
		}
		reply, err := wire.Once(p.Addr, check...)
		if err != nil {
			return err
		}
		for i, e := range reply.Elems {
			if want := strconv.Itoa(round * n / counters); e.Str != want {
				return fmt.Errorf("counter %d is %s after %d rounds of --pipe, want %s", i, e, round, want)
			}
		}
		p.Round()
	}
	return nil
}

// lines is redis-cli with a command that never ends, and its output line by line.
type lines struct {
	cmd  *exec.Cmd
	from *bufio.Scanner
	stop context.CancelFunc
}

func follow(p *stage.Player, args ...string) (*lines, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd, err := tool(ctx, p, "redis-cli", args...)
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	l := &lines{cmd, bufio.NewScanner(out), cancel}
	l.from.Buffer(nil, 16<<20) // MONITOR prints the longest commands in one line
	return l, nil
}

// next is the next line with text in it. The stage's own bound ends one that never comes.
func (l *lines) next(text string) (string, error) {
	for l.from.Scan() {
		if strings.Contains(l.from.Text(), text) {
			return l.from.Text(), nil
		}
	}
	l.stop()
	return "", fmt.Errorf("redis-cli has ended while a line with %q was waited for: %w", text, errors.Join(l.from.Err(), l.cmd.Wait()))
}

// close ends the process.
func (l *lines) close() {
	l.stop()
	l.cmd.Wait() // it was killed, which is no news
}

// subscribe prints what is published, each message once and in order.
func subscribe(p *stage.Player) error {
	l, err := follow(p, "SUBSCRIBE", p.Key("channel"))
	if err != nil {
		return err
	}
	defer l.close()
	if _, err := l.next("subscribe"); err != nil {
		return err
	}
	for n := 1; p.Going(); n++ {
		text := fmt.Sprintf("message-%d", n)
		reply, err := wire.Once(p.Addr, "PUBLISH", p.Key("channel"), text)
		if err != nil {
			return err
		}
		if reply.Int != 1 {
			return fmt.Errorf("PUBLISH %d: %s receivers, want 1", n, reply)
		}
		got, err := l.next("message-")
		if err != nil {
			return err
		}
		if got != text {
			return fmt.Errorf("printed %q, want %q", got, text)
		}
		p.Round()
	}
	return nil
}

// monitor prints commands, each once and in order, whichever server executes them.
func monitor(p *stage.Player) error {
	l, err := follow(p, "MONITOR")
	if err != nil {
		return err
	}
	defer l.close()
	if _, err := l.next("OK"); err != nil {
		return err
	}
	for n := 1; p.Going(); n++ {
		if _, err := wire.Once(p.Addr, "SET", p.Key("k"), strconv.Itoa(n)); err != nil {
			return err
		}
		got, err := l.next(`"SET" "` + p.Key("k") + `"`) // others scan, and ask for its type
		if err != nil {
			return err
		}
		if want := fmt.Sprintf(`"SET" "%s" "%d"`, p.Key("k"), n); !strings.HasSuffix(got, want) {
			return fmt.Errorf("printed %s, want %s", got, want)
		}
		p.Round()
	}
	return nil
}
