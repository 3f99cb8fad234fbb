package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/demo/text"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

const (
	// watchEvery is how often tandem is asked for its status while a step is waited for.
	watchEvery = 20 * time.Millisecond
	// stepTimeout bounds what has no reason to take long, on a small machine with the largest data.
	stepTimeout = 10 * time.Minute
	// logLines is how much of tandem's log is shown when something failed.
	logLines = 12
)

// watch asks tandem for its status until see is satisfied.
func (d *demo) watch(ctx context.Context, see func(status.Status) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return d.proxy.Watch(ctx, watchEvery, func(s status.Status) (bool, error) {
		if err := d.traffic.err(); err != nil {
			return false, err
		}
		return see(s)
	})
}

// take takes a step of the migration and returns how long clients were held for it.
func (d *demo) take(ctx context.Context, step string) (held time.Duration, err error) {
	result, _, err := d.proxy.Step(ctx, step, admin.StepOptions{})
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", refusal(err), d.proxyLog())
	}
	return result.Pause, nil
}

// refusal adds the blockers to the error of a step that was refused.
func refusal(err error) error {
	var refused *admin.Refused
	if errors.As(err, &refused) {
		for _, b := range refused.Blockers {
			err = fmt.Errorf("%w\n%s: %s; %s", err, b.Code, b.Message, b.Remedy)
		}
	}
	return err
}

// goOn lets the clients go on for as long as somebody wants to watch, and at least for one turn of each.
func (d *demo) goOn(ctx context.Context) error {
	enough := time.NewTimer(d.Dwell)
	defer enough.Stop()
	select {
	case <-enough.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return d.traffic.turns(ctx)
}

// proxyLog is the end of tandem's log, for an error's text.
func (d *demo) proxyLog() string {
	lines := strings.Split(strings.TrimSpace(d.proxy.Log()), "\n")
	if len(lines) > logLines {
		lines = lines[len(lines)-logLines:]
	}
	return "the end of tandem's log:\n" + strings.Join(lines, "\n")
}

// stopProxy ends tandem as Ctrl-C would, which must be clean.
func (d *demo) stopProxy() error {
	d.step = "stop"
	d.traffic.close()
	d.commands = d.traffic.commands.Load()
	d.traffic = nil
	proxy := d.proxy
	d.proxy = nil
	if err := proxy.Stop(); err != nil {
		return err
	}
	d.screen.done("stop", "tandem has drained and ended")
	return nil
}

// cleanUp stops what still runs, in the opposite order of its start, and removes every file.
func (d *demo) cleanUp() error {
	if d.traffic != nil {
		d.traffic.close()
	}
	var errs []error
	if d.proxy != nil {
		// When the demo has failed, how tandem ended is of less interest than why it failed.
		d.proxy.Stop()
	}
	if d.target != nil {
		d.target.Stop()
	}
	if d.source != nil {
		d.source.Stop()
	}
	if d.dir != "" {
		if err := os.RemoveAll(d.dir); err != nil {
			errs = append(errs, fmt.Errorf("removing the demo's files: %w", err))
		}
	}
	return errors.Join(errs...)
}

// plural names the values of each type.
var plural = map[string]string{
	"string": "strings", "hash": "hashes", "list": "lists", "set": "sets", "zset": "sorted sets", "stream": "streams",
}

// summary says what was shown and what to do next.
func (d *demo) summary() {
	var kinds []string
	for _, kind := range d.found.types() {
		kinds = append(kinds, text.Count(d.found.ByType[kind])+" "+plural[kind])
	}
	seconds := d.took.Seconds()
	rows := [][2]string{
		{"moved", fmt.Sprintf("%s keys, %s", text.Count(d.found.Keys), text.Bytes(d.found.Bytes))},
		{"", strings.Join(kinds, ", ")},
		{"how fast", fmt.Sprintf("%s keys/s, %s/s, under load", text.Count(float64(d.backfill.KeysCopied)/seconds),
			text.Bytes(int64(float64(d.backfill.BytesCopied)/seconds)))},
		{"how smoothly", strings.Join(d.pauses, ", ") + ": the slowest client's wait"},
		{"clients", fmt.Sprintf("%s commands, every reply checked: no error, no write lost or done twice", text.Count(d.commands))},
		{"followed", fmt.Sprintf("%s writes replayed on the other server, %s keys copied to it", text.Count(d.last.Effects.Forwarded),
			text.Count(d.last.Copies.Done))},
		{"compared", fmt.Sprintf("%s keys on both servers, %d different", text.Count(d.found.Keys), d.found.Different)},
		{"took", text.Duration(time.Since(d.started))},
	}
	s := d.screen
	s.line("", "  "+s.Paint(terminal.Bold, "What you saw"))
	for _, row := range rows {
		s.line(fmt.Sprintf("    %s %s", s.Paint(terminal.Faint, fmt.Sprintf("%-*s", nameWidth+1, row[0])), row[1]))
	}
	s.line("", "  "+s.Paint(terminal.Bold, "With servers of your own"),
		"    tandem precheck --source redis://HOST:PORT --target redis://HOST:PORT",
		"    tandem serve    --source redis://HOST:PORT --target redis://HOST:PORT",
		"    Point the application at tandem (127.0.0.1:6380), then: tandem status --watch,",
		"    tandem verify, tandem cutover, and when you are sure, tandem finish.",
		"")
}
