package main

import (
	"strings"
	"testing"
	"time"

	"tandem/internal/admin"
)

func TestTimesOfAPlan(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	now := time.Date(2026, 5, 31, 22, 30, 0, 0, zone)
	for text, want := range map[string]string{
		"23:15":                "2026-05-31T23:15:00+02:00",
		"04:00":                "2026-06-01T04:00:00+02:00",
		"22:29:59":             "2026-06-01T22:29:59+02:00",
		"2026-06-02 04:00":     "2026-06-02T04:00:00+02:00",
		"2026-06-02T04:00:10":  "2026-06-02T04:00:10+02:00",
		"2026-06-02T04:00:00Z": "2026-06-02T04:00:00Z",
		"2026-05-31 22:00":     "that is past",
		"2026-05-31T20:29:00Z": "that is past",
		"tomorrow":             "give a time such as",
		"25:00":                "give a time such as",
	} {
		at, err := parseTime(text, now)
		if got := at.Format(time.RFC3339); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestFlagsOfAPlan(t *testing.T) {
	now := time.Date(2026, 5, 31, 22, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		p     plan
		force string
		want  string // of the error; empty for none
	}{
		"none":                  {plan{}, "", ""},
		"at a time":             {plan{at: "23:00", within: time.Minute}, "target_full", ""},
		"when ready":            {plan{whenReady: true}, "", ""},
		"cancel":                {plan{cancel: true}, "", ""},
		"cancel and at":         {plan{cancel: true, at: "23:00"}, "", "--cancel stands alone"},
		"cancel and force":      {plan{cancel: true}, "x", "--cancel stands alone"},
		"within without a plan": {plan{within: time.Minute}, "", "--within belongs"},
		"within what is past":   {plan{whenReady: true, within: -time.Minute}, "", "give a time"},
	} {
		o := admin.StepOptions{Force: c.force}
		err := c.p.into(&o, now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if plans := c.p.at != "" || c.p.whenReady; err == nil && o.Plans() != plans {
			t.Errorf("%s: %+v", name, o)
		}
	}
}
