// Package hook tells others what happens to a migration: it sends events to URLs and runs commands for them.
//
// Each hook has a queue and a goroutine of its own, so that a receiver that is down, slow or hostile delays no other,
// and nobody else at all: Tell only takes a place in the queue. An event is tried until it is taken, refused for good,
// or older than the hook's RetryFor; what does not fit into the queue is left out, the oldest first, and the next event
// that gets through says how many were.
//
// What a URL holds is a secret: it is in no error and no log line. Only the host is.
package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"tandem/internal/journal"
)

// maxQueued is how many events wait for one receiver.
const maxQueued = 256

// The pauses between the attempts for one event, doubling.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// Options are one hook. It has either a URL or a command.
type Options struct {
	// On are the kinds of events that are told.
	On []journal.Kind
	// URL takes each event by POST.
	URL string
	// Secret reads what requests are signed with, empty for no signature. It is asked for each request.
	Secret func() (string, error)
	// Command is a program and its arguments, which gets each event on its stdin.
	Command []string
	// Timeout bounds one attempt. RetryFor is how long an event is tried again.
	Timeout, RetryFor time.Duration

	pause func(time.Duration) <-chan time.Time // for tests: instead of time.After
}

// Origin says whose events these are.
type Origin struct {
	// ID names the migration: with an event's number it names the event, also for who gets it twice.
	ID string `json:"id"`
	// Source and Target are the two servers' addresses, without credentials.
	Source string `json:"source"`
	Target string `json:"target"`
}

// Message is what a hook is told, as JSON.
type Message struct {
	// ID is the same whenever the same event is told again.
	ID string `json:"id"`
	// Text is the event in one sentence. Chats show it.
	Text      string        `json:"text"`
	Event     journal.Event `json:"event"`
	Migration Origin        `json:"migration"`
	// LeftOut is how many events this hook should have told before this one and has not: they did not fit into the queue,
	// or nobody took them.
	LeftOut int `json:"left_out"`
}

// Counts are what has become of events since the start.
type Counts struct {
	// Delivered were taken, Failed given up, LeftOut were too many for the queue. Attempts counts tries that failed.
	Delivered, Failed, LeftOut, Attempts uint64
}

// Hook tells one receiver.
type Hook struct {
	opt    Options
	origin Origin
	name   string
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{}

	mu      sync.Mutex
	queue   []journal.Event
	leftOut int // since the last event that was delivered
	ending  bool
	counts  Counts
}

// Start returns a hook that tells what it is given. Stop must be called.
func Start(o Options, origin Origin, log *slog.Logger) *Hook {
	if o.pause == nil {
		o.pause = time.After
	}
	h := &Hook{opt: o, origin: origin, log: log, name: name(o), wake: make(chan struct{}, 1)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.work.Go(h.run)
	return h
}

// name is what a hook is called in the log and in metrics: the host of its URL, or its program.
func name(o Options) string {
	if len(o.Command) > 0 {
		return o.Command[0]
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return "url"
	}
	return u.Host
}

// Name is the host of the hook's URL, or its program.
func (h *Hook) Name() string { return h.name }

// Counts are what has become of events so far.
func (h *Hook) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts
}

// Tell has an event told, if the hook is for its kind. It waits for nothing.
func (h *Hook) Tell(e journal.Event) {
	if !slices.Contains(h.opt.On, e.Kind) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ending {
		return
	}
	if len(h.queue) >= maxQueued {
		h.queue = slices.Delete(h.queue, 0, 1)
		h.leftOut++
		h.counts.LeftOut++
	}
	h.queue = append(h.queue, e)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Stop tells what waits, as long as ctx lasts, and ends the hook.
func (h *Hook) Stop(ctx context.Context) {
	h.mu.Lock()
	h.ending = true
	h.mu.Unlock()
	defer context.AfterFunc(ctx, h.cancel)()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	h.work.Wait()
	h.cancel()
	client.CloseIdleConnections()
}

// run tells one event after the other.
func (h *Hook) run() {
	for h.ctx.Err() == nil {
		h.mu.Lock()
		var e journal.Event
		any, ending, leftOut := len(h.queue) > 0, h.ending, h.leftOut
		if any {
			e, h.queue, h.leftOut = h.queue[0], h.queue[1:], 0
		}
		h.mu.Unlock()
		switch {
		case any:
			if !h.deliver(e, leftOut) {
				h.failed(leftOut)
			}
		case ending:
			return
		default:
			select {
			case <-h.wake:
			case <-h.ctx.Done():
			}
		}
	}
}

// failed notes that an event was given up, which was to say how many others were left out.
func (h *Hook) failed(leftOut int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leftOut += leftOut + 1
	h.counts.Failed++
}

// deliver tells one event until it is taken, or given up: then it returns false.
func (h *Hook) deliver(e journal.Event, leftOut int) bool {
	id := h.origin.ID + "-" + strconv.FormatInt(e.Seq, 10)
	body, err := json.Marshal(Message{ID: id, Text: text(e), Event: e, Migration: h.origin, LeftOut: leftOut})
	if err != nil { // a NaN among the numbers
		h.log.Error("an event could not be written for a hook", "hook", h.name, "event", e.Seq, "error", err)
		return false
	}
	began, pause := time.Now(), firstPause
	for {
		err := h.attempt(id, body)
		if err == nil {
			h.count(func(c *Counts) { c.Delivered++ })
			return true
		}
		h.count(func(c *Counts) { c.Attempts++ })
		final := isFinal(err)
		if h.ctx.Err() != nil || final || time.Since(began)+pause > h.opt.RetryFor {
			h.log.Warn("a hook was not told of an event", "hook", h.name, "kind", string(e.Kind), "name", e.Name, "event", e.Seq,
				"error", err)
			return false
		}
		select {
		case <-h.opt.pause(pause):
		case <-h.ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

// attempt tells a message once.
func (h *Hook) attempt(id string, body []byte) error {
	ctx, cancel := context.WithTimeout(h.ctx, h.opt.Timeout)
	defer cancel()
	if len(h.opt.Command) > 0 {
		return command(ctx, h.opt.Command, body)
	}
	return h.post(ctx, id, body)
}

func (h *Hook) count(f func(*Counts)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.counts)
}

// text is an event in one sentence.
func text(e journal.Event) string {
	about := string(e.Kind) + " " + e.Name
	if e.State != "" {
		about += " " + e.State
	}
	if e.Message == "" {
		return "Tandem: " + about
	}
	return fmt.Sprintf("Tandem: %s: %s", about, e.Message)
}
