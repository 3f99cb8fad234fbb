package precheck

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
)

func TestStateDirectory(t *testing.T) {
	source, target := start(t), start(t)
	at := func(dir string) *Report { return precheck(t, source.URL(), target.URL(), Options{StateDir: dir}) }
	dir := t.TempDir()

	at(filepath.Join(dir, "not", "made", "yet")).expect(t, "state_directory", Success, "are free")
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("it has made %v", list)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := at(file)
	r.expect(t, "state_directory", Failed, "is not a directory", "remove it")
	r.otherwise(t, "state_directory")
	if err := os.Remove(file); err != nil { // the remedy
		t.Fatal(err)
	}
	at(file).cured(t, r, "state_directory")

	for name, x := range map[string]struct{ dir, remedy string }{
		"in a file": {filepath.Join(file, "state"), "remove it"},
		"a circle":  {filepath.Join(dir, "circle"), "look there"},
	} {
		if err := errors.Join(os.WriteFile(file, nil, 0o600), symlink(name, x.dir)); err != nil {
			t.Fatal(err)
		}
		r := at(x.dir)
		r.expect(t, "state_directory", Failed, x.remedy)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if name == "in a file" {
			at(x.dir).cured(t, r, "state_directory")
		} else {
			at(dir).cured(t, r, "state_directory") // another state_dir
		}
	}

	for free, status := range map[int64]string{1 << 20: Failed, 100 << 20: Warning, 1 << 30: Success} {
		if f := roomFor(dir, free); f.status != status {
			t.Errorf("%d bytes free: %+v", free, f)
		}
	}
}

// symlink makes a link that leads to itself.
func symlink(name, at string) error {
	if name != "a circle" {
		return nil
	}
	return os.Symlink(at, at)
}

// Who accepts a warning is not told of it again, and it does not count.
func TestAcceptedWarnings(t *testing.T) {
	source, target := start(t), start(t)
	c := connect(t, target)
	do(t, c, "CONFIG SET timeout 300")
	if r := precheck(t, source.URL(), target.URL(), Options{}); r.Result != Warning || len(r.Unaccepted()) != 1 {
		t.Errorf("\n%s", r.text())
	}
	r := precheck(t, source.URL(), target.URL(), Options{Accept: []string{"target_idle_timeout", "clocks"}})
	item := r.item(t, "target_idle_timeout")
	if r.Result != Success || len(r.Unaccepted()) != 0 || item.Status != Warning || item.Accept != "" || !strings.Contains(r.text(), "(accepted) it closes") ||
		!strings.Contains(r.text(), "0 to know of, 1 accepted, 0 failed") {
		t.Errorf("%+v\n%s", item, r.text())
	}
	if !Known("target_idle_timeout") || !Known("clocks") || Known("idle_timeout") || Known("timeout") {
		t.Error("the names of items are not known")
	}
}

func TestClocksThatMove(t *testing.T) {
	s := &side{Instance: &instance.Instance{Role: instance.Source}}
	s.info.ClockOffset, s.info.ClockError = time.Second, time.Millisecond
	for offset, is := range map[time.Duration]string{time.Second: "", time.Second + 11*time.Millisecond: "", time.Second - 13*time.Millisecond: Warning} {
		if f := moved(s, offset, time.Millisecond); f.status != is {
			t.Errorf("%v: %+v", offset, f)
		}
	}
}

func TestMemoryOfTheMachine(t *testing.T) {
	r := &run{source: &side{}, target: &side{}}
	r.source.info.UsedMemory = 1 << 30
	for machine, is := range map[int64]string{0: Success, 1 << 30: Warning, 2 << 30: Success} {
		if f := r.judgeMemory(machine); f.status != is || is == Warning && !strings.Contains(f.found, "its machine only 1.0 GiB") {
			t.Errorf("a machine with %d: %+v", machine, f)
		}
	}
}
