package proxy

import (
	"context"
	"log/slog"
	"time"
)

// complainEvery is how often trouble that goes on is logged again.
const complainEvery = 30 * time.Second

// complaint is trouble with one connection: it is logged when it begins, every so often while it goes on, and
// when it is over.
type complaint struct {
	since time.Time // zero: there is none
	said  time.Time
	tries int
}

// failed notes trouble.
func (c *complaint) failed(log *slog.Logger, what string, err error, args ...any) {
	now := time.Now()
	c.tries++
	if c.since.IsZero() {
		c.since = now
	}
	if c.said.IsZero() || now.Sub(c.said) >= complainEvery {
		c.said = now
		args = append(args, "error", err, "for", now.Sub(c.since).Round(time.Second), "tries", c.tries)
		log.Log(context.Background(), slog.LevelWarn, what, args...)
	}
}

// over notes its end, if there was any.
func (c *complaint) over(log *slog.Logger, what string, args ...any) {
	if c.since.IsZero() {
		return
	}
	log.Info(what, append(args, "after", time.Since(c.since).Round(time.Millisecond), "tries", c.tries)...)
	*c = complaint{}
}

// eased is over for trouble that may be back at once, again and again: only trouble that was logged is logged as over, and
// what comes next is not logged before its time.
func (c *complaint) eased(log *slog.Logger, what string, args ...any) {
	if c.since.IsZero() {
		return
	}
	if !c.said.Before(c.since) {
		log.Info(what, append(args, "after", time.Since(c.since).Round(time.Millisecond), "tries", c.tries)...)
	}
	*c = complaint{said: c.said}
}
