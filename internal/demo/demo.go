// Package demo shows a whole migration to somebody who has never seen one: two real servers, data of every
// type, an application's traffic, and tandem between them through all phases, forth, back and forth again.
//
// It uses tandem as any user does: the program as a process of its own, driven through its admin address.
// What it claims at the end it has checked itself: every reply that the clients got, the clients' books
// against the servers, and both keyspaces against each other, key by key, with no code of tandem's own
// verify. It leaves nothing behind, however it ends.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/demo/child"
	"tandem/internal/demo/text"
	"tandem/internal/redisd"
	"tandem/internal/status"
	"tandem/internal/terminal"
)

// Options says how large a demo is, and where it is seen.
type Options struct {
	// Binary is the tandem executable.
	Binary string
	// Server is the redis-server executable, empty for the one in PATH. Both servers are of it.
	Server string
	// Keys is the size of the source's data, MinKeys at least; Clients the number of clients.
	Keys, Clients int
	// PerSecond bounds the commands of all clients together.
	PerSecond int
	// Dwell is how long the clients go on between two steps, for somebody to watch.
	Dwell time.Duration

	Out  io.Writer
	Look terminal.Look
	// JSON writes one object per step instead: {step, ok, text}.
	JSON bool
}

const (
	// MinKeys is the least size of the data: with fewer, some type would be missing.
	MinKeys = 1000
	// maxClients is what a demo has file descriptors for everywhere.
	maxClients = 200
	// minPerSecond lets each client send a pipeline now and then.
	minPerSecond = 100
	// maxPerSecond is more than any server executes.
	maxPerSecond = 10_000_000
)

// Defaults are the options of `tandem demo` without flags: half a minute on a small machine.
func Defaults() Options {
	return Options{Keys: 200_000, Clients: 8, PerSecond: 20_000, Dwell: 2 * time.Second, Out: io.Discard}
}

// Check says what is wrong with the sizes.
func (o Options) Check() error {
	switch {
	case o.Keys < MinKeys:
		return fmt.Errorf("a demo needs at least %d keys for some of every type: not %d", MinKeys, o.Keys)
	case o.Clients < 1 || o.Clients > maxClients:
		return fmt.Errorf("a demo needs between 1 and %d clients: not %d", maxClients, o.Clients)
	case o.PerSecond < minPerSecond:
		return fmt.Errorf("a demo needs at least %d commands a second for clients to be seen at work: not %d", minPerSecond, o.PerSecond)
	case o.PerSecond > maxPerSecond:
		return fmt.Errorf("a demo sends at most %d commands a second: not %d", maxPerSecond, o.PerSecond)
	}
	return nil
}

// ErrInterrupted says that the demo was ended before its end, and has cleaned up.
var ErrInterrupted = errors.New("interrupted")

// Run plays the demo and returns when everything that it started is stopped and removed. It succeeds only if
// every step did, no client saw an error or a wrong reply, and both servers hold the same.
func Run(ctx context.Context, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	d := &demo{Options: o, screen: newScreen(o), started: time.Now()}
	defer d.screen.close()
	err := d.play(ctx)
	d.stopDisplay()
	if err == nil {
		err = d.stopProxy()
	}
	if ctx.Err() != nil {
		err = ErrInterrupted
		d.screen.object(d.step, false, err.Error())
		d.screen.line("", "  Interrupted; stopping everything that was started.")
	} else if err != nil {
		d.screen.fail(d.step, err)
	} else {
		d.summary()
	}
	if left := d.cleanUp(); left != nil {
		d.screen.fail("clean up", left)
		err = errors.Join(err, left)
	}
	return err
}

// demo is one that runs.
type demo struct {
	Options
	screen  *screen
	started time.Time
	step    string // the name of the one that is under way

	dir            string
	source, target *redisd.Server
	proxy          *child.Proxy
	traffic        *traffic
	display        *display

	// What the summary tells.
	filled   time.Duration
	backfill status.BackfillStatus
	took     time.Duration // of the backfill
	pauses   []string
	found    *comparison
	last     status.Status
	commands int64 // of all clients
}

