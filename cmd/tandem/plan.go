package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"tandem/internal/admin"
)

// plan is when a cutover is to come by itself, as flags say it.
type plan struct {
	at        string
	whenReady bool
	within    time.Duration
	cancel    bool
}

func (p *plan) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&p.at, "at", "", "have it come by itself at `TIME`: 15:04, 2006-01-02 15:04 (of this machine), or 2006-01-02T15:04:05Z")
	flags.BoolVar(&p.whenReady, "when-ready", false, "have it come by itself as soon as nothing stands in its way")
	flags.DurationVar(&p.within, "within", 0, "give up what is to come by itself after this `TIME`, counted from --at or now (default 1h)")
	flags.BoolVar(&p.cancel, "cancel", false, "take back what is to come by itself")
}

// into fills in the options of the step.
func (p *plan) into(o *admin.StepOptions, now time.Time) error {
	switch {
	case p.cancel && (p.at != "" || p.whenReady || p.within != 0 || o.Force != ""):
		return errors.New("--cancel stands alone")
	case p.within != 0 && p.at == "" && !p.whenReady:
		return errors.New("--within belongs to --at or --when-ready")
	case p.within < 0:
		return fmt.Errorf("--within is %s: give a time such as 30m", p.within)
	}
	o.Cancel, o.WhenReady, o.Within = p.cancel, p.whenReady, p.within.Milliseconds()
	if p.at == "" {
		return nil
	}
	at, err := parseTime(p.at, now)
	if err != nil {
		return err
	}
	o.At = at.UnixMilli()
	return nil
}

// parseTime reads a time to come. One without a date is the next of that hour and minute, in the time zone of now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return notPast(text, at, now)
	}
	for _, form := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return notPast(text, at, now)
		}
	}
	for _, form := range []string{"15:04", "15:04:05"} {
		clock, err := time.Parse(form, text)
		if err != nil {
			continue
		}
		year, month, day := now.Date()
		at := time.Date(year, month, day, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
		if at.Before(now) {
			at = time.Date(year, month, day+1, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
		}
		return at, nil
	}
	return time.Time{}, fmt.Errorf("--at is %q: give a time such as 04:00, 2006-01-02 04:00 or 2006-01-02T04:00:00Z", text)
}

func notPast(text string, at, now time.Time) (time.Time, error) {
	if at.Before(now) {
		return at, fmt.Errorf("--at is %q: that is past", text)
	}
	return at, nil
}
