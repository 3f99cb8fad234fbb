package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"tandem/internal/latency"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// Each command is timed, whether it finds something or not; an error reply ends the measurement.
func TestYieldClientsAreTimed(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	var h latency.Histogram
	if err := yieldClient(context.Background(), s.Addr, 1, time.Now().Add(50*time.Millisecond), &h); err != nil {
		t.Fatal(err)
	}
	if h.Count() == 0 || h.Quantile(0.5) <= 0 {
		t.Errorf("%d commands, half of them in %v", h.Count(), h.Quantile(0.5))
	}
	client, err := dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Do(t.Context(), client.B().Lpush().Key("load:1:1").Element("x").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	err = yieldClient(context.Background(), s.Addr, 1, time.Now().Add(time.Minute), &h)
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("a GET of a list: %v", err)
	}
}
