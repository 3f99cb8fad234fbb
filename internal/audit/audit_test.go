package audit

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lines reads the file as entries.
func lines(t *testing.T, path string) (list []Entry) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

func TestLinesAreAppendedForTheOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for range 2 { // two processes
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() {
				for range 10 {
					if err := l.Write(Entry{Event: Done, Step: "cutover", Who: Who{Name: "a\nb"}, Error: strings.Repeat("\"", 5000)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		if n := l.Counts(); n != (Counts{Written: 40}) {
			t.Errorf("%+v", n)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if l.Write(Entry{}) == nil {
			t.Error("it is written to after its end")
		}
	}
	if n := len(lines(t, path)); n != 80 {
		t.Errorf("%d lines", n)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestReopenGoesOnInANewFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	write := func(step string) {
		t.Helper()
		if err := l.Write(Entry{Step: step}); err != nil {
			t.Error(err)
		}
	}
	write("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two") // to the file that was moved
	if err := l.Reopen(path); err != nil {
		t.Fatal(err)
	}
	write("three")
	if l.Reopen(filepath.Join(dir, "none", "audit.jsonl")) == nil {
		t.Error("a directory that is not there is taken")
	}
	write("four")
	if old, now := lines(t, path+".1"), lines(t, path); len(old) != 2 || len(now) != 2 || now[1].Step != "four" {
		t.Errorf("%v, %v", old, now)
	}
	if err := l.Reopen(""); err != nil || l.On() {
		t.Error("it is still on")
	}
	write("five")
}

// A disk that is full leaves the beginning of a line. What comes when there is room again is a line of its own.
func TestALineThatWasCutHarmsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.to.file.Close()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	l.to.file = write
	if l.Write(Entry{Step: "lost"}) == nil || l.Counts().Trouble == "" || l.Counts().Failed != 1 {
		t.Error("it is taken for written")
	}
	write.Close()
	if l.to.file, err = open(path); err != nil {
		t.Fatal(err)
	}
	if _, err := l.to.file.WriteString(`{"step":"cu`); err != nil {
		t.Fatal(err)
	}
	l.to.torn = true
	if err := l.Write(Entry{Step: "whole"}); err != nil || l.Counts().Trouble != "" {
		t.Errorf("%v, %+v", err, l.Counts())
	}
	text, _ := os.ReadFile(path)
	_, last, _ := strings.Cut(string(text), "\n")
	var e Entry
	if err := json.Unmarshal([]byte(last), &e); err != nil || e.Step != "whole" {
		t.Errorf("%q: %v", text, err)
	}
}

func TestAFullDisk(t *testing.T) {
	l, err := Open("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Write(Entry{Step: "x"}) == nil {
		t.Error("a full disk takes a line")
	}
}

// A disk that hangs holds nobody up for long, however many ask; and another file is a way out.
func TestADiskThatHangs(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(filepath.Join(dir, "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	read, write, err := os.Pipe() // nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	l.to.file.Close()
	l.to.file, l.patience = write, 20*time.Millisecond
	for range 3 {
		if err := l.Write(Entry{Step: strings.Repeat("x", 1<<20)}); !errors.Is(err, errHangs) || l.Counts().Trouble == "" {
			t.Errorf("%v", err)
		}
	}
	// Who comes later does not wait, nor the end of a step whose beginning has.
	l.patience = time.Hour
	if err := l.Write(Entry{Step: "later"}); !errors.Is(err, errHangs) {
		t.Errorf("%v", err)
	}
	l.patience = time.Minute
	// When the disk is there again, so is the log, from the line that hung on.
	go func() { _, _ = io.Copy(io.Discard, read) }()
	for l.Write(Entry{Step: "again"}) != nil {
		runtime.Gosched()
	}
	l.patience = 0
	if err := l.Reopen(filepath.Join(dir, "two")); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(Entry{Step: "whole"}); err != nil || len(lines(t, filepath.Join(dir, "two"))) != 1 {
		t.Errorf("%v", err)
	}
}

// A pipe that nobody reads is refused at once, one that is read is written to, and one whose reader has stalled is waited for as
// a disk is.
func TestAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Fatalf("a pipe that nobody reads: %v", err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l.patience = time.Minute
	if err := l.Write(Entry{Event: Done, Step: "cutover"}); err != nil {
		t.Fatal(err)
	}
	l.patience = 50 * time.Millisecond
	line := make([]byte, 1000)
	if n, err := reader.Read(line); err != nil || !strings.HasSuffix(string(line[:n]), "}\n") {
		t.Errorf("%q: %v", line[:n], err)
	}
	for range 100 { // as many as fit, and one more
		if err = l.Write(Entry{Event: Done, Error: strings.Repeat("-", 8<<10)}); err != nil {
			break
		}
	}
	if !errors.Is(err, errHangs) {
		t.Errorf("nobody reads on: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
