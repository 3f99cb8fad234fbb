package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbers are the Seqs of events.
func numbers(events []Event) string {
	var list []string
	for _, e := range events {
		list = append(list, fmt.Sprint(e.Seq))
	}
	return strings.Join(list, " ")
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-limit:
			t.Fatalf("%s did not come about", what)
		case <-look.C:
		}
	}
}

func onDisk(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func TestEventsComeBackInOrderAfterAnotherOpen(t *testing.T) {
	dir := t.TempDir()
	j := Open(dir, Options{})
	j.Add(Event{Kind: Phase, Name: "backfill", Message: "a\nb"})
	j.Add(Event{Kind: Fault, Name: "secondary_down", State: Begins, Instance: "target", Numbers: map[string]float64{"x_ms": 1.5}})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = Open(dir, Options{})
	defer j.Close()
	j.Add(Event{Kind: Phase, Name: "synced"})
	got := j.Events(0, 0)
	if numbers(got) != "1 2 3" || got[0].Message != "a\nb" || got[1].Numbers["x_ms"] != 1.5 || got[1].Instance != "target" ||
		got[2].Numbers == nil || time.Since(got[2].Time()) > time.Minute {
		t.Errorf("got %+v", got)
	}
	if s := numbers(j.Events(1, 1)); s != "2" {
		t.Errorf("behind 1, one of them: %q", s)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j.Add(Event{Kind: Phase})
	if s := numbers(j.Events(0, 0)); s != "1 2 3" {
		t.Errorf("after Close: %q", s)
	}
}

// A line that a crash has torn, at any byte, takes none of the others with it, nor what is written behind it.
func TestATornLineIsCutOff(t *testing.T) {
	whole := t.TempDir()
	j := Open(whole, Options{})
	j.Add(Event{Kind: Phase, Name: "one"})
	j.Add(Event{Kind: Phase, Name: "two"})
	j.Close()
	text := onDisk(t, whole)
	first := strings.IndexByte(text, '\n') + 1
	for cut := first; cut < len(text); cut++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), []byte(text[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		j := Open(dir, Options{})
		j.Add(Event{Kind: Phase, Name: "three"})
		j.Close()
		var names []string
		for line := range strings.Lines(onDisk(t, dir)) {
			var e Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("cut at %d: line %q: %v", cut, line, err)
			}
			names = append(names, e.Name)
		}
		if s := strings.Join(names, " "); s != "one three" {
			t.Fatalf("cut at %d: %s", cut, s)
		}
	}
}

func TestDamagedLinesArePassedOver(t *testing.T) {
	dir := t.TempDir()
	damaged := "{\"seq\":7,\"kind\":\"phase\",\"name\":\"x\"}\n\x00\x00\x00\nnothing\n{}\n"
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	j := Open(dir, Options{})
	defer j.Close()
	j.Add(Event{Kind: Phase, Name: "y"})
	if s := numbers(j.Events(0, 0)); s != "7 8" {
		t.Errorf("events %q, want 7 8", s)
	}
}

func TestTheFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	const bound = 4096
	j := Open(dir, Options{MaxBytes: bound})
	const all = 500
	for i := range all {
		j.Add(Event{Kind: Sweep, Name: fmt.Sprint("sweep ", i)})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() > bound {
			t.Errorf("%s: %d bytes, %v", f.Name(), info.Size(), err)
		}
	}
	j = Open(dir, Options{})
	defer j.Close()
	events := j.Events(0, 0)
	if len(events) < 10 || events[len(events)-1].Seq != all {
		t.Fatalf("%d events, the last %+v", len(events), events[len(events)-1])
	}
	for i, e := range events[1:] {
		if e.Seq != events[i].Seq+1 {
			t.Errorf("%d behind %d", e.Seq, events[i].Seq)
		}
	}
}

// While nothing can be written events wait, are told, and can be asked for; when there is room again they are written.
func TestADiskThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	var log bytes.Buffer
	told := make(chan Event, 100)
	j := Open(dir, Options{Observe: func(e Event) { told <- e }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer j.Close()
	for i := range 3 {
		j.Add(Event{Kind: Phase, Name: fmt.Sprint(i)})
		if e := <-told; e.Name != fmt.Sprint(i) {
			t.Errorf("told of %+v", e)
		}
	}
	if s := numbers(j.Events(0, 0)); s != "1 2 3" {
		t.Errorf("events %q", s)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	until(t, "events on disk", func() bool { return strings.Count(onDisk(t, dir), "\n") == 3 })
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if len(told) != 0 {
		t.Errorf("told again of %d events", len(told))
	}
}

// Nobody waits for the journal, and what waits for the disk is bounded: the oldest events go.
func TestWhatWaitsIsBounded(t *testing.T) {
	j := Open(filepath.Join(t.TempDir(), "missing"), Options{})
	defer j.Close()
	for range maxWaiting + 100 {
		j.Add(Event{Kind: Phase, Message: strings.Repeat("ü", maxMessage)})
	}
	events := j.Events(0, 0)
	if len(events) != maxWaiting || events[0].Seq != 101 {
		t.Errorf("%d events, the first %d", len(events), events[0].Seq)
	}
	if n := len(events[0].Message); n > maxMessage+3 {
		t.Errorf("a message of %d bytes", n)
	}
}

func TestANumberThatJSONDoesNotHave(t *testing.T) {
	dir := t.TempDir()
	j := Open(dir, Options{})
	j.Add(Event{Kind: Phase, Name: "x", Numbers: map[string]float64{"a": math.NaN()}})
	j.Close()
	if !strings.Contains(onDisk(t, dir), `"name":"x"`) {
		t.Error("the event is lost")
	}
}
