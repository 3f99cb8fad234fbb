package tools

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/creack/pty"

	"tandem/test/clients/stage"
	"tandem/test/wire"
)

// terminal is redis-cli at a terminal.
type terminal struct {
	tty  *os.File
	cmd  *exec.Cmd
	stop context.CancelFunc
	seen string // what was printed and not yet expected, without the sequences that move the cursor
	read chan string
}

// escapes are the sequences that colour text and move the cursor.
var escapes = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

func open(p *stage.Player, args ...string) (*terminal, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd, err := tool(ctx, p, "redis-cli", args...)
	if err != nil {
		cancel()
		return nil, err
	}
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.SysProcAttr = nil // a session of its own, which the terminal's end ends
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 200})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("terminal: %w", err)
	}
	t := &terminal{tty: tty, cmd: cmd, stop: cancel, read: make(chan string, 64)}
	go t.reader()
	return t, nil
}

// reader hands on what is printed, until the terminal is closed.
func (t *terminal) reader() {
	defer close(t.read)
	buf := make([]byte, 4096)
	for {
		n, err := t.tty.Read(buf)
		if n > 0 {
			t.read <- string(buf[:n])
		}
		if err != nil { // EIO when redis-cli has ended
			return
		}
	}
}

func (t *terminal) close() {
	t.stop()
	t.tty.Close()
	for range t.read {
	}
	t.cmd.Wait() // it was killed, which is no news
}

// expectTime bounds the wait for a line, with a switch in between and on a loaded machine.
const expectTime = 30 * time.Second

// expect waits until text is printed that matches, and returns what its first group matched.
func (t *terminal) expect(pattern string) (string, error) {
	expr := regexp.MustCompile(pattern)
	timeout := time.NewTimer(expectTime)
	defer timeout.Stop()
	for {
		if at := expr.FindStringSubmatchIndex(t.seen); at != nil {
			group := ""
			if len(at) > 2 && at[2] >= 0 {
				group = t.seen[at[2]:at[3]]
			}
			t.seen = t.seen[at[1]:]
			return group, nil
		}
		select {
		case some, ok := <-t.read:
			if !ok {
				return "", fmt.Errorf("redis-cli has ended; %q was waited for in %q", pattern, t.seen)
			}
			t.seen = escapes.ReplaceAllString(t.seen+some, "")
		case <-timeout.C:
			return "", fmt.Errorf("%q has not come within %v, but %q", pattern, expectTime, t.seen)
		}
	}
}

// ask types a line and expects its answer and the next prompt.
func (t *terminal) ask(prompt, line, want string) error {
	if _, err := t.tty.WriteString(line + "\r"); err != nil {
		return fmt.Errorf("type %q: %w", line, err)
	}
	want = strings.ReplaceAll(regexp.QuoteMeta(want), "\n", "\r\n")
	if _, err := t.expect(`\n` + want + `\r\n(?:.*\r\n)*?` + prompt); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

// interactive types commands, in both protocols.
func interactive(p *stage.Player, protocol int) error {
	var args []string
	if protocol == 3 {
		args = []string{"-3"}
	}
	t, err := open(p, args...)
	if err != nil {
		return err
	}
	defer t.close()
	base := regexp.QuoteMeta(p.Addr)
	prompt, inBlock, elsewhere := base+"> ", base+`\(TX\)> `, base+`\[3\]> `
	if _, err := t.expect(prompt); err != nil {
		return err
	}
	hash, null := "1) \"field\"\n2) \"%d\"", "(nil)"
	if protocol == 3 {
		hash = "1# \"field\" => \"%d\""
	}
	for n := 1; p.Going(); n++ {
		for _, line := range []struct{ prompt, line, want string }{
			{prompt, "INCR " + p.Key("n"), fmt.Sprintf("(integer) %d", n)},
			{prompt, fmt.Sprintf("SET %s \"hello world %d\"", p.Key("text"), n), "OK"},
			{prompt, "get " + p.Key("text"), fmt.Sprintf("\"hello world %d\"", n)},
			{prompt, "GET " + p.Key("none"), null},
			{prompt, fmt.Sprintf("HSET %s field %d", p.Key("hash"), n), fmt.Sprintf("(integer) %d", max(0, 2-n))},
			{prompt, "HGETALL " + p.Key("hash"), fmt.Sprintf(hash, n)},
			{inBlock, "MULTI", "OK"},
			{inBlock, "INCR " + p.Key("m"), "QUEUED"},
			{inBlock, "GET " + p.Key("m"), "QUEUED"},
			{prompt, "EXEC", fmt.Sprintf("1) (integer) %d\n2) \"%d\"", n, n)},
			{prompt, "LPUSH " + p.Key("n") + " x", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"},
			{elsewhere, "SELECT 3", "OK"},
			{elsewhere, "INCR " + p.Key("n"), fmt.Sprintf("(integer) %d", n)},
			{prompt, "SELECT 0", "OK"},
			{prompt, "EVAL \"return redis.call('INCRBY', KEYS[1], ARGV[1])\" 1 " + p.Key("e") + " 5", fmt.Sprintf("(integer) %d", 5*n)},
			{prompt, "BLPOP " + p.Key("none") + " 0.05", null},
		} {
			if err := t.ask(line.prompt, line.line, line.want); err != nil {
				return err
			}
		}
		p.Round()
	}
	return nil
}

// stat prints a line of figures every fifth of a second.
func stat(p *stage.Player) error {
	if _, err := wire.Once(p.Addr, "SET", p.Key("k"), "1"); err != nil {
		return err
	}
	t, err := open(p, "--stat", "-i", "0.2")
	if err != nil {
		return err
	}
	defer t.close()
	if _, err := t.expect(`keys +mem +clients +blocked +requests +connections`); err != nil {
		return err
	}
	for p.Going() {
		keys, err := t.expect(`\n(\d+) +[0-9.]+[BKMG] +\d+ +\d+ +\d+ \(\+\d+\) +\d+`)
		if err != nil {
			return err
		}
		if keys == "0" {
			return fmt.Errorf("--stat counts no keys")
		}
		p.Round()
	}
	return nil
}

// latency measures for a second, again and again, and prints its history at the terminal meanwhile.
func latency(p *stage.Player) error {
	t, err := open(p, "--latency-history", "-i", "0.5")
	if err != nil {
		return err
	}
	defer t.close()
	for p.Going() {
		if _, err := t.expect(`min: \d+, max: \d+, avg: [0-9.]+ \([1-9]\d* samples\) -- [0-9.]+ seconds range`); err != nil {
			return err
		}
		out, err := output(p, "", "--latency", "-i", "1")
		if err != nil {
			return err
		}
		var low, high, samples int
		var mean float64
		if _, err := fmt.Sscan(out, &low, &high, &mean, &samples); err != nil || samples == 0 {
			return fmt.Errorf("--latency prints %q", out)
		}
		p.Round()
	}
	return nil
}
