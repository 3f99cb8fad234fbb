package demo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/status"
)

const (
	// redraw is the time between two pictures on a live screen.
	redraw = 100 * time.Millisecond
	// report is the time between two lines of progress on one that is not.
	report = time.Second
)

// display shows the scene while the steps of the demo go on: a picture that is redrawn, or, where that
// cannot be, the picture once in each phase and a line of progress every second.
type display struct {
	verify atomic.Pointer[status.VerifySummary] // the one that runs; nil for none
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// startDisplay shows the scene until stopDisplay.
func (d *demo) startDisplay(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	d.display = &display{stop: stop}
	d.display.done.Go(func() { d.show(ctx) })
}

// stopDisplay takes the picture away; it does nothing if there is none.
func (d *demo) stopDisplay() {
	if d.display == nil {
		return
	}
	d.display.stop()
	d.display.done.Wait()
	d.display = nil
}

func (d *demo) show(ctx context.Context) {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	s := scene{clients: d.Clients, source: d.source.Addr, target: d.target.Addr}
	plain := plainDisplay{screen: d.screen}
	commands, at := d.traffic.commands.Load(), time.Now()
	for {
		st, err := d.proxy.Status(ctx)
		if err == nil { // without an answer the last picture stays; the steps notice what is wrong
			s.status = st
			s.verify = d.display.verify.Load()
			if d.screen.Live {
				d.screen.draw(s.lines(d.screen.Look))
			} else {
				plain.show(s)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if elapsed := time.Since(at); elapsed > rateWindow {
			now := d.traffic.commands.Load()
			s.perSecond = float64(now-commands) / elapsed.Seconds()
			s.slowest = d.traffic.recent.take()
			commands, at = now, time.Now()
		}
	}
}

// rateWindow is what the clients' rate and longest wait are taken over: long enough to read.
const rateWindow = time.Second

// plainDisplay shows scenes as lines that stay.
type plainDisplay struct {
	screen *screen
	phase  string
	last   time.Time
}

func (p *plainDisplay) show(s scene) {
	if s.status.Phase != p.phase {
		p.phase = s.status.Phase
		p.screen.line("")
		p.screen.line(s.picture(p.screen.Look)...)
		p.screen.line("")
	}
	progress := s.verify != nil || s.status.Backfill.State == status.Running
	if !progress || time.Since(p.last) < report {
		return
	}
	p.last = time.Now()
	line := s.progress(p.screen.Look)
	if s.verify != nil {
		line = s.verified(p.screen.Look)
	}
	p.screen.line(fmt.Sprintf("     %s", line))
}