// play is the story. Each step prints its line when it has succeeded.
func (d *demo) play(ctx context.Context) error {
	d.screen.line("", fmt.Sprintf("  %s %s keys move from one server to another while %d clients go on writing.",
		d.screen.Paint(terminal.Bold, "Tandem demo:"), text.Count(d.Keys), d.Clients), "")
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"servers", d.startServers},
		{"data", d.fill},
		{"tandem", d.serve},
		{"clients", d.connect},
		{"backfill", d.backfillAll},
		{"verify", d.verify},
		{"cutover", func(ctx context.Context) error { return d.swap(ctx, "cutover", "the target answers now") }},
		{"verify", d.verify},
		{"rollback", func(ctx context.Context) error { return d.swap(ctx, "rollback", "the source answers again") }},
		{"cutover", func(ctx context.Context) error { return d.swap(ctx, "cutover", "and the target once more") }},
		{"compare", d.compareAll},
		{"finish", d.finish},
	}
	for _, s := range steps {
		d.step = s.name
		err := s.do(ctx)
		if d.traffic != nil && d.traffic.err() != nil {
			// Whatever else went wrong, this is what the demo is about.
			return fmt.Errorf("a client saw an error: %w\n%s", d.traffic.err(), d.proxyLog())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startServers(context.Context) error {
	var err error
	if d.dir, err = os.MkdirTemp("", "tandem-demo-"); err != nil {
		return fmt.Errorf("a directory for the demo: %w", err)
	}
	if d.source, err = redisd.Start(redisd.Options{Binary: d.Server}); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if d.target, err = redisd.Start(redisd.Options{Binary: d.Server}); err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	d.screen.done("servers", "%s on %s is the source, on %s the target", d.source.Name, d.source.Addr, d.target.Addr)
	return nil
}

func (d *demo) fill(ctx context.Context) error {
	began := time.Now()
	err := fillSource(ctx, d.source.Addr, d.Keys, func(done int) {
		stage := terminal.Stage{Name: "    filling the source", Percent: status.Known(100 * float64(done) / float64(d.Keys))}
		d.screen.draw([]string{"", d.screen.Line(stage)})
	})
	if err != nil {
		return err
	}
	d.filled = time.Since(began)
	d.screen.done("data", "%s keys of every type in the source, a third of them expiring; %d large values",
		text.Count(d.Keys+len(large)), len(large))
	return nil
}

// serve starts tandem between the servers. It begins in passthrough and waits to be told to start.
func (d *demo) serve(ctx context.Context) error {
	proxy, err := child.Serve(ctx, child.ServeOptions{
		Binary: d.Binary, Source: d.source.URL(), Target: d.target.URL(), StateDir: filepath.Join(d.dir, "state"), Start: "manual",
	})
	if err != nil {
		return err
	}
	d.proxy = proxy
	d.screen.done("tandem", "serves on %s; nothing is written twice yet", proxy.Listen)
	return nil
}

func (d *demo) connect(ctx context.Context) error {
	var err error
	if d.traffic, err = newTraffic(d.proxy.Listen, d.Clients, d.Keys, d.PerSecond); err != nil {
		return err
	}
	d.traffic.resume(ctx)
	d.startDisplay(ctx)
	before, began := d.traffic.commands.Load(), time.Now()
	if err := d.goOn(ctx); err != nil {
		return err
	}
	rate := float64(d.traffic.commands.Load()-before) / time.Since(began).Seconds()
	d.screen.done("clients", "%d connected through it; %s commands/s, longest wait %s",
		d.Clients, text.Count(rate), text.Duration(d.traffic.step.take()))
	return nil
}

// backfillAll starts the migration and waits until both servers hold the same.
func (d *demo) backfillAll(ctx context.Context) error {
	d.traffic.step.take()
	began := time.Now()
	if _, err := d.take(ctx, "start"); err != nil {
		return err
	}
	err := d.watch(ctx, func(s status.Status) (bool, error) {
		if s.Backfill.State == status.Failed {
			return false, fmt.Errorf("the backfill failed\n%s", d.proxyLog())
		}
		d.backfill = s.Backfill
		return s.Phase == status.Synced, nil
	})
	if err != nil {
		return err
	}
	d.took = time.Since(began)
	d.screen.done("backfill", "synced after %s: %s keys copied (%s keys/s), longest wait of a client %s", text.Duration(d.took),
		text.Count(d.backfill.KeysCopied), text.Count(float64(d.backfill.KeysCopied)/d.took.Seconds()),
		text.Duration(d.traffic.step.take()))
	return d.goOn(ctx)
}

// verify has tandem compare both servers while the clients go on.
func (d *demo) verify(ctx context.Context) error {
	id, err := d.proxy.Verify(ctx, admin.VerifyOptions{Mode: admin.VerifyFull})
	if err != nil {
		return refusal(err)
	}
	defer d.display.verify.Store(nil)
	var different []string
	var summary status.VerifySummary
	err = d.watch(ctx, func(status.Status) (bool, error) {
		now, err := d.proxy.VerifyResults(ctx, id, len(different), func(found status.Difference) error {
			different = append(different, fmt.Sprintf("db %d, %q: %s: %s", found.DB, found.Key, found.Kind, found.Detail))
			return nil
		})
		summary = now
		d.display.verify.Store(&now)
		return now.State != status.Running, err
	})
	if err != nil {
		return err
	}
	if summary.State != status.Done || summary.Different > 0 {
		return fmt.Errorf("%s keys compared, %s different (%s %s)\n%s\n%s", text.Count(summary.Compared),
			text.Count(summary.Different), summary.State, summary.Error,
			strings.Join(different[:min(len(different), maxNamed)], "\n"), d.proxyLog())
	}
	// A verify that looked at little has shown little; some keys have expired since the source was filled.
	if summary.Compared < int64(d.Keys)/2 {
		return fmt.Errorf("only %s of some %s keys were compared\n%s", text.Count(summary.Compared), text.Count(d.Keys), d.proxyLog())
	}
	d.screen.done("verify", "%s keys compared on live data, none different", text.Count(summary.Compared))
	return nil
}

// swap makes the other server answer. The pause is the longest that any client waited for a reply around
// it, which includes what tandem says it held them for.
func (d *demo) swap(ctx context.Context, step, outcome string) error {
	d.traffic.step.take()
	held, err := d.take(ctx, step)
	if err != nil {
		return err
	}
	if err := d.traffic.turns(ctx); err != nil {
		return err
	}
	pause := d.traffic.step.take()
	d.pauses = append(d.pauses, fmt.Sprintf("%s %s", step, text.Duration(pause)))
	d.screen.done(step, "%s; the slowest client waited %s (held: %s)", outcome, text.Duration(pause),
		text.Duration(held))
	return d.goOn(ctx)
}

// compareAll pauses the clients, waits until the last write has arrived, and compares everything with
// everything: the clients' books with both servers, and the servers with each other.
func (d *demo) compareAll(ctx context.Context) error {
	d.traffic.pause()
	err := d.watch(ctx, func(s status.Status) (bool, error) {
		d.last = s
		return child.Settled(s), nil
	})
	if err != nil {
		return err
	}
	for _, server := range []*redisd.Server{d.source, d.target} {
		if err := d.traffic.audit(ctx, server.Addr); err != nil {
			return fmt.Errorf("on %s: %w\n%s", server.Addr, err, d.proxyLog())
		}
	}
	if d.found, err = compare(ctx, d.source.Addr, d.target.Addr); err != nil {
		return err
	}
	if d.found.Different > 0 {
		return fmt.Errorf("%s of %s keys differ\n%s\n%s", text.Count(d.found.Different), text.Count(d.found.Keys),
			strings.Join(d.found.Named, "\n"), d.proxyLog())
	}
	d.screen.done("compare", "%s keys read from both servers: the same; every client's books agree", text.Count(d.found.Keys))
	return nil
}

// finish ends the migration; the clients go on with the target alone.
func (d *demo) finish(ctx context.Context) error {
	if _, err := d.take(ctx, "finish"); err != nil {
		return err
	}
	d.traffic.resume(ctx)
	if err := d.goOn(ctx); err != nil {
		return err
	}
	d.traffic.pause()
	if err := d.traffic.audit(ctx, d.target.Addr); err != nil {
		return fmt.Errorf("after finish, on the target: %w\n%s", err, d.proxyLog())
	}
	d.screen.done("finish", "the target serves alone; the source is left as it was")
	return nil
}
